// SPDX-License-Identifier: Apache-2.0
//
// Event: a flag that one thread or process sets and others wait for. AutoResetEvent: the same, but
// each set() lets one waiter through, which clears it. Not a counter: two set() in a row are one
// (that is a Semaphore), and not for a condition that is made of several words (EventCount,
// ConditionVariable).
//
//   struct Service { Event ready; AutoResetEvent work; };   // in shared memory
//
//   service.ready.set();                                    service.ready.wait();
//   service.work.set();                                     if (service.work.wait_for(5ms)) run();
//
// In memory (8 bytes, all zero = not set, nobody waits; may be a member of a shared struct):
//
//   63                      33        32     31                     1     0
//   +------------------------+---------+     +----------------------+-----+
//   | not used               | waiting |     | generation           | set |   low half: the futex
//   +------------------------+---------+     +----------------------+-----+
//   waiting:    set by a waiter before it sleeps, cleared by a setter that has woken it
//   generation: one up per clear(), and per waiter that an AutoResetEvent lets through
//
// A waiter of an Event returns when it sees `set`, or another generation than when it came: so
// set() and clear() back to back release all who waited. (2^31 clear() later the generation is the
// same again: one who looks no more often than that may sleep on.) A waiter of an AutoResetEvent
// returns when it has cleared `set` itself: one for each set(). There clear() takes back a signal
// that nobody has taken yet. What was written before set() is seen after the wait, and after a
// clear() that found it set.
//
// Units: Deadline. Errors: Status ok or timeout; any bytes are an event. Signals do not end a wait;
// no call is a cancellation point.
//
// Threads and processes: all calls may overlap. set(), clear(), is_set() and try_wait() may be
// called in a signal handler, whatever it interrupts, waits included; none needs attach().
//
// If a process dies here: setting, clearing and being let through are one read-modify-write each
// (the commit). A setter killed between that and its wake call leaves sleepers to the end of their
// slice (sync/wait_policy.h), or to the next set(), for which `waiting` still stands. A killed
// waiter leaves at most that bit. A signal that a waiter has taken before it dies is gone with it:
// who needs it back uses a queue with leases. One woken and killed before it took the signal leaves
// it set, for the next to come, for the next set() to wake somebody, or for the end of a slice.
// Nothing needs repair. Every loop is bounded by attempts or by the deadline.
//
// Cost: set() one read-modify-write, and one system call if somebody may be asleep; a wait that
// finds it set one load, and for an AutoResetEvent one compare-and-swap. A waiter that spins writes
// nothing; one that sleeps makes one compare-and-swap, and one futex call per slice.

#ifndef SLUICE_SYNC_EVENT_H_
#define SLUICE_SYNC_EVENT_H_

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <ostream>
#include <string_view>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_word.h"
#include "sluice/sync/word.h"

namespace sluice {

/// Who clears an event: its users, or the one waiter that each set() lets through.
enum class Reset : std::uint8_t {
  manual,    ///< by clear(); till then it lets everybody through
  automatic  ///< by the one that it lets through
};

/// What Event and AutoResetEvent are over an environment, the machine or a test.
template <class Env, Reset kReset = Reset::manual>
class BasicEvent {
 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName =
      kReset == Reset::automatic ? "sluice.AutoResetEvent" : "sluice.Event";

  /// Lets all waiters through, or one; and whoever comes while it is set.
  void set() noexcept {
    // Release: pairs with the acquire of who is let through. Also if it is set already: a clear()
    // that comes later is to see what was written before either.
    const std::uint64_t before = Env::fetch_or(word_, kSet, std::memory_order_release);
    if ((before & kWaiting) != 0) [[unlikely]]
      wake(before | kSet);
  }

  /// Whoever comes from now on waits. Those who wait for an Event that was set go on all the same.
  void clear() noexcept {
    // Relaxed: the swap orders.
    std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    take(word);
  }

  /// A snapshot. What was written before the set() that it saw is seen by the caller.
  [[nodiscard]] bool is_set() const noexcept {
    // Acquire: pairs with the release of set().
    return (Env::load(word_, std::memory_order_acquire) & kSet) != 0;
  }

  /// Waits until it is set, however long that takes; an AutoResetEvent is cleared by it.
  void wait() noexcept { static_cast<void>(wait(Deadline::never())); }

  /// ok, timeout.
  Status wait(Deadline deadline) noexcept { return wait_since(generation(), deadline); }

