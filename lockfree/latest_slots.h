// SPDX-License-Identifier: Apache-2.0
//
// LatestSlots: lockfree/latest.h for a T of more than 8 bytes, which is written into one of four
// slots while readers read another. Internal.
//
// In memory (each part begins a cache line; all zero = a T of zeroes; who writes it):
//
//     0  newest u64 = version:62 | slot:2          writer; its store is the commit
//     8  pins[2] u64 = use:60 | state:2 | slot:2   a lapped reader, and a writer that grants
//    24  sleepers u32                              waiters, and a writer that wakes them
//    64  writing: Mutex                            writers
//   128  slot[0..3]: T as u64 words | turn u64     writer
//        turn: the `newest` that the slot's contents are, or will be once they are complete
//
// A writer holds the lock, takes a slot that is neither the newest nor pinned, sets its turn, fills
// it, and makes it the newest. A reader reads `newest`, copies that slot, and reads the slot's
// turn: if it is what `newest` was, nobody has begun to write there meanwhile. (Writers store turn
// and payload with release, readers load them with acquire: who has seen a word of a later value
// sees the later turn.) A correct writer only ever writes where the newest value is not: so a turn
// that does not fit while `newest` stands still is no work of sluice's: corrupt.
//
// Slots are taken in turn, so it takes three stores within one copy to lap a reader. One that has
// been lapped kHopes times asks: it marks a pin `wanted`. The next writer, before it takes a slot,
// makes that `granted` for the slot that is then the newest, and no writer writes there until the
// reader has let go. At most one writer can have looked at the pins before they were marked, and
// one more attempt sees it through. Two pins and the newest leave one slot of four for the writer,
// whatever the readers do. If both pins are taken, by readers that are lapped as well, or have been
// stopped or killed, a reader hopes on and after kPatience attempts takes one away: the number of
// its `use` changes, by which the other, if it lives, notices and begins anew.
//
// Source: the slots and the switch are those of four-slot mechanisms (Simpson 1990; Chen and Burns
// 1997), the check after the copy that of NBW (Kopetz and Reisinger 1993), the announcement that
// writers heed that of Peterson (1983) and of Larsson et al. (2009), who announce each read.
//
// If a process dies here: a writer: before the store of `newest` its value does not exist, the lock
// is passed on (sync/mutex.h), and its slot is written again by a later one; after it, its value
// stands. A reader: may leave a pin, which costs writers a slot that they can do without, until
// another reader takes the pin. Nothing needs repair, nobody probes but for the lock.
//
// Cost: a load two loads and the copy; a store lock, unlock, and the copy. No system call.

#ifndef SLUICE_LOCKFREE_LATEST_SLOTS_H_
#define SLUICE_LOCKFREE_LATEST_SLOTS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <ostream>
#include <stdexcept>

#include "sluice/lockfree/value_bytes.h"
#include "sluice/lockfree/word_copy.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

[[noreturn]] inline void refuse_forked_update() {
  throw std::logic_error(
      "sluice::Latest: update() lost its lock: a child forked inside it can't finish it");
}

/// `kHopes`: after how many laps a reader asks for a pin. Another number than 2 is for tests.
template <SharedValue T, class Env, int kHopes = 2>
class LatestSlots {
  static constexpr std::size_t kWords = (sizeof(T) + 7) / 8;
  static constexpr std::uint64_t kSlots = 4;
  static constexpr std::uint64_t kSlotBits = kSlots - 1;

  struct alignas(kCacheLine) Slot {
    std::array<Word<std::uint64_t>, kWords> words;
    Word<std::uint64_t> turn;
  };

  /// A pin's word.
  struct Pin {
    static constexpr std::uint64_t kState = 3 << 2, kFree = 0, kWanted = 1 << 2, kGranted = 2 << 2;
    static constexpr std::uint64_t kUse = 1 << 4;

    static constexpr bool is(std::uint64_t state, std::uint64_t pin) noexcept {
      return (pin & kState) == state;
    }
    static constexpr std::uint64_t next_use(std::uint64_t pin) noexcept {
      return ((pin & ~(kUse - 1)) + kUse) | kWanted;
    }
    static constexpr bool same_use(std::uint64_t a, std::uint64_t b) noexcept {
      return (a ^ b) < kUse;
    }
  };
  using Pins = std::array<Word<std::uint64_t>, 2>;

 public:
  /// What a reader has seen, to tell cheaply whether there is something else by now.
  struct Seen {
    std::uint64_t newest = 0;
  };

  LatestSlots() = default;
  explicit LatestSlots(const T& initial) noexcept { fill(slots_[0], initial); }

  [[nodiscard]] bool has_moved(Seen seen) const noexcept {
    // Relaxed: read() orders.
    return Env::load(newest_, std::memory_order_relaxed) != seen.newest;
  }

