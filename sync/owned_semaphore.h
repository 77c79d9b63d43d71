// SPDX-License-Identifier: Apache-2.0
//
// OwnedSemaphore: permits that know which process has taken them: those of a process that dies are
// taken over on the spot by whoever needs one. Not for permits that one process takes and another
// gives back, nor where there are many or taking one must be as cheap as can be: that is
// Semaphore's.
//
//   struct Gate { OwnedSemaphore<16> slots{5}; };          // in shared memory; at most 16
//
//   { SemaphoreGuard hold(gate.slots); serve(); }          // sync/semaphore_guard.h
//   if (gate.slots.acquire(5ms) == Status::ok) { ... gate.slots.release(); }
//
// In memory (16 bytes and 8 per permit; all zero = all of them free, and never used):
//
//   0 freed u32         event count: who waits for a permit
//   4 incarnation u32   whose tags these are: set by the first user, before a permit is ever held
//   8 withheld u32      so many of the permits at the end are not there; written by nobody
//  12 0
//  16 permits u64[M]    63           32 31        0
//                       +--------------+-----------+
//                       | changes      | owner     |    owner 0: free
//                       +--------------+-----------+
//   written by whoever takes a free one, or a dead owner's, and by its owner, who frees it; each
//   counts `changes` up. There is no other count that could disagree.
//
// The owner is a process: any of its threads may give back what another has taken; a forked child
// owns nothing of its parent's.
//
// Units: Deadline. Errors: acquire() returns ok, timeout, foreign_registry (used under another
// registry: whose owners live can't be known; see reset()); the forms without a Status throw Error
// for the last. release() by a process that holds no permit throws std::logic_error, and changes
// nothing. The constructor throws std::invalid_argument above M.
//
// Threads and processes: all calls may overlap, but for reset(). try_acquire(), release() and
// value() may be called in a signal handler after attach() (sync/participant.h), and allocate
// nothing (but what is thrown, and to ask for a life after the host has closed our descriptors).
// Signals do not end a wait; no call is a cancellation point. Who takes a permit sees what its last
// owner wrote before giving it back, or dying. A try may fail while others take and give back at
// that very moment.
//
// If a process dies here: taking, taking over and giving back are one compare-and-swap each (the
// commit). Killed before: nothing. Killed as the owner: whoever finds no free permit asks the
// kernel for the owners' lives, before its first sleep and after each slice (sync/wait_policy.h):
// so a waiter has it after 80 ms at the latest, a newcomer at once. Killed between giving back and
// waking, or woken and killed: a sleeper finds the permit at the end of its slice. An owner that
// was never there counts as dead. Every loop is bounded by the number of permits, by attempts or by
// the deadline.
//
// Cost: acquire a look at the permits until a free one is found, and a compare-and-swap; release
// the same until one's own is found, and a look at the event count; no system call. Before
// giving up or going to sleep, one or two system calls per owner.

#ifndef SLUICE_SYNC_OWNED_SEMAPHORE_H_
#define SLUICE_SYNC_OWNED_SEMAPHORE_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ostream>
#include <string_view>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/observer.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/process_state.h"
#include "sluice/sync/semaphore_error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

namespace internal {

/// RealLockEnv for owners that are processes: needs nothing of the calling thread, and so, once the
/// process has attached, may be used in a signal handler.
struct RealPermitEnv : RealLockEnv {
  struct Owner {
    std::uint64_t me;
    std::uint32_t incarnation;
  };
  static Owner self() {
    const Tag tag = participant::self();
    // Relaxed: visible with the tag, which was loaded with acquire.
    return {std::uint64_t{tag} << 32, g_process_state.incarnation.load(std::memory_order_relaxed)};
  }
  static std::uint64_t me() noexcept {
    return std::uint64_t{participant::self_if_attached()} << 32;
  }
};

}  // namespace internal

/// What OwnedSemaphore is over an environment, the machine or a test; kMost is the most permits.
template <class Env, std::uint32_t kMost>
class BasicOwnedSemaphore {
  static_assert(kMost >= 1 && kMost <= 1024, "each permit is a word that is looked at");

 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName = "sluice.OwnedSemaphore";

  /// The most permits that can be.
  static constexpr std::uint32_t max() noexcept { return kMost; }

  /// With max() permits.
  constexpr BasicOwnedSemaphore() noexcept = default;

  /// With `permits`. Throws std::invalid_argument.
  constexpr explicit BasicOwnedSemaphore(std::uint32_t permits) {
    if (permits > kMost) internal::refuse_permits(permits, kMost);
    withheld_.raw = kMost - permits;  // directly, since nobody else sees it yet
  }

  BasicOwnedSemaphore(const BasicOwnedSemaphore&) = delete;
  BasicOwnedSemaphore& operator=(const BasicOwnedSemaphore&) = delete;

