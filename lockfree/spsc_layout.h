// SPDX-License-Identifier: Apache-2.0
//
// What a SpscRing looks like in memory, and how to find one's way in it: the control words, the
// cells, the place of an item, and a view whose numbers were checked once. Internal; the diagram is
// in lockfree/spsc_ring.h.
//
// Errors: attaching to what is no ring of T throws Error(Status::corrupt). If a process dies here:
// nothing is written but by SpscPlace::commit(), one store. Cost: a walk one load a cell.

#ifndef SLUICE_LOCKFREE_SPSC_LAYOUT_H_
#define SLUICE_LOCKFREE_SPSC_LAYOUT_H_

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// The word of a cell is half a position; twice the storage must fit in it.
inline constexpr std::size_t kMaxSpscCapacity = std::size_t{1} << 30;

struct SpscControl {
  Word<std::uint64_t> capacity;
  Word<std::uint64_t> shape;  // kSpscShape
  alignas(kNoSharing) Word<std::uint64_t> tail;
  alignas(kNoSharing) Word<std::uint64_t> head;
};
static_assert(sizeof(SpscControl) == 3 * kNoSharing);

/// How many items share a line with a word; 1 if not two of them do.
template <class T>
inline constexpr std::size_t kItemsInLine = [] {
  constexpr std::size_t kBegin = std::max(sizeof(std::uint32_t), alignof(T));
  return kBegin + 2 * sizeof(T) <= kCacheLine ? (kCacheLine - kBegin) / sizeof(T) : 1;
}();

/// From two lines on, an item begins on a line of its own, which copies faster.
template <class T>
inline constexpr std::size_t kItemAlignment =
    sizeof(T) >= 2 * kCacheLine ? std::max(kCacheLine, alignof(T)) : alignof(T);

template <class T>
struct alignas(kItemsInLine<T> > 1 ? kCacheLine
                                   : std::max(alignof(std::uint32_t), kItemAlignment<T>)) SpscCell {
  static constexpr std::size_t kItems = kItemsInLine<T>;

  Word<std::uint32_t> end;
  alignas(kItemAlignment<T>) T items[kItems];
};

template <class T>
inline constexpr std::uint64_t kSpscShape =
    std::uint64_t{kItemsInLine<T>} << 32 | sizeof(SpscCell<T>);

/// Where an item lies.
template <class T, class Env>
struct SpscPlace {
  using Cell = SpscCell<T>;

  Cell* cell;
  std::uint64_t first;  // position of the cell's first item
  std::uint32_t index;  // in the cell; kItems: behind it, which is the next one's begin

  [[nodiscard]] std::uint64_t position() const { return first + index; }
  [[nodiscard]] T& item() const { return cell->items[index]; }

  /// How many items of the cell are committed; those before `index` were.
  [[nodiscard]] std::uint32_t committed() const {
    // Acquire: pairs with the release in commit(), so the items are whole.
    const std::uint32_t end = Env::load(cell->end, std::memory_order_acquire);
    const std::uint32_t count = end - static_cast<std::uint32_t>(first);
    return count <= Cell::kItems ? std::max(count, index) : index;
  }

  /// Publishes the first `count` items of the cell.
  void commit(std::uint32_t count) const {
    // Release: the commit; pairs with the acquire in committed().
    Env::store(cell->end, static_cast<std::uint32_t>(first + count), std::memory_order_release);
  }
};

/// What both sides know of a ring, checked once and kept in private memory.
template <class T, class Env>
struct SpscView {
  using Cell = SpscCell<T>;
  using Place = SpscPlace<T, Env>;

  SpscControl* control;
  Cell* cells;
  std::uint64_t capacity;
  std::uint64_t cell_count;
  std::size_t item_size;  // sizeof(T), in a form that the compiler does not see through

  /// Copies one item. A large one by a call of memcpy, which picks the instructions for the
  /// machine: what the compiler puts in line for a size that it knows is slower by up to a third.
  void copy(T& to, const T& from) const {
    if constexpr (sizeof(T) > 256) {
      std::memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), item_size);
    } else {
      to = from;
    }
  }

  void copy_cell(T* to, const T* from) const {
    if constexpr (Cell::kItems > 1) {
      // A size that the compiler knows: a few wide moves.
      std::memcpy(static_cast<void*>(to), static_cast<const void*>(from), sizeof(Cell::items));
    } else {
      copy(*to, *from);
    }
  }

  [[nodiscard]] Place place(std::uint64_t position) const {
    const std::uint64_t index = position % Cell::kItems;
    return {cells + position / Cell::kItems % cell_count, position - index,
            static_cast<std::uint32_t>(index)};
  }

  /// The cell `distance` behind this one, which is less than there are.
  [[nodiscard]] Cell* ahead(const Cell* cell, std::uint64_t distance) const {
    const std::uint64_t at = static_cast<std::uint64_t>(cell - cells) + distance;
    return cells + (at < cell_count ? at : at - cell_count);
  }

  /// To the begin of the next cell.
  void go_on(Place& place) const {
    Cell* const cell = place.cell + 1;
    place.cell = cell == cells + cell_count ? cells : cell;
    place.first += Cell::kItems;
    place.index = 0;
  }

  /// The first position that is not committed, from `position` on and before or at `stop`, or a
  /// little behind it.
  [[nodiscard]] std::uint64_t walk(std::uint64_t position, std::uint64_t stop) const {
    while (static_cast<std::int64_t>(stop - position) > 0) {
      const Place at = place(position);
      const std::uint32_t count = at.committed();
      if (count == at.index) break;
      position = at.first + count;
    }
    return position;
  }

  /// So many that the cell which the producer writes holds nothing that is not consumed: capacity
  /// items may begin in the midst of a cell.
  static std::uint64_t cells_for(std::uint64_t capacity) {
    return (capacity + 2 * (Cell::kItems - 1)) / Cell::kItems;
  }

  static std::size_t bytes_for(std::size_t capacity) {
    if (capacity == 0 || capacity > kMaxSpscCapacity) {
      throw Error::from_errno(EINVAL, {.tried = "size a ring",
                                       .expected = "a capacity of 1 to 2^30 items",
                                       .found = std::to_string(capacity)});
    }
    return sizeof(SpscControl) + cells_for(capacity) * sizeof(Cell);
  }

  static SpscView attach(std::span<std::byte> memory) {
    auto* const control = attach_object<SpscControl>(memory);
    // Relaxed: written before the memory was published, and copied here once.
    const std::uint64_t capacity =
        control == nullptr ? 0 : Env::load(control->capacity, std::memory_order_relaxed);
    const bool fits = capacity > 0 && capacity <= kMaxSpscCapacity &&
                      // Relaxed, as above.
                      Env::load(control->shape, std::memory_order_relaxed) == kSpscShape<T> &&
                      bytes_for(capacity) <= memory.size();
    if (!fits) {
      throw Error(Status::corrupt,
                  {.tried = "attach to a ring in " + std::to_string(memory.size()) + " bytes",
                   .expected = "cells of " + std::to_string(Cell::kItems) + " items in " +
                               std::to_string(sizeof(Cell)) + " bytes",
                   .found = "capacity " + std::to_string(capacity) + ", or other cells"});
    }
    const std::uint64_t count = cells_for(capacity);
    return {control, attach_object<Cell>(memory.subspan(sizeof(SpscControl)), count), capacity,
            count, sizeof(T)};
  }
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_SPSC_LAYOUT_H_
