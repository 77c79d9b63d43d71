// SPDX-License-Identifier: Apache-2.0
//
// What a queue must be able to do, as plain functions: each is told by a kit which queue to look
// at, and returns what is wrong with it, or an empty string. testkit/queue_suite.h makes a
// GoogleTest suite of them. A kit names the adapter (testkit/queue_adapter.h), a template:
//
//   using MyKit = QueueKit<MyAdapter>;
//   for (const QueueCheck& check : queue_checks<MyKit>()) {
//     if (check.left_out != nullptr) continue;            // "it has no close()"
//     std::string wrong = check.run(CheckOptions::from_environment());
//   }
//   std::string wrong = find_check<MyKit>("close").run(options);
//
// check_close<MyKit>() and the like are the bare checks; QueueCheck::run() is the same in a process
// of its own, so that a queue that hangs or crashes is a sentence and not the end of the test.
//
//   one thread      sequential, boundaries, batches, aligned_items, move_only_items, large_items,
//                   throwing_items, lives
//   several         producer_order, exactly_once, whole_items, batches_of_threads,
//   lives_of_threads,
//                   size
//   calls that wait sleeping_pop, sleeping_push, many_sleepers, waiting_traffic, close,
//                   close_during_traffic
//
// Units: items, threads. Errors: what a queue throws is its verdict. Threads: the calling process
// should have no other at the time, for checks fork. If a process dies here: a check ends with the
// thread that runs it. Cost: all of them together about a second, the full profile twenty times.

#ifndef SLUICE_TESTKIT_QUEUE_CHECKS_H_
#define SLUICE_TESTKIT_QUEUE_CHECKS_H_

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_checks_alone.h"
#include "sluice/testkit/queue_checks_items.h"
#include "sluice/testkit/queue_checks_threads.h"
#include "sluice/testkit/queue_checks_waiting.h"
#include "sluice/testkit/queue_under_test.h"
#include "sluice/testkit/tracked.h"

namespace sluice::testkit {

/// A kit of an adapter that needs no more than an item's type. One that has a parameter more:
/// struct MyKit { template <class T> using Adapter = MyAdapter<T, 64>; };
template <template <class> class A>
struct QueueKit {
  /// The adapter of this item, if the queue can carry it.
  template <class T>
  using Adapter = A<T>;
};

/// Whatever names an adapter, which can at least carry numbers.
template <class Kit>
concept KitOfQueue = internal::KitCarries<Kit, std::uint64_t> &&
                     MakeableAdapter<typename Kit::template Adapter<std::uint64_t>>;

/// One check, of the queue of one kit.
struct QueueCheck {
  const char* name;  ///< for find_check(); as in the table at the top
  /// Why it says nothing of this queue; nullptr if it does.
  const char* left_out;
  /// What is wrong, or an empty string. Of a check that is left out: the latter.
  std::string (*check)(const CheckOptions& options);

  /// The same in a process of its own.
  [[nodiscard]] std::string run(const CheckOptions& options) const {
    return internal::guarded(name, options, [&] { return check(options); });
  }
};

}  // namespace sluice::testkit

namespace sluice::internal {

constexpr const char* unless(bool fits, const char* reason) { return fits ? nullptr : reason; }

template <class Kit>
std::vector<testkit::QueueCheck> checks_alone() {
  using A = AdapterOf<Kit>;
  constexpr bool kAligned = KitCarries<Kit, AlignedItem> || KitCarries<Kit, PlainAlignedItem>;
  return {
      {"sequential", nullptr, testkit::check_sequential<Kit>},
      {"boundaries", nullptr, testkit::check_boundaries<Kit>},
      {"batches", unless(testkit::BatchAdapter<A>, "it has no calls for batches"),
       testkit::check_batches<Kit>},
      {"aligned_items", unless(kAligned, "it can't carry items aligned to 128 bytes"),
       testkit::check_aligned_items<Kit>},
      {"move_only_items", unless(KitCarries<Kit, MoveOnlyItem>, "it can't carry what only moves"),
       testkit::check_move_only_items<Kit>},
      {"large_items", unless(KitCarries<Kit, LargeItem>, "it can't carry items of 4 KiB"),
       testkit::check_large_items<Kit>},
      {"throwing_items",
       unless(KitCarries<Kit, testkit::Throwing>, "it can't carry items that throw"),
       testkit::check_throwing_items<Kit>},
      {"lives", unless(KitCarries<Kit, testkit::Tracked>, "it can't carry items with destructors"),
       testkit::check_lives<Kit>},
  };
}

template <class Kit>
std::vector<testkit::QueueCheck> checks_of_threads() {
  using A = AdapterOf<Kit>;
  return {
      {"producer_order",
       unless(testkit::kKeepsProducerOrder<A>, "it keeps another order than its producers'"),
       testkit::check_producer_order<Kit>},
      {"exactly_once", nullptr, testkit::check_exactly_once<Kit>},
      {"whole_items", unless(KitCarries<Kit, SeveralWords>, "it can't carry several words"),
       testkit::check_whole_items<Kit>},
      {"batches_of_threads", unless(testkit::BatchAdapter<A>, "it has no calls for batches"),
       testkit::check_batches_of_threads<Kit>},
      {"lives_of_threads",
       unless(KitCarries<Kit, testkit::Tracked>, "it can't carry items with destructors"),
       testkit::check_lives_of_threads<Kit>},
      {"size", unless(testkit::SizedAdapter<A>, "it has no size()"), testkit::check_size<Kit>},
  };
}

template <class Kit>
std::vector<testkit::QueueCheck> checks_of_waiting() {
  using A = AdapterOf<Kit>;
  constexpr testkit::QueueTraits kTraits = A::kTraits;
  constexpr bool kBlocks = testkit::BlockingAdapter<A>;
  constexpr bool kCloses = testkit::ClosableAdapter<A>;
  constexpr bool kMany = kTraits.consumers > 1 || (kTraits.bounded && kTraits.producers > 1);
  constexpr const char* kNoWaits = unless(kBlocks, "it has no calls that wait");
  constexpr const char* kNoClose = unless(kCloses, "it has no close()");
  return {
      {"sleeping_pop", kNoWaits, testkit::check_sleeping_pop<Kit>},
      {"sleeping_push", kBlocks ? unless(kTraits.bounded, "it is never full") : kNoWaits,
       testkit::check_sleeping_push<Kit>},
      {"many_sleepers", kBlocks ? unless(kMany, "one thread at a time may wait") : kNoWaits,
       testkit::check_many_sleepers<Kit>},
      {"waiting_traffic", kNoWaits, testkit::check_waiting_traffic<Kit>},
      {"close", kNoClose, testkit::check_close<Kit>},
      {"close_during_traffic", kNoClose, testkit::check_close_during_traffic<Kit>},
  };
}

}  // namespace sluice::internal

namespace sluice::testkit {

/// All of them, in the order of the comment above.
template <KitOfQueue Kit>
std::vector<QueueCheck> queue_checks() {
  std::vector<QueueCheck> all = internal::checks_alone<Kit>();
  for (const QueueCheck& check : internal::checks_of_threads<Kit>()) all.push_back(check);
  for (const QueueCheck& check : internal::checks_of_waiting<Kit>()) all.push_back(check);
  return all;
}

/// By its name. Throws std::invalid_argument if there is none.
template <KitOfQueue Kit>
QueueCheck find_check(std::string_view name) {
  for (const QueueCheck& check : queue_checks<Kit>()) {
    if (check.name == name) return check;
  }
  throw std::invalid_argument("no check of queues has the name " + std::string(name));
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_CHECKS_H_
