// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/queue_parts.h"

#include <algorithm>
#include <string>
#include <utility>

#include "sluice/sync/lock_env.h"

namespace sluice::internal {
namespace {

/// What a queue begins with that grows.
constexpr std::uint64_t kFirstWindow = std::uint64_t{1} << 16;

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
  QueueRules rules = QueueRules::of(capacity, options);
  if (grows) {
    rules.segment.backed = kQueueHeaderBytes + kRecordStorageOffset + first_record_window(records);
  }
  return {records, rules};
}

std::size_t QueuePlan::object_bytes() const {
  return kQueueHeaderBytes + kRecordStorageOffset + record_storage(records);
}

Segment::Format QueuePlan::format() const {
  return rules.format(QueueEngine::locked, [plan = records](std::span<std::byte> memory) {
    format_records<RealLockEnv>(memory, plan);
  });
}

QueueParts::QueueParts(Segment segment, bool alike)
    : QueueFace(std::move(segment), QueueEngine::locked),
      growth_(growth()),
      records_(items_memory(), growth_ ? &*growth_ : nullptr, alike) {}

std::optional<GrowingMemory> QueueParts::growth() const {
  if (!records_grow<RealLockEnv>(items_memory())) return std::nullopt;
  return growth_from(kRecordStorageOffset);
}

Status QueueParts::await_room(std::size_t size, Deadline deadline) {
  return records_.popped().await(
      deadline, [&] { return records_.has_room_for(size) || records_.state() != QueueState::open; },
      [] { return Status::ok; });
}

}  // namespace sluice::internal
