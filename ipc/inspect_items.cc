// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/ipc/inspection.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/leased_items.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/sync/env.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

using Control = ItemControl<RealLockEnv>;

constexpr std::size_t kHead = kQueueHeaderBytes + kItemUnitsOffset;
/// Consumers who hold tasks: more are not named.
constexpr std::size_t kMostConsumers = 64;

template <class T>
T get(const Word<T>& word) {
  return RealEnv::load(word, std::memory_order_relaxed);  // relaxed: of a private copy
}

/// What no correct process could have written; empty if there is nothing.
std::string fault_of(const QueueHeader& header, const Control& control, std::uint64_t room) {
  const std::uint64_t units = get(control.units);
  if (units == 0 || units > LeasedItems::kMostUnits || units > room / kUnitBytes ||
      get(control.first_units) == 0 || get(control.first_units) > units) {
    return std::to_string(units) + " units in " + std::to_string(room) + " bytes";
  }
  if (get(control.state) > static_cast<std::uint32_t>(QueueState::dropped) ||
      get(control.order) > static_cast<std::uint32_t>(ItemOrder::heap) ||
      get(header.overflow) > static_cast<std::uint32_t>(Overflow::drop_newest)) {
    return "state " + std::to_string(get(control.state)) + ", order " +
           std::to_string(get(control.order)) + ", overflow policy " +
           std::to_string(get(header.overflow));
  }
  const std::uint64_t most =
      std::max({get(control.queued.count), get(control.leased.count), get(control.dead.count),
                get(control.used), get(control.fresh), get(control.backed)});
  if (most > units) return "a count of " + std::to_string(most) + " in " + std::to_string(units);
  return "";
}

void describe_counters(Inspection& inspection, const Control& control) {
  const bool dropped = get(control.state) == static_cast<std::uint32_t>(QueueState::dropped);
  inspection.counter("items", dropped ? 0 : get(control.queued.count), "items");
  inspection.counter("leased", get(control.leased.count), "items");
  inspection.counter("dead letters", get(control.dead.count), "items");
  inspection.counter("bytes", std::uint64_t{get(control.used)} * kUnitBytes, "bytes");
  inspection.counter("most items", get(control.max_items), "items");
  inspection.counter("most bytes", get(control.units) * kUnitBytes, "bytes");
  inspection.counter("most attempts", get(control.max_attempts), "");
  inspection.counter("dropped", get(control.dropped), "items");
  inspection.counter("closed", get(control.state) == 0 ? 0U : 1U, "yes or no");
  if (control.pushed.maybe_waiting()) inspection.waiting("consumers, for an item");
  if (control.popped.maybe_waiting()) inspection.waiting("producers, for room");
  if (control.finished.maybe_waiting()) inspection.waiting("somebody, for the last item's end");
}

/// Who holds tasks, by the marks of the units.
void describe_consumers(Inspection& inspection, std::uint64_t units) {
  const std::uint64_t size =
      std::min<std::uint64_t>(kHead + units * kUnitBytes, Inspection::kCopyUpTo);
  std::optional<ObjectCopy> copy = inspection.copy(size);
  if (!copy) return;
  std::map<Tag, std::uint64_t> tasks;
  for (std::uint64_t at = kHead; at + kUnitBytes <= size; at += kUnitBytes) {
    const auto* const unit = attach_object<ItemUnit>(copy->bytes().subspan(at, kUnitBytes));
    const ItemMark mark = ItemMark::unpack(get(unit->mark));
    if (mark.state != ItemState::leased) continue;
    if (tasks.size() < kMostConsumers || tasks.contains(mark.tag)) ++tasks[mark.tag];
  }
  for (const auto& [tag, count] : tasks) {
    inspection.owner("consumer", "holds " + std::to_string(count), tag);
  }
}

}  // namespace

void inspect_items(Inspection& inspection) {
  std::optional<ObjectCopy> copy = inspection.copy(kHead);
  if (!copy) {
    inspection.fault(std::to_string(inspection.room()) + " bytes, too few for a queue");
    return;
  }
  const auto& header = *attach_object<QueueHeader>(copy->bytes());
  const auto& control = *attach_object<Control>(copy->bytes().subspan(kQueueHeaderBytes));
  std::string fault = fault_of(header, control, inspection.room() - kHead);
  describe_counters(inspection, control);
  inspection.lock("lock", control.lock.report(), 0);
  if (get(header.ends_with_producers) != 0) describe_producers(inspection, header.seats);
  if (!fault.empty()) {
    inspection.fault(std::move(fault));
    return;
  }
  if (get(control.leased.count) != 0) describe_consumers(inspection, get(control.fresh));
}

}  // namespace sluice::internal
