// SPDX-License-Identifier: Apache-2.0
//
// Future<R>: a handle to the outcome of a task that runs elsewhere, in a thread or in another
// process: a value, an exception, or that it was cancelled. Copies refer to the same task.
// Promise<R> is the other side, for who runs tasks himself. Not for sending values between
// processes: it is private to one (ipc/pipe.h).
//
//   Future<int> sum = pool.submit(add, 1, 2);
//   sum.on_error([](const std::exception_ptr& e) { log(e); });
//   if (!sum.wait(5s) && sum.cancel()) return;     // not begun: never runs
//   std::cout << sum.get() << '\n';                // 3, or throws what add() threw, each time
//   Future<double> half = sum.then([](int n) { return n / 2.0; });
//
// In memory: a pointer to a state in this process's heap (pool/future_base.h).
//
// Callbacks (on_done, on_success, on_error, then) run one at a time, in the order in which the
// tasks of that executor were done, on its thread "sluice-calls" or where its user chose, never in
// a worker; those of a Promise, in the thread that sets the outcome. get() and wait() return after
// the callbacks of that task, but in a callback: there they don't wait for callbacks. A slow
// callback holds up later ones and whoever waits for their tasks, nobody else. Added to a future
// that is done, a callback runs at once, in the thread that adds it. One that throws is reported
// (pool/uncaught.h), and the others run.
//
// Units: Deadline. Errors: get(), take() throw what the task threw, each time; CancelledError;
// Error(Status::timeout), after which a later call may have the result; std::logic_error once the
// value was taken. Any call on a Future that was default-constructed or moved from throws
// std::future_error, and so does a second outcome of a Promise; a Promise that goes without one
// leaves std::future_error(broken_promise).
//
// Threads: all calls may overlap, on copies; but take() with get() or take(). Processes and death:
// a forked child must not use the futures of its parent. What becomes of the task of a worker that
// dies: pool/pool.h.
//
// Cost: one allocation per task; get() of what is there one load and the copy. A wait looks first,
// then sleeps in slices (sync/wait_policy.h).

#ifndef SLUICE_POOL_FUTURE_H_
#define SLUICE_POOL_FUTURE_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "sluice/pool/future_base.h"
#include "sluice/pool/future_state.h"
#include "sluice/pool/result_source.h"
#include "sluice/pool/uncaught.h"
#include "sluice/sync/deadline.h"

namespace sluice {

/// Which tasks cancel() is to stop.
enum class Cancel : std::uint8_t {
  queued,      ///< those that have not begun
  running_too  ///< by force also one that runs: its worker is killed and replaced; no thread is
};

template <internal::Result R>
class Future;

namespace internal {

template <class Fn>
struct CallbackOf final : Callback {
  explicit CallbackOf(Fn f) : fn(std::move(f)) {}
  void run() override { fn(); }
  Fn fn;
};

/// Calls `fn` with the value, or with nothing where there is none.
template <class R, class Fn>
decltype(auto) call_with_value(Fn& fn, const FutureState<R>& state) {
  if constexpr (std::is_void_v<R>) {
    return std::invoke(fn);
  } else {
    return std::invoke(fn, state.value());
  }
}

template <class Fn, class R>
struct Continuation {
  using Type = std::invoke_result_t<Fn&, const R&>;
};
template <class Fn>
struct Continuation<Fn, void> {
  using Type = std::invoke_result_t<Fn&>;
};
/// What `fn` makes of the value.
template <class Fn, class R>
using ContinuationResult = std::decay_t<typename Continuation<Fn, R>::Type>;

[[nodiscard]] std::ostream& print_outcome(std::ostream& out, const FutureBase& state,
                                          const std::type_info& result);

}  // namespace internal

/// Refers to the outcome of a task that runs elsewhere; copies refer to the same task.
template <internal::Result R>
class Future {
 public:
  using value_type = R;
  /// What an executor puts the outcome into.
  using State = internal::FutureState<R>;

  /// Refers to no task.
  Future() = default;
  /// Of the task whose outcome goes into `state`: for those who write executors.
  explicit Future(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}

