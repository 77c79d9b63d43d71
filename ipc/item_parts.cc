// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/item_parts.h"

#include <algorithm>
#include <cerrno>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

constexpr std::size_t kItemsOffset = kQueueRecordsOffset;

/// What a queue begins with that grows: 64 KiB.
constexpr std::uint64_t kFirstUnits = 1024;

/// Where a handle's producer sits.
struct Seat {
  Tag tag;
  std::uint32_t seat;

  static constexpr Seat unpack(std::uint64_t word) {
    return {static_cast<Tag>(word), static_cast<std::uint32_t>(word >> 32)};
  }
  [[nodiscard]] constexpr std::uint64_t packed() const { return std::uint64_t{seat} << 32 | tag; }
};

[[noreturn]] void refuse_capacity(const std::string& expected, std::size_t found) {
  throw Error::from_errno(
      EINVAL, {.tried = "make a queue", .expected = expected, .found = std::to_string(found)});
}

QueueHeader* header_of(const Segment& segment) {
  auto* const header = attach_object<QueueHeader>(segment.object());
  if (header != nullptr) return header;
  throw Error(Status::corrupt, {.tried = "attach to a queue",
                                .expected = "room for its parts",
                                .found = std::to_string(segment.object().size()) + " bytes"});
}

std::optional<GrowingMemory> growth_of(const Segment& segment) {
  if (!items_grow<RealLockEnv>(segment.object().subspan(kItemsOffset))) return std::nullopt;
  return GrowingMemory(
      segment, kItemsOffset + kItemUnitsOffset,
      "a growing queue" + (segment.name().empty() ? "" : " \"" + segment.name() + '"'));
}

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
  const bool grows = !(counted && (capacity.bytes != Capacity::kNoLimit || item_bytes != 0));
  items.first_units = grows ? std::min(kFirstUnits, items.units) : items.units;
  SegmentOptions segment = options.segment;
  if (grows) segment.backed = kItemsOffset + kItemUnitsOffset + items.first_units * kUnitBytes;
  return {items, options.overflow.value_or(counted ? Overflow::block : Overflow::fail),
          options.ends_with_producers, segment};
}

std::size_t ItemQueuePlan::object_bytes() const { return kItemsOffset + item_store_bytes(items); }

Segment::Format ItemQueuePlan::format() const {
  return [plan = *this](std::span<std::byte> object) {
    auto* const header = attach_object<QueueHeader>(object);
    // Relaxed: the segment is published afterwards, which carries the order.
    RealEnv::store(header->overflow, static_cast<std::uint32_t>(plan.overflow),
                   std::memory_order_relaxed);
    // Relaxed: as above.
    RealEnv::store(header->ends_with_producers, std::uint32_t{plan.ends_with_producers},
                   std::memory_order_relaxed);
    format_items<RealLockEnv>(object.subspan(kItemsOffset), plan.items);
  };
}

ItemParts::ItemParts(Segment segment, ItemOrder order, bool alike)
    : segment_(std::move(segment)),
      header_(header_of(segment_)),
      growth_(growth_of(segment_)),
      items_(segment_.object().subspan(kItemsOffset), growth_ ? &*growth_ : nullptr, alike) {
  // Relaxed, here and below: written before the segment was published, and copied here once.
  const std::uint32_t overflow = RealEnv::load(header_->overflow, std::memory_order_relaxed);
  if (overflow > static_cast<std::uint32_t>(Overflow::drop_newest) || items_.order() != order) {
    throw Error(Status::corrupt, {.tried = "attach to a queue",
                                  .expected = "an overflow policy, and its kind's order",
                                  .found = std::to_string(overflow) + ", " +
                                           std::to_string(static_cast<int>(items_.order()))});
  }
  overflow_ = static_cast<Overflow>(overflow);
  // Relaxed: as above.
  ends_with_producers_ =
      RealEnv::load(header_->ends_with_producers, std::memory_order_relaxed) != 0;
}