  /// Whether a wait would return at once; an AutoResetEvent is cleared by it.
  [[nodiscard]] bool try_wait() noexcept { return wait(Deadline::now()) == Status::ok; }

  /// False if the time has passed.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> after) {
    return wait(Deadline(after)) == Status::ok;
  }
  /// The same, up to a time of any clock, which counts also if it is set meanwhile.
  template <class Clock, class Duration>
  [[nodiscard]] bool wait_until(std::chrono::time_point<Clock, Duration> at) {
    const std::uint32_t entered = generation();
    // A clock that is set while we wait: what counts is what it says in the end.
    while (wait_since(entered, Deadline::until(at)) != Status::ok) {
      if (Clock::now() >= at) return false;
    }
    return true;
  }

  /// A snapshot for people: whether somebody may be asleep.
  [[nodiscard]] bool maybe_waiting() const noexcept {
    // Relaxed: nothing is concluded from it.
    return (Env::load(word_, std::memory_order_relaxed) & kWaiting) != 0;
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicEvent& event) {
    return out << (kReset == Reset::automatic ? "AutoResetEvent: " : "Event: ")
               << (event.is_set() ? "set" : "not set")
               << (event.maybe_waiting() ? "; others may be waiting" : "");
  }

 private:
  static constexpr std::uint64_t kSet = 1;
  static constexpr std::uint64_t kWaiting = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kLowHalf = kWaiting - 1;
  /// Against a word that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;

  using Waiting = internal::WaitWord<Env, kWaiting>;

  static constexpr std::uint32_t generation_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word & kLowHalf) >> 1;
  }

  [[nodiscard]] std::uint32_t generation() const noexcept {
    // Relaxed: only compared; what a waiter goes by it reads again.
    return generation_of(Env::load(word_, std::memory_order_relaxed));
  }

  Status wait_since(std::uint32_t entered, Deadline deadline) noexcept {
    const auto passes = [this, entered](std::uint64_t& word) {
      return lets_through(word, entered);
    };
    // Of a word that is set nobody would be woken.
    const auto may_sleep = [](std::uint64_t word) { return (word & kSet) == 0; };
    return Waiting::await(word_, deadline, passes, may_sleep);
  }

  bool lets_through(std::uint64_t& word, [[maybe_unused]] std::uint32_t entered) noexcept {
    if constexpr (kReset == Reset::automatic) {
      return take(word);
    } else {
      return (word & kSet) != 0 || generation_of(word) != entered;
    }
  }

  /// Turns a set word into one of the next generation that is not set; false if it is not set (any
  /// more).
  bool take(std::uint64_t& word) noexcept {
    for (int attempt = 0; attempt < kMostAttempts && (word & kSet) != 0; ++attempt) {
      // `set` is the lowest bit and set: one more clears it and carries into the generation.
      const std::uint64_t next = (word & ~kLowHalf) | ((word + 1) & kLowHalf);
      // Acquire: pairs with the release of set(), whose release sequence it goes on.
      if (Env::cas(word_, word, next, std::memory_order_acquire)) return true;
    }
    return false;
  }

  /// After set(): `word` is what it left, with `waiting`.
  void wake(std::uint64_t word) noexcept {
    // A signal for one wakes one, and the bit stays, since others may be asleep.
    const int woken = Env::futex_wake(word_, kReset == Reset::automatic ? 1 : INT_MAX);
    if (kReset == Reset::automatic && woken != 0) return;
    // Only in the word that set() left: while it stands, nobody falls asleep, and who slept has
    // been woken. With another generation the bit may be somebody's who sleeps. After the wake
    // call, so that whoever is killed before it leaves the bit to the next set().
    // Relaxed: a bit that only waiters and setters read.
    Env::cas(word_, word, word & ~kWaiting, std::memory_order_relaxed);
  }

  internal::Word<std::uint64_t> word_;
};

/// An event that stays set until clear(), and lets everybody through: 8 bytes.
using Event = BasicEvent<internal::RealEnv>;

/// An event that each set() opens for one waiter.
using AutoResetEvent = BasicEvent<internal::RealEnv, Reset::automatic>;

static_assert(sizeof(Event) == 8 && alignof(Event) == 8);
static_assert(sizeof(AutoResetEvent) == 8 && alignof(AutoResetEvent) == 8);
static_assert(internal::Mappable<Event> && internal::Mappable<AutoResetEvent>);

}  // namespace sluice

#endif  // SLUICE_SYNC_EVENT_H_
