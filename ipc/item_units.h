// SPDX-License-Identifier: Apache-2.0
//
// BasicItemUnits: the units of an item store (ipc/item_store.h) under its lock: which are free,
// what an item's bytes are, who is whose neighbour. Internal.
//
//   BasicItemUnits<Env> units(control, storage, growth);
//   std::uint32_t unit = 0;
//   if (units.take(5, unit) == Status::ok) units.write(unit, 5, fill);
//
// In memory: ipc/item_layout.h. Units: bytes; numbers of units, from 1.
// Errors, as Status: full, busy (no memory to grow into), corrupt (numbers that no correct process
// leaves). A neighbour's number that leads nowhere is taken for a private unit's.
// Threads and processes: whoever has the lock.
// If a process dies here: taking and giving change what is derived alone; see ipc/item_store.h.
// Cost: memory accesses; no system call but for growing.

#ifndef SLUICE_IPC_ITEM_UNITS_H_
#define SLUICE_IPC_ITEM_UNITS_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class Env>
class BasicItemUnits {
 public:
  using Unit = std::uint32_t;  ///< its number
  static constexpr Unit kNone = 0;

  BasicItemUnits(ItemControl<Env>& control, std::span<std::byte> storage, Unit first,
                 GrowingMemory* growth)
      : control_(control),
        storage_(storage),
        count_(static_cast<Unit>(storage.size() / kUnitBytes)),
        first_(std::min(first, count_)),
        growth_(growth) {}

  /// Words that are derived, or that a mark publishes.
  template <class T>
  [[nodiscard]] static T get(const Word<T>& word) {
    // Relaxed: under the lock, or for a snapshot.
    return Env::load(word, std::memory_order_relaxed);
  }
  template <class T>
  static void set(Word<T>& word, T to) {
    // Relaxed: read under the lock, or for a snapshot.
    Env::store(word, to, std::memory_order_relaxed);
  }

  [[nodiscard]] Unit count() const { return count_; }
  [[nodiscard]] bool is_unit(Unit unit) const { return unit - 1 < count_; }
  [[nodiscard]] ItemUnit& at(Unit unit) const {
    if (!is_unit(unit)) [[unlikely]]
      return nowhere_;
    return *attach_object<ItemUnit>(storage_.subspan(std::size_t{unit - 1} * kUnitBytes));
  }

  [[nodiscard]] ItemMark mark(Unit unit) const {
    // Acquire: pairs with the release in set_mark(), also where its writer died with the lock.
    return ItemMark::unpack(Env::load(at(unit).mark, std::memory_order_acquire));
  }
  /// What commits.
  void set_mark(Unit unit, const ItemMark& mark) {
    // Release: pairs with the acquire above: the item's bytes, length, key and chain are there.
    Env::store(at(unit).mark, mark.packed(), std::memory_order_release);
  }

  // Free units

  /// A chain of `n` units.
  Status take(std::uint64_t n, Unit& first) {
    const Unit used = get(control_.used);
    if (used > count_ || n > count_ - used) return Status::full;
    Unit last = kNone;
    for (std::uint64_t i = 0; i < n; ++i) {
      Unit unit = kNone;
      if (const Status s = take_one(unit); s != Status::ok) {
        if (i != 0) give(first, i);
        return s;
      }
      set(at(unit).chain, kNone);
      if (last == kNone) {
        first = unit;
      } else {
        set(at(last).chain, unit);
      }
      last = unit;
      set(control_.used, static_cast<Unit>(used + i + 1));
    }
    return Status::ok;
  }

  /// Gives back a chain of `n`.
  void give(Unit first, std::uint64_t n) {
    Unit last = first;
    if (n > count_) return;
    for (std::uint64_t i = 1; i < n && is_unit(last); ++i) last = get(at(last).chain);
    if (!is_unit(first) || !is_unit(last)) return;
    set(at(last).chain, get(control_.free));
    set(control_.free, first);
    set(control_.used, static_cast<Unit>(get(control_.used) - n));
    if (growth_ != nullptr && get(control_.used) == 0 && get(control_.fresh) > first_) begin_anew();
  }

  // Bytes

  /// Has `fill` write an item of `size` bytes into that many units.
  template <class Fill>
  void write(Unit unit, std::uint64_t size, Fill fill) {
    set(at(unit).length, static_cast<std::uint32_t>(size));
    const auto first = storage_.subspan(start_of(unit) + kFirstUnitOffset, kFirstUnitRoom);
    if (size <= kFirstUnitRoom) [[likely]]
      return fill(first.first(size));
    const auto whole = record_scratch(size);
    fill(whole);
    std::ranges::copy(whole.first(kFirstUnitRoom), first.begin());
    auto left = whole.subspan(kFirstUnitRoom);
    for (unit = get(at(unit).chain); is_unit(unit) && !left.empty(); unit = get(at(unit).chain)) {
      const std::size_t n = std::min(left.size(), kNextUnitRoom);
      std::ranges::copy(left.first(n),
                        storage_.subspan(start_of(unit) + kNextUnitOffset, n).begin());
      left = left.subspan(n);
    }
  }