  /// ok or corrupt; then `to` is of no meaning.
  Status read(T& to, Seen& seen) const noexcept {
    // Acquire: pairs with the release in publish(), so that the slot is complete.
    std::uint64_t newest = Env::load(newest_, std::memory_order_acquire);
    for (int attempt = 0; attempt < kHopes; ++attempt) {
      seen.newest = newest;
      if (copy_newest(newest, to)) [[likely]]
        return Status::ok;
      newest = Env::load(newest_, std::memory_order_acquire);  // acquire: as above
      if (newest == seen.newest) return Status::corrupt;
    }
    return read_pinned(to, seen);
  }

  Status write(const T& value, Deadline deadline) {
    if (const Status s = take(deadline); s != Status::ok) return s;
    publish(value);
    return finish();
  }

  /// Puts the value into `value` and calls change(value) once, with the lock held; it returns
  /// whether to store what it has made of it.
  template <class Change>
  Status modify(Deadline deadline, T& value, Change change) {
    if (const Status s = take(deadline); s != Status::ok) return s;
    Unless unless{*this};
    // Relaxed: the lock orders.
    copy(slot_of(Env::load(newest_, std::memory_order_relaxed)), value);
    const bool stores = change(value);
    if (!writing_.is_owned()) [[unlikely]]
      refuse_forked_update();
    if (stores) publish(value);
    unless.is_done = true;
    return finish();
  }

  [[nodiscard]] BasicEventCount<Env>& sleepers() const noexcept { return sleepers_; }

  /// As Mutex::reset().
  Status reset() { return writing_.reset(); }
  /// As Mutex::adopt().
  void adopt() { writing_.adopt(); }

  void print(std::ostream& out) const {
    // Relaxed: for people.
    const std::uint64_t newest = Env::load(newest_, std::memory_order_relaxed);
    out << sizeof(T) << " bytes, version " << newest / kSlots << " in slot " << newest % kSlots
        << ", writers: " << writing_;
  }

 private:
  /// Laps that a reader bears before it takes another's pin away.
  static constexpr int kPatience = 64;
  /// Against words that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;
  static constexpr int kFewAttempts = 4;

  /// Gives the lock back if the scope is left by an exception.
  struct Unless {
    LatestSlots& slots;
    bool is_done = false;
    ~Unless() {
      if (!is_done) static_cast<void>(slots.give_back());
    }
  };

  /// A reader's hold on one of the pins.
  struct Hold {
    Word<std::uint64_t>* pin = nullptr;
    std::uint64_t use = 0;  ///< its word when it was taken
  };

  Slot& slot_of(std::uint64_t newest) noexcept { return slots_[newest & kSlotBits]; }
  const Slot& slot_of(std::uint64_t newest) const noexcept { return slots_[newest & kSlotBits]; }

  static void copy(const Slot& slot, T& to) noexcept {
    load_bytes<Env, sizeof(T)>(slot.words.data(), reinterpret_cast<std::byte*>(&to));
  }

  static void fill(Slot& slot, const T& value) noexcept {
    if constexpr (kMayHavePadding<T>) {
      T clean = value;
      clear_padding(clean);
      store_bytes<Env, sizeof(T)>(slot.words.data(), reinterpret_cast<const std::byte*>(&clean));
    } else {
      store_bytes<Env, sizeof(T)>(slot.words.data(), reinterpret_cast<const std::byte*>(&value));
    }
  }

  /// False if the slot has been taken for another value since.
  bool copy_newest(std::uint64_t newest, T& to) const noexcept {
    const Slot& slot = slot_of(newest);
    copy(slot, to);
    // Acquire: pairs with the release in publish(): who sees another turn sees that `newest` moved.
    return Env::load(slot.turn, std::memory_order_acquire) == newest;
  }

  Status read_pinned(T& to, Seen& seen) const noexcept {
    Hold hold;
    Status end = Status::timeout;
    for (int attempt = 0; attempt < kMostAttempts && end == Status::timeout; ++attempt) {
      if (hold.pin == nullptr) hold = ask(attempt);
      end = try_pinned(hold, to, seen);
    }
    let_go(hold);
    return end == Status::timeout ? Status::corrupt : end;
  }

