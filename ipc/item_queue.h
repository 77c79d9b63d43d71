// SPDX-License-Identifier: Apache-2.0
//
// ItemQueue: what LifoQueue, PriorityQueue, Deque and JoinableQueue have in common with each other:
// how they are made, closed, looked at and waited for. Internal; Self says what is its own:
//
//   static constexpr std::string_view kKindName, kName;   // of its segments, and for people
//   static std::uint64_t fingerprint();
//
// Errors, threads, processes, death, cost: as those headers say.

#ifndef SLUICE_IPC_ITEM_QUEUE_H_
#define SLUICE_IPC_ITEM_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_refusal.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/in_place.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_parts.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

/// A handle on a queue whose items lie in units of one size, in the order that Self gives them.
template <class Self, class T, ItemOrder kOrder = ItemOrder::list>
class ItemQueue {
  static_assert(explain_why_not<T>());

 public:
  using value_type = T;
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = 1;

  ItemQueue(ItemQueue&&) noexcept = default;
  ItemQueue& operator=(ItemQueue&&) noexcept = default;

  /// What is there under that name.
  static Self open(std::string_view name, const SegmentOptions& options = {}) {
    return Self(Segment::open(name, kind(), options));
  }
  /// From a descriptor that another process obtained with fd() and sent.
  static Self from_fd(UniqueFd fd, const SegmentOptions& options = {}) {
    return Self(Segment::from_fd(std::move(fd), kind(), options));
  }
  /// Removes the name, whoever uses the queue; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  /// Says that this process will push, for queues that end with their producers: a consumer that
  /// comes before its first push then waits. Every first push does it as well.
  Status announce_producer() { return parts().sit_down(); }

  /// Ends the queue for everybody: pushes are refused from now on, and pops when it is drained.
  void close(Remaining remaining = Remaining::delivered) {
    const Status status = parts().items().close(remaining == Remaining::dropped);
    if (status != Status::ok) throw Error(status, {.tried = "close a queue"});
  }
  /// Whether somebody has called close(); there may still be items to pop.
  [[nodiscard]] bool is_closed() const { return parts().items().state() != QueueState::open; }
  /// Ends this handle's part in it. For who pops as well as for who pushes; twice is once.
  void detach() noexcept { parts_.reset(); }
  /// Whether this handle was detached or moved from, and can do nothing any more.
  [[nodiscard]] bool is_detached() const noexcept { return parts_ == nullptr; }

  /// How the stream ended for the pop of this handle that said so: closed or peer_died; else ok.
  Status status() const { return parts().end(); }

  /// Exact while nobody else is at work; else a snapshot, from 0 to capacity(). A push that has
  /// returned is counted.
  [[nodiscard]] std::size_t size() const {
    return std::min<std::size_t>(parts().items().size(), capacity());
  }
  /// Whether there is no item now; a snapshot, as size().
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// Whether there is no room now, not even for the smallest item; a snapshot.
  [[nodiscard]] bool full() const { return !parts().items().has_room_for(fixed_size<T>()); }
  /// In items.
  [[nodiscard]] std::size_t capacity() const { return parts().items().max_items(); }
  /// In bytes, of what items take with all that each costs besides its own bytes.
  [[nodiscard]] std::size_t capacity_bytes() const { return parts().items().max_bytes(); }
  /// Bytes in use.
  [[nodiscard]] std::size_t bytes() const { return parts().items().bytes(); }
  /// Items that were dropped under Overflow::drop_oldest and drop_newest.
  [[nodiscard]] std::uint64_t dropped() const { return parts().items().dropped(); }
  /// For people: why this item finds no room.
  [[nodiscard]] std::string refusal(const T& item) const {
    if constexpr (TellsItsSize<T>) {
      return explain_refusal(parts(), encoded_size(item));
    } else {
      return explain_refusal(parts(), encode(item).size());
    }
  }

  /// For wait_any() and event loops: ready when a pop() would return at once. Refers to the queue,
  /// not to this handle, which may move meanwhile.
  [[nodiscard]] WaitHandle wait_handle() { return parts().wait_handle(); }
  /// For poll(2) and epoll(7) in this process: readable once a pop() may return at once, until a
  /// pop with a deadline, or a try_pop(), has found nothing. Stays this object's.
  [[nodiscard]] int descriptor() { return parts().descriptor(); }

  /// A new descriptor, for another process's from_fd().
  [[nodiscard]] UniqueFd fd() const { return parts().segment().fd(); }
  /// Empty if it has none, or came by from_fd().
  [[nodiscard]] const std::string& name() const { return parts().segment().name(); }
  /// Whether this call made the queue; false if it was there already.
  [[nodiscard]] bool created() const { return parts().segment().created(); }

  friend std::ostream& operator<<(std::ostream& out, const Self& queue) {
    if (queue.is_detached()) return out << Self::kName << ": detached";
    return describe(out, Self::kName, queue.parts());
  }

