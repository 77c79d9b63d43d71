// SPDX-License-Identifier: Apache-2.0
//
// Mutex and RecursiveMutex: locks for threads and processes that outlive their holder: whoever
// holds one may be killed at any instruction, and the next to come is told so. Not for handing over
// from one thread to another (only the owner unlocks), not to be held while waiting for a person,
// and not fair: a newcomer may overtake a sleeper. (Two lines of code more than 300: what takes the
// word, and what waits for it and finds its owner dead, are read together.)
//
//   struct Account { Mutex mutex; long balance, reserved; };   // in shared memory
//
//   std::scoped_lock hold(account.mutex);                      // throws OwnerDied, see below
//   account.mutex.lock([&] { account.reserved = 0; });         // or: repairs first if need be
//   if (account.mutex.acquire(5ms) == Status::owner_died) {    // or by hand
//     account.reserved = 0;
//     account.mutex.mark_consistent();
//   }
//
// In memory (16 bytes, all zero = free and never used; may be a member of a shared struct):
//
//   63            32 31        30          29         0    64        95   96        127
//   +---------------+---------+------------+-----------+  +-------------+-------------+
//   | owner's tag   | waiters | owner died | thread id |  | incarnation | who died    |
//   +---------------+---------+------------+-----------+  +-------------+-------------+
//   word, high half: the owner writes it together with the low half
//                    and leaves its tag in a free word that has `waiters`
//   word, low half:  a robust futex of the kernel (Documentation/locking/robust-futex-ABI), which
//                    marks it when the owner's thread ends; waiters set `waiters`
//   incarnation:     whose tags these are: set by the first user, before the lock is ever held
//   who died:        the owner whose death is marked; written by whoever takes the lock after it,
//                    for people to read
//
// When an owner dies (killed, exited, or its thread ended) the lock is marked. The mark stays until
// somebody repairs: lock() and the try_ forms throw OwnerDied and do not hold the lock; acquire()
// returns owner_died and does hold it. A repairer who unlocks without mark_consistent(), or dies as
// well, leaves the mark for the next. std::condition_variable_any works between the threads of a
// process; if an owner dies while somebody waits there, its re-locking throws, which ends the
// process (std::terminate), so between processes use ConditionVariable.
//
// Units: Deadline. Errors, per call: below; misuse (relocking a Mutex that the thread holds, and
// unlocking one that it does not) throws std::logic_error and changes nothing. Status: corrupt (the
// bytes are no lock), foreign_registry (locked under another registry: reset()), closed
// (destroyed); the forms without a Status throw Error with it.
//
// Threads and processes: all calls may overlap, but for destroy() and reset(). Signals do not end a
// wait; no call is a cancellation point. A forked child holds nothing of what its parent holds; the
// guard of sync/lock_guard.h knows that.
//
// Signal handlers: a Mutex's try_lock() and unlock() may be called in one, whatever it interrupts,
// calls on the same lock included (false, if the thread holds it or is just taking it), and
// allocate nothing (but what is thrown): by a thread that has locked something before and holds
// less than 16 locks, if the handler gives back what it takes. If that thread is killed with a lock
// that it was waiting for then, a waiter may find out at the end of its slice only. A
// RecursiveMutex that others than handlers take must not be taken in one.
//
// If a process dies here: taking and giving back are one compare-and-swap each (the commit). Killed
// before taking: nothing. Killed as the owner: the kernel marks the lock and wakes a waiter within
// some 25 us; where it does not (further locks that the thread held besides, get_robust_list(2)
// refused, another pid namespace) a waiter finds out at the end of its slice, by asking whether the
// owner's tag is alive, and, if that is the waiter's own process, whether it has such a thread.
// Killed between giving back and waking: the kernel wakes. Killed after having been woken:
// `waiters` is still set, since only a waker that woke nobody clears it, and only in the word that
// it left itself, which has its tag: so the wake-up is passed on. (With a mark the word has no tag,
// and such a wake-up may wait for the end of a slice.) Every loop is bounded by attempts or by the
// deadline.
//
// Cost, uncontended: lock and unlock one compare-and-swap each, no system call, no allocation (but
// the first of a thread, and more than 16 held at once).

#ifndef SLUICE_SYNC_MUTEX_H_
#define SLUICE_SYNC_MUTEX_H_