  /// Whether it refers to a task; if not, most calls throw std::future_error.
  [[nodiscard]] bool valid() const noexcept { return state_ != nullptr; }

  /// A copy of the value.
  R get(Deadline deadline = Deadline::never()) const
    requires(std::is_void_v<R> || std::copy_constructible<R>)
  {
    State& mine = state();
    mine.await_value(deadline);
    if constexpr (!std::is_void_v<R>) return mine.value();
  }

  /// The value itself, once.
  R take(Deadline deadline = Deadline::never()) const {
    State& mine = state();
    mine.await_value(deadline);
    if constexpr (!std::is_void_v<R>) return mine.take();
  }

  /// False if the deadline passed first.
  bool wait(Deadline deadline = Deadline::never()) const { return state().wait(deadline); }

  /// Whether get() would return, or throw, at once; of one that was cancelled too.
  [[nodiscard]] bool done() const { return state().done(); }
  /// done(), by its other name.
  [[nodiscard]] bool ready() const { return done(); }
  /// Whether a thread or a worker has it in hand now; false before and after.
  [[nodiscard]] bool running() const { return state().running(); }
  /// Whether it ended by cancel(), or by whatever else cancels tasks: get() throws CancelledError.
  [[nodiscard]] bool cancelled() const { return state().status() == FutureStatus::cancelled; }

  /// Whether it has a value. Throws std::logic_error if it is not done.
  [[nodiscard]] bool successful() const {
    if (!done()) throw std::logic_error("sluice::Future::successful: the task is not done");
    return state().status() == FutureStatus::finished;
  }

  /// What the task threw; nullptr if it has a value. Throws CancelledError, Error(timeout).
  [[nodiscard]] std::exception_ptr exception(Deadline deadline = Deadline::never()) const {
    State& mine = state();
    if (!mine.wait(deadline) || mine.status() == FutureStatus::cancelled) {
      mine.await_value(Deadline::now());
    }
    return mine.exception();
  }

  /// True if the task is cancelled, by this call or an earlier one. False if it is done, or runs
  /// and was not to be, or can't be, stopped; then nothing has changed.
  bool cancel(Cancel which = Cancel::queued) const {
    return state().cancel(which == Cancel::running_too);
  }

  /// Calls `fn(future)` or `fn()` when the task is done, however it ended.
  template <class Fn>
    requires(std::invocable<Fn&, const Future&> || std::invocable<Fn&>)
  const Future& on_done(Fn fn) const {
    return add([self = *this, fn = std::move(fn)]() mutable {
      if constexpr (std::invocable<Fn&, const Future&>) {
        std::invoke(fn, self);
      } else {
        std::invoke(fn);
      }
    });
  }

  /// Calls `fn(value)`, or `fn()` for void, if the task ends with a value.
  template <class Fn>
    requires requires { typename internal::ContinuationResult<Fn, R>; }
  const Future& on_success(Fn fn) const {
    return add([mine = state_.get(), fn = std::move(fn)]() mutable {
      if (mine->status() == FutureStatus::finished) internal::call_with_value<R>(fn, *mine);
    });
  }

  /// Calls `fn(exception_ptr)` if it fails; with a CancelledError if it is cancelled.
  template <std::invocable<std::exception_ptr> Fn>
  const Future& on_error(Fn fn) const {
    return add([mine = state_.get(), fn = std::move(fn)]() mutable {
      const FutureStatus outcome = mine->status();
      if (outcome == FutureStatus::failed) std::invoke(fn, mine->exception());
      if (outcome == FutureStatus::cancelled) {
        std::invoke(fn, std::make_exception_ptr(CancelledError()));
      }
    });
  }

  /// A future of what `fn` will make of the value, where callbacks run. If this one fails or is
  /// cancelled, so does that, and `fn` is not called; nor if that is cancelled before.
  template <class Fn>
    requires requires { typename internal::ContinuationResult<Fn, R>; }
  auto then(Fn fn) const -> Future<internal::ContinuationResult<Fn, R>>;

  /// Whether they refer to the same task.
  friend bool operator==(const Future&, const Future&) = default;

