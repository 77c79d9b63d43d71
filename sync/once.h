// SPDX-License-Identifier: Apache-2.0
//
// Once: something that is to be done once, by whichever thread or process comes first, while the
// others wait for it. If that one is killed in the middle, the next begins again. Not for work that
// must not be begun twice: what the first had done before it died is still there.
//
//   struct Index { Once built; int size; };       // in shared memory
//
//   index.built.call([&] { index.size = build(); });   // throws what build() throws
//   Status s = index.built.call([&] { ... }, 5ms);     // waits for another so long at most
//   if (index.built.done()) use(index.size);
//
// In memory (16 bytes, all zero = not done; may be a member of a shared struct):
//
//   63            32 31        30     29       0    64        95   96       127
//   +---------------+---------+------+----------+  +-------------+------------+
//   | caller's tag  | waiting | done | thread   |  | incarnation | not used   |
//   +---------------+---------+------+----------+  +-------------+------------+
//   word:        who is at it now; 0 if nobody is. Low half: the futex
//   waiting:     set by a waiter before it sleeps; goes when the caller has ended, well or not
//   incarnation: whose tags these are: set before anybody begins
//
// What a call that ended well has written is seen by everybody for whom it is done.
//
// Units: Deadline, for the waiting; nothing ends the callable. Errors: an exception of the callable
// passes, and lets the next try. Status timeout, foreign_registry (begun under another registry by
// somebody who may live; once it is done, registries do not matter). The form without a Status
// throws Error with it. Calling it from within its own callable throws std::logic_error, and so
// does a forked child that returns from a callable that its parent had entered. Error(corrupt): the
// bytes were overwritten while the callable ran.
//
// Threads and processes: all calls may overlap. done() may be called in a signal handler. Signals
// do not end a wait; no call of its own is a cancellation point.
//
// If a process dies here: beginning is one compare-and-swap, and so is ending (the commit). Killed
// before the commit: whoever waits, or comes, asks the kernel for the life of the process in the
// word, at once and at the end of each slice (sync/wait_policy.h), puts itself in its place, and
// begins again. Killed between the commit and the wake call: sleepers find out at the end of their
// slice. Every loop is bounded by attempts or by the deadline.
//
// Cost: once it is done one load. Doing it two compare-and-swaps, and a system call if somebody may
// be asleep; waiting a probe of the other's life and a futex call per slice.

#ifndef SLUICE_SYNC_ONCE_H_
#define SLUICE_SYNC_ONCE_H_

#include <atomic>
#include <climits>
#include <concepts>
#include <cstdint>
#include <functional>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/observer.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/wait_word.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What Once is over an environment, the machine or a test.
template <class Env>
class BasicOnce {
 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName = "sluice.Once";

  /// Calls `fn` unless that is done; returns when it is. Throws what `fn` throws, Error,
  /// std::logic_error.
  template <std::invocable Fn>
  void call(Fn&& fn) {
    if (const Status s = call(std::forward<Fn>(fn), Deadline::never()); s != Status::ok) {
      throw Error(s, {.tried = "call a Once",
                      .expected = "one of this domain's registry",
                      .found = "one that was begun under another"});
    }
  }

  /// ok: it is done. timeout, foreign_registry: `fn` was not called. Throws what `fn` throws, and
  /// std::logic_error.
  template <std::invocable Fn>
  Status call(Fn&& fn, Deadline deadline) {
    if (done()) [[likely]]
      return Status::ok;
    std::uint64_t me = 0;
    if (const Status s = begin(deadline, me); s != Status::ok || me == 0) return s;
    try {
      std::invoke(std::forward<Fn>(fn));
    } catch (...) {
      // A child that was forked in there has another signature, and nothing to end.
      if (Env::me() == me) static_cast<void>(end(me, 0));
      throw;
    }
    if (Env::me() != me) refuse_forked();
    if (!end(me, kDone)) refuse_overwritten();
    return Status::ok;
  }

  /// Whether a call has ended well.
  [[nodiscard]] bool done() const noexcept {
    // Acquire: pairs with the release of end().
    return (Env::load(word_, std::memory_order_acquire) & kDone) != 0;
  }

  /// A snapshot for people: whose process is at it, or died at it; kNobody if none is.
  [[nodiscard]] Tag caller() const noexcept {
    // Relaxed: for people.
    return tag_of(Env::load(word_, std::memory_order_relaxed));
  }

  /// A snapshot for people: whether somebody may be asleep.
  [[nodiscard]] bool maybe_waiting() const noexcept {
    // Relaxed: nothing is concluded from it.
    return (Env::load(word_, std::memory_order_relaxed) & kWaiting) != 0;
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicOnce& once) {
    out << "Once: ";
    if (once.done()) return out << "done";
    const Tag caller = once.caller();
    if (caller == participant::kNobody) return out << "not done";
    return out << "begun by " << participant::to_text(caller)
               << (once.maybe_waiting() ? "; others may be waiting" : "");
  }

