// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/queue_parts.h"

#include <algorithm>
#include <ostream>
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
  return rules.format(
      [plan = records](std::span<std::byte> memory) { format_records<RealLockEnv>(memory, plan); });
}

QueueParts::QueueParts(Segment segment, bool alike)
    : QueueCore(std::move(segment)),
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

}  // namespace sluice::internal
