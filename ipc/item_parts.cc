// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/item_parts.h"

#include <algorithm>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"

namespace sluice::internal {
namespace {

/// What a queue begins with that grows: 64 KiB.
constexpr std::uint64_t kFirstUnits = 1024;

std::uint64_t units_of(const Capacity& capacity, std::size_t item_bytes, std::size_t beside) {
  if (capacity.bytes != Capacity::kNoLimit) {
    return std::max<std::uint64_t>(1, capacity.bytes / kUnitBytes);
  }
  if (capacity.items != Capacity::kNoLimit && item_bytes != 0) {
    return (capacity.items + beside) * units_for(item_bytes);
  }
  return Capacity::kDefaultLimit / kUnitBytes;
}

}  // namespace

ItemQueuePlan ItemQueuePlan::of(const Capacity& capacity, const QueueOptions& options,
                                std::size_t item_bytes, std::size_t beside) {
  const bool counted = capacity.items != Capacity::kNoLimit;
  for (const std::size_t limit : {capacity.items * counted, capacity.bytes / kUnitBytes}) {
    if (limit > LeasedItems::kMostUnits) {
      refuse_capacity("at most " + std::to_string(LeasedItems::kMostUnits) +
                          " items and as many times 64 bytes",
                      limit);
    }
  }
  ItemPlan items = {};
  items.units = units_of(capacity, item_bytes, beside);
  if (items.units > LeasedItems::kMostUnits) {
    refuse_capacity("items of at most " + std::to_string(LeasedItems::kMostBytes) + " bytes in all",
                    items.units * kUnitBytes);
  }
  items.max_items = counted ? capacity.items : items.units;
  const bool grows = !counted || (capacity.bytes == Capacity::kNoLimit && item_bytes == 0);
  items.first_units = grows ? std::min(kFirstUnits, items.units) : items.units;
  QueueRules rules = QueueRules::of(capacity, options);
  if (grows) {
    rules.segment.backed = kQueueHeaderBytes + kItemUnitsOffset + items.first_units * kUnitBytes;
  }
  return {items, rules};
}

std::size_t ItemQueuePlan::object_bytes() const {
  return kQueueHeaderBytes + item_store_bytes(items);
}

Segment::Format ItemQueuePlan::format() const {
  return rules.format(QueueEngine::locked, [plan = items](std::span<std::byte> memory) {
    format_items<RealLockEnv>(memory, plan);
  });
}

ItemParts::ItemParts(Segment segment, ItemOrder order, bool alike)
    : QueueCore(std::move(segment), QueueEngine::locked),
      growth_(growth()),
      items_(items_memory(), growth_ ? &*growth_ : nullptr, alike) {
  if (items_.order() == order) return;
  throw Error(Status::corrupt, {.tried = "attach to a queue",
                                .expected = "its kind's order",
                                .found = std::to_string(static_cast<int>(items_.order()))});
}

std::optional<GrowingMemory> ItemParts::growth() const {
  if (!items_grow<RealLockEnv>(items_memory())) return std::nullopt;
  return growth_from(kItemUnitsOffset);
}

Status ItemParts::await_room(std::size_t size, Deadline deadline) {
  return items_.popped().await(
      deadline, [&] { return items_.has_room_for(size) || items_.state() != QueueState::open; },
      [&] { return items_.look_after(); });
}

Status ItemParts::join(Deadline deadline) {
  const std::uint32_t round = items_.rounds();
  return items_.finished().await(
      deadline, [&] { return items_.unfinished() == 0 || items_.rounds() != round; },
      [&] { return items_.look_after(); });
}

void ItemParts::give_back(const Lease& lease, bool counts) noexcept {
  // In a forked child, and where nobody can be told, it is left to those who find the holder dead.
  if (lease.tag != participant::self_if_attached()) return;
  static_cast<void>(items_.fail(lease, counts));
}

void throw_unless_done(Status status) {
  if (status == Status::ok) return;
  if (status == Status::stale) {
    throw std::logic_error("sluice: done() for a task that is none of this process's any more");
  }
  throw Error(status, {.tried = "end a task"});
}

void throw_unless_joined(Status status) {
  if (status != Status::ok) throw Error(status, {.tried = "wait for the last task's end"});
}

std::string explain_refusal(const ItemParts& parts, std::uint64_t size) {
  const auto& items = parts.items();
  std::string text = "an item of " + std::to_string(size) + " bytes takes " +
                     std::to_string(units_for(size) * kUnitBytes) + "; the queue has " +
                     std::to_string(items.bytes()) + " of " + std::to_string(items.max_bytes()) +
                     " bytes in use, and " + std::to_string(items.size()) + " of " +
                     std::to_string(items.max_items()) + " items";
  if (items.leases() != 0) text += ", " + std::to_string(items.leases()) + " leased";
  if (items.dead_letters() != 0) {
    text += ", " + std::to_string(items.dead_letters()) + " dead letters";
  }
  if (!GrowingMemory::trouble().empty()) text += "; " + GrowingMemory::trouble();
  return text;
}

std::ostream& describe(std::ostream& out, std::string_view kind, const ItemParts& parts) {
  const auto& items = parts.items();
  out << kind;
  if (!parts.segment().name().empty()) out << " \"" << parts.segment().name() << '"';
  out << ": " << items.size() << " of " << items.max_items() << " items, " << items.bytes()
      << " of " << items.max_bytes() << " bytes, "
      << (items.state() == QueueState::open ? "open" : "closed");
  if (items.leases() != 0) out << ", " << items.leases() << " leased";
  if (items.dead_letters() != 0) out << ", " << items.dead_letters() << " dead letters";
  if (items.dropped() != 0) out << ", " << items.dropped() << " dropped";
  if (items.pushed().maybe_waiting()) out << ", consumers wait";
  if (items.popped().maybe_waiting()) out << ", producers wait";
  return out;
}

}  // namespace sluice::internal
