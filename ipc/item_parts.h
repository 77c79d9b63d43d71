// SPDX-License-Identifier: Apache-2.0
//
// ItemParts: what ipc/lifo_queue.h, ipc/priority_queue.h, ipc/deque.h and ipc/joinable_queue.h know
// without their T: what all queues do alike (ipc/queue_core.h), over items (ipc/item_layout.h),
// which lie behind the header. Internal.
//
// Errors, threads, processes, death: as those headers say. Cost: as ipc/item_store.h.

#ifndef SLUICE_IPC_ITEM_PARTS_H_
#define SLUICE_IPC_ITEM_PARTS_H_

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/leased_items.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// What a new queue of this family looks like.
struct ItemQueuePlan {
  ItemPlan items;
  QueueRules rules;

  /// `item_bytes`: what every item takes; 0 if they differ. `beside`: room for so many items of a
  /// fixed size besides. Throws Error.
  static ItemQueuePlan of(const Capacity& capacity, const QueueOptions& options,
                          std::size_t item_bytes, std::size_t beside = 0);
  [[nodiscard]] std::size_t object_bytes() const;
  [[nodiscard]] Segment::Format format() const;
};

class ItemParts final : public QueueCore {
 public:
  /// `alike`: all its items take the same number of bytes.
  ItemParts(Segment segment, ItemOrder order, bool alike);
  ItemParts(const ItemParts&) = delete;
  ItemParts& operator=(const ItemParts&) = delete;
  ~ItemParts() { leave(); }

  /// `index()` says where: as the store's push(), with waiting. `done` counts on. What drops for
  /// want of room drops from the end `other`.
  template <class MakeIndex, class SizeOf, class Write>
  Status push(MakeIndex index, ItemEnd other, std::size_t n, SizeOf size_of, Write write,
              std::size_t& done, Waits waits, Deadline deadline) {
    const auto push_more = [&](std::size_t before, std::size_t& more, Deadline lock) {
      return items_.push(
          index(), n - before, [&](std::size_t i) { return size_of(before + i); },
          [&](std::size_t i, std::span<std::byte> room) { write(before + i, room); }, more, lock);
    };
    const auto drop_one = [&](std::size_t size, std::size_t& dropped, Deadline lock) {
      const Status status = items_.pop(items_.end(other), 1, ignore, dropped, lock);
      if (status != Status::empty) return status;
      // What takes the room is leased, or dead letters.
      return items_.has_room_for(size) ? Status::ok : Status::full;
    };
    return push_all(n, size_of, push_more, drop_one, done, waits, deadline);
  }

  using QueueCore::take;

  /// Until each item is finished: ok, timeout.
  Status join(Deadline deadline);

  /// Ends a lease of this process's, if it is one, without having finished. `counts`: as a failure.
  void give_back(const Lease& lease, bool counts) noexcept;

  [[nodiscard]] LeasedItems& items() noexcept { return items_; }
  [[nodiscard]] const LeasedItems& items() const noexcept { return items_; }

 private:
  static Status ignore(std::span<const std::byte> /*bytes*/) { return Status::ok; }

  [[nodiscard]] std::optional<GrowingMemory> growth() const;

  EventCount& pushed() noexcept override { return items_.pushed(); }
  [[nodiscard]] bool has_ended_or_items() const noexcept override {
    return items_.size() != 0 || items_.state() != QueueState::open;
  }
  Status look_after() override { return items_.look_after(); }
  Status await_room(std::size_t size, Deadline deadline) override;
  void count_dropped(std::size_t n) noexcept override { items_.count_dropped(n); }

  std::optional<GrowingMemory> growth_;
  LeasedItems items_;
};

/// At the end of a scope: gives back an item that could not be read.
class Unread {
 public:
  Unread(ItemParts& parts, const Lease& lease) : parts_(&parts), lease_(lease) {}
  Unread(const Unread&) = delete;
  Unread& operator=(const Unread&) = delete;
  ~Unread() {
    if (parts_ != nullptr) parts_->give_back(lease_, false);
  }
  void keep() { parts_ = nullptr; }

 private:
  ItemParts* parts_;
  Lease lease_;
};

/// Of LeasedItems::finish() and its like: std::logic_error if the lease had ended, or Error.
void throw_unless_done(Status status);
void throw_unless_joined(Status status);

/// For people: why an item of `size` bytes finds no room.
std::string explain_refusal(const ItemParts& parts, std::uint64_t size);

/// One line; `kind` is its name.
std::ostream& describe(std::ostream& out, std::string_view kind, const ItemParts& parts);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_PARTS_H_
