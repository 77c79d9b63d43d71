// SPDX-License-Identifier: Apache-2.0
//
// QueueCore: what all queues between processes do alike, whatever keeps their items
// (ipc/queue_parts.h, ipc/ring_parts.h, ipc/item_parts.h): what they begin with in memory, who
// pushes, what happens where there is no room, how their calls wait, and how they end. Internal.
//
// In memory, of the object:
//
//      0 overflow u32, 4 ends with producers u32, 8 engine u32      set when made
//    128 seats (ipc/producer_seats.h)
//   1152 what keeps the items
//
// Errors, threads, processes, cost: as the queue's header says. If a process dies here: its seat is
// that of a dead producer (ipc/producer_seats.h); all else here is of one process, and goes with
// it.

#ifndef SLUICE_IPC_QUEUE_CORE_H_
#define SLUICE_IPC_QUEUE_CORE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/producer_seats.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/ready_descriptor.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// What keeps the items.
enum class QueueEngine : std::uint8_t {
  locked,  ///< records or items, under robust locks
  ring,    ///< an MpmcRing (ipc/ring_parts.h)
};

struct QueueHeader {
  Word<std::uint32_t> overflow, ends_with_producers, engine;
  alignas(kNoSharing) ProducerSeats seats;
};
inline constexpr std::size_t kQueueHeaderBytes = 1152;
static_assert(sizeof(QueueHeader) == kQueueHeaderBytes && Mappable<QueueHeader>);

/// What a new queue is told, but for its items.
struct QueueRules {
  Overflow overflow;
  bool ends_with_producers;
  SegmentOptions segment;

  static QueueRules of(const Capacity& capacity, const QueueOptions& options);
  /// `format_items` gets what follows the header.
  [[nodiscard]] Segment::Format format(
      QueueEngine engine, std::function<void(std::span<std::byte>)> format_items) const;
};

/// Which engine the queue in that segment has. Throws Error if it is none.
QueueEngine engine_of(const Segment& segment);

/// Throws Error with EINVAL.
[[noreturn]] void refuse_capacity(const std::string& expected, std::size_t found);

/// Whether a call may wait for room or for an item, or only for a lock that another just holds.
enum class Waits : std::uint8_t { yes, no };

/// Until when a call waits for others who are at work, which takes as long as to copy an item: one
/// that must not wait for items or room, 10 to 20 ms.
class WorkDeadline {
 public:
  WorkDeadline(Waits waits, Deadline deadline) noexcept
      : may_wait_(waits == Waits::yes && !deadline.is_now()), deadline_(deadline) {}

  /// Whether the call waits for items or room as well.
  [[nodiscard]] bool may_wait() const noexcept { return may_wait_; }
  // NOLINTNEXTLINE(google-explicit-constructor): that is what it is, once somebody asks.
  operator Deadline() const noexcept { return may_wait_ ? deadline_ : soon(); }

 private:
  static Deadline soon() noexcept;

  bool may_wait_;
  Deadline deadline_;
};

class QueueCore {
 public:
  QueueCore(const QueueCore&) = delete;
  QueueCore& operator=(const QueueCore&) = delete;

  /// Takes a producer's seat, if it has none yet.
  Status sit_down();

  [[nodiscard]] const Segment& segment() const noexcept { return segment_; }
  /// How the stream ended for who popped last; ok if it has not.
  [[nodiscard]] Status end() const noexcept {
    // Relaxed: as in ended().
    return end_.load(std::memory_order_relaxed);
  }

  /// Refers to this object.
  [[nodiscard]] WaitHandle wait_handle();
  [[nodiscard]] int descriptor();

 protected:
  QueueCore(Segment segment, QueueEngine engine);
  ~QueueCore() = default;

  /// At the end, while the items' memory is still known: gives the seat up.
  void leave() noexcept;

  /// What follows the header.
  [[nodiscard]] std::span<std::byte> items_memory() const {
    return segment_.object().subspan(kQueueHeaderBytes);
  }
  /// For items that grow from `offset` of that memory on.
  [[nodiscard]] GrowingMemory growth_from(std::size_t offset) const;

  // What keeps the items; called by who waits, or finds no room.

  /// Somebody has pushed, or the queue has ended.
  virtual EventCount& pushed() noexcept = 0;
  [[nodiscard]] virtual bool has_ended_or_items() const noexcept = 0;
  /// Puts in order what the dead have left: ok also if that has to wait.
  virtual Status look_after() { return Status::ok; }
  /// Until there may be room for an item of `size` bytes, or the queue has ended.
  virtual Status await_room(std::size_t size, Deadline deadline) = 0;
  virtual void count_dropped(std::size_t n) noexcept = 0;
  /// Nothing is on its way out or in: where the producers have left, that is the end.
  [[nodiscard]] virtual bool is_settled() { return true; }

