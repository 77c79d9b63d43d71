// SPDX-License-Identifier: Apache-2.0
//
// EventCount: lets threads and processes sleep until a condition on lock-free shared words may have
// become true. Not a condition variable: there is no lock, and not a counter of events: a wake-up
// says only "look again".
//
//   // the side that changes something            // the side that waits for it
//   publish(item);                                Status s = items.await(
//   items.notify_all();                               5ms, [&] { return !ring_empty(); },
//                                                     [&] { return peer_state(); });
//
// In memory (4 bytes, all zero = nobody waits; may be a member of a shared struct):
//
//   31                                        2        1         0
//   +------------------------------------------+---------+---------+
//   | epoch, one up per notification of a sleeper | fence   | waiting |
//   +------------------------------------------+---------+---------+
//   waiting: set by a waiter before its last look, cleared by a notifier that wakes everybody
//   fence:   set for good by a waiter whose kernel refuses membarrier(2)
//
// Units: Deadline. Errors: await() returns ok, timeout, or what `still_hopeful` said.
// Threads and processes: all calls may overlap. notify_one() and notify_all() may be called in a
// signal handler, whatever it interrupts, allocate nothing, and need no attach(). Source: the event
// count of Reed and Kanodia (1979), in the form of folly's; membarrier(2) for the asymmetric
// barrier.
//
// Why no wake-up is lost. Waiter: set `waiting`, heavy barrier, look at the condition, sleep if the
// word is unchanged. Notifier: change the condition, light barrier, look at the word. The heavy
// barrier puts a full barrier into the notifier's instruction stream. Either that point lies after
// the notifier's change: then the waiter's look sees the change; or before it: then the notifier's
// look, later still, sees `waiting`, bumps the epoch, and the futex refuses to sleep or is woken.
// `waiting` is cleared only together with a new epoch and before everybody is woken, so nobody who
// had set it sleeps on.
//
// If a process dies here: a killed waiter leaves at most `waiting` set, which costs one needless
// wake call; a notifier killed between its change and its wake call leaves sleepers to the end of
// their slice (sync/wait_policy.h). Nothing needs repair.
//
// Cost: notify with nobody waiting: one load, no system call. A sleeper: one membarrier, and
// one futex call per slice.

#ifndef SLUICE_SYNC_EVENT_COUNT_H_
#define SLUICE_SYNC_EVENT_COUNT_H_

#include <climits>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/patience.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What EventCount is over an environment, the machine or a test.
template <class Env>
class BasicEventCount {
 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName = "sluice.EventCount";

  /// What a waiter saw when it announced itself.
  enum class Key : std::uint32_t {};

  /// How often an adaptive await() looks before it sleeps: about as long as falling asleep and
  /// being woken would take.
  static constexpr int kSpinLooks = 1000;

  /// Wakes one sleeper, if somebody may sleep. Call after the change it tells of.
  void notify_one() noexcept { notify(false); }

  /// Wakes all sleepers, if somebody may sleep. Call after the change it tells of.
  void notify_all() noexcept { notify(true); }

  /// Announces a waiter. Look at the condition after this call and before sleep().
  [[nodiscard]] Key announce() noexcept {
    BasicEventCount* const self = this;
    Key key{};
    announce_all({&self, 1}, {&key, 1});
    return key;
  }

  /// What announce() does, for many at the cost of one barrier.
  static void announce_all(std::span<BasicEventCount* const> events, std::span<Key> keys) noexcept {
    for (std::size_t i = 0; i < events.size(); ++i) {
      // Relaxed: the barrier that follows is what orders this before the caller's look.
      keys[i] =
          Key{Env::fetch_or(events[i]->word_, kWaiting, std::memory_order_relaxed) | kWaiting};
    }
    if (Env::heavy_barrier()) return;
    constexpr std::uint32_t kBoth = kFence | kWaiting;
    for (std::size_t i = 0; i < events.size(); ++i) {
      // Relaxed, as above; `fence` makes every later notifier pay its own half of the barrier.
      // `waiting` once more: it may have been cleared meanwhile.
      keys[i] = Key{Env::fetch_or(events[i]->word_, kBoth, std::memory_order_relaxed) | kBoth};
    }
    Env::fence();
  }

  /// Whether nobody has notified since `key`: then that announcement still stands.
  [[nodiscard]] bool stands(Key key) const noexcept {
    // Relaxed: if this load is behind the times, the futex is not.
    return Env::load(word_, std::memory_order_relaxed) == static_cast<std::uint32_t>(key);
  }

