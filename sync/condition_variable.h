// SPDX-License-Identifier: Apache-2.0
//
// ConditionVariable: waiting, under a Mutex or RecursiveMutex, until another thread or process has
// changed what the lock protects. Survives the death of waiters and notifiers. For words that
// change without a lock there is EventCount.
//
//   struct Inbox { Mutex mutex; ConditionVariable changed; int jobs; };   // in shared memory
//
//   std::unique_lock hold(inbox.mutex);        // one process
//   ++inbox.jobs;
//   inbox.changed.notify_one();
//
//   std::unique_lock hold(inbox.mutex);        // another
//   Status s = inbox.changed.wait_for(hold, 1s, [&] { return inbox.jobs > 0; });
//
// In memory (24 bytes, all zero = never used; in the same mapping as its lock). All is written by
// the holder of the lock; only `sequence` is read without it.
//
//   0 sequence u32     one up per notification that finds a waiter; the futex
//   4 released u32     the sequence of the last notify_all: who waits since before it may go
//   8 waiters u32      how many wait, and were not released; a killed waiter stays counted until
//                      the next notify_all
//  12 permits u32      how many of them may go besides: notified, and not gone yet
//  16 sleepers u32     1: somebody may be asleep, so a notifier makes the wake call
//  20 lock i32         where the lock lies, seen from here, in bytes
//
// A waiter goes only when a notification lets it: notify(n) adds n permits, at most one for each
// waiter, and whoever waited before it may take one; a surplus is not remembered. wait() without a
// predicate may still return early: after an owner's death, and where permits of killed waiters are
// left over. So wait with a predicate: any callable; it runs with the lock held, and may block.
//
// Units: Deadline; one covers the whole call. wait_for and wait_until with a clock other than
// steady_clock go by what that clock says in the end. Errors: Status ok, timeout, owner_died: the
// lock is held. corrupt, closed, foreign_registry (see mutex.h): it is not. Waiting or notifying
// without holding the lock, and waiting with another lock than others do, throw std::logic_error.
// With a RecursiveMutex all levels are given back, and taken again.
//
// Threads and processes: all calls may overlap, as far as the lock lets them. None is for signal
// handlers, since a notifier holds the lock. Signals do not end a wait; no call is a cancellation
// point.
//
// If a process dies here: a waiter killed asleep leaves itself counted, and no permit is lost on
// it: the permit stays for the others, who find it at once if they are woken, or at the end of
// their slice. A waiter or notifier killed with the lock held leaves the lock marked: sleepers look
// at it after each slice and return owner_died, and whoever then notifies, with the mark still on
// the lock, notifies all. A notifier killed before its wake call leaves that to the end of the
// slice. Nothing needs repair. Every count is checked, none leads anywhere.
//
// Cost: notify with nobody waiting three loads; with waiters that spin no system call, with
// sleepers one. A wait: its lock given back and taken, one futex call per slice.

#ifndef SLUICE_SYNC_CONDITION_VARIABLE_H_
#define SLUICE_SYNC_CONDITION_VARIABLE_H_

#include <algorithm>
#include <chrono>
#include <climits>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <ostream>
#include <string_view>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/patience.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What ConditionVariable is over an environment, the machine or a test.
template <class Env>
class BasicConditionVariable {
 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName = "sluice.ConditionVariable";

  /// Waits for a notification. `lock` is a BasicMutex, or a std::unique_lock of one, which does not
  /// own it any more after a Status that says so.
  template <class Lock>
  Status wait(Lock& lock) {
    return wait_for(lock, Deadline::never());
  }

  /// Waits until `predicate()`, which is called with the lock held, is true.
  template <class Lock, std::predicate Predicate>
  Status wait(Lock& lock, Predicate predicate) {
    return wait_for(lock, Deadline::never(), std::move(predicate));
  }

  /// wait() for a notification, until the deadline at most: timeout, with the lock held again.
  template <class Lock>
  Status wait_for(Lock& lock, Deadline deadline) {
    return pass_on(lock, wait_once(mutex_of(lock), deadline));
  }
  /// wait() for the predicate, until the deadline at most: timeout if it is still false then, with
  /// the lock held.
  template <class Lock, std::predicate Predicate>
  Status wait_for(Lock& lock, Deadline deadline, Predicate predicate) {
    return pass_on(lock, wait_while_not(mutex_of(lock), deadline, predicate));
  }

