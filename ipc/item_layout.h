// SPDX-License-Identifier: Apache-2.0
//
// The bytes of an item store (ipc/item_store.h), for itself and for the inspector. Internal.
//
//   store + 0     units u64, first units u64, limit in items u64, order u32,      set when made
//            28   most attempts u32, dead at once u32
//          128    who comes and goes: state u32, pushed, popped, finished: event counts u32,
//                 dropped u64, rounds u32              written rarely, read by everybody
//          256    the lock, and what it protects: keys, lists, counts
//          384    the units
//
//   unit (64 bytes; numbered from 1: as a number, 0 is none)
//      0 mark u64            an item's first unit: what has become of it. Others: 0
//      8 chain u32           the next unit of this item, or the next free one
//     12 rank u32            the unit whose item is at this place of the heap; of all units
//     16 key u64             a first unit: its place in the order. Others: 48 bytes of the item
//     24 length u32, 28 anonymous u32 (leased by a caller that keeps no lease)
//     32 before u32, after u32         neighbours in the item's list
//     40 the item's first 24 bytes
//
//   mark   63       32 31            4 3       0
//          +-----------+--------------+---------+
//          | holder's  | failed       | state   |
//          | tag       | attempts     |         |
//          +-----------+--------------+---------+
//   state: 0 free or not a first unit; 1 queued; 2 leased; 3 dead letter
//
// The marks, keys, lengths and chains of items are the truth; `fresh` says which units may have
// been used. All else (lists, heap, free units, counts, the next keys) is derived from them.
//
// If a process dies here: with the lock, an item whose mark was stored is there as it says, any
// other is not; what is derived may be half changed, and whoever takes the lock next makes it anew
// (ipc/item_mend.h). A lease names its holder, so that it is taken back from the dead.

#ifndef SLUICE_IPC_ITEM_LAYOUT_H_
#define SLUICE_IPC_ITEM_LAYOUT_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/ipc/record_layout.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

enum class ItemState : std::uint32_t { free = 0, queued = 1, leased = 2, dead = 3 };

struct ItemMark {
  static constexpr std::uint32_t kMostAttempts = (std::uint32_t{1} << 28) - 1;

  ItemState state = ItemState::free;
  std::uint32_t attempts = 0;
  std::uint32_t tag = 0;

  [[nodiscard]] static constexpr ItemMark unpack(std::uint64_t word) {
    return {static_cast<ItemState>(word & 15), static_cast<std::uint32_t>(word) >> 4,
            static_cast<std::uint32_t>(word >> 32)};
  }
  [[nodiscard]] constexpr std::uint64_t packed() const {
    return std::uint64_t{tag} << 32 | std::uint64_t{attempts & kMostAttempts} << 4 |
           static_cast<std::uint32_t>(state);
  }
};

inline constexpr std::size_t kUnitBytes = 64;
inline constexpr std::size_t kFirstUnitRoom = 24;
inline constexpr std::size_t kNextUnitRoom = 48;
inline constexpr std::size_t kNextUnitOffset = kUnitBytes - kNextUnitRoom;
inline constexpr std::size_t kFirstUnitOffset = kUnitBytes - kFirstUnitRoom;

/// How many units an item of that length takes.
constexpr std::uint64_t units_for(std::uint64_t length) {
  return length <= kFirstUnitRoom
             ? 1
             : 1 + (length - kFirstUnitRoom + kNextUnitRoom - 1) / kNextUnitRoom;
}

struct ItemUnit {
  Word<std::uint64_t> mark;
  Word<std::uint32_t> chain, rank;
  Word<std::uint64_t> key;
  Word<std::uint32_t> length, anonymous, before, after;
  std::array<std::byte, kFirstUnitRoom> bytes;
};
static_assert(sizeof(ItemUnit) == kUnitBytes && Mappable<ItemUnit>);

/// By unit number; 0 is none.
struct ItemList {
  Word<std::uint32_t> first, last, count;
};

/// In which order items are kept.
enum class ItemOrder : std::uint32_t { list = 0, heap = 1 };

template <class Env>
struct ItemControl {
  Word<std::uint64_t> units, first_units, max_items;
  Word<std::uint32_t> order, max_attempts, dead_at_once;

  alignas(kNoSharing) Word<std::uint32_t> state;
  RecordEvent<Env> pushed, popped, finished;
  Word<std::uint64_t> dropped;
  Word<std::uint32_t> rounds;  ///< how often the last unfinished item has been finished

  alignas(kNoSharing) BasicMutex<Env> lock;
  Word<std::uint64_t> front_key, back_key;  ///< of the last pushed there
  ItemList queued, leased, dead;            ///< a heap's items: `queued.count`, and the ranks
  Word<std::uint32_t> unfinished;           ///< queued and leased
  Word<std::uint32_t> fresh;                ///< units from here on, but for the first, are unused
  Word<std::uint32_t> free, used;
  Word<std::uint32_t> backed;    ///< units that have memory
  Word<std::uint32_t> unsorted;  ///< 1: the ranks are in no order
};
inline constexpr std::size_t kItemUnitsOffset = 3 * kNoSharing;
static_assert(sizeof(ItemControl<RealLockEnv>) == kItemUnitsOffset &&
              Mappable<ItemControl<RealLockEnv>>);

inline constexpr std::uint64_t kMiddleKey = std::uint64_t{1} << 63;

/// What a new store shall hold.
struct ItemPlan {
  std::uint64_t max_items = 0;
  std::uint64_t units = 0;
  std::uint64_t first_units = 0;  ///< that it has memory for at once
  ItemOrder order = ItemOrder::list;
  std::uint32_t max_attempts = 0;  ///< 0: no limit
  bool dead_at_once = false;       ///< one failure is enough
};

constexpr std::size_t item_store_bytes(const ItemPlan& plan) {
  return kItemUnitsOffset + plan.units * kUnitBytes;
}

/// Makes an empty store in zeroed memory of item_store_bytes(), of which the first units have
/// memory, before anyone else can see it. The memory must be aligned to kNoSharing.
template <class Env>
void format_items(std::span<std::byte> memory, const ItemPlan& plan) {
  auto* const control = attach_object<ItemControl<Env>>(memory);
  // Relaxed, all: publishing the memory is the caller's step and carries the order.
  const auto set = [](auto& word, auto to) {
    using T = std::remove_cvref_t<decltype(word.raw)>;
    Env::store(word, static_cast<T>(to), std::memory_order_relaxed);  // as above
  };
  set(control->units, plan.units);
  set(control->first_units, std::min(plan.first_units, plan.units));
  set(control->max_items, plan.max_items);
  set(control->order, static_cast<std::uint32_t>(plan.order));
  set(control->max_attempts, plan.max_attempts);
  set(control->dead_at_once, plan.dead_at_once ? 1 : 0);
  set(control->front_key, kMiddleKey);
  set(control->back_key, kMiddleKey - 1);
  set(control->backed, std::min(plan.first_units, plan.units));
}

/// Whether the store in `memory` needs somebody who gives it memory.
template <class Env>
[[nodiscard]] bool items_grow(std::span<std::byte> memory) {
  const auto* const control = attach_object<ItemControl<Env>>(memory);
  if (control == nullptr) return false;
  // Relaxed, twice: written before the memory was published.
  return Env::load(control->first_units, std::memory_order_relaxed) <
         Env::load(control->units, std::memory_order_relaxed);
}

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_LAYOUT_H_