ItemParts::~ItemParts() {
  // Relaxed: nobody else uses the handle any more. In a forked child the seat is the parent's.
  const auto [tag, seat] = Seat::unpack(seated_.load(std::memory_order_relaxed));
  if (tag == participant::kNobody || tag != participant::self_if_attached()) return;
  header_->seats.leave(tag, seat);
  items_.pushed().notify_all();
}

Status ItemParts::sit_down() {
  if (!ends_with_producers_) return Status::ok;
  const Tag self = participant::self();
  // Relaxed, here and below: the seat is taken before, by this thread or by one that was quicker.
  std::uint64_t seated = seated_.load(std::memory_order_relaxed);
  if (Seat::unpack(seated).tag == self) return Status::ok;
  std::size_t seat = 0;
  const Status status = header_->seats.take(self, seat);
  if (status != Status::ok) return status;
  const Seat taken = {self, static_cast<std::uint32_t>(seat)};
  // Relaxed: as above.
  if (!seated_.compare_exchange_strong(seated, taken.packed(), std::memory_order_relaxed)) {
    header_->seats.leave(self, seat);  // another thread has just taken one for this handle
  }
  return Status::ok;
}

Status ItemParts::overflow(ItemEnd other, std::size_t size, std::size_t left, Waits waits,
                           Deadline deadline) {
  switch (overflow_) {
    case Overflow::drop_oldest:
      return drop_one(other, size, waits, deadline);
    case Overflow::drop_newest:
      items_.count_dropped(left);
      return Status::empty;
    case Overflow::fail:
      return Status::full;
    case Overflow::block:
      break;
  }
  if (waits == Waits::no) return Status::full;
  return items_.popped().await(
      deadline, [&] { return items_.has_room_for(size) || items_.state() != QueueState::open; },
      [&] { return items_.look_after(); });
}

Status ItemParts::drop_one(ItemEnd other, std::size_t size, Waits waits, Deadline deadline) {
  std::size_t dropped = 0;
  const Status status = items_.pop(
      items_.end(other), 1, [](std::span<const std::byte>) { return Status::ok; }, dropped,
      for_lock(waits, deadline));
  items_.count_dropped(dropped);
  // Nothing is queued: what takes the room is leased, or dead letters.
  if (status == Status::empty) return items_.has_room_for(size) ? Status::ok : Status::full;
  return explained(status, waits);
}

Status ItemParts::await_item(Deadline deadline) {
  return items_.pushed().await(
      deadline, [&] { return has_ended_or_items(); },
      [&] {
        if (const Status s = items_.look_after(); s != Status::ok) return s;
        return look_for_producers();
      });
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

Status ItemParts::look_for_producers() noexcept {
  if (!ends_with_producers_) return Status::ok;
  switch (header_->seats.look()) {
    case ProducerSeats::State::all_left:
      return Status::closed;
    case ProducerSeats::State::all_gone:
      return Status::peer_died;
    case ProducerSeats::State::nobody_yet:
    case ProducerSeats::State::some:
      break;
  }
  return Status::ok;
}

Status ItemParts::look_for_loop(void* parts, WaitHandle::Look how) {
  auto& self = *static_cast<ItemParts*>(parts);
  if (self.has_ended_or_items()) return Status::ok;
  if (how == WaitHandle::Look::quick) return Status::empty;
  if (self.items_.look_after() != Status::ok || self.has_ended_or_items()) return Status::ok;
  return self.look_for_producers() == Status::ok ? Status::empty : Status::ok;
}

WaitHandle ItemParts::wait_handle() {
  static constexpr WaitHandle::Operations kOperations = {look_for_loop,
                                                         [](void*) { return UniqueFd(); }};
  return {this, kOperations, items_.pushed()};
}

int ItemParts::descriptor() {
  if (descriptor_ == nullptr || !descriptor_->is_of_this_process()) {
    descriptor_ = std::make_unique<ReadyDescriptor>();
  }
  return descriptor_->get();
}

void ItemParts::rearm_descriptor() {
  if (descriptor_ != nullptr) [[unlikely]]
    descriptor_->rearm(wait_handle());
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