  /// Takes a permit; waits for as long as it takes. Throws Error.
  void acquire() { static_cast<void>(take_until(Deadline::never())); }

  /// ok, timeout, foreign_registry.
  Status acquire(Deadline deadline) {
    const auto& self = Env::self();
    if (!is_of(self.incarnation)) return Status::foreign_registry;
    const Tag me = tag_of_owner(self.me);
    if (take_free(me)) return Status::ok;
    if (deadline.is_now()) return take_over(me) ? Status::ok : Status::timeout;
    bool taken = false;
    return freed_.await(
        deadline, [&] { return taken || take_free(me); },
        [&] {
          taken = take_over(me);
          return Status::ok;
        });
  }

  /// False if there is none. Throws Error.
  [[nodiscard]] bool try_acquire() { return take_until(Deadline::now()); }

  /// False if the time has passed. Throws Error.
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> after) {
    return take_until(Deadline(after));
  }
  /// The same, up to a time of any clock, which counts also if it is set meanwhile.
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(std::chrono::time_point<Clock, Duration> at) {
    // A clock that is set while we wait: what counts is what it says in the end.
    while (!take_until(Deadline::until(at))) {
      if (Clock::now() >= at) return false;
    }
    return true;
  }

  /// Gives a permit of this process back and wakes a sleeper. Throws std::logic_error if the
  /// process holds none, and Error if it is another registry's.
  void release() {
    const std::uint64_t self = Env::me();
    if (self == 0) internal::refuse_release_by_stranger();
    // Relaxed: as in is_of(). 0 is nobody's, and holds nothing.
    const std::uint32_t found = Env::load(incarnation_, std::memory_order_relaxed);
    if (found != 0 && found != Env::self().incarnation) {
      internal::throw_semaphore_error("release a permit", Status::foreign_registry);
    }
    std::uint64_t before = 0;
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      std::uint64_t changes = 0;
      if (give_back(tag_of_owner(self), changes)) {
        freed_.notify_one();
        return;
      }
      // While we looked, other threads of ours may have given back what we had not come to, and
      // taken what we had passed. If nothing has changed between two looks, we hold nothing.
      if (attempt != 0 && changes == before) internal::refuse_release_by_stranger();
      before = changes;
    }
    internal::throw_semaphore_error("release a permit", Status::corrupt);
  }

  /// A snapshot: how many permits are free. Those of the dead count as taken until they are.
  [[nodiscard]] std::uint32_t value() const noexcept {
    std::uint32_t free = 0;
    for (std::uint32_t i = 0; i < bound(); ++i) {
      // Relaxed: nothing is concluded from it.
      if (owner_of(Env::load(permits_[i], std::memory_order_relaxed)) == participant::kNobody) {
        ++free;
      }
    }
    return free;
  }

  /// How many permits there are.
  [[nodiscard]] std::uint32_t bound() const noexcept {
    // Relaxed: written before the semaphore was shared.
    return kMost - std::min(Env::load(withheld_, std::memory_order_relaxed), kMost);
  }

  /// A snapshot for people: whether somebody may be asleep.
  [[nodiscard]] bool maybe_waiting() const noexcept { return freed_.maybe_waiting(); }

  /// For whoever knows that nobody uses the semaphore: makes all permits free, and of this
  /// process's registry, whatever they were. busy if one is held by an owner not known to be dead.
  Status reset() {
    const auto& self = Env::self();
    // Relaxed: as in is_of().
    const std::uint32_t found = Env::load(incarnation_, std::memory_order_relaxed);
    for (auto& permit : permits_) {
      // Relaxed: the caller vouches that nobody else looks.
      const Tag owner = owner_of(Env::load(permit, std::memory_order_relaxed));
      if (found == self.incarnation && owner != participant::kNobody &&
          Env::probe(owner) != Liveness::dead) {
        return Status::busy;
      }
    }
    for (auto& permit : permits_) {
      Env::store(permit, std::uint64_t{0}, std::memory_order_relaxed);  // as above
    }
    Env::store(incarnation_, self.incarnation, std::memory_order_relaxed);  // as above
    freed_.notify_all();
    return Status::ok;
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicOwnedSemaphore& semaphore) {
    return out << "OwnedSemaphore: " << semaphore.value() << " of " << semaphore.bound()
               << (semaphore.maybe_waiting() ? "; others may be waiting" : "");
  }

 private:
  using Permit = internal::Word<std::uint64_t>;

  /// In a row, against words that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 16;

  static constexpr Tag tag_of_owner(std::uint64_t me) noexcept {
    return static_cast<Tag>(me >> 32);
  }
  static constexpr Tag owner_of(std::uint64_t permit) noexcept { return static_cast<Tag>(permit); }
  static constexpr std::uint64_t changes_of(std::uint64_t permit) noexcept { return permit >> 32; }
  static constexpr std::uint64_t changed(std::uint64_t permit, Tag owner) noexcept {
    return (changes_of(permit) + 1) << 32 | owner;
  }

  /// Whether the semaphore is this registry's; makes it so if it was nobody's.
  bool is_of(std::uint32_t mine) noexcept {
    // Relaxed: only compared.
    std::uint32_t found = Env::load(incarnation_, std::memory_order_relaxed);
    if (found == mine) [[likely]]
      return true;
    found = 0;
    // Relaxed: whoever finds another number, or none, comes here, and a read-modify-write sees the
    // latest.
    return Env::cas(incarnation_, found, mine, std::memory_order_relaxed) || found == mine;
  }

  bool take_until(Deadline deadline) {
    const Status s = acquire(deadline);
    if (s == Status::foreign_registry) internal::throw_semaphore_error("acquire a permit", s);
    return s == Status::ok;
  }

  /// Calls `done` with one permit after the other until it says true, each process from another
  /// place on.
  template <class Done>
  bool any_permit(Tag me, Done done) noexcept {
    const std::uint32_t count = bound();
    // Fibonacci hashing: neighbouring tags begin far apart.
    const std::uint32_t spread = me * 0x9e3779b9U;
    auto i = static_cast<std::uint32_t>(std::uint64_t{spread} * count >> 32);
    for (std::uint32_t looked = 0; looked < count; ++looked) {
      if (done(permits_[i])) return true;
      if (++i == count) i = 0;
    }
    return false;
  }

  bool take_free(Tag me) noexcept {
    return any_permit(me, [me](Permit& permit) {
      // Relaxed: the compare-and-swap orders.
      const std::uint64_t seen = Env::load(permit, std::memory_order_relaxed);
      return take_from(participant::kNobody, permit, seen, me);
    });
  }

  /// Takes a permit as long as it is `owner`'s; `seen` is what it was at the last look.
  static bool take_from(Tag owner, Permit& permit, std::uint64_t seen, Tag me) noexcept {
    for (int attempt = 0; attempt < kMostAttempts && owner_of(seen) == owner; ++attempt) {
      // Acquire: pairs with the release of the last owner. If that is dead, the probe came after
      // the kernel had dropped its file lock.
      if (Env::cas(permit, seen, changed(seen, me), std::memory_order_acquire)) return true;
    }
    return false;
  }

  /// The same, also from the dead.
  bool take_over(Tag me) noexcept {
    Tag living = me;  // the last one that was found alive
    return any_permit(me, [me, &living](Permit& permit) {
      // Relaxed: the compare-and-swap orders.
      const std::uint64_t seen = Env::load(permit, std::memory_order_relaxed);
      const Tag owner = owner_of(seen);
      if (owner == me || owner == living) return false;
      if (owner != participant::kNobody && Env::probe(owner) != Liveness::dead) {
        living = owner;
        return false;
      }
      if (!take_from(owner, permit, seen, me)) return false;
      if (owner != participant::kNobody) {
        internal::tell_owner_died("OwnedSemaphore's permit", &permit, owner);
      }
      return true;
    });
  }

  /// Frees a permit of `me`. `changes` sums up what was seen of the others.
  bool give_back(Tag me, std::uint64_t& changes) noexcept {
    return any_permit(me, [me, &changes](Permit& permit) {
      // Acquire: keeps the looks of two passes in their order.
      std::uint64_t seen = Env::load(permit, std::memory_order_acquire);
      // Release: pairs with the acquire of the next owner.
      if (owner_of(seen) == me &&
          Env::cas(permit, seen, changed(seen, participant::kNobody), std::memory_order_release)) {
        return true;
      }
      changes += changes_of(seen);
      return false;
    });
  }

  BasicEventCount<Env> freed_;
  internal::Word<std::uint32_t> incarnation_;
  internal::Word<std::uint32_t> withheld_;
  internal::Word<std::uint32_t> unused_;
  Permit permits_[kMost];
};

/// Up to kMost permits, of which those of a process that dies can be had again: 16 bytes and 8 per
/// permit.
template <std::uint32_t kMost>
using OwnedSemaphore = BasicOwnedSemaphore<internal::RealPermitEnv, kMost>;

static_assert(sizeof(OwnedSemaphore<1>) == 24 && alignof(OwnedSemaphore<1>) == 8);
static_assert(sizeof(OwnedSemaphore<1024>) == 16 + 8192);
static_assert(internal::Mappable<OwnedSemaphore<1024>>);

}  // namespace sluice

#endif  // SLUICE_SYNC_OWNED_SEMAPHORE_H_