  /// wait_for() up to a time of any clock; timeout only when that clock says so.
  template <class Lock, class Clock, class Duration>
  Status wait_until(Lock& lock, std::chrono::time_point<Clock, Duration> at) {
    for (;;) {
      const Status s = wait_for(lock, Deadline::until(at));
      if (s != Status::timeout || Clock::now() >= at) return s;
    }
  }
  /// The same, for the predicate.
  template <class Lock, class Clock, class Duration, std::predicate Predicate>
  Status wait_until(Lock& lock, std::chrono::time_point<Clock, Duration> at, Predicate predicate) {
    for (;;) {
      const Status s = wait_for(lock, Deadline::until(at), std::ref(predicate));
      if (s != Status::timeout || Clock::now() >= at) return s;
    }
  }

  /// Lets one of those who wait go on; not remembered if nobody does. By the holder of the lock,
  /// else std::logic_error.
  void notify_one() { notify(1); }
  /// Lets all who wait now go on, one after another as they get the lock. As above else.
  void notify_all() { notify(PTRDIFF_MAX); }

  /// Lets `n` of those who wait go on, or all if they are fewer; none if n is not positive.
  void notify(std::ptrdiff_t n) {
    const bool owner_died = check_notifier();
    if (n <= 0) return;
    const std::uint32_t waiters = get(waiters_);
    const std::uint32_t permits = std::min(get(permits_), waiters);
    if (owner_died || n >= waiters - permits) {
      if (waiters != 0 || owner_died) release_everybody();
      return;
    }
    set(permits_, permits + static_cast<std::uint32_t>(n));
    const std::uint32_t sequence = get(sequence_) + 1;
    // Keeps `released` within reach of a comparison.
    if (sequence - get(released_) > kFarAway) set(released_, sequence - kFarAway);
    set(sequence_, sequence);
    if (get(sleepers_) != 0) Env::futex_wake(sequence_, static_cast<int>(n));
  }

  /// A snapshot for people: how many wait. Killed ones count until the next notify_all.
  [[nodiscard]] std::uint32_t waiting() const noexcept { return get(waiters_); }

  friend std::ostream& operator<<(std::ostream& out, const BasicConditionVariable& condition) {
    return out << "ConditionVariable: " << condition.waiting() << " waiting";
  }

 private:
  static constexpr std::uint32_t kFarAway = 1U << 30;
  static constexpr int kSpinLooks = 1000;

  // Relaxed: the lock orders all words against each other; `sequence` alone is read without it, by
  // a waiter that then takes the lock.
  static std::uint32_t get(const internal::Word<std::uint32_t>& word) noexcept {
    return Env::load(word, std::memory_order_relaxed);
  }
  static void set(internal::Word<std::uint32_t>& word, std::uint32_t value) noexcept {
    // Release: for the compiler, which is to keep the stores in their order. Who writes them may be
    // killed between any two.
    Env::store(word, value, std::memory_order_release);
  }

  template <Relock kRelock>
  static BasicMutex<Env, kRelock>& mutex_of(BasicMutex<Env, kRelock>& mutex) {
    return mutex;
  }
  template <class M>
  static M& mutex_of(std::unique_lock<M>& lock) {
    if (lock.mutex() == nullptr) internal::refuse_wait();
    return *lock.mutex();
  }

  template <Relock kRelock>
  static Status pass_on(BasicMutex<Env, kRelock>& /*mutex*/, Status status) noexcept {
    return status;
  }
  template <class M>
  static Status pass_on(std::unique_lock<M>& lock, Status status) noexcept {
    if (!lock.mutex()->is_owned()) lock.release();
    return status;
  }

  template <class M, class Predicate>
  Status wait_while_not(M& mutex, Deadline deadline, Predicate& predicate) {
    if (!mutex.is_owned()) internal::refuse_wait();
    while (!predicate()) {
      const Status s = wait_once(mutex, deadline);
      if (s == Status::timeout) return predicate() ? Status::ok : s;
      if (s != Status::ok) return s;
    }
    return Status::ok;
  }

  template <class M>
  Status wait_once(M& mutex, Deadline deadline) {
    if (!mutex.is_owned()) internal::refuse_wait();
    bind(&mutex);
    const std::uint32_t entered = get(sequence_);
    set(waiters_, get(waiters_) + 1);
    internal::BasicPatience<Env> patience(deadline, kSpinLooks);
    bool may_sleep = wait_policy().mode == WaitMode::block;
    for (;;) {
      if (may_sleep) set(sleepers_, 1);
      const std::uint32_t seen = get(sequence_);
      const std::uint32_t depth = mutex.release_all();
      const internal::Patience why = doze(mutex, patience, seen, may_sleep);
      const Status s = mutex.take_again(depth);
      if (s != Status::ok && s != Status::owner_died) return s;
      if (may_go(entered)) return s;
      if (s == Status::owner_died || why == internal::Patience::give_up) {
        leave();
        return s == Status::owner_died ? s : Status::timeout;
      }
      may_sleep = may_sleep || why == internal::Patience::sleep;
    }
  }