#include <chrono>
#include <climits>
#include <concepts>
#include <cstdint>
#include <ostream>
#include <string_view>
#include <type_traits>

#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/observer.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/patience.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What happens when the owner locks again.
enum class Relock : std::uint8_t {
  refused,  ///< lock() throws std::logic_error, try_lock() says false
  counted   ///< it holds the lock until it has unlocked as often
};

/// What Mutex and RecursiveMutex are over an environment, the machine or a test.
template <class Env, Relock kRelock = Relock::refused>
class BasicMutex {
 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName =
      kRelock == Relock::counted ? "sluice.RecursiveMutex" : "sluice.Mutex";

  /// Waits for as long as it takes. Throws OwnerDied, Error, std::logic_error; then the caller does
  /// not hold the lock.
  void lock() {
    const Status s = take(Deadline::never(), Marked::left);
    if (s != Status::ok) [[unlikely]]
      internal::throw_not_locked(s, died());
  }

  /// False if another holds it. A Mutex's own holder gets false as well. Throws as lock() else.
  bool try_lock() { return try_until(Deadline::now()); }

  /// False if the time has passed. Throws as lock().
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> after) {
    return try_until(Deadline(after));
  }
  /// The same, up to a time of any clock, which counts also if it is set meanwhile.
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> at) {
    // A clock that is set while we wait: what counts is what it says in the end.
    while (!try_until(Deadline::until(at))) {
      if (Clock::now() >= at) return false;
    }
    return true;
  }
  /// Takes the lock also if an owner died. Holds it: ok, owner_died. Does not: timeout, corrupt,
  /// foreign_registry, closed. Throws std::logic_error.
  Status acquire(Deadline deadline = Deadline::never()) { return take(deadline, Marked::taken); }

  /// As lock(), but if an owner died, calls `repair` with the lock held and marks it consistent. If
  /// that throws, the lock is given back and stays marked.
  template <std::invocable Repair>
  void lock(Repair repair) {
    const Status s = acquire();
    if (s == Status::ok) return;
    if (s != Status::owner_died) internal::throw_not_locked(s, died());
    try {
      repair();
    } catch (...) {
      unlock();
      throw;
    }
    // Relaxed: only this thread's own signature and mark are in question.
    const std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    if ((word & Word::kOwnerDied) != 0) mark_consistent();
  }

  /// By the holder of a lock whose owner had died: what it protects is in order again. Throws
  /// std::logic_error for a lock that is not marked, or not the caller's.
  void mark_consistent() {
    const std::uint64_t me = Env::me();
    // Relaxed, twice: only this thread's own later unlock publishes anything.
    std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    if (me == 0 || Word::owner_of(word) != me || (word & Word::kOwnerDied) == 0) {
      internal::refuse_marking();
    }
    // Relaxed: as above.
    if (!change_own(me, word, Word::consistent, std::memory_order_relaxed)) {
      internal::refuse_overwritten();
    }
  }

  /// Throws std::logic_error if the calling thread does not hold the lock.
  void unlock() {
    const std::uint64_t me = Env::me();
    if (me == 0) internal::refuse_unlock();
    internal::ThreadState& self = Env::self();
    if constexpr (kRelock == Relock::counted) {
      internal::HeldLock* const held = self.held.find(&word_);
      if (held != nullptr && --held->depth != 0) return;
    }
    std::uint64_t word = me;
    // Release: pairs with the acquire of the next taker.
    if (!Env::cas(word_, word, Word::kFree, std::memory_order_release)) [[unlikely]] {
      unlock_slowly(self, word);
    }
    self.held.remove(word_);
  }

  /// Ends the lock's use: later calls say closed. busy if a living owner holds it;
  /// foreign_registry. Waiters are told.
  Status destroy() {
    if (is_foreign(Env::self().incarnation)) return Status::foreign_registry;
    return end_as(Word::kDestroyed);
  }

  /// For whoever knows that nobody uses the lock: makes it free, unmarked, and of this process's
  /// registry, whatever it was. busy if an owner holds it who is not known to be dead.
  Status reset() {
    const std::uint32_t incarnation = Env::self().incarnation;
    if (is_foreign(incarnation)) {
      // In this order: a free lock of another registry is refused, and so can be reset again.
      // Release: whoever takes the free lock sees what the caller has put in order.
      Env::store(word_, Word::kFree, std::memory_order_release);
      // Relaxed, twice: the caller vouches that nobody else looks.
      Env::store(incarnation_, incarnation, std::memory_order_relaxed);
      Env::store(died_, participant::kNobody, std::memory_order_relaxed);  // as above
      Env::futex_wake(word_, INT_MAX);
      return Status::ok;
    }
    return end_as(Word::kFree);
  }

  /// For whoever knows that nobody uses the lock, and finds it with owners of another registry:
  /// they are dead. Makes the lock this registry's; if somebody held it, or it was marked, it is
  /// marked. May be repeated if killed.
  void adopt() {
    // Relaxed: the caller vouches that nobody else looks.
    const std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    if (word != Word::kDestroyed) {
      const bool was_held = Word::is_held(word) || (word & Word::kOwnerDied) != 0;
      // Release: whoever takes the lock sees what the caller has put in order; and the mark is
      // there before the registry's number says that it is this registry's.
      Env::store(word_, was_held ? Word::kOwnerDied : Word::kFree, std::memory_order_release);
    }
    Env::store(died_, participant::kNobody, std::memory_order_relaxed);  // relaxed: for people
    // Release: as above.
    Env::store(incarnation_, Env::self().incarnation, std::memory_order_release);
  }

  /// Whether the calling thread holds the lock.
  [[nodiscard]] bool is_owned() const noexcept {
    const std::uint64_t me = Env::me();
    // Relaxed: nobody else writes this thread's signature.
    return me != 0 && Word::owner_of(Env::load(word_, std::memory_order_relaxed)) == me;
  }

  /// How often the calling thread holds the lock.
  [[nodiscard]] std::uint32_t recursion_count() const noexcept {
    if (!is_owned()) return 0;
    const internal::HeldLock* const held = Env::self().held.find(&word_);
    return held != nullptr ? held->depth : 0;
  }

  /// A snapshot for people, and for what must be decided without the lock: nobody may conclude from
  /// it that the lock will be free.
  [[nodiscard]] LockReport report() const noexcept {
    // Relaxed, twice: as above.
    return internal::report_lock(Env::load(word_, std::memory_order_relaxed), died());
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicMutex& mutex) {
    return out << kName << ": " << mutex.report();
  }

  // For SharedMutex.

  /// Whether the lock is of this registry; it becomes so if it was nobody's.
  bool belongs_to(std::uint32_t mine) noexcept {
    // Relaxed, twice: whoever finds another number, or none, decides by a read-modify-write, which
    // sees the latest.
    std::uint32_t found = Env::load(incarnation_, std::memory_order_relaxed);
    if (found == mine) [[likely]]
      return true;
    found = 0;
    return Env::cas(incarnation_, found, mine, std::memory_order_relaxed) ||  // as above
           found == mine;
  }

  /// Whether the lock has been used under another registry.
  [[nodiscard]] bool is_foreign(std::uint32_t mine) const noexcept {
    // Relaxed: as in belongs_to().
    const std::uint32_t found = Env::load(incarnation_, std::memory_order_relaxed);
    return found != 0 && found != mine;
  }

  /// The word, as `order` says.
  [[nodiscard]] std::uint64_t look(std::memory_order order) const noexcept {
    return Env::load(word_, order);  // ordered as the caller says
  }

  /// Whose death is marked, or was the last to be.
  [[nodiscard]] Tag died() const noexcept {
    // Relaxed, twice: for people.
    const std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    if (Word::is_abandoned(word)) return Word::tag_of(word);
    return Env::load(died_, std::memory_order_relaxed);  // as above
  }

  // For ConditionVariable.

  /// Gives the lock back however often the caller holds it, and returns how often that was.
  std::uint32_t release_all() {
    internal::HeldLock* const held = Env::self().held.find(&word_);
    if (held == nullptr) internal::refuse_unlock();
    const std::uint32_t depth = held->depth;
    held->depth = 1;
    unlock();
    return depth;
  }

  /// Takes the lock, however long it takes, as often as release_all() said.
  Status take_again(std::uint32_t depth) {
    const Status s = acquire();
    if (internal::HeldLock* const held = Env::self().held.find(&word_)) held->depth = depth;
    return s;
  }

  /// Whether an owner died, as the word says or, if it says that somebody holds it, the kernel.
  [[nodiscard]] bool lost_its_owner() const noexcept {
    // Relaxed: the answer leads to acquire(), which orders.
    const std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    if (!Word::is_held(word)) return (word & Word::kOwnerDied) != 0;
    return word != Word::kDestroyed && internal::is_owner_dead<Env>(word);
  }

 private:
  using Word = internal::LockWord;

  static constexpr std::string_view kName = kRelock == Relock::counted ? "RecursiveMutex" : "Mutex";

  /// What to do with a lock whose owner died.
  enum class Marked : std::uint8_t { left, taken };

  /// About as long as a critical section of some ten instructions takes elsewhere.
  static constexpr int kSpinLooks = 100;
  /// In a row, against a word that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;

  Status take(Deadline deadline, Marked marked) {
    internal::ThreadState& self = Env::self();
    if (!belongs_to(self.incarnation)) [[unlikely]]
      return Status::foreign_registry;
    self.held.want(word_);
    std::uint64_t word = Word::kFree;
    // Acquire: pairs with the release of the last owner.
    if (Env::cas(word_, word, self.me, std::memory_order_acquire)) [[likely]] {
      self.held.add(word_);
      return Status::ok;
    }
    if (Word::owner_of(word) == self.me) [[unlikely]]
      return take_again_by_owner(self, deadline);
    const Status s = take_slowly(self, word, deadline, marked);
    if (s == Status::ok || (s == Status::owner_died && marked == Marked::taken)) {
      self.held.want(word_);  // again: a signal handler may have taken other locks meanwhile
      self.held.add(word_);
    } else {
      self.held.give_up();
    }
    if (s == Status::owner_died) [[unlikely]]
      internal::tell_owner_died(kName, this, died());
    return s;
  }

  Status take_again_by_owner(internal::ThreadState& self, Deadline deadline) {
    self.held.give_up();
    // In a signal handler: the interrupted call may not have noted the lock yet.
    if (kRelock == Relock::refused && deadline.is_now()) return Status::timeout;
    internal::HeldLock* const held = self.held.find(&word_);
    if (kRelock == Relock::counted && held != nullptr && held->depth != UINT32_MAX) {
      ++held->depth;
      return Status::ok;
    }
    if (held != nullptr && deadline.is_now()) return Status::timeout;
    internal::refuse_relock();
  }

  Status take_slowly(internal::ThreadState& self, std::uint64_t word, Deadline deadline,
                     Marked marked) noexcept {
    internal::BasicPatience<Env> patience(deadline, kSpinLooks);
    std::uint64_t sleepers = 0;  // kWaiters once this thread has slept: others may still do
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      if (word == Word::kDestroyed) return Status::closed;
      if (!Word::is_held(word)) {
        const bool died = (word & Word::kOwnerDied) != 0;
        if (died && marked == Marked::left) return leave_marked(word);
        const std::uint64_t mine =
            self.me | sleepers | (word & Word::kWaiters) | (died ? Word::kOwnerDied : 0);
        // Acquire: pairs with the release of the last owner, or of who marked the lock for it.
        if (!Env::cas(word_, word, mine, std::memory_order_acquire)) continue;
        if (died) note_death(word);
        return died ? Status::owner_died : Status::ok;
      }
      switch (patience.next()) {
        case internal::Patience::look:
          break;
        case internal::Patience::ask:
          mark_if_dead(word);
          break;
        case internal::Patience::sleep:
          if (!announce(word)) continue;
          sleepers = Word::kWaiters;
          Env::futex_wait(word_, Word::futex_of(word), patience.slice_end());
          break;
        case internal::Patience::give_up:
          return Status::timeout;
      }
      attempt = 0;  // what bounds the waiting is the deadline
      // Relaxed: the compare-and-swap that takes the lock orders; and after a sleep this load sees
      // at least what the waker had left, since the kernel's wake-ups order.
      word = Env::load(word_, std::memory_order_relaxed);
    }
    return Status::corrupt;
  }

  /// Sets kWaiters in a held word; false if the word is another by now, which `word` then holds.
  bool announce(std::uint64_t& word) noexcept {
    if ((word & Word::kWaiters) != 0) return true;
    const std::uint64_t with = word | Word::kWaiters;
    // Relaxed: a bit for the one who gives the lock back, who reads it with its compare-and-swap.
    if (!Env::cas(word_, word, with, std::memory_order_relaxed)) return false;
    word = with;
    return true;
  }

  /// Does for the kernel what it did not do.
  void mark_if_dead(std::uint64_t word) noexcept {
    if (!internal::is_owner_dead<Env>(word)) return;
    // Acquire-release: the probe came after the kernel had dropped the dead owner's file lock, and
    // whoever takes the lock by this mark is to see what the owner wrote.
    Env::cas(word_, word, Word::abandoned(word), std::memory_order_acq_rel);
  }

  Status leave_marked(std::uint64_t word) noexcept {
    // For other sleepers there is nothing to wait for either: each wakes the next.
    if ((word & Word::kWaiters) != 0) Env::futex_wake(word_, 1);
    return Status::owner_died;
  }

  void note_death(std::uint64_t word) noexcept {
    // A repairer that gave up has left its own mark without a tag: then the first death stays
    // noted.
    if (Word::tag_of(word) == participant::kNobody) return;
    // Relaxed: for people.
    Env::store(died_, Word::tag_of(word), std::memory_order_relaxed);
  }

  /// The word is this thread's with waiters or a mark, or not this thread's at all.
  void unlock_slowly(internal::ThreadState& self, std::uint64_t word) {
    if (self.held.find(&word_) == nullptr) internal::refuse_unlock();
    // Release: pairs with the acquire of the next taker.
    if (!change_own(self.me, word, Word::given_back, std::memory_order_release)) {
      self.held.remove(word_);
      internal::refuse_overwritten();
    }
    if ((word & Word::kWaiters) == 0 || Env::futex_wake(word_, 1) != 0) return;
    std::uint64_t left = Word::given_back(word);
    // Relaxed: nobody was asleep. Who has taken the lock since, and given it back for somebody who
    // sleeps by now, has left another tag.
    Env::cas(word_, left, left & Word::kOwnerDied, std::memory_order_relaxed);
  }

  /// Turns `word`, which is this thread's, into change(word). Others only add kWaiters meanwhile:
  /// false if the bytes were overwritten. `word` holds what was there before.
  template <class Change>
  bool change_own(std::uint64_t me, std::uint64_t& word, Change change,
                  std::memory_order order) noexcept {
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      if (Word::owner_of(word) != me) return false;
      // Ordered as the caller says.
      if (Env::cas(word_, word, change(word), order)) return true;
    }
    return false;
  }

  bool try_until(Deadline deadline) {
    const Status s = take(deadline, Marked::left);
    if (s == Status::ok) return true;
    if (s != Status::timeout) internal::throw_not_locked(s, died());
    return false;
  }

  Status end_as(std::uint64_t end) noexcept {
    // Relaxed: the swap decides.
    std::uint64_t word = Env::load(word_, std::memory_order_relaxed);
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      const bool held = Word::is_held(word) && word != Word::kDestroyed;
      if (held && !internal::is_owner_dead<Env>(word)) return Status::busy;
      // Acquire: the caller goes on with what the lock protected. Release: who takes the lock after
      // a reset() sees what the dead, and the caller before it, have written.
      if (!Env::cas(word_, word, end, std::memory_order_acq_rel)) continue;
      Env::store(died_, participant::kNobody, std::memory_order_relaxed);  // relaxed: for people
      Env::futex_wake(word_, INT_MAX);
      return Status::ok;
    }
    return Status::corrupt;
  }

  internal::Word<std::uint64_t> word_;
  internal::Word<std::uint32_t> incarnation_;
  internal::Word<std::uint32_t> died_;
};

/// A lock for threads and processes that one owner holds once: 16 bytes.
using Mutex = BasicMutex<internal::RealLockEnv>;

/// A Mutex that its owner may lock again; each lock() takes one unlock().
using RecursiveMutex = BasicMutex<internal::RealLockEnv, Relock::counted>;

static_assert(sizeof(Mutex) == 16 && alignof(Mutex) == 8);
static_assert(internal::Mappable<Mutex> && internal::Mappable<RecursiveMutex>);

}  // namespace sluice

#endif  // SLUICE_SYNC_MUTEX_H_
