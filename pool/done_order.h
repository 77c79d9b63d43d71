// SPDX-License-Identifier: Apache-2.0
//
// DoneOrder: waits for several futures at once, and tells which were done in which order. Internal:
// what wait() and as_completed() of pool/executor.h stand on.
//
//   DoneOrder order(states);                             // each state once
//   while (order.await(taken + 1, deadline)) use(order.at(taken++));
//
// If all that are not done are fetched from one source, the waiting thread fetches from it;
// otherwise each source is asked to fetch by itself, and the thread sleeps.
//
// Threads: one uses it, many may finish the futures. The states must outlive it. Processes and
// death: private to the process. Cost: one allocation; per future one lock at each end, and one
// when it is done.

#ifndef SLUICE_POOL_DONE_ORDER_H_
#define SLUICE_POOL_DONE_ORDER_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "sluice/pool/future_base.h"
#include "sluice/pool/result_source.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"

namespace sluice::internal {

class DoneOrder {
 public:
  /// What else than their number ends an await().
  enum class EndsWith : std::uint8_t { count, failure };

  explicit DoneOrder(std::vector<FutureBase*> states);
  DoneOrder(const DoneOrder&) = delete;
  DoneOrder& operator=(const DoneOrder&) = delete;
  ~DoneOrder();

  /// Waits until `count` of them are done, or, if asked for, one has failed. False if the deadline
  /// passed first.
  bool await(std::size_t count, Deadline deadline, EndsWith ends = EndsWith::count);

  /// How many are done by now.
  [[nodiscard]] std::size_t count() const;
  /// The index of the one that was done as number `n`, below count().
  [[nodiscard]] std::size_t at(std::size_t n) const;

  /// The state at `index` is done, and is not touched any more: it need not outlive this.
  void release(std::size_t index);

 private:
  struct Waiter final : FutureWaiter {
    void on_done(FutureStatus outcome) noexcept override { order->add(index, outcome); }
    DoneOrder* order = nullptr;
    std::size_t index = 0;
  };

  void add(std::size_t index, FutureStatus outcome) noexcept;
  [[nodiscard]] bool is_enough() const noexcept;
  void find_source();
  void run_one_here();

  std::vector<FutureBase*> states_;
  std::vector<Waiter> waiters_;
  ResultSource* source_ = nullptr;  ///< what the waiting thread fetches from
  mutable std::mutex mutex_;
  std::vector<std::size_t> done_;
  std::size_t wanted_ = 0;
  EndsWith ends_ = EndsWith::count;
  bool failed_ = false;
  Event enough_;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_DONE_ORDER_H_