  /// Has `read` read an item's bytes, and returns what it says.
  template <class Read>
  Status read(Unit unit, Read& read) const {
    const std::uint64_t size = length(unit);
    if (!is_unit(unit) || units_for(size) > count_) return Status::corrupt;
    const std::span<const std::byte> first =
        storage_.subspan(start_of(unit) + kFirstUnitOffset, kFirstUnitRoom);
    if (size <= kFirstUnitRoom) [[likely]]
      return read(first.first(size));
    const auto whole = record_scratch(size);
    std::ranges::copy(first, whole.begin());
    auto left = whole.subspan(kFirstUnitRoom);
    while (!left.empty()) {
      unit = get(at(unit).chain);
      if (!is_unit(unit)) return Status::corrupt;
      const std::size_t n = std::min(left.size(), kNextUnitRoom);
      std::ranges::copy(storage_.subspan(start_of(unit) + kNextUnitOffset, n), left.begin());
      left = left.subspan(n);
    }
    return read(std::span<const std::byte>(whole));
  }

  [[nodiscard]] std::uint32_t length(Unit unit) const { return get(at(unit).length); }
  [[nodiscard]] std::uint64_t key(Unit unit) const { return get(at(unit).key); }

  /// How many items are queued or leased now. Each time that these are none a round has ended: who
  /// waited for that need not wait for those that come next.
  void set_unfinished(Unit n) {
    // Release, twice: pairs with the acquires in the store's unfinished() and rounds(): who sees
    // the last one finished sees what was done for it.
    Env::store(control_.unfinished, n, std::memory_order_release);
    if (n != 0) return;
    Env::store(control_.rounds, get(control_.rounds) + 1, std::memory_order_release);  // as above
  }

  // Lists

  /// Puts `unit` behind `before`; at the front if that is none.
  void link(ItemList& list, Unit unit, Unit before) {
    const Unit after = before == kNone ? get(list.first) : get(at(before).after);
    set(at(unit).before, before);
    set(at(unit).after, after);
    set(before == kNone ? list.first : at(before).after, unit);
    set(after == kNone ? list.last : at(after).before, unit);
    set(list.count, get(list.count) + 1);
  }
  void unlink(ItemList& list, Unit unit) {
    const Unit before = get(at(unit).before);
    const Unit after = get(at(unit).after);
    set(before == kNone ? list.first : at(before).after, after);
    set(after == kNone ? list.last : at(after).before, before);
    set(list.count, get(list.count) - 1);
  }
  /// Where its key says, from the front on.
  void link_by_key(ItemList& list, Unit unit) {
    Unit before = kNone;
    Unit after = get(list.first);
    for (Unit i = 0; i < count_ && is_unit(after) && key(after) < key(unit); ++i) {
      before = after;
      after = get(at(after).after);
    }
    link(list, unit, before);
  }

 private:
  [[nodiscard]] static std::size_t start_of(Unit unit) {
    return std::size_t{unit - 1} * kUnitBytes;
  }

  Status take_one(Unit& unit) {
    unit = get(control_.free);
    if (unit != kNone) {
      if (!is_unit(unit)) return Status::corrupt;
      set(control_.free, get(at(unit).chain));
      return Status::ok;
    }
    const Unit fresh = get(control_.fresh);
    if (fresh >= count_) return Status::corrupt;
    if (fresh >= get(control_.backed)) {
      if (const Status s = back(std::uint64_t{fresh} + 1); s != Status::ok) return s;
    }
    unit = fresh + 1;
    // Before the unit has a mark: whoever makes the lists anew looks at all that may have one.
    set(control_.fresh, unit);
    return Status::ok;
  }

  /// Gives the first `wanted` units memory.
  Status back(std::uint64_t wanted) {
    const std::uint64_t backed = std::uint64_t{get(control_.backed)} * kUnitBytes;
    if (growth_ == nullptr || backed > storage_.size()) return Status::corrupt;
    const std::uint64_t end =
        std::min<std::uint64_t>((wanted * kUnitBytes + GrowingMemory::kStep - 1) /
                                    GrowingMemory::kStep * GrowingMemory::kStep,
                                std::uint64_t{count_} * kUnitBytes);
    if (!growth_->back(backed, end)) return Status::busy;
    set(control_.backed, static_cast<Unit>(end / kUnitBytes));
    return Status::ok;
  }

  /// Nothing is left: back to what it had memory for at first. In this order: who finds units with
  /// memory writes there.
  void begin_anew() {
    set(control_.free, kNone);
    set(control_.fresh, Unit{0});
    set(control_.backed, first_);
    growth_->give_back(std::uint64_t{first_} * kUnitBytes, std::uint64_t{count_} * kUnitBytes);
  }

  ItemControl<Env>& control_;
  std::span<std::byte> storage_;
  Unit count_;
  Unit first_;
  GrowingMemory* growth_;
  mutable ItemUnit nowhere_ = {};
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_UNITS_H_
