// SPDX-License-Identifier: Apache-2.0
//
// Latch: a counter that goes down to zero once, and lets everybody through from then on: "all of us
// have come this far". Used once; for rounds, and for parties that may die, there is Barrier.
//
//   struct Start { Latch ready{3}; };       // in shared memory, for three workers
//
//   start.ready.count_down();               // each worker, when it has set up
//   start.ready.arrive_and_wait();          // or so, if they begin together
//   if (start.ready.wait(5s) == Status::timeout) give_up();
//
// In memory (8 bytes, all zero = open; may be a member of a shared struct):
//
//   63                      33        32     31                              0
//   +------------------------+---------+     +-------------------------------+
//   | not used               | waiting |     | how many are still to come    |
//   +------------------------+---------+     +-------------------------------+
//   waiting:  set by a waiter before it sleeps; never cleared
//   how many: the futex
//
// What was written before a count_down() is seen by everybody whom the latch lets through.
//
// Units: counts; Deadline. Errors: Status ok or timeout; counting below zero, by a negative number,
// or from one that does not fit throws std::logic_error and changes nothing; any bytes are a latch.
// Signals do not end a wait; no call is a cancellation point.
//
// Threads and processes: all calls may overlap. try_wait() may be called in a signal handler.
//
// If a process dies here: counting down is one compare-and-swap (the commit). Who dies before it
// never comes, and the latch, which does not know who was to come, stays shut: so wait with a
// deadline, or use a Barrier, which knows its parties. The last to come, killed between the commit
// and its wake call, leaves sleepers to the end of their slice (sync/wait_policy.h). A killed
// waiter leaves at most the bit `waiting`. Nothing needs repair. Every loop is bounded by attempts
// or by the deadline.
//
// Cost: count_down() one load and one compare-and-swap, and one system call if it is the last and
// somebody may be asleep; a wait that finds it open one load, one that sleeps one futex call per
// slice, and one for each other count_down() that it crosses with.

#ifndef SLUICE_SYNC_LATCH_H_
#define SLUICE_SYNC_LATCH_H_

#include <atomic>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_word.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What Latch is over an environment, the machine or a test.
template <class Env>
class BasicLatch {
 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName = "sluice.Latch";

  /// Open.
  constexpr BasicLatch() noexcept = default;

  /// For `expected` to come. Throws std::logic_error.
  constexpr explicit BasicLatch(std::ptrdiff_t expected) {
    if (expected < 0 || expected > max()) throw_logic_error("a count that no latch can have");
    // By name: nobody else sees it before it is constructed, and this may happen at compile time.
    word_.raw = static_cast<std::uint64_t>(expected);
  }

  /// The highest count that a latch can be made with.
  [[nodiscard]] static constexpr std::ptrdiff_t max() noexcept { return INT32_MAX; }

  /// Does not wait. Throws std::logic_error if fewer than `n` are to come.
  void count_down(std::ptrdiff_t n = 1) {
    // Relaxed: the swap decides.
    std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      const std::uint32_t left = Waiting::futex_of(word);
      if (n < 0 || n > static_cast<std::ptrdiff_t>(left)) {
        throw_logic_error("count_down by more than are still to come, or by a negative number");
      }
      if (n == 0) return;
      // Release: pairs with the acquire of who is let through, by the release sequence that all
      // later ones go on.
      if (!Env::cas(word_, word, word - static_cast<std::uint64_t>(n), std::memory_order_release)) {
        continue;
      }
      // Nobody begins to sleep any more, so the bit may stay.
      if (n == static_cast<std::ptrdiff_t>(left) && (word & kWaiting) != 0) {
        Env::futex_wake(word_, INT_MAX);
      }
      return;
    }
    throw Error(Status::corrupt,
                {.tried = "count down a Latch", .found = "bytes that somebody keeps changing"});
  }

  /// Whether all have come.
  [[nodiscard]] bool try_wait() const noexcept { return left() == 0; }

  /// Waits until all have come; for ever if one dies on its way.
  void wait() noexcept { static_cast<void>(wait(Deadline::never())); }

  /// ok, timeout.
  Status wait(Deadline deadline) noexcept {
    const auto passes = [](std::uint64_t word) { return Waiting::futex_of(word) == 0; };
    const auto may_sleep = [](std::uint64_t) { return true; };
    return Waiting::await(word_, deadline, passes, may_sleep);
  }

  /// False if the time has passed.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> after) {
    return wait(Deadline(after)) == Status::ok;
  }
  /// The same, up to a time of any clock, which counts also if it is set meanwhile.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> at) {
    // A clock that is set while we wait: what counts is what it says in the end.
    while (wait(Deadline::until(at)) != Status::ok) {
      if (Clock::now() >= at) return false;
    }
    return true;
  }

  /// Throws as count_down().
  void arrive_and_wait(std::ptrdiff_t n = 1) {
    count_down(n);
    wait();
  }

  /// ok, timeout: the caller has come all the same. Throws as count_down().
  Status arrive_and_wait(Deadline deadline, std::ptrdiff_t n = 1) {
    count_down(n);
    return wait(deadline);
  }

  /// A snapshot for people: how many are still to come.
  [[nodiscard]] std::uint32_t left() const noexcept {
    // Acquire: try_wait() lets through by it, and pairs with the release of count_down().
    return Waiting::futex_of(Env::load(word_, std::memory_order_acquire));
  }

  /// A snapshot for people: whether somebody may be asleep.
  [[nodiscard]] bool maybe_waiting() const noexcept {
    // Relaxed: nothing is concluded from it.
    const std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    return Waiting::futex_of(word) != 0 && (word & kWaiting) != 0;
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicLatch& latch) {
    const std::uint32_t left = latch.left();
    if (left == 0) return out << "Latch: open";
    return out << "Latch: " << left << " to come"
               << (latch.maybe_waiting() ? "; others may be waiting" : "");
  }

 private:
  static constexpr std::uint64_t kWaiting = std::uint64_t{1} << 32;
  /// Against a word that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;

  using Waiting = internal::WaitWord<Env, kWaiting>;

  [[noreturn]] static void throw_logic_error(const char* what) {
    throw std::logic_error(std::string("sluice: Latch: ") + what);
  }

  internal::Word<std::uint64_t> word_;
};

/// The latch to use: 8 bytes.
using Latch = BasicLatch<internal::RealEnv>;

static_assert(sizeof(Latch) == 8 && alignof(Latch) == 8);
static_assert(internal::Mappable<Latch>);

}  // namespace sluice

#endif  // SLUICE_SYNC_LATCH_H_
