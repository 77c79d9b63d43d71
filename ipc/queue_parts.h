// SPDX-License-Identifier: Apache-2.0
//
// QueueParts: what a queue (ipc/queue.h) knows without its T: what all queues do alike
// (ipc/queue_core.h), over records (ipc/record_queue.h), which lie behind the header. Internal.
//
// Errors, threads, processes, death: as ipc/queue.h says. Cost: as the record queue.

#ifndef SLUICE_IPC_QUEUE_PARTS_H_
#define SLUICE_IPC_QUEUE_PARTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_face.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/record_queue.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

inline constexpr std::string_view kQueueKindName = "queue";
inline constexpr std::uint32_t kQueueVersion = 2;

/// What a new queue looks like.
struct QueuePlan {
  RecordPlan records;
  QueueRules rules;

  /// `item_bytes`: what every item takes; 0 if they differ. Throws Error.
  static QueuePlan of(const Capacity& capacity, const QueueOptions& options,
                      std::size_t item_bytes);
  [[nodiscard]] std::size_t object_bytes() const;
  [[nodiscard]] Segment::Format format() const;
};

class QueueParts final : public QueueFace {
 public:
  /// `alike`: all its items take the same number of bytes.
  explicit QueueParts(Segment segment, bool alike = false);
  QueueParts(const QueueParts&) = delete;
  QueueParts& operator=(const QueueParts&) = delete;
  ~QueueParts() { leave(); }

  /// As the record queue's push() and pop(), with waiting. `done` counts on.
  template <class SizeOf, class Write>
  Status push(std::size_t n, SizeOf size_of, Write write, std::size_t& done, Waits waits,
              Deadline deadline) {
    const auto push_more = [&](std::size_t before, std::size_t& more, Deadline lock) {
      return records_.push(
          n - before, [&](std::size_t i) { return size_of(before + i); },
          [&](std::size_t i, std::span<std::byte> room) { write(before + i, room); }, more, lock);
    };
    const auto drop_one = [&](std::size_t /*size*/, std::size_t& dropped, Deadline lock) {
      const Status status = records_.pop(1, ignore, dropped, lock);
      // Empty: somebody else made room meanwhile.
      return status == Status::empty ? Status::ok : status;
    };
    return push_all(n, size_of, push_more, drop_one, done, waits, deadline);
  }

  template <class Read>
  Status pop(std::size_t n, Read read, std::size_t& done, Waits waits, Deadline deadline) {
    return take([&](Deadline lock) { return records_.pop(n, read, done, lock); }, waits, deadline);
  }

  Status close(bool drop) override { return records_.close(drop); }
  [[nodiscard]] QueueState state() const noexcept override { return records_.state(); }
  [[nodiscard]] std::size_t size() const noexcept override { return records_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept override { return records_.bytes(); }
  [[nodiscard]] std::size_t max_items() const noexcept override { return records_.max_items(); }
  [[nodiscard]] std::size_t max_bytes() const noexcept override { return records_.max_bytes(); }
  [[nodiscard]] bool has_room_for(std::size_t size) const noexcept override {
    return records_.has_room_for(size);
  }
  [[nodiscard]] std::size_t taken_by(std::size_t size) const noexcept override {
    return record_bytes(size);
  }
  [[nodiscard]] std::uint64_t dropped() const noexcept override { return records_.dropped(); }
  [[nodiscard]] bool consumers_wait() const noexcept override {
    return records_.pushed().maybe_waiting();
  }
  [[nodiscard]] bool producers_wait() const noexcept override {
    return records_.popped().maybe_waiting();
  }

 private:
  static Status ignore(std::span<const std::byte> /*bytes*/) { return Status::ok; }

  [[nodiscard]] std::optional<GrowingMemory> growth() const;

  EventCount& pushed() noexcept override { return records_.pushed(); }
  [[nodiscard]] bool has_ended_or_items() const noexcept override {
    return records_.size() != 0 || records_.state() != QueueState::open;
  }
  Status await_room(std::size_t size, Deadline deadline) override;
  void count_dropped(std::size_t n) noexcept override { records_.count_dropped(n); }

  std::optional<GrowingMemory> growth_;
  RecordQueue records_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_QUEUE_PARTS_H_