  /// For who sleeps by other means than sleep(): the futex word.
  [[nodiscard]] internal::Word<std::uint32_t>& word() noexcept { return word_; }

  /// Sleeps until notified since `key`, at most until `until`; may return early.
  void sleep(Key key, Deadline::TimePoint until) noexcept {
    Env::futex_wait(word_, static_cast<std::uint32_t>(key), until);
  }

  /// Waits until `ready()`, which is called often and must be cheap, in the way that the thread's
  /// WaitPolicy says. Before each sleep, and so at least once per slice, `still_hopeful()` says
  /// whether waiting makes sense: anything but ok ends the wait with that status, after a last look
  /// at `ready()`.
  template <class Ready, class StillHopeful>
  Status await(Deadline deadline, Ready ready, StillHopeful still_hopeful) {
    if (ready()) return Status::ok;
    if (deadline.is_now()) return Status::timeout;
    internal::BasicPatience<Env> patience(deadline, kSpinLooks);
    Key key{};
    bool announced = false;  // and nobody has notified since
    for (;;) {
      switch (patience.next()) {
        case internal::Patience::look:
          break;
        case internal::Patience::ask:
          // A peer's last act and its end are seen in the opposite order by nobody who looks twice.
          if (const Status s = still_hopeful(); s != Status::ok) return ready() ? Status::ok : s;
          break;
        case internal::Patience::sleep:
          if (!announced) {
            key = announce();
            if (ready()) return Status::ok;
          }
          sleep(key, patience.slice_end());
          announced = stands(key);
          break;
        case internal::Patience::give_up:
          return ready() ? Status::ok : Status::timeout;
      }
      if (ready()) return Status::ok;
    }
  }

  /// A snapshot for people: whether somebody may be asleep.
  [[nodiscard]] bool maybe_waiting() const noexcept {
    // Relaxed: nothing is concluded from it.
    return (Env::load(word_, std::memory_order_relaxed) & kWaiting) != 0;
  }

 private:
  static constexpr std::uint32_t kWaiting = 1;
  static constexpr std::uint32_t kFence = 2;
  static constexpr std::uint32_t kEpoch = 4;
  /// Against a word that somebody keeps changing: sleepers then notice at the end of their slice.
  static constexpr int kMostAttempts = 1000;

  /// In the caller's code: mostly there is nobody.
  [[gnu::always_inline]] void notify(bool everybody) noexcept {
    Env::light_barrier();
    // Relaxed: the barrier above keeps it behind the caller's change; see "no wake-up is lost".
    const std::uint32_t word = Env::load(word_, std::memory_order_relaxed);
    if ((word & (kWaiting | kFence)) != 0) [[unlikely]]
      notify_those(word, everybody);
  }

  [[gnu::noinline]] void notify_those(std::uint32_t word, bool everybody) noexcept {
    if ((word & kFence) != 0) {
      Env::fence();
      // Relaxed: the fence pairs with the one in announce().
      word = Env::load(word_, std::memory_order_relaxed);
    }
    if ((word & kWaiting) != 0) wake(everybody);
  }

  void wake(bool everybody) noexcept {
    if (!everybody) {
      // Relaxed: the sleeper learns of the change through the condition's own words.
      Env::fetch_add(word_, kEpoch, std::memory_order_relaxed);
      // The bit stays, since others may be asleep.
      if (Env::futex_wake(word_, 1) > 0) return;
    }
    // Bumping the epoch and clearing the bit in one step, before the wake call: who announced
    // itself earlier is asleep and gets woken, or holds an outdated key; who does later sets the
    // bit again.
    std::uint32_t word = Env::load(word_, std::memory_order_relaxed);  // relaxed: the swap decides
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      // Relaxed, as the addition above.
      if (Env::cas(word_, word, (word + kEpoch) & ~kWaiting, std::memory_order_relaxed)) break;
    }
    Env::futex_wake(word_, INT_MAX);
  }

  internal::Word<std::uint32_t> word_;
};

/// The event count that ships.
using EventCount = BasicEventCount<internal::RealEnv>;

static_assert(sizeof(EventCount) == 4 && alignof(EventCount) == 4);
static_assert(internal::Mappable<EventCount>);

}  // namespace sluice

#endif  // SLUICE_SYNC_EVENT_COUNT_H_