 private:
  static constexpr std::uint64_t kWaiting = std::uint64_t{1} << 31;
  static constexpr std::uint64_t kDone = std::uint64_t{1} << 30;
  static constexpr std::uint64_t kFlags = kWaiting | kDone;
  /// Against a word that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;

  using Waiting = internal::WaitWord<Env, kWaiting>;

  static constexpr Tag tag_of(std::uint64_t word) noexcept { return static_cast<Tag>(word >> 32); }

  /// ok: with `me`, this thread has begun; without, it is done.
  Status begin(Deadline deadline, std::uint64_t& me) {
    internal::ThreadState& self = Env::self();
    // Relaxed: only compared; adopt() decides.
    if (Env::load(incarnation_, std::memory_order_relaxed) != self.incarnation) {
      if (!adopt(self.incarnation)) return done() ? Status::ok : Status::foreign_registry;
    }
    // Relaxed: nobody else writes this thread's signature.
    if ((Env::load(word_, std::memory_order_relaxed) & ~kFlags) == self.me) refuse_recursion();
    const auto passes = [&](std::uint64_t& word) { return try_begin(self.me, me, word); };
    const auto may_sleep = [](std::uint64_t word) { return (word & ~kFlags) != 0; };
    const auto ask = [&](std::uint64_t word) { take_over_from_dead(word); };
    return Waiting::await(word_, deadline, passes, may_sleep, ask);
  }

  /// Makes it this registry's, unless it is another's.
  bool adopt(std::uint32_t mine) noexcept {
    std::uint32_t found = 0;
    // Relaxed: whoever finds another number, or none, comes here, and a read-modify-write sees the
    // latest.
    return Env::cas(incarnation_, found, mine, std::memory_order_relaxed) || found == mine;
  }

  /// True if it is done, or if this thread has begun, which `begun` then says.
  bool try_begin(std::uint64_t me, std::uint64_t& begun, std::uint64_t& word) noexcept {
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      if ((word & kDone) != 0) return true;
      if ((word & ~kFlags) != 0) return false;
      // Acquire: what a caller that gave up has left behind is seen by the next.
      if (Env::cas(word_, word, me | (word & kWaiting), std::memory_order_acquire)) {
        begun = me;
        return true;
      }
      // Acquire: it may be done by now.
      word = Env::load(word_, std::memory_order_acquire);
    }
    return false;
  }

  /// Nobody is at it any more, if who was is dead.
  void take_over_from_dead(std::uint64_t word) noexcept {
    if ((word & kDone) != 0 || (word & ~kFlags) == 0) return;
    if (Env::probe(tag_of(word)) != Liveness::dead) return;
    // Acquire-release: the probe came after the kernel had dropped the dead one's file lock, and
    // whoever begins next is to see what it wrote. `waiting` stays: others may be asleep.
    const Tag dead = tag_of(word);
    if (Env::cas(word_, word, word & kWaiting, std::memory_order_acq_rel)) {
      internal::tell_owner_died("Once", this, dead);
    }
  }

  /// Turns the word, which is this thread's, into `next`. Others only add kWaiting meanwhile: false
  /// if the bytes were overwritten.
  bool end(std::uint64_t me, std::uint64_t next) noexcept {
    std::uint64_t word = me;
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      if ((word & ~kWaiting) != me) return false;
      // Release: pairs with the acquire of done(), and of the next to begin.
      if (!Env::cas(word_, word, next, std::memory_order_release)) continue;
      // All, also when only one can begin: one that is woken may be killed.
      if ((word & kWaiting) != 0) Env::futex_wake(word_, INT_MAX);
      return true;
    }
    return false;
  }

  [[noreturn]] static void refuse_recursion() {
    throw std::logic_error("sluice: a Once is called from within its own callable");
  }
  [[noreturn]] static void refuse_forked() {
    throw std::logic_error(
        "sluice: a child that was forked in the callable of a Once returns from it: that is its "
        "parent's to do");
  }
  [[noreturn]] static void refuse_overwritten() {
    throw Error(Status::corrupt, {.tried = "end the call of a Once",
                                  .expected = "that it is this thread's",
                                  .found = "that somebody has overwritten it"});
  }

  internal::Word<std::uint64_t> word_;
  internal::Word<std::uint32_t> incarnation_;
};

/// The one to use: 16 bytes.
using Once = BasicOnce<internal::RealLockEnv>;

static_assert(sizeof(Once) == 16 && alignof(Once) == 8);
static_assert(internal::Mappable<Once>);

}  // namespace sluice

#endif  // SLUICE_SYNC_ONCE_H_