  /// As "Future: finished, returned int" or "Future: failed, threw std::runtime_error: no".
  friend std::ostream& operator<<(std::ostream& out, const Future& future) {
    if (!future.valid()) return out << "Future: of no task";
    return internal::print_outcome(out, *future.state_, typeid(R));
  }

  /// For those who write executors.
  [[nodiscard]] const std::shared_ptr<State>& shared_state() const noexcept { return state_; }

 private:
  [[nodiscard]] State& state() const {
    if (state_ == nullptr) throw std::future_error(std::future_errc::no_state);
    return *state_;
  }

  template <class Fn>
  const Future& add(Fn fn) const {
    auto callback = std::make_unique<internal::CallbackOf<Fn>>(std::move(fn));
    callback->future = state_;
    state().add_callback(std::move(callback));
    return *this;
  }

  std::shared_ptr<State> state_;
};

namespace internal {

/// What becomes of a future that then() made, when the one that it was made of is done.
template <class R, class Next, class Fn>
void continue_with(const FutureState<R>& from, FutureState<Next>& to, Fn& fn) {
  if (from.status() == FutureStatus::cancelled) {
    static_cast<void>(to.set_cancelled());
    return;
  }
  if (!to.set_running()) return;
  try {
    if (const std::exception_ptr failed = from.exception(); failed != nullptr) {
      return to.set_exception(failed);
    }
    if constexpr (std::is_void_v<Next>) {
      call_with_value<R>(fn, from);
      to.set_value();
    } else {
      to.set_value(call_with_value<R>(fn, from));
    }
  } catch (...) {
    to.set_exception(std::current_exception());
  }
}

}  // namespace internal

template <internal::Result R>
template <class Fn>
  requires requires { typename internal::ContinuationResult<Fn, R>; }
auto Future<R>::then(Fn fn) const -> Future<internal::ContinuationResult<Fn, R>> {
  using Next = internal::ContinuationResult<Fn, R>;
  auto next = std::make_shared<internal::FutureState<Next>>(state().source());
  add([mine = state_.get(), next, fn = std::move(fn)]() mutable {
    internal::continue_with<R>(*mine, *next, fn);
  });
  return Future<Next>(std::move(next));
}

/// The side that has the outcome to give. Moves only.
template <internal::Result R>
class Promise {
 public:
  /// Of an outcome that is pending, and whose futures call back in the thread that sets it.
  Promise() : state_(std::make_shared<internal::FutureState<R>>()) {}
  Promise(Promise&&) noexcept = default;
  /// Swaps: the other one breaks the promise that this one had, when it goes.
  Promise& operator=(Promise&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  /// Without an outcome by now, that is std::future_error(broken_promise).
  ~Promise() {
    if (state_ == nullptr || state_->status() >= FutureStatus::finished) return;
    const auto broken =
        std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
    try {
      state_->set_exception(broken);
    } catch (const std::future_error&) {  // NOLINT(bugprone-empty-catch): cancelled meanwhile
    }
  }

  /// Of this outcome; as many as are asked for.
  [[nodiscard]] Future<R> future() const { return Future<R>(state_); }

  /// The task begins: false if it was cancelled, and must not.
  bool set_running() { return state().set_running(); }

  /// The outcome is a value, made of `args`. Throws std::future_error if there is one, or it was
  /// cancelled.
  template <class... Args>
    requires std::constructible_from<typename internal::FutureState<R>::Value, Args...>
  void set_value(Args&&... args) {
    state().set_value(std::forward<Args>(args)...);
  }
  /// The outcome is what get() will throw, each time. Throws as set_value().
  void set_exception(std::exception_ptr exception) { state().set_exception(std::move(exception)); }

 private:
  [[nodiscard]] internal::FutureState<R>& state() const {
    if (state_ == nullptr) throw std::future_error(std::future_errc::no_state);
    return *state_;
  }

  std::shared_ptr<internal::FutureState<R>> state_;
};

}  // namespace sluice

/// For sets and maps of tasks.
template <class R>
struct std::hash<sluice::Future<R>> {
  std::size_t operator()(const sluice::Future<R>& future) const noexcept {
    return std::hash<const void*>()(future.shared_state().get());
  }
};

#endif  // SLUICE_POOL_FUTURE_H_
