// SPDX-License-Identifier: Apache-2.0
//
// Semaphore and BoundedSemaphore: a number of permits that threads and processes take and give
// back. Not for mutual exclusion where the holder may die: a permit has no owner, and one taken by
// a dead process is gone (Mutex tells the next one, OwnedSemaphore gives it back). Not fair: a
// newcomer may overtake a sleeper.
//
//   struct Gate { BoundedSemaphore slots{5}; };            // in shared memory
//
//   { SemaphoreGuard hold(gate.slots); serve(); }          // sync/semaphore_guard.h
//   if (gate.slots.acquire(5ms) == Status::ok) { ... gate.slots.release(); }
//   if (gate.slots.try_acquire_for(5ms)) { ... gate.slots.release(); }
//
// In memory (16 bytes; may be a member of a shared struct; made with 1 permit, all zero = none):
//
//   63            32 31        30          0    64        95   96       127
//   +---------------+---------+-------------+   +-------------+------------+
//   | epoch         | waiters | value       |   | bound       | 0          |
//   +---------------+---------+-------------+   +-------------+------------+
//   value:   how many permits are there to be taken; with `waiters` the futex
//   waiters: set by who is about to sleep; cleared by who released, and woke nobody
//   epoch:   one up per release that finds `waiters`
//   bound:   of a BoundedSemaphore: what it was made with; never written again
//
// Units: Deadline; a value is at most max(). Errors: acquire() returns ok or timeout. release()
// throws std::logic_error, and adds nothing, if the value would exceed the bound, of a plain
// Semaphore max(); the check and the addition are one step. The constructor throws
// std::invalid_argument above max().
//
// Threads and processes: all calls may overlap. try_acquire(), release() and value() may be called
// in a signal handler, whatever the thread was doing, and allocate nothing (but what is thrown).
// Signals do not end a wait; no call is a cancellation point. Who acquires sees what was written
// before the releases that brought the value to where it is.
//
// If a process dies here: taking and giving back are one compare-and-swap each (the commit). A
// permit taken by a dead process is not given back. Killed as a waiter: at most `waiters` stays,
// which costs the next release one needless wake call. Killed after having been woken: the permit
// is there, and another sleeper finds it at the end of its slice (sync/wait_policy.h), or is woken
// by the next release. Killed between giving back and waking: the same. Nothing needs repair. Any
// bytes are a valid semaphore.
//
// Why no wake-up is lost. Who sleeps has seen `waiters` set and the value zero, and the kernel
// compares both. A release that finds `waiters` wakes as many as it gives permits, and leaves the
// bit; only if nobody was asleep it clears it, and only in the very word that it left itself: that
// can't come again, since the value falls but by such a release, which counts the epoch up.
//
// Cost: acquire and release a load and a compare-and-swap of one line each, no system call; a
// waiter that spins writes nothing. Source: the futex semaphore of glibc, whose word counts its
// waiters and so never forgets a killed one.

#ifndef SLUICE_SYNC_SEMAPHORE_H_
#define SLUICE_SYNC_SEMAPHORE_H_

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string_view>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/patience.h"
#include "sluice/sync/semaphore_error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

/// Whether a semaphore refuses more permits than it was made with.
enum class Bounded : std::uint8_t {
  no,  ///< up to max()
  yes  ///< release() throws std::logic_error
};

/// What Semaphore and BoundedSemaphore are over an environment, the machine or a test.
template <class Env, Bounded kBounded>
class BasicSemaphore {
 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName =
      kBounded == Bounded::yes ? "sluice.BoundedSemaphore" : "sluice.Semaphore";

  /// The highest value.
  static constexpr std::uint32_t max() noexcept { return kValue; }

  /// With one permit.
  constexpr BasicSemaphore() noexcept { begin(1); }

  /// With `value` permits, which is also the bound. Throws std::invalid_argument.
  constexpr explicit BasicSemaphore(std::uint32_t value) {
    if (value > max()) internal::refuse_permits(value, max());
    begin(value);
  }

  BasicSemaphore(const BasicSemaphore&) = delete;
  BasicSemaphore& operator=(const BasicSemaphore&) = delete;

  /// Takes a permit; waits for as long as it takes.
  void acquire() noexcept { static_cast<void>(acquire(Deadline::never())); }

  /// ok, timeout.
  Status acquire(Deadline deadline) noexcept {
    // Relaxed: the compare-and-swap that takes the permit orders.
    std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    if (take(word)) [[likely]]
      return Status::ok;
    return deadline.is_now() ? Status::timeout : wait(word, deadline);
  }

  /// False if there is none.
  [[nodiscard]] bool try_acquire() noexcept { return acquire(Deadline::now()) == Status::ok; }