  /// ok, corrupt, or timeout: not this time.
  Status try_pinned(Hold& hold, T& to, Seen& seen) const noexcept {
    // Acquire: pairs with the release in heed(), so that the slot that was granted is complete.
    const std::uint64_t pin =
        hold.pin == nullptr ? 0 : Env::load(*hold.pin, std::memory_order_acquire);
    if (hold.pin != nullptr && Pin::is(Pin::kGranted, pin) && Pin::same_use(pin, hold.use)) {
      const Slot& slot = slot_of(pin);
      copy(slot, to);
      // Acquire: for the pin's sake; nobody writes it as long as the pin is ours.
      seen.newest = Env::load(slot.turn, std::memory_order_acquire);
      // Relaxed: a writer of this slot saw the pin in other hands, and the loads above see what it
      // saw.
      if (Env::load(*hold.pin, std::memory_order_relaxed) == pin) return Status::ok;
      hold.pin = nullptr;
      return Status::timeout;
    }
    if (hold.pin != nullptr && !Pin::same_use(pin, hold.use)) hold.pin = nullptr;
    // Sequentially consistent: not older than what a writer left that had missed the pin.
    seen.newest = Env::load(newest_, std::memory_order_seq_cst);
    if (copy_newest(seen.newest, to)) return Status::ok;
    // Acquire: as in read().
    const bool stands = Env::load(newest_, std::memory_order_acquire) == seen.newest;
    return stands ? Status::corrupt : Status::timeout;
  }

  /// Marks a free pin as wanted; after much patience, one that is not free.
  Hold ask(int attempt) const noexcept {
    const bool takes_away = attempt % kPatience == kPatience - 1;
    for (std::size_t i = 0; i < pins_.size(); ++i) {
      Word<std::uint64_t>& pin = pins_[i];
      // Relaxed: the swap decides.
      std::uint64_t found = Env::load(pin, std::memory_order_relaxed);
      const bool is_its_turn =
          takes_away && static_cast<std::size_t>(attempt / kPatience) % pins_.size() == i;
      if (!Pin::is(Pin::kFree, found) && !is_its_turn) continue;
      const std::uint64_t use = Pin::next_use(found);
      // Sequentially consistent: a writer that comes later sees it.
      if (Env::cas(pin, found, use, std::memory_order_seq_cst)) return {&pin, use};
    }
    return {};
  }

  static void let_go(Hold hold) noexcept {
    if (hold.pin == nullptr) return;
    std::uint64_t found = hold.use;
    for (int attempt = 0; attempt < kFewAttempts && Pin::same_use(found, hold.use); ++attempt) {
      const std::uint64_t freed = hold.use & ~Pin::kState;
      // Release: pairs with the load in heed(); the copy is done.
      if (Env::cas(*hold.pin, found, freed, std::memory_order_release)) return;
    }
  }

  /// By a writer: answers the readers that have asked. Returns the slots to keep, one bit each.
  unsigned heed(std::uint64_t newest) noexcept {
    unsigned kept = 1U << (newest & kSlotBits);
    for (Word<std::uint64_t>& pin : pins_) {
      // Sequentially consistent: pairs with ask(); and acquire, with let_go().
      std::uint64_t found = Env::load(pin, std::memory_order_seq_cst);
      for (int i = 0; i < kFewAttempts && Pin::is(Pin::kWanted, found); ++i) {
        const std::uint64_t granted =
            (found & ~(Pin::kState | kSlotBits)) | Pin::kGranted | (newest & kSlotBits);
        // Release: pairs with the acquire in try_pinned().
        if (Env::cas(pin, found, granted, std::memory_order_release)) found = granted;
      }
      if (Pin::is(Pin::kGranted, found)) kept |= 1U << (found & kSlotBits);
    }
    return kept;
  }

  void publish(const T& value) noexcept {
    // Relaxed: the lock orders.
    const std::uint64_t newest = Env::load(newest_, std::memory_order_relaxed);
    const unsigned kept = heed(newest);
    std::uint64_t slot = (newest + 1) & kSlotBits;
    while ((kept >> slot & 1) != 0) slot = (slot + 1) & kSlotBits;  // three at most are kept
    const std::uint64_t next = ((newest | kSlotBits) + 1) | slot;
    // Release: pairs with copy_newest(): who sees it sees that `newest` is another slot.
    Env::store(slots_[slot].turn, next, std::memory_order_release);
    fill(slots_[slot], value);
    // Release: the commit; pairs with the acquire in read().
    Env::store(newest_, next, std::memory_order_release);
  }

  /// ok: the lock is held, whoever died with it.
  Status take(Deadline deadline) {
    const Status s = writing_.acquire(deadline);
    if (s != Status::owner_died) [[likely]]
      return s;
    try {
      writing_.mark_consistent();  // there is nothing to repair
      return Status::ok;
    } catch (const std::exception&) {
      return Status::corrupt;  // somebody has overwritten the lock
    }
  }
  Status give_back() noexcept {
    try {
      writing_.unlock();
      return Status::ok;
    } catch (const std::exception&) {
      return Status::corrupt;  // somebody has overwritten the lock
    }
  }
  Status finish() noexcept {
    const Status s = give_back();
    sleepers_.notify_all();
    return s;
  }

  alignas(kCacheLine) Word<std::uint64_t> newest_;
  mutable Pins pins_;
  mutable BasicEventCount<Env> sleepers_;
  alignas(kCacheLine) BasicMutex<Env> writing_;
  std::array<Slot, kSlots> slots_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_LATEST_SLOTS_H_
