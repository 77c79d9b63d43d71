// SPDX-License-Identifier: Apache-2.0
//
// The checks of testkit/queue_checks.h that send items from threads to threads: the order of each
// producer, each item once and whole, size(), and the lives of items. Include that one; it says how
// to use these.

#ifndef SLUICE_TESTKIT_QUEUE_CHECKS_THREADS_H_
#define SLUICE_TESTKIT_QUEUE_CHECKS_THREADS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/tracked.h"
#include "sluice/testkit/traffic.h"

namespace sluice::internal {

/// What is wrong with a traffic, each according to its check.
using Judge = std::string (*)(const TrafficRecord&);

/// Runs every plan for this queue, changed by `change`, and judges it.
template <class A, class Change>
std::string run_traffics(const testkit::CheckOptions& options, std::size_t items, Judge judge,
                         Change change) {
  for (TrafficPlan plan : traffic_plans(A::kTraits, options, items)) {
    change(plan);
    const TrafficRecord record = Traffic<A>::run(plan);
    const std::string wrong = record.wrong.empty() ? judge(record) : record.wrong;
    if (!wrong.empty()) return describe(plan) + ": " + wrong;
  }
  return "";
}

inline std::string judge_both(const TrafficRecord& record) {
  const std::string wrong = judge_count(record);
  return wrong.empty() ? judge_order(record) : wrong;
}

}  // namespace sluice::internal

namespace sluice::testkit {

/// Whether what one thread pushes comes out in its order.
template <QueueAdapter A>
constexpr bool kKeepsProducerOrder = QueueTraits(A::kTraits).order == QueueOrder::fifo ||
                                     QueueTraits(A::kTraits).order == QueueOrder::per_producer_fifo;

/// No consumer gets items of one producer in another order than they were pushed.
template <class Kit>
std::string check_producer_order(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (kKeepsProducerOrder<A>) {
    return internal::run_traffics<A>(options, 6000, internal::judge_order,
                                     [](internal::TrafficPlan&) {});
  } else {
    return "";
  }
}

/// Whatever was pushed is popped once, by one thread, and nothing else is.
template <class Kit>
std::string check_exactly_once(const CheckOptions& options) {
  return internal::run_traffics<internal::AdapterOf<Kit>>(options, 6000, internal::judge_count,
                                                          [](internal::TrafficPlan&) {});
}

/// Items of several words come out whole.
template <class Kit>
std::string check_whole_items(const CheckOptions& options) {
  if constexpr (internal::KitCarries<Kit, internal::SeveralWords>) {
    return internal::run_traffics<internal::AdapterOf<Kit, internal::SeveralWords>>(
        options, 4000, internal::judge_count, [](internal::TrafficPlan&) {});
  } else {
    return "";
  }
}

/// Batches of several threads: the same as exactly_once and producer_order.
template <class Kit>
std::string check_batches_of_threads(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (BatchAdapter<A>) {
    return internal::run_traffics<A>(
        options, 6000, kKeepsProducerOrder<A> ? internal::judge_both : internal::judge_count,
        [](internal::TrafficPlan& plan) { plan.calls = internal::TrafficCalls::batches; });
  } else {
    return "";
  }
}

/// size() is never more than the capacity, whoever is at work, and exact when nobody is.
template <class Kit>
std::string check_size(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (SizedAdapter<A>) {
    return internal::run_traffics<A>(
        options, 3000, [](const internal::TrafficRecord&) { return std::string(); },
        [](internal::TrafficPlan& plan) { plan.looks_at_size = true; });
  } else {
    return "";
  }
}

/// Calls that wait: the same as exactly_once and producer_order, and nobody waits for ever.
template <class Kit>
std::string check_waiting_traffic(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (BlockingAdapter<A>) {
    return internal::run_traffics<A>(
        options, 3000, kKeepsProducerOrder<A> ? internal::judge_both : internal::judge_count,
        [](internal::TrafficPlan& plan) { plan.calls = internal::TrafficCalls::waiting; });
  } else {
    return "";
  }
}

/// Closed while threads push and pop: what was pushed is popped once, and everybody comes home.
template <class Kit>
std::string check_close_during_traffic(const CheckOptions& options) {
  using A = internal::AdapterOf<Kit>;
  if constexpr (ClosableAdapter<A>) {
    for (std::size_t round = 0; round < options.times(4); ++round) {
      CheckOptions quick = options;
      quick.profile = CheckProfile::quick;
      quick.seed += round;
      std::string wrong = internal::run_traffics<A>(
          quick, 1000, internal::judge_count, [&](internal::TrafficPlan& plan) {
            const bool waits = BlockingAdapter<A> && round % 2 == 0;
            plan.calls = waits ? internal::TrafficCalls::waiting : internal::TrafficCalls::trying;
            plan.closed_at = 1 + plan.items * (round % 3) / 3;
          });
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

/// The lives of items that pass from thread to thread; some are left, and destroyed with the queue.
template <class Kit>
std::string check_lives_of_threads(const CheckOptions& options) {
  if constexpr (internal::KitCarries<Kit, Tracked>) {
    using A = internal::AdapterOf<Kit, Tracked>;
    for (const internal::TrafficPlan& plan : internal::traffic_plans(A::kTraits, options, 1000)) {
      Ledger::reset();
      const internal::TrafficRecord record = internal::Traffic<A>::run(plan);
      std::string wrong = record.wrong.empty() ? internal::judge_count(record) : record.wrong;
      if (wrong.empty()) wrong = Ledger::verdict();
      if (!wrong.empty()) return internal::describe(plan) + ": " + wrong;
    }
  }
  return "";
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_CHECKS_THREADS_H_
