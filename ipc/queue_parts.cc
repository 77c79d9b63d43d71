// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/queue_parts.h"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "sluice/sync/env.h"
#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

/// What a queue begins with that grows.
constexpr std::uint64_t kFirstWindow = std::uint64_t{1} << 16;

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
  const auto records = segment.object().subspan(kQueueRecordsOffset);
  if (!records_grow<RealLockEnv>(records)) return std::nullopt;
  return GrowingMemory(
      segment, kQueueRecordsOffset + kRecordStorageOffset,
      "a growing queue" + (segment.name().empty() ? "" : " \"" + segment.name() + '"'));
}

}  // namespace

QueuePlan QueuePlan::of(const Capacity& capacity, const QueueOptions& options,
                        std::size_t item_bytes) {
  const bool counted = capacity.items != Capacity::kNoLimit;
  if (capacity.items > RecordQueue::kMostItems) {
    refuse_capacity("at most " + std::to_string(RecordQueue::kMostItems) + " items",
                    capacity.items);
  }
  if (capacity.bytes > RecordQueue::kMostBytes) {
    refuse_capacity("at most " + std::to_string(RecordQueue::kMostBytes) + " bytes",
                    capacity.bytes);
  }
  RecordPlan records = {};
  records.max_items = counted ? capacity.items : RecordQueue::kMostItems;
  records.max_bytes =
      capacity.bytes != Capacity::kNoLimit ? capacity.bytes : Capacity::kDefaultLimit;
  bool grows = !counted || capacity.bytes == Capacity::kNoLimit;
  if (counted && capacity.bytes == Capacity::kNoLimit && item_bytes != 0) {
    records.max_bytes = capacity.items * record_bytes(item_bytes);
    grows = false;
  }
  if (records.max_bytes > RecordQueue::kMostBytes) {
    refuse_capacity("items of at most " + std::to_string(RecordQueue::kMostBytes) + " bytes in all",
                    records.max_bytes);
  }
  records.first_window = grows ? std::min(kFirstWindow, records.max_bytes) : records.max_bytes;
  SegmentOptions segment = options.segment;
  if (grows)
    segment.backed = kQueueRecordsOffset + kRecordStorageOffset + first_record_window(records);
  return {records, options.overflow.value_or(counted ? Overflow::block : Overflow::fail),
          options.ends_with_producers, segment};
}

std::size_t QueuePlan::object_bytes() const {
  return kQueueRecordsOffset + kRecordStorageOffset + record_storage(records);
}

Segment::Format QueuePlan::format() const {
  return [plan = *this](std::span<std::byte> object) {
    auto* const header = attach_object<QueueHeader>(object);
    // Relaxed: the segment is published afterwards, which carries the order.
    RealEnv::store(header->overflow, static_cast<std::uint32_t>(plan.overflow),
                   std::memory_order_relaxed);
    // Relaxed: as above.
    RealEnv::store(header->ends_with_producers, std::uint32_t{plan.ends_with_producers},
                   std::memory_order_relaxed);
    format_records<RealLockEnv>(object.subspan(kQueueRecordsOffset), plan.records);
  };
}

QueueParts::QueueParts(Segment segment, bool alike)
    : segment_(std::move(segment)),
      header_(header_of(segment_)),
      growth_(growth_of(segment_)),
      records_(segment_.object().subspan(kQueueRecordsOffset), growth_ ? &*growth_ : nullptr,
               alike) {
  // Relaxed, here and below: written before the segment was published, and copied here once.
  const std::uint32_t overflow = RealEnv::load(header_->overflow, std::memory_order_relaxed);
  if (overflow > static_cast<std::uint32_t>(Overflow::drop_newest)) {
    throw Error(Status::corrupt, {.tried = "attach to a queue",
                                  .expected = "an overflow policy",
                                  .found = std::to_string(overflow)});
  }
  overflow_ = static_cast<Overflow>(overflow);
  // Relaxed: as above.
  ends_with_producers_ =
      RealEnv::load(header_->ends_with_producers, std::memory_order_relaxed) != 0;
}

QueueParts::~QueueParts() {
  // Relaxed: nobody else uses the handle any more. In a forked child the seat is the parent's.
  const auto [tag, seat] = Seat::unpack(seated_.load(std::memory_order_relaxed));
  if (tag == participant::kNobody || tag != participant::self_if_attached()) return;
  header_->seats.leave(tag, seat);
  records_.pushed().notify_all();
}

