// SPDX-License-Identifier: Apache-2.0
//
// In which order an item store (ipc/item_store.h) gives what it got: a list with two ends. A heap
// has the same parts: ipc/item_heap.h. Internal.
//
//   ListIndex index(control, units, control.queued, ItemEnd::back);
//   index.place(unit);             // before the commit of a push: gives the item its key
//   index.insert(unit);            // after it
//   index.choose(unit);            // what comes next: empty, corrupt, or ok
//   index.remove(unit);            // after the commit of a pop
//
// Threads and processes: whoever has the lock. If a process dies here: the key is part of the item,
// which is committed later; the links are derived. Cost: a few loads and stores.

#ifndef SLUICE_IPC_ITEM_INDEX_H_
#define SLUICE_IPC_ITEM_INDEX_H_

#include <cstdint>

#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_units.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

enum class ItemEnd : std::uint8_t { front, back };

template <class Env>
class ListIndex {
  using Units = BasicItemUnits<Env>;
  using Unit = typename Units::Unit;

 public:
  ListIndex(ItemControl<Env>& control, Units& units, ItemList& list, ItemEnd end)
      : control_(control), units_(units), list_(list), end_(end) {}

  Status place(Unit unit) {
    const bool back = end_ == ItemEnd::back;
    auto& last = back ? control_.back_key : control_.front_key;
    const std::uint64_t key = Units::get(last) + (back ? 1 : ~std::uint64_t{0});
    Units::set(units_.at(unit).key, key);
    Units::set(last, key);
    return Status::ok;
  }
  void insert(Unit unit) {
    units_.link(list_, unit, end_ == ItemEnd::back ? Units::get(list_.last) : Units::kNone);
  }
  Status choose(Unit& unit) const {
    if (Units::get(list_.count) == 0) return Status::empty;
    unit = Units::get(end_ == ItemEnd::back ? list_.last : list_.first);
    return units_.is_unit(unit) ? Status::ok : Status::corrupt;
  }
  void remove(Unit unit) { units_.unlink(list_, unit); }

 private:
  ItemControl<Env>& control_;
  Units& units_;
  ItemList& list_;
  ItemEnd end_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_INDEX_H_
