// SPDX-License-Identifier: Apache-2.0
//
// FutureBase: the state that a future and its executor share, but for the value: what has become of
// the task, who waits for it, what is called when it is done. Internal: users meet pool/future.h.
//
//   pending --set_running()--> running --set_value()--> finished
//      |                          +------set_exception()--> failed
//      +--cancel()--> cancelled
//
// Settled: the outcome is in. Ready: and its callbacks have run; that is when a wait returns, and
// done() is true, but in a thread that runs callbacks itself: to it, settled is enough, or it would
// wait for itself. A cancelled future is ready at once; its callbacks follow.
//
// Threads: all calls may overlap. Whoever sets an outcome holds a shared_ptr to the state. One lock
// per state, held for a few instructions; no foreign code runs under it. Processes and death:
// private to the process; a forked child must not use its parent's.
//
// Cost: about 130 bytes and the value, in one allocation; an outcome that nobody waits for is one
// lock and two atomic operations. No condition variable: single waiters sleep on two event words,
// those who wait for several bring their own.

#ifndef SLUICE_POOL_FUTURE_BASE_H_
#define SLUICE_POOL_FUTURE_BASE_H_

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "sluice/pool/callback_queue.h"
#include "sluice/pool/result_source.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"

namespace sluice {

/// What get() throws of a task that was cancelled.
class CancelledError : public std::runtime_error {
 public:
  /// Its text is always the same: "the task was cancelled".
  CancelledError() : std::runtime_error("the task was cancelled") {}
};

/// Why an executor that has broken down takes no tasks, and what the tasks fail with that it had.
class BrokenExecutor : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What has become of a task; the last three are outcomes, and final.
enum class FutureStatus : std::uint8_t {
  pending,   ///< not begun, as far as is known here
  running,   ///< begun
  finished,  ///< with a value
  failed,    ///< with an exception
  cancelled  ///< by cancel(), or by its executor
};

namespace internal {

class FutureBase;

/// Something to call when a future is done. Keeps it alive until then.
struct Callback {
  Callback() = default;
  Callback(const Callback&) = delete;
  Callback& operator=(const Callback&) = delete;
  virtual ~Callback();
  virtual void run() = 0;

  std::shared_ptr<FutureBase> future;
  std::unique_ptr<Callback> next = nullptr;
};

/// Somebody who waits for one future among several.
class FutureWaiter {
 public:
  FutureWaiter() = default;
  /// The future is done: called once, under its lock.
  virtual void on_done(FutureStatus outcome) noexcept = 0;

 protected:
  ~FutureWaiter() = default;

 private:
  friend class FutureBase;
  FutureWaiter* next_ = nullptr;
  bool when_settled_ = false;
};

class FutureBase : public CallbackJob {
 public:
  /// The number of a task whose outcome is set without anybody's fetching.
  static constexpr std::uint64_t kDelivered = ~std::uint64_t{0};

  /// Without a source, callbacks run in the thread that sets the outcome.
  explicit FutureBase(std::shared_ptr<ResultSource> source = nullptr,
                      std::uint64_t task = kDelivered) noexcept
      : source_(std::move(source)), task_(task) {}
  ~FutureBase() override;

  // The executor's side. An outcome that is set on a future that has one throws std::future_error
  // (a std::logic_error).

  /// True for one caller: the task begins, and is this caller's to run. Else it has begun before,
  /// or was cancelled, which is noticed by this: from now on those who wait for several count it as
  /// done.
  bool claim();
  /// claim(); throws as above if the task has begun before.
  bool set_running();
  void set_exception(std::exception_ptr exception);
  /// Cancelled and noticed in one; a running one too. False if there is another outcome.
  bool set_cancelled();

  // The reader's side.

  /// False if the deadline passed first.
  bool wait(Deadline deadline);
  [[nodiscard]] bool done() { return wait(Deadline::now()); }
  [[nodiscard]] FutureStatus status() const;
  [[nodiscard]] bool running() const;
  bool cancel(bool running_too);
  /// Once it is settled; nullptr if it did not fail.
  [[nodiscard]] std::exception_ptr exception() const;
  /// Waits, and throws if there is no value: the task's exception, CancelledError, Error(timeout).
  void await_value(Deadline deadline);

  /// Has the callback run when the future is done, or now. `callback->future` is this.
  void add_callback(std::unique_ptr<Callback> callback);
  void run_callbacks() noexcept override;

  /// False if the future is done already: then nobody will call.
  bool add_waiter(FutureWaiter& waiter);
  /// After this nobody calls any more.
  void remove_waiter(FutureWaiter& waiter);

  /// What the waiter should call meanwhile; nullptr if the outcome comes by itself.
  [[nodiscard]] ResultSource* fetched_from() const noexcept {
    return task_ != kDelivered ? source_.get() : nullptr;
  }
  [[nodiscard]] const std::shared_ptr<ResultSource>& source() const noexcept { return source_; }

 protected:
  /// Gives the future its outcome; `store()` puts the value in, if there is one.
  template <class Store>
  void settle(FutureStatus outcome, Store store) {
    std::unique_lock lock(mutex_);
    check_unsettled();
    store();
    finish_settling(outcome, std::move(lock));
  }

 private:
  void check_unsettled() const;
  void notice() noexcept;
  void finish_settling(FutureStatus outcome, std::unique_lock<std::mutex> lock);
  void tell_waiters() noexcept;
  [[nodiscard]] bool is_done_for_waiters(bool when_settled) const noexcept;
  [[nodiscard]] bool is_settled() const noexcept { return status_ >= FutureStatus::finished; }

  std::shared_ptr<ResultSource> source_;
  std::uint64_t task_;
  mutable std::mutex mutex_;
  Event settled_;
  Event ready_;
  FutureStatus status_ = FutureStatus::pending;
  bool called_back_ = false;  ///< settled, and there are no callbacks left
  bool unnoticed_ = false;    ///< cancelled, and the executor has not come by
  std::exception_ptr exception_;
  std::unique_ptr<Callback> callbacks_;  ///< in the order in which they were added
  Callback* last_callback_ = nullptr;
  FutureWaiter* waiters_ = nullptr;
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_POOL_FUTURE_BASE_H_