Deadline QueueParts::soon() noexcept {
  // Each try_ form asks, so the clock is one that is not read but remembered, and behind by up to a
  // tick, which is 10 ms at most.
  constexpr std::chrono::milliseconds kLeast{10};
  constexpr std::chrono::milliseconds kMostBehind{10};
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return Deadline::TimePoint(std::chrono::seconds(now.tv_sec) +
                             std::chrono::nanoseconds(now.tv_nsec) + kLeast + kMostBehind);
}

Status QueueParts::sit_down() {
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
  if (seated_.compare_exchange_strong(seated, taken.packed(), std::memory_order_relaxed)) {
    return Status::ok;
  }
  header_->seats.leave(self, seat);  // another thread has just taken one for this handle
  return Status::ok;
}

Status QueueParts::overflow(std::size_t size, std::size_t left, Waits waits, Deadline deadline) {
  switch (overflow_) {
    case Overflow::drop_oldest:
      return drop_oldest(waits, deadline);
    case Overflow::drop_newest:
      records_.count_dropped(left);
      return Status::empty;
    case Overflow::fail:
      return Status::full;
    case Overflow::block:
      break;
  }
  if (waits == Waits::no) return Status::full;
  return records_.popped().await(
      deadline, [&] { return records_.has_room_for(size) || records_.state() != QueueState::open; },
      [] { return Status::ok; });
}

Status QueueParts::drop_oldest(Waits waits, Deadline deadline) {
  std::size_t dropped = 0;
  const Status status = records_.pop(
      1, [](std::span<const std::byte>) { return Status::ok; }, dropped, for_lock(waits, deadline));
  records_.count_dropped(dropped);
  // Somebody else made room meanwhile.
  if (status == Status::empty) return Status::ok;
  return explained(status, waits);
}

Status QueueParts::await_item(Deadline deadline) {
  return records_.pushed().await(
      deadline, [&] { return records_.size() != 0 || records_.state() != QueueState::open; },
      [&] { return look_for_producers(); });
}

Status QueueParts::look_for_producers() noexcept {
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

Status QueueParts::look_for_loop(void* parts, WaitHandle::Look how) {
  auto& self = *static_cast<QueueParts*>(parts);
  if (self.records_.size() != 0 || self.records_.state() != QueueState::open) return Status::ok;
  if (how == WaitHandle::Look::quick) return Status::empty;
  return self.look_for_producers() == Status::ok ? Status::empty : Status::ok;
}

WaitHandle QueueParts::wait_handle() {
  static constexpr WaitHandle::Operations kOperations = {look_for_loop,
                                                         [](void*) { return UniqueFd(); }};
  return {this, kOperations, records_.pushed()};
}

int QueueParts::descriptor() {
  if (descriptor_ == nullptr || !descriptor_->is_of_this_process()) {
    descriptor_ = std::make_unique<ReadyDescriptor>();
  }
  return descriptor_->get();
}

void QueueParts::rearm_descriptor() {
  if (descriptor_ != nullptr) [[unlikely]]
    descriptor_->rearm(wait_handle());
}

std::string explain_refusal(const QueueParts& parts, std::uint64_t size) {
  const auto& records = parts.records();
  std::string text =
      "an item of " + std::to_string(size) + " bytes takes " + std::to_string(record_bytes(size)) +
      "; the queue has " + std::to_string(records.bytes()) + " of " +
      std::to_string(records.max_bytes()) + " bytes in use, by " + std::to_string(records.size()) +
      " of " + std::to_string(records.max_items()) + " items";
  if (!GrowingMemory::trouble().empty()) text += "; " + GrowingMemory::trouble();
  return text;
}

std::ostream& describe(std::ostream& out, const QueueParts& parts) {
  const auto& records = parts.records();
  out << "Queue";
  if (!parts.segment().name().empty()) out << " \"" << parts.segment().name() << '"';
  out << ": " << records.size();
  if (records.max_items() != RecordQueue::kMostItems) out << " of " << records.max_items();
  out << " items, " << records.bytes() << " of " << records.max_bytes() << " bytes, "
      << (records.state() == QueueState::open ? "open" : "closed");
  if (records.dropped() != 0) out << ", " << records.dropped() << " dropped";
  if (records.pushed().maybe_waiting()) out << ", consumers wait";
  if (records.popped().maybe_waiting()) out << ", producers wait";
  return out;
}

void refuse_detached() {
  throw std::logic_error("sluice: a call on a queue's handle after detach(), or after a move");
}

void throw_unless_queue_ended(Status status) {
  if (status == Status::closed || status == Status::peer_died) return;
  throw Error(status,
              {.tried = "pop an item from a queue", .hint = "pop(T&) reports this as a Status"});
}

}  // namespace sluice::internal
