// SPDX-License-Identifier: Apache-2.0
//
// ItemParts: what ipc/lifo_queue.h, ipc/priority_queue.h, ipc/deque.h and ipc/joinable_queue.h know
// without their T: memory, items, who pushes, and how their calls wait. Internal.
//
// In memory, of the object: as ipc/queue_parts.h; from 1152 on the items (ipc/item_layout.h).
// Errors, threads, processes, death: as those headers say. Cost: as ipc/item_store.h.

#ifndef SLUICE_IPC_ITEM_PARTS_H_
#define SLUICE_IPC_ITEM_PARTS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/leased_items.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/queue_parts.h"
#include "sluice/ipc/ready_descriptor.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// What a new queue of this family looks like.
struct ItemQueuePlan {
  ItemPlan items;
  Overflow overflow;
  bool ends_with_producers;
  SegmentOptions segment;

  /// `item_bytes`: what every item takes; 0 if they differ. `beside`: room for so many items of a
  /// fixed size besides. Throws Error.
  static ItemQueuePlan of(const Capacity& capacity, const QueueOptions& options,
                          std::size_t item_bytes, std::size_t beside = 0);
  [[nodiscard]] std::size_t object_bytes() const;
  [[nodiscard]] Segment::Format format() const;
};

class ItemParts {
 public:
  /// `alike`: all its items take the same number of bytes.
  ItemParts(Segment segment, ItemOrder order, bool alike);
  ItemParts(const ItemParts&) = delete;
  ItemParts& operator=(const ItemParts&) = delete;
  ~ItemParts();

  /// `index()` says where: as the store's push(), with waiting. `done` counts on. What drops for
  /// want of room drops from the end `other`.
  template <class MakeIndex, class SizeOf, class Write>
  Status push(MakeIndex index, ItemEnd other, std::size_t n, SizeOf size_of, Write write,
              std::size_t& done, Waits waits, Deadline deadline) {
    if (ends_with_producers_) [[unlikely]] {
      if (const Status s = sit_down(); s != Status::ok) return s;
    }
    for (done = 0;;) {
      const std::size_t before = done;
      std::size_t more = 0;
      const Status status = items_.push(
          index(), n - before, [&](std::size_t i) { return size_of(before + i); },
          [&](std::size_t i, std::span<std::byte> room) { write(before + i, room); }, more,
          for_lock(waits, deadline));
      done += more;
      if (done == n) return Status::ok;
      if (status == Status::ok) continue;  // the rest finds no room, or is too large
      if (status != Status::full) return explained(status, waits);
      const Status room = overflow(other, size_of(done), n - done, waits, deadline);
      if (room != Status::ok) return room == Status::empty ? Status::ok : room;
    }
  }

  /// `once(deadline)` tries to take something: repeats that until it finds something.
  template <class Once>
  Status take(Once once, Waits waits, Deadline deadline) {
    for (;;) {
      Status status = once(for_lock(waits, deadline));
      if (status == Status::ok) return status;
      if (status == Status::closed) return ended(status);
      if (status != Status::empty) return explained(status, waits);
      const bool only_once = waits == Waits::no || deadline.is_now();
      status = only_once ? look_for_producers() : await_item(deadline);
      if (status == Status::ok) {
        if (!only_once) continue;
        status = waits == Waits::yes ? Status::timeout : Status::empty;
      } else if (status != Status::timeout) {
        // The last producer's last item came before its end.
        const Status last = once(for_lock(waits, deadline));
        if (last == Status::empty) return ended(status);
        return last == Status::closed ? ended(last) : explained(last, waits);
      }
      rearm_descriptor();
      return status;
    }
  }

  /// Until each item is finished: ok, timeout.
  Status join(Deadline deadline);

  /// Ends a lease of this process's, if it is one, without having finished. `counts`: as a failure.
  void give_back(const Lease& lease, bool counts) noexcept;

  /// Takes a producer's seat, if it has none yet.
  Status sit_down();

  [[nodiscard]] LeasedItems& items() noexcept { return items_; }
  [[nodiscard]] const LeasedItems& items() const noexcept { return items_; }
  [[nodiscard]] const Segment& segment() const noexcept { return segment_; }
  /// How the stream ended for who popped last; ok if it has not.
  [[nodiscard]] Status end() const noexcept {
    // Relaxed: as in ended().
    return end_.load(std::memory_order_relaxed);
  }

  [[nodiscard]] WaitHandle wait_handle();
  [[nodiscard]] int descriptor();

  /// How long a call that must not wait for items or room still waits for the lock.
  static Deadline for_lock(Waits waits, Deadline deadline) {
    return waits == Waits::yes && !deadline.is_now() ? deadline
                                                     : Deadline(std::chrono::milliseconds(10));
  }
  /// What a status of the store is called by the queue.
  static Status explained(Status status, Waits waits) {
    if (status == Status::busy) return Status::full;  // no memory to grow into
    if (status == Status::timeout && waits == Waits::no) return Status::busy;
    return status;
  }

 private:
  Status ended(Status how) noexcept {
    // Relaxed: it says how, not that.
    end_.store(how, std::memory_order_relaxed);
    return how;
  }

  /// No room for an item of `size` bytes, one of `left`: ok to try again, empty if all is done.
  Status overflow(ItemEnd other, std::size_t size, std::size_t left, Waits waits,
                  Deadline deadline);
  Status drop_one(ItemEnd other, std::size_t size, Waits waits, Deadline deadline);
  Status await_item(Deadline deadline);
  Status look_for_producers() noexcept;
  void rearm_descriptor();
  [[nodiscard]] bool has_ended_or_items() const noexcept {
    return items_.size() != 0 || items_.state() != QueueState::open;
  }

  static Status look_for_loop(void* parts, WaitHandle::Look how);

  Segment segment_;
  QueueHeader* header_;
  std::optional<GrowingMemory> growth_;
  LeasedItems items_;
  Overflow overflow_;
  bool ends_with_producers_;
  std::atomic<Status> end_{Status::ok};  ///< threads may share the handle
  /// Who has a seat, and which, in the upper half: not a forked child. Threads share the handle.
  std::atomic<std::uint64_t> seated_{participant::kNobody};
  std::unique_ptr<ReadyDescriptor> descriptor_;
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
