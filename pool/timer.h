// SPDX-License-Identifier: Apache-2.0
//
// Timer: calls something once after a time, or again and again, until it is cancelled or destroyed.
// Thousands share one thread. Not for long work (let the callable submit it to a pool), and not for
// waiting: every blocking call has a deadline of its own.
//
//   Timer hello(1s, [] { std::cout << "hello, world\n"; });
//   hello.join();                                       // until it has been called
//   Timer beat = Timer::every(10ms, [&] { ++beats; });  // until `beat` is destroyed
//   beat.cancel();  beat.restart();                     // from now on again
//   Timer(50ms, flush).detach();                        // fires without a handle
//
// In memory: this process's heap: one entry per timer in an ordered set.
//
// Calls are made one after another, as they fall due, in the thread "sluice-timers": a slow one
// holds up the others. A time of zero or less is at once. A periodic timer keeps to the multiples
// of its period from its start on; calls that have been missed for longer than that are left out.
//
// Units: durations by the steady clock, at least 1 ns. Errors: Error where the thread can't be
// started; std::invalid_argument for a period of zero or less; std::logic_error for join() in a
// timer's call, which could not return. What a callable throws is reported (pool/uncaught.h), and
// its timer and the others go on.
//
// Threads: all calls may overlap, but for moving and destroying; also in calls of timers, on the
// timer itself too. After cancel() no call begins; join() and the destructor return when none is
// under way either, but in a timer's call. Processes and death: private to the process; the timers
// of a parent don't fire in its forked child, where their handles do nothing; new ones work there.
// At the end of the program timers that are detached don't fire any more.
//
// Cost: making, cancelling, firing: one lock and a step in a balanced tree. A call comes about 0.1
// ms after its time on an idle machine.

#ifndef SLUICE_POOL_TIMER_H_
#define SLUICE_POOL_TIMER_H_

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <ostream>
#include <utility>

#include "sluice/sync/deadline.h"

namespace sluice {

namespace internal {
struct TimerEntry;
}  // namespace internal

/// A call that is to come, once or again and again, as long as this handle of it lives.
class Timer {
 public:
  /// Calls `fn` once, `after` from now.
  template <class Rep, class Period, std::invocable Fn>
  Timer(std::chrono::duration<Rep, Period> after, Fn fn)
      : Timer(nanoseconds_of(after), false, std::function<void()>(std::move(fn))) {}

  /// Calls `fn` one period from now, two periods from now, and so on.
  template <class Rep, class Period, std::invocable Fn>
  [[nodiscard]] static Timer every(std::chrono::duration<Rep, Period> period, Fn fn) {
    return Timer(nanoseconds_of(period), true, std::function<void()>(std::move(fn)));
  }

  Timer(Timer&&) noexcept = default;
  Timer& operator=(Timer&& other) noexcept;
  /// cancel(), and waits for a call that is under way.
  ~Timer();

  /// No call begins any more. True if one would have.
  bool cancel();

  /// As if it were made now. Also of one that has fired or was cancelled.
  void restart();
  /// The same with another time, or period.
  template <class Rep, class Period>
  void restart(std::chrono::duration<Rep, Period> after) {
    restart_with(nanoseconds_of(after));
  }

  /// Waits until there is no call to come, and none under way. False if the deadline passed first.
  bool join(Deadline deadline = Deadline::never());

  /// Whether a call is to come.
  [[nodiscard]] bool pending() const;

  /// Lets it fire without this handle, which is then empty: its calls do nothing.
  void detach() noexcept { entry_.reset(); }

  friend std::ostream& operator<<(std::ostream& out, const Timer& timer);

 private:
  using Nanoseconds = std::chrono::nanoseconds;

  Timer(Nanoseconds after, bool repeat, std::function<void()> fn);

  /// Rounded up; what is beyond the clock's range is its end.
  template <class Rep, class Period>
  static Nanoseconds nanoseconds_of(std::chrono::duration<Rep, Period> time) {
    using Exact = std::chrono::duration<long double, std::nano>;
    const Deadline at(time);  // which refuses what is not a number
    if (at.is_now()) return Nanoseconds::zero();
    if (Exact(time) >= Exact(Nanoseconds::max())) return Nanoseconds::max();
    return std::chrono::ceil<Nanoseconds>(time);
  }

  void restart_with(Nanoseconds after);
  void end() noexcept;
  [[nodiscard]] bool is_mine() const noexcept;

  std::shared_ptr<internal::TimerEntry> entry_;
};

}  // namespace sluice

#endif  // SLUICE_POOL_TIMER_H_