 protected:
  ~ItemQueue() = default;
  explicit ItemQueue(Segment segment)
      : parts_(std::make_shared<ItemParts>(std::move(segment), kOrder, fixed_size<T>() != 0)) {}
  explicit ItemQueue(const ItemQueuePlan& plan)
      : ItemQueue(Segment::create_anonymous(kind(), plan.object_bytes(), plan.rules.segment,
                                            plan.format())) {}

  static Segment make(std::string_view name, const ItemQueuePlan& plan) {
    return Segment::create(name, kind(), plan.object_bytes(), plan.rules.segment, plan.format());
  }
  static Segment make_or_open(std::string_view name, const ItemQueuePlan& plan) {
    return Segment::open_or_create(name, kind(), plan.object_bytes(), plan.rules.segment,
                                   plan.format());
  }
  static ItemQueuePlan plan(const Capacity& capacity, const QueueOptions& options,
                            std::size_t beside = 0) {
    ItemQueuePlan made = ItemQueuePlan::of(capacity, options, fixed_size<T>(), beside);
    made.items.order = kOrder;
    return made;
  }
  static SegmentKind kind() {
    return {.name = Self::kKindName, .version = kVersion, .fingerprint = Self::fingerprint()};
  }

  [[nodiscard]] const std::shared_ptr<ItemParts>& shared_parts() const { return parts_; }
  [[nodiscard]] ItemParts& parts() const {
    if (parts_ == nullptr) [[unlikely]]
      refuse_detached();
    return *parts_;
  }

  /// Pushes where `index()` says.
  template <class MakeIndex>
  QueueBatch push_some(MakeIndex index, ItemEnd other, std::span<const T> items, Waits waits,
                       Deadline deadline) {
    QueueBatch batch = {Status::ok, 0};
    if (items.empty()) return batch;
    if constexpr (TellsItsSize<T>) {
      batch.status = parts().push(
          index, other, items.size(), [&](std::size_t i) { return encoded_size(items[i]); },
          [&](std::size_t i, std::span<std::byte> room) { write_item(items[i], room); },
          batch.count, waits, deadline);
    } else {
      for (std::size_t one = 0; batch.count < items.size() && batch.status == Status::ok;
           batch.count += one) {
        const std::vector<std::byte> bytes = encode(items[batch.count]);
        batch.status = parts().push(
            index, other, 1, [&](std::size_t) { return bytes.size(); },
            [&](std::size_t, std::span<std::byte> room) { std::ranges::copy(bytes, room.begin()); },
            one, waits, deadline);
      }
    }
    return batch;
  }
  QueueBatch push_some(ItemEnd end, std::span<const T> items, Waits waits, Deadline deadline) {
    const ItemEnd other = end == ItemEnd::back ? ItemEnd::front : ItemEnd::back;
    return push_some([&] { return parts().items().end(end); }, other, items, waits, deadline);
  }

  /// Pops what `index()` says: `read(bytes)` gets each.
  template <class MakeIndex, class Read>
  QueueBatch pop_with(MakeIndex index, std::size_t most, Read read, Waits waits,
                      Deadline deadline) {
    QueueBatch batch = {Status::ok, 0};
    if (most == 0) return batch;
    batch.status = parts().take(
        [&](Deadline lock) { return parts().items().pop(index(), most, read, batch.count, lock); },
        waits, deadline);
    return batch;
  }
  template <class MakeIndex>
  Status pop_one(MakeIndex index, T& item, Waits waits, Deadline deadline) {
    const auto read = [&](std::span<const std::byte> bytes) { return decode(bytes, item); };
    return pop_with(index, 1, read, waits, deadline).status;
  }
  template <class MakeIndex>
  QueueBatch pop_some(MakeIndex index, std::vector<T>& items, std::size_t most, Waits waits,
                      Deadline deadline) {
    const auto read = [&](std::span<const std::byte> bytes) {
      T item{};
      const Status status = decode(bytes, item);
      if (status == Status::ok) items.push_back(std::move(item));
      return status;
    };
    return pop_with(index, most, read, waits, deadline);
  }
  template <class MakeIndex>
  Status skip_one(MakeIndex index) {
    const auto read = [](std::span<const std::byte>) { return Status::ok; };
    return pop_with(index, 1, read, Waits::no, Deadline::now()).status;
  }
  /// `pop(item)`'s item; empty when the stream has ended. Throws Error where anything is wrong.
  template <class Pop>
  static std::optional<T> item_or_end(Pop pop) {
    std::optional<T> item(std::in_place);
    const Status status = pop(*item);
    if (status == Status::ok) return item;
    throw_unless_queue_ended(status);
    return std::nullopt;
  }

 private:
  std::shared_ptr<ItemParts> parts_;  ///< leased tasks keep it, too
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_QUEUE_H_