  /// Without the lock: until there is a reason to take it again. `sleep` says that it is time to
  /// sleep, and the others have not been told yet.
  template <class M>
  internal::Patience doze(M& mutex, internal::BasicPatience<Env>& patience, std::uint32_t seen,
                          bool may_sleep) {
    while (get(sequence_) == seen) {
      const internal::Patience next = patience.next();
      switch (next) {
        case internal::Patience::look:
          break;
        case internal::Patience::ask:
          if (mutex.lost_its_owner()) return next;
          break;
        case internal::Patience::sleep:
          if (!may_sleep) return next;
          Env::futex_wait(sequence_, seen, patience.slice_end());
          break;
        case internal::Patience::give_up:
          return next;
      }
    }
    return internal::Patience::look;
  }

  /// With the lock: whether a notification since `entered` lets this waiter go.
  bool may_go(std::uint32_t entered) noexcept {
    if (static_cast<std::int32_t>(get(released_) - entered) > 0) return true;
    const std::uint32_t permits = get(permits_);
    if (permits == 0 || get(sequence_) == entered) return false;
    set(permits_, permits - 1);
    leave();
    return true;
  }

  /// With the lock: this waiter is no more.
  void leave() noexcept {
    const std::uint32_t waiters = get(waiters_);
    if (waiters != 0) set(waiters_, waiters - 1);
  }

  /// The counts last: whoever is killed before has left the sleepers counted, so that the next
  /// notification finds them.
  void release_everybody() noexcept {
    const std::uint32_t sequence = get(sequence_) + 1;
    set(released_, sequence);
    set(sequence_, sequence);
    if (get(sleepers_) != 0) Env::futex_wake(sequence_, INT_MAX);
    set(waiters_, 0);
    set(permits_, 0);
    set(sleepers_, 0);
  }

  /// Where the lock lies: for a notifier, who does not say which it holds.
  void bind(const void* mutex) {
    const std::ptrdiff_t distance =
        static_cast<const std::byte*>(mutex) - reinterpret_cast<const std::byte*>(this);
    const auto offset = static_cast<std::int32_t>(distance);
    if (offset != distance) internal::refuse_distant_lock();
    // Relaxed, twice: as get() and set().
    const std::int32_t found = Env::load(lock_, std::memory_order_relaxed);
    if (found == offset) return;
    if (found != 0 && get(waiters_) != 0) internal::refuse_other_lock();
    Env::store(lock_, offset, std::memory_order_relaxed);  // as above
  }

  /// Whether the lock is marked. The offset comes from shared memory: it is compared with the locks
  /// that this thread holds, and leads nowhere else.
  bool check_notifier() {
    if (Env::me() == 0) internal::refuse_notify();
    internal::HeldLocks& held = Env::self().held;
    // Relaxed: as get().
    const std::int32_t offset = Env::load(lock_, std::memory_order_relaxed);
    if (offset == 0 && held.count() != 0) return false;  // nobody has ever waited
    const internal::HeldLock* const lock =
        held.find_at(reinterpret_cast<std::uintptr_t>(this) + static_cast<std::uintptr_t>(offset));
    if (lock == nullptr) internal::refuse_notify();
    // Relaxed: this thread's own word.
    return (Env::load(*lock->word, std::memory_order_relaxed) & internal::LockWord::kOwnerDied) !=
           0;
  }

  internal::Word<std::uint32_t> sequence_;
  internal::Word<std::uint32_t> released_;
  internal::Word<std::uint32_t> waiters_;
  internal::Word<std::uint32_t> permits_;
  internal::Word<std::uint32_t> sleepers_;
  internal::Word<std::int32_t> lock_;
};

/// The condition variable to use: 24 bytes, in the same mapping as its lock.
using ConditionVariable = BasicConditionVariable<internal::RealLockEnv>;

static_assert(sizeof(ConditionVariable) == 24 && alignof(ConditionVariable) == 4);
static_assert(internal::Mappable<ConditionVariable>);

}  // namespace sluice

#endif  // SLUICE_SYNC_CONDITION_VARIABLE_H_
