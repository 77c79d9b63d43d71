// SPDX-License-Identifier: Apache-2.0
//
// WaitWord: how a thread waits for a change of a 64-bit word, asleep on its low half. Internal: the
// loop of Event, Latch and Once. Not for a condition that spans several words: that is EventCount.
//
// One bit of the word says that somebody may be asleep (`kWaiting`). A waiter sets it, with a
// compare-and-swap from the very word that it found wanting; whoever changes the word reads it with
// the same read-modify-write that makes the change. So one of the two comes first, in the word's
// own order, and no barrier is needed between them.
//
// Rule for the users: whoever clears `kWaiting` also changes the rest of the low half, or has left
// it changed from what sleepers expect. Then a waiter that is about to sleep does not.
//
// If a process dies here: at most the bit is left set, which costs one needless wake call.
// Cost: nothing but loads while a thread spins; then one compare-and-swap, unless the bit is set
// already, and one futex call per slice.

#ifndef SLUICE_SYNC_WAIT_WORD_H_
#define SLUICE_SYNC_WAIT_WORD_H_

#include <atomic>
#include <cstdint>

#include "sluice/sync/deadline.h"
#include "sluice/sync/patience.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class Env, std::uint64_t kWaiting>
struct WaitWord {
  /// How often an adaptive waiter looks before it sleeps: about as long as falling asleep and being
  /// woken would take.
  static constexpr int kSpinLooks = 1000;

  static constexpr std::uint32_t futex_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }

  /// Waits until `passes(word)`, which is called with each word that was read (acquire), and may
  /// put a newer one there. Before each sleep, and before it says timeout, `ask(word)` is called,
  /// and `passes` again after it. `may_sleep(word)` says whether whoever changes the word wakes.
  template <class Passes, class MaySleep, class Ask>
  static Status await(Word<std::uint64_t>& shared, Deadline deadline, Passes passes,
                      MaySleep may_sleep, Ask ask) {
    // Acquire, twice: pairs with the release of whoever made the change that is waited for.
    std::uint64_t word = Env::load(shared, std::memory_order_acquire);
    if (passes(word)) return Status::ok;
    BasicPatience<Env> patience(deadline, kSpinLooks);
    for (;;) {
      const Patience next = patience.next();
      if (next == Patience::ask) ask(word);
      if (next == Patience::sleep && may_sleep(word) && announce(shared, word)) {
        Env::futex_wait(shared, futex_of(word), patience.slice_end());
      }
      word = Env::load(shared, std::memory_order_acquire);  // as above
      if (passes(word)) return Status::ok;
      if (next == Patience::give_up) return Status::timeout;
    }
  }

  /// The same where there is nobody to ask after.
  template <class Passes, class MaySleep>
  static Status await(Word<std::uint64_t>& shared, Deadline deadline, Passes passes,
                      MaySleep may_sleep) {
    if (!deadline.is_now()) return await(shared, deadline, passes, may_sleep, [](std::uint64_t) {});
    // Acquire: as above.
    std::uint64_t word = Env::load(shared, std::memory_order_acquire);
    return passes(word) ? Status::ok : Status::timeout;
  }

 private:
  /// False if the word is another by now.
  static bool announce(Word<std::uint64_t>& shared, std::uint64_t& word) noexcept {
    if ((word & kWaiting) != 0) return true;
    const std::uint64_t with = word | kWaiting;
    // Relaxed: a bit for whoever changes the word, who reads it with a read-modify-write.
    if (!Env::cas(shared, word, with, std::memory_order_relaxed)) return false;
    word = with;
    return true;
  }
};

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_WAIT_WORD_H_
