// SPDX-License-Identifier: Apache-2.0
//
// QueueHand<A>: one process at a queue, noting what it does in its deeds (testkit/queue_deeds.h);
// and InVain, how long somebody tries again. Internal to testkit/queue_crash.h.
//
// Errors: what the adapter throws. Threads and processes: of one process. If a process dies here:
// that is what the notes are for. Cost: a few stores to shared memory a call.

#ifndef SLUICE_TESTKIT_QUEUE_HAND_H_
#define SLUICE_TESTKIT_QUEUE_HAND_H_

#include <sched.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_deeds.h"

namespace sluice::internal {

/// How often a call is made again that was in vain: a queue may ask only now and then who is dead.
class InVain {
 public:
  using Clock = std::chrono::steady_clock;

  explicit InVain(std::chrono::milliseconds patience) : end_(Clock::now() + patience) {}

  /// True kTries times, and as long as `must` says so and there is patience.
  template <class Must>
  bool again(Must must) {
    if (++tries_ % 16 == 0) sched_yield();
    return tries_ < kTries || (tries_ % kTries != 0) || (must() && Clock::now() < end_);
  }

 private:
  static constexpr std::uint32_t kTries = 300;

  Clock::time_point end_;
  std::uint32_t tries_ = 0;
};

/// One process at a queue, noting what it does.
template <testkit::ProcessAdapter A>
class QueueHand {
  using T = typename A::value_type;

 public:
  static constexpr std::size_t kBatch = 3;

  QueueHand(A& queue, QueueDeeds& deeds, QueueParty who)
      : mine_(testkit::party_of(queue)), deeds_(deeds), who_(static_cast<std::uint32_t>(who)) {}

  bool push() {
    const T item = next(0);
    deeds_.begin_push(1);
    const bool ok = mine_.try_push(item);
    deeds_.end_push(ok ? 1 : 0);
    return ok;
  }
  bool pop() {
    T item{};
    deeds_.begin_pop(1);
    const bool ok = mine_.try_pop(item);
    if (ok) deeds_.took(testkit::number_in(item), testkit::is_whole(item));
    deeds_.end_pop();
    return ok;
  }
  void push_batch()
    requires testkit::BatchAdapter<A>
  {
    const std::array<T, kBatch> items = {next(0), next(1), next(2)};
    deeds_.begin_push(kBatch);
    deeds_.end_push(mine_.try_push_n(std::span<const T>(items)));
  }
  void pop_batch()
    requires testkit::BatchAdapter<A>
  {
    std::array<T, kBatch> items = {};
    deeds_.begin_pop(kBatch);
    const std::size_t count = mine_.try_pop_n(std::span<T>(items));
    for (std::size_t i = 0; i < count && i < kBatch; ++i) {
      deeds_.took(testkit::number_in(items[i]), testkit::is_whole(items[i]));
    }
    deeds_.end_pop();
  }

 private:
  [[nodiscard]] T next(std::uint32_t further) const {
    return testkit::make_item<T>(testkit::item(who_, deeds_.pushed + 1 + further));
  }

  decltype(testkit::party_of(std::declval<A&>())) mine_;
  QueueDeeds& deeds_;
  std::uint32_t who_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_HAND_H_
