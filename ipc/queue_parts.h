// SPDX-License-Identifier: Apache-2.0
//
// QueueParts: what a queue (ipc/queue.h) knows without its T: its memory, its records, who pushes
// into it, and how its calls wait. Internal.
//
// In memory, of the object:
//
//      0 overflow u32, 4 ends with producers u32      set when made
//    128 seats (ipc/producer_seats.h)
//   1152 records (ipc/record_layout.h)
//
// Errors, threads, processes, death: as ipc/queue.h says. Cost: as the record queue.

#ifndef SLUICE_IPC_QUEUE_PARTS_H_
#define SLUICE_IPC_QUEUE_PARTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/producer_seats.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/ready_descriptor.h"
#include "sluice/ipc/record_queue.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

inline constexpr std::string_view kQueueKindName = "queue";
inline constexpr std::uint32_t kQueueVersion = 1;

struct QueueHeader {
  Word<std::uint32_t> overflow, ends_with_producers;
  alignas(kNoSharing) ProducerSeats seats;
};
inline constexpr std::size_t kQueueRecordsOffset = 1152;
static_assert(sizeof(QueueHeader) == kQueueRecordsOffset && Mappable<QueueHeader>);

/// What a new queue looks like.
struct QueuePlan {
  RecordPlan records;
  Overflow overflow;
  bool ends_with_producers;
  SegmentOptions segment;

  /// `item_bytes`: what every item takes; 0 if they differ. Throws Error.
  static QueuePlan of(const Capacity& capacity, const QueueOptions& options,
                      std::size_t item_bytes);
  [[nodiscard]] std::size_t object_bytes() const;
  [[nodiscard]] Segment::Format format() const;
};

/// Whether a call may wait for room or for an item, or only for a lock that another just holds.
enum class Waits : std::uint8_t { yes, no };

class QueueParts {
 public:
  /// `alike`: all its items take the same number of bytes.
  explicit QueueParts(Segment segment, bool alike = false);
  QueueParts(const QueueParts&) = delete;
  QueueParts& operator=(const QueueParts&) = delete;
  ~QueueParts();

  /// As the record queue's push() and pop(), with waiting. `done` counts on.
  template <class SizeOf, class Write>
  Status push(std::size_t n, SizeOf size_of, Write write, std::size_t& done, Waits waits,
              Deadline deadline) {
    if (ends_with_producers_) [[unlikely]] {
      if (const Status s = sit_down(); s != Status::ok) return s;
    }
    for (done = 0;;) {
      const std::size_t before = done;
      std::size_t more = 0;
      const Status status = records_.push(
          n - before, [&](std::size_t i) { return size_of(before + i); },
          [&](std::size_t i, std::span<std::byte> room) { write(before + i, room); }, more,
          for_lock(waits, deadline));
      done += more;
      if (done == n) return Status::ok;
      if (status == Status::ok) continue;  // the rest finds no room, or is too large
      if (status != Status::full) return explained(status, waits);
      const Status room = overflow(size_of(done), n - done, waits, deadline);
      if (room != Status::ok) return room == Status::empty ? Status::ok : room;
    }
  }

  template <class Read>
  Status pop(std::size_t n, Read read, std::size_t& done, Waits waits, Deadline deadline) {
    for (;;) {
      Status status = records_.pop(n, read, done, for_lock(waits, deadline));
      if (status == Status::ok) return status;
      if (status == Status::closed) return ended(status);
      if (status != Status::empty) return explained(status, waits);
      const bool once = waits == Waits::no || deadline.is_now();
      status = once ? look_for_producers() : await_item(deadline);
      if (status == Status::ok) {
        if (!once) continue;
        status = waits == Waits::yes ? Status::timeout : Status::empty;
      } else if (status != Status::timeout) {
        // The last producer's last item came before its end.
        const Status last = records_.pop(n, read, done, for_lock(waits, deadline));
        if (last == Status::empty) return ended(status);
        return last == Status::closed ? ended(last) : explained(last, waits);
      }
      rearm_descriptor();
      return status;
    }
  }

  /// Takes a producer's seat, if it has none yet.
  Status sit_down();

  [[nodiscard]] const RecordQueue& records() const noexcept { return records_; }
  [[nodiscard]] RecordQueue& records() noexcept { return records_; }
  [[nodiscard]] const Segment& segment() const noexcept { return segment_; }
  [[nodiscard]] Overflow overflow_policy() const noexcept { return overflow_; }
  /// How the stream ended for who popped last; ok if it has not.
  [[nodiscard]] Status end() const noexcept {
    // Relaxed: as in ended().
    return end_.load(std::memory_order_relaxed);
  }

  [[nodiscard]] WaitHandle wait_handle();
  [[nodiscard]] int descriptor();

 private:
  static Deadline for_lock(Waits waits, Deadline deadline) noexcept {
    return waits == Waits::yes && !deadline.is_now() ? deadline : soon();
  }

  /// How long a call that must not wait for room still waits for a lock that another holds, which
  /// is held for as long as it takes to copy an item: 10 to 20 ms.
  static Deadline soon() noexcept;

  /// What a status of the record queue is called by the queue.
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
  Status overflow(std::size_t size, std::size_t left, Waits waits, Deadline deadline);
  Status drop_oldest(Waits waits, Deadline deadline);
  Status await_item(Deadline deadline);
  Status look_for_producers() noexcept;
  void rearm_descriptor();

  static Status look_for_loop(void* parts, WaitHandle::Look how);

  Segment segment_;
  QueueHeader* header_;
  std::optional<GrowingMemory> growth_;
  RecordQueue records_;
  Overflow overflow_;
  bool ends_with_producers_;
  std::atomic<Status> end_{Status::ok};  ///< threads may share the handle
  /// Who has a seat, and which, in the upper half: not a forked child. Threads share the handle.
  std::atomic<std::uint64_t> seated_{participant::kNobody};
  std::unique_ptr<ReadyDescriptor> descriptor_;
};

/// For people: why an item of `size` bytes finds no room.
std::string explain_refusal(const QueueParts& parts, std::uint64_t size);

/// One line.
std::ostream& describe(std::ostream& out, const QueueParts& parts);

[[noreturn]] void refuse_detached();
void throw_unless_queue_ended(Status status);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_QUEUE_PARTS_H_