  [[nodiscard]] Overflow overflow() const noexcept { return overflow_; }
  [[nodiscard]] bool ends_with_producers() const noexcept { return ends_with_producers_; }

  /// Pushes `n` items, waiting for room; `done` counts on. `push_more(done, more, lock)` pushes
  /// those from `done` on as far as there is room, and says how many; `drop_one(size, dropped,
  /// lock)` makes room by dropping, ok also if somebody else made it meanwhile.
  template <class SizeOf, class PushMore, class DropOne>
  Status push_all(std::size_t n, SizeOf size_of, PushMore push_more, DropOne drop_one,
                  std::size_t& done, Waits waits, Deadline deadline) {
    if (ends_with_producers_) [[unlikely]] {
      if (const Status s = sit_down(); s != Status::ok) return s;
    }
    bool waited = false;
    for (done = 0;;) {
      std::size_t more = 0;
      const Status status = push_more(done, more, WorkDeadline(waits, deadline));
      done += more;
      if (done == n) return Status::ok;
      if (status == Status::ok) continue;  // the rest finds no room, or is too large
      if (status != Status::full) return explained(status, waits);
      Status room = Status::ok;
      if (overflow_ == Overflow::drop_oldest) {
        std::size_t dropped = 0;
        room = explained(drop_one(size_of(done), dropped, WorkDeadline(waits, deadline)), waits);
        count_dropped(dropped);
      } else if (std::exchange(waited, true) && deadline.passed()) {
        return Status::timeout;
      } else {
        room = without_room(size_of(done), n - done, waits, deadline);
      }
      if (room != Status::ok) return room == Status::empty ? Status::ok : room;
    }
  }

  /// `once(deadline)` tries to take something: repeats that until it finds something.
  template <class Once>
  Status take(Once once, Waits waits, Deadline deadline) {
    for (bool waited = false;;) {
      Status status = once(WorkDeadline(waits, deadline));
      if (status == Status::ok) return status;
      if (status == Status::closed) return ended(status);
      if (status != Status::empty) return explained(status, waits);
      // Others may be quicker each time, or what looks like an item be none.
      const bool is_late = std::exchange(waited, true) && deadline.passed();
      const bool only_once = waits == Waits::no || deadline.is_now();
      if (is_late) {
        status = Status::timeout;
      } else {
        status = only_once ? look_for_end() : await_item(deadline);
      }
      if (status == Status::ok) {
        if (!only_once) continue;
        status = waits == Waits::yes ? Status::timeout : Status::empty;
      } else if (status != Status::timeout) {
        // The last producer's last item came before its end.
        const Status last = once(WorkDeadline(waits, deadline));
        if (last == Status::empty) return ended(status);
        return last == Status::closed ? ended(last) : explained(last, waits);
      }
      rearm_descriptor();
      return status;
    }
  }

 private:
  /// What a status of what keeps the items is called by the queue.
  static Status explained(Status status, Waits waits) {
    if (status == Status::busy) return Status::full;  // no memory to grow into
    if (status == Status::timeout && waits == Waits::no) return Status::busy;
    return status;
  }
  Status ended(Status how) noexcept {
    // Relaxed: it says how, not that.
    end_.store(how, std::memory_order_relaxed);
    return how;
  }

  /// No room for an item of `size` bytes, one of `left`: ok to try again, empty if all is done.
  Status without_room(std::size_t size, std::size_t left, Waits waits, Deadline deadline);
  Status await_item(Deadline deadline);
  Status look_for_producers() noexcept;
  /// As look_for_producers(), but ok while something may still come.
  Status look_for_end() {
    const Status status = look_for_producers();
    return status == Status::ok || is_settled() ? status : Status::ok;
  }
  void rearm_descriptor();

  static Status look_for_loop(void* core, WaitHandle::Look how);

  Segment segment_;
  QueueHeader* header_;
  Overflow overflow_;
  bool ends_with_producers_;
  std::atomic<Status> end_{Status::ok};  ///< threads may share the handle
  /// Who has a seat, and which, in the upper half: not a forked child. Threads share the handle.
  std::atomic<std::uint64_t> seated_{participant::kNobody};
  std::unique_ptr<ReadyDescriptor> descriptor_;
};

[[noreturn]] void refuse_detached();
void throw_unless_queue_ended(Status status);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_QUEUE_CORE_H_