  /// False if the time has passed.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> after) {
    return acquire(Deadline(after)) == Status::ok;
  }
  /// The same, up to a time of any clock, which counts also if it is set meanwhile.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(std::chrono::time_point<Clock, Duration> at) {
    // A clock that is set while we wait: what counts is what it says in the end.
    while (acquire(Deadline::until(at)) != Status::ok) {
      if (Clock::now() >= at) return false;
    }
    return true;
  }

  /// Gives `n` permits back, or new ones, and wakes as many sleepers. Throws std::logic_error, and
  /// Error if somebody keeps overwriting the word.
  void release(std::uint32_t n = 1) {
    const std::uint32_t most = bound();
    // Relaxed: the compare-and-swap orders.
    std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      const std::uint32_t value = value_of(word);
      if (value > most || n > most - value) internal::refuse_release(n, value, most);
      const bool has_waiters = (word & kWaiters) != 0;
      const std::uint64_t more = word + n + (has_waiters ? kEpoch : 0);
      // Release: pairs with the acquire of take(), also of those who take the other permits, since
      // all writes of the word are read-modify-writes.
      if (!Env::cas(word_, word, more, std::memory_order_release)) continue;
      if (has_waiters && n != 0) [[unlikely]]
        wake(more, n);
      return;
    }
    internal::throw_semaphore_error("release a permit", Status::corrupt);
  }

  /// A snapshot: others may have taken, or given back, before the caller looks at it.
  [[nodiscard]] std::uint32_t value() const noexcept {
    // Relaxed: nothing is concluded from it.
    return value_of(Env::load(word_, std::memory_order_relaxed));
  }

  /// What the value can't exceed.
  [[nodiscard]] std::uint32_t bound() const noexcept {
    if constexpr (kBounded == Bounded::no) return max();
    // Relaxed: written before the semaphore was shared.
    return Env::load(bound_, std::memory_order_relaxed) & max();
  }

  /// A snapshot for people: whether somebody may be asleep.
  [[nodiscard]] bool maybe_waiting() const noexcept {
    // Relaxed: nothing is concluded from it.
    return (Env::load(word_, std::memory_order_relaxed) & kWaiters) != 0;
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicSemaphore& semaphore) {
    if constexpr (kBounded == Bounded::yes) {
      out << "BoundedSemaphore: " << semaphore.value() << " of " << semaphore.bound();
    } else {
      out << "Semaphore: " << semaphore.value();
    }
    return out << (semaphore.maybe_waiting() ? "; others may be waiting" : "");
  }

 private:
  static constexpr std::uint64_t kWaiters = std::uint64_t{1} << 31;
  static constexpr std::uint32_t kValue = kWaiters - 1;
  static constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32;

  /// How often an adaptive waiter looks before it sleeps: about as long as falling asleep and being
  /// woken would take.
  static constexpr int kSpinLooks = 1000;
  /// In a row, against a word that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;

  static constexpr std::uint32_t value_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word) & kValue;
  }

  /// Directly, since nobody else sees the semaphore yet.
  constexpr void begin(std::uint32_t value) noexcept {
    word_.raw = value;
    if constexpr (kBounded == Bounded::yes) bound_.raw = value;
  }

  /// Takes a permit if there is one; `word` is what was seen last, and will be.
  bool take(std::uint64_t& word) noexcept {
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      if (value_of(word) == 0) return false;
      // Acquire: pairs with the release of release().
      if (Env::cas(word_, word, word - 1, std::memory_order_acquire)) return true;
    }
    return false;
  }

  Status wait(std::uint64_t word, Deadline deadline) noexcept {
    internal::BasicPatience<Env> patience(deadline, kSpinLooks);
    for (bool last = false; !last;) {
      switch (patience.next()) {
        case internal::Patience::look:
        case internal::Patience::ask:  // after nobody: any process may release
          break;
        case internal::Patience::sleep:
          if (announce(word)) {
            Env::futex_wait(word_, static_cast<std::uint32_t>(word), patience.slice_end());
          }
          break;
        case internal::Patience::give_up:
          last = true;
          break;
      }
      // Relaxed: take() orders; and after a sleep this load sees at least what the waker had left,
      // since the kernel's wake-ups order.
      word = Env::load(word_, std::memory_order_relaxed);
      if (take(word)) return Status::ok;
    }
    return Status::timeout;
  }

  /// Has releases wake; false if there is a permit by now.
  bool announce(std::uint64_t& word) noexcept {
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      if (value_of(word) != 0) return false;
      if ((word & kWaiters) != 0) return true;
      // Relaxed: a bit for the one who releases, who reads it with its compare-and-swap.
      if (Env::cas(word_, word, word | kWaiters, std::memory_order_relaxed)) word |= kWaiters;
    }
    return false;
  }

  /// After a release that left `word`.
  void wake(std::uint64_t word, std::uint32_t n) noexcept {
    if (Env::futex_wake(word_, static_cast<int>(n)) != 0) return;
    // Relaxed: nobody was asleep. See "no wake-up is lost".
    Env::cas(word_, word, word & ~kWaiters, std::memory_order_relaxed);
  }

  internal::Word<std::uint64_t> word_;
  internal::Word<std::uint32_t> bound_;
  internal::Word<std::uint32_t> unused_;
};

/// A number of permits that anybody may take and give back, also more than it was made with: 16
/// bytes.
using Semaphore = BasicSemaphore<internal::RealEnv, Bounded::no>;

/// A Semaphore that refuses to have more permits than it was made with.
using BoundedSemaphore = BasicSemaphore<internal::RealEnv, Bounded::yes>;

static_assert(sizeof(Semaphore) == 16 && alignof(Semaphore) == 8);
static_assert(sizeof(BoundedSemaphore) == 16 && alignof(BoundedSemaphore) == 8);
static_assert(internal::Mappable<Semaphore> && internal::Mappable<BoundedSemaphore>);

}  // namespace sluice

#endif  // SLUICE_SYNC_SEMAPHORE_H_
