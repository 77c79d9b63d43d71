// SPDX-License-Identifier: Apache-2.0
//
// Deadline: until when a call may wait; the only way to say "how long" in sluice. One deadline
// covers the whole call, however many waits it is made of. Steady clock only: a wall clock that is
// set back would prolong a wait. Never stored in shared memory.
//
//   rx.recv(order, 5ms);                    // five milliseconds, never less when it says timeout
//   rx.recv(order, Deadline::now());        // try once, without waiting
//   rx.recv(order);                         // Deadline::never(): for ever
//   Deadline d = 100ms; step_one(d); step_two(d);   // both together
//
// Units: any std::chrono duration or std::chrono::steady_clock::time_point; resolution 1 ns.
// Errors: a floating-point duration that is not a number throws std::invalid_argument.
// Zero and negative durations mean "try once"; durations beyond the clock's range mean "never".
// Threads, processes, death: a plain value, nothing shared.
// Cost: making one from a duration reads the clock once (about 20 ns, no system call).

#ifndef SLUICE_SYNC_DEADLINE_H_
#define SLUICE_SYNC_DEADLINE_H_

#include <chrono>
#include <compare>
#include <ratio>
#include <stdexcept>
#include <type_traits>

namespace sluice {

/// Until when a call may wait, however many waits it is made of; made from a duration or a time
/// point where a call wants one.
class Deadline {
 public:
  /// The one clock that deadlines go by; nobody can set it.
  using Clock = std::chrono::steady_clock;
  /// What a deadline keeps, in nanoseconds.
  using TimePoint = Clock::time_point;

  /// `after` from now, rounded up to the clock's resolution.
  template <class Rep, class Period>
  // NOLINTNEXTLINE(google-explicit-constructor): `rx.recv(order, 5ms)` is the point
  Deadline(std::chrono::duration<Rep, Period> after) : at_(from_duration(after)) {}

  /// At `at`, by the steady clock; one in the past means "try once".
  // NOLINTNEXTLINE(google-explicit-constructor): as above
  Deadline(TimePoint at) noexcept : at_(at) {}

  /// When another clock says `at`, if it goes as the steady clock from now on.
  template <class OtherClock, class Duration>
  [[nodiscard]] static Deadline until(std::chrono::time_point<OtherClock, Duration> at) {
    // In long double, as below: both ends of a clock's range are further away than it counts.
    using Exact = std::chrono::duration<long double, Clock::period>;
    return Deadline(Exact(at.time_since_epoch()) - Exact(OtherClock::now().time_since_epoch()));
  }

  /// Already passed: the call looks once and does not wait.
  [[nodiscard]] static Deadline now() noexcept { return Deadline(TimePoint::min()); }

  /// Never passes.
  [[nodiscard]] static Deadline never() noexcept { return Deadline(TimePoint::max()); }

  /// True for never(), and for a duration that was beyond the range of the clock.
  [[nodiscard]] bool is_never() const noexcept { return at_ == TimePoint::max(); }

  /// True for now() without looking at the clock.
  [[nodiscard]] bool is_now() const noexcept { return at_ == TimePoint::min(); }

  /// Reads the clock (about 20 ns).
  [[nodiscard]] bool passed() const { return passed(Clock::now()); }
  /// As above, with a reading of the clock that the caller has already.
  [[nodiscard]] bool passed(TimePoint now) const noexcept { return !is_never() && now >= at_; }

  /// When it passes; the lowest value there is for now(), the highest for never().
  [[nodiscard]] TimePoint time() const noexcept { return at_; }

  friend auto operator<=>(const Deadline&, const Deadline&) = default;

 private:
  template <class Rep, class Period>
  static TimePoint from_duration(std::chrono::duration<Rep, Period> after) {
    using Duration = std::chrono::duration<Rep, Period>;
    if constexpr (std::is_floating_point_v<Rep>) {
      if (after.count() != after.count()) {
        throw std::invalid_argument("sluice::Deadline: the duration is not a number");
      }
    }
    if (after <= Duration::zero()) return TimePoint::min();
    const TimePoint now = Clock::now();
    // Compared in long double, whose range holds every duration: a conversion to nanoseconds first
    // would overflow for what this line is meant to catch.
    using Seconds = std::chrono::duration<long double>;
    const Seconds room = TimePoint::max() - now;
    if (std::chrono::duration_cast<Seconds>(after) >= room - Seconds(1)) return TimePoint::max();
    return now + std::chrono::ceil<Clock::duration>(after);
  }

  TimePoint at_;
};

}  // namespace sluice

#endif  // SLUICE_SYNC_DEADLINE_H_
