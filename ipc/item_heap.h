// SPDX-License-Identifier: Apache-2.0
//
// HeapIndex: the order of ipc/priority_queue.h in an item store: the least comes next, and of equal
// ones the first. Internal; its parts are those of ipc/item_index.h.
//
// In memory: a binary heap of unit numbers, in the ranks of the units (ipc/item_layout.h).
//
// Errors: what comparing or decoding throws passes through, out of place() and choose(), which have
// changed nothing then that counts. An item that can't be decoded comes before all that can, so
// that who pops finds it.
// Threads and processes: whoever has the lock.
// If a process dies here: the ranks are derived; who mends them leaves them unsorted, and the next
// place() or choose() sorts them. Cost: O(log n) comparisons, each of which decodes an item.
// Source: the heap of Williams (1964).

#ifndef SLUICE_IPC_ITEM_HEAP_H_
#define SLUICE_IPC_ITEM_HEAP_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_units.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class Env, class T, class Compare>
class HeapIndex {
  using Units = BasicItemUnits<Env>;
  using Unit = typename Units::Unit;

 public:
  HeapIndex(ItemControl<Env>& control, Units& units) : control_(control), units_(units) {}

  Status place(Unit unit) {
    size_ = size();
    sort();
    const std::uint64_t key = Units::get(control_.back_key) + 1;
    Units::set(units_.at(unit).key, key);
    place_ = size_;
    if (place_ != 0) {
      const Entry mine = entry(unit);
      while (place_ != 0 && before(mine, entry(rank(parent(place_))))) place_ = parent(place_);
    }
    Units::set(control_.back_key, key);
    return Status::ok;
  }

  void insert(Unit unit) {
    for (Unit i = size_; i != place_; i = parent(i)) set_rank(i, rank(parent(i)));
    set_rank(place_, unit);
    Units::set(control_.queued.count, size_ + 1);
  }

  Status choose(Unit& unit) {
    size_ = size();
    if (size_ == 0) return Status::empty;
    sort();
    unit = rank(0);
    if (!units_.is_unit(unit)) return Status::corrupt;
    find_way_down(size_ - 1);
    return Status::ok;
  }

  void remove(Unit /*chosen*/) {
    const Unit n = size_ - 1;
    const Unit last = rank(n);
    Unit hole = 0;
    for (std::size_t i = 0; i < steps_; ++i) {
      set_rank(hole, rank(way_[i]));
      hole = way_[i];
    }
    set_rank(hole, last);
    Units::set(control_.queued.count, n);
  }

 private:
  struct Entry {
    T item{};
    bool sound = false;
    std::uint64_t key = 0;
  };

  static Unit parent(Unit i) { return (i - 1) / 2; }
  [[nodiscard]] Unit size() const {
    return std::min(Units::get(control_.queued.count), units_.count());
  }
  [[nodiscard]] Unit rank(Unit i) const { return Units::get(units_.at(i + 1).rank); }
  void set_rank(Unit i, Unit unit) { Units::set(units_.at(i + 1).rank, unit); }

  [[nodiscard]] Entry entry(Unit unit) const {
    Entry entry;
    const auto read = [&](std::span<const std::byte> bytes) { return decode(bytes, entry.item); };
    entry.sound = units_.read(unit, read) == Status::ok;
    entry.key = units_.key(unit);
    return entry;
  }
  static bool before(const Entry& a, const Entry& b) {
    if (!a.sound || !b.sound) return a.sound == b.sound ? a.key < b.key : !a.sound;
    const Compare compare;
    if (compare(a.item, b.item)) return true;
    return a.key < b.key && !compare(b.item, a.item);
  }

  /// Which places move up when the first is taken, and the last of `n` others takes its place.
  void find_way_down(Unit n) {
    steps_ = 0;
    if (n == 0) return;
    const Entry last = entry(rank(n));
    Unit hole = 0;
    for (Unit child = 1; child < n && steps_ < way_.size(); child = 2 * hole + 1) {
      Entry least = entry(rank(child));
      if (child + 1 < n) {
        Entry other = entry(rank(child + 1));
        if (before(other, least)) {
          ++child;
          least = std::move(other);
        }
      }
      if (before(last, least)) return;
      way_[steps_++] = child;
      hole = child;
    }
  }

  /// After a death. By hand, since std::sort() may leave its range where an order contradicts
  /// itself, as that of doubles does once there is a NaN.
  void sort() {
    if (Units::get(control_.unsorted) == 0) [[likely]]
      return;
    std::vector<Unit> ranks(size_);
    for (Unit i = 0; i < size_; ++i) {
      const Unit unit = rank(i);
      const Entry mine = entry(unit);
      Unit place = i;
      for (; place != 0 && before(mine, entry(ranks[parent(place)])); place = parent(place)) {
        ranks[place] = ranks[parent(place)];
      }
      ranks[place] = unit;
    }
    for (Unit i = 0; i < size_; ++i) set_rank(i, ranks[i]);
    Units::set(control_.unsorted, Unit{0});
  }

  ItemControl<Env>& control_;
  Units& units_;
  Unit size_ = 0;  ///< read once: others may write what they like there
  Unit place_ = 0;
  std::array<Unit, 32> way_{};
  std::size_t steps_ = 0;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_HEAP_H_
