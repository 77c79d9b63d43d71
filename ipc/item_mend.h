// SPDX-License-Identifier: Apache-2.0
//
// ItemMend: makes all that an item store derives from its items anew, after an owner of its lock
// has died, or to drop what is queued. Internal.
//
//   if (lock.acquire() == Status::owner_died) status = ItemMend<Env>(control, units, false).run();
//
// Errors: corrupt: items share units, or lead nowhere. std::bad_alloc passes through; both leave
// the lock marked. Threads and processes: whoever has the lock.
// If a process dies here: what is written is derived, or an item that was dropped: the next does it
// again. Cost: O(n log n) of the units that have been used; private memory for as many.

#ifndef SLUICE_IPC_ITEM_MEND_H_
#define SLUICE_IPC_ITEM_MEND_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_units.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

template <class Env>
class ItemMend {
  using Units = BasicItemUnits<Env>;
  using Unit = typename Units::Unit;
  struct Found {
    std::uint64_t key;
    Unit unit;
    bool operator<(const Found& other) const { return key < other.key; }
  };

 public:
  ItemMend(ItemControl<Env>& control, Units& units, bool drop_queued)
      : control_(control),
        units_(units),
        drop_queued_(drop_queued),
        fresh_(std::min(Units::get(control.fresh), units.count())),
        in_use_(fresh_, false) {}

  Status run() {
    if (const Status s = collect(); s != Status::ok) return s;
    set_keys();
    const bool heap = Units::get(control_.order) == static_cast<std::uint32_t>(ItemOrder::heap);
    if (heap) {
      set_ranks();
    } else {
      relink(control_.queued, queued_);
    }
    relink(control_.leased, leased_);
    relink(control_.dead, dead_);
    const Unit used = set_free();
    Units::set(control_.fresh, fresh_);
    Units::set(control_.used, used);
    units_.set_unfinished(static_cast<Unit>(queued_.size() + leased_.size()));
    return Status::ok;
  }

 private:
  Status collect() {
    for (Unit unit = 1; unit <= fresh_; ++unit) {
      const ItemMark mark = units_.mark(unit);
      if (mark.state == ItemState::free) continue;
      if (mark.state == ItemState::queued && drop_queued_) {
        units_.set_mark(unit, ItemMark());
        continue;
      }
      if (!claim(unit)) return Status::corrupt;
      std::vector<Found>* const list = list_of(mark.state);
      if (list == nullptr) return Status::corrupt;
      list->push_back({units_.key(unit), unit});
    }
    for (auto* const list : {&queued_, &leased_, &dead_}) std::sort(list->begin(), list->end());
    return Status::ok;
  }

  /// Notes an item's units.
  bool claim(Unit unit) {
    std::uint64_t left = units_for(units_.length(unit));
    for (; left != 0; --left) {
      if (unit - 1 >= fresh_ || in_use_[unit - 1]) return false;
      in_use_[unit - 1] = true;
      unit = Units::get(units_.at(unit).chain);
    }
    return true;
  }

  std::vector<Found>* list_of(ItemState state) {
    switch (state) {
      case ItemState::queued:
        return &queued_;
      case ItemState::leased:
        return &leased_;
      case ItemState::dead:
        return &dead_;
      case ItemState::free:
        break;
    }
    return nullptr;
  }

  void set_keys() {
    std::uint64_t first = kMiddleKey;
    std::uint64_t last = kMiddleKey - 1;
    for (const auto* const list : {&queued_, &leased_, &dead_}) {
      if (list->empty()) continue;
      first = std::min(first, list->front().key);
      last = std::max(last, list->back().key);
    }
    Units::set(control_.front_key, first);
    Units::set(control_.back_key, last);
  }

  void relink(ItemList& list, const std::vector<Found>& items) {
    Units::set(list.first, Units::kNone);
    Units::set(list.last, Units::kNone);
    Units::set(list.count, Unit{0});
    for (const Found& item : items) units_.link(list, item.unit, Units::get(list.last));
  }

  /// In no order: who next needs one, and knows the items' type, makes it.
  void set_ranks() {
    Units::set(control_.unsorted, Unit{1});
    for (std::size_t i = 0; i < queued_.size(); ++i) {
      Units::set(units_.at(static_cast<Unit>(i + 1)).rank, queued_[i].unit);
    }
    Units::set(control_.queued.count, static_cast<Unit>(queued_.size()));
  }

  /// How many are not free.
  Unit set_free() {
    Unit used = 0;
    Unit free = Units::kNone;
    for (Unit unit = fresh_; unit != 0; --unit) {
      if (in_use_[unit - 1]) {
        ++used;
        continue;
      }
      Units::set(units_.at(unit).chain, free);
      free = unit;
    }
    Units::set(control_.free, free);
    return used;
  }

  ItemControl<Env>& control_;
  Units& units_;
  bool drop_queued_;
  Unit fresh_;
  std::vector<bool> in_use_;
  std::vector<Found> queued_, leased_, dead_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_MEND_H_
