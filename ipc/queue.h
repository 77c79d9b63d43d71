// SPDX-License-Identifier: Apache-2.0
//
// Queue<T>: items from any number of producers to any number of consumers, threads and processes,
// each to one consumer, first in first out. T is any type that travels (ipc/codec.h). Between one
// producer and one consumer ipc/pipe.h is faster; when only the newest value counts, ipc/value.h.
//
//   Queue<Order> orders(1024);                        // threads and forked children share it
//   if (orders.push(order) == Status::ok) ++sent;     // waits for room; closed: it has ended
//   orders.close();                                   // no more: for everybody
//   while (auto order = orders.pop()) handle(*order); // in another process; ends when drained
//
//   auto jobs = Queue<std::string>::create("jobs", 100);         // under a name
//   auto same = Queue<std::string>::open("jobs");                // elsewhere
//   Queue<std::string> any;                                      // no limit but 1 GiB
//   if (same.try_push("x") == Status::full) std::cerr << same.refusal("x") << '\n';
//
// In memory: a segment of kind `queue`, in one of two ways that its maker's wishes decide on. With
// a limit in items alone, and of items that travel as their own bytes (numbers and plain classes of
// up to 4 KiB, or 256 bytes with padding), it is a ring without locks (ipc/ring_parts.h), if it
// drops none. Any other is two robust locks, one for each end of a ring of encoded items
// (ipc/queue_parts.h).
//
// Order: items of one producer stay in their order. Items of several producers are in the order in
// which their pushes took effect, which is one for all consumers. In a ring, what a consumer had
// that was killed comes back in its old place: to those who have passed it, after later ones. What
// close() is to everybody, detach() is to this handle alone: it has left, the others go on.
//
// Units: items, bytes, Deadline. Errors, as Status:
//   full       no room: a try_ form; any push under Overflow::fail; and where there is no memory to
//              grow into. refusal() has the figures. Nothing was pushed
//   empty      try_pop found nothing
//   timeout    the deadline passed
//   closed     push: the queue was closed. pop: that, and it is drained; or the producers have left
//              (QueueOptions::ends_with_producers)
//   peer_died  pop: as closed, and at least one of those producers died
//   too_large  push: larger than the queue's limit in bytes. Nothing was pushed
//   busy       a try_ form: another was in the midst of a push or a pop for more than 10 ms: it is
//              stopped, or this machine is overloaded. push: all 254 seats of producers are taken
//   corrupt    pop: bytes that are no T (skip() drops them), or words that no correct process
//   leaves foreign_registry
// A call on a handle that was detached or moved from throws std::logic_error. What encoding or
// decoding throws passes through: then the item is not pushed, or stays.
//
// Threads and processes: all calls may overlap, also through one handle, but for detach(), moving
// and destroying; pops with a deadline through one handle only if none has asked for descriptor().
// A try_ form may wait for another's copying of an item, never for room or items.
//
// If a process dies here: a push and a pop are committed by one store each. An item whose push had
// returned is delivered, once, unless its taker died after the pop's commit. A push that was killed
// has happened or not; a pop that was killed before its commit leaves the item for the next. The
// locks' next owners put in order what was cached; in a ring, those whom a claim of the dead stops
// undo it. Sleepers whom the dead would have woken find out at the end of their slice (10 to 80
// ms).
//
// Cost: in a ring, a push or a pop is a compare-and-swap, a store and the copy. Else it is two
// compare-and-swaps and the copy; encoding and decoding under the lock of that end; a batch pays
// for the lock once. No system call, unless somebody sleeps, or is in the midst of something for
// long, or the queue grows or gives memory back.

#ifndef SLUICE_IPC_QUEUE_H_
#define SLUICE_IPC_QUEUE_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_refusal.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/in_place.h"
#include "sluice/ipc/popped_items.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_face.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/queue_parts.h"
#include "sluice/ipc/ring_choice.h"
#include "sluice/ipc/ring_parts.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// How a batch of items ended: ok, or why it stopped after `count` of them.
struct QueueBatch {
  Status status;      ///< ok, or why it stopped; what was done before stays done
  std::size_t count;  ///< pushed or popped; not what Overflow::drop_newest dropped
};

/// What close() does with items that are still there.
enum class Remaining : std::uint8_t {
  delivered,  ///< they can be popped
  dropped,    ///< they are gone at once
};

/// Items from any number of producers to any number of consumers, first in first out: a handle.
template <class T>
class Queue {
  static_assert(internal::explain_why_not<T>());
  using Parts = internal::QueueParts;
  using Face = internal::QueueFace;
  using Waits = internal::Waits;
  /// Whether there are queues of T that are rings.
  static constexpr bool kMayBeRing = internal::may_be_in_ring<T>();
  using Ring = std::conditional_t<kMayBeRing, internal::RingParts<T>, internal::NoRing>;

 public:
  using value_type = T;
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = internal::kQueueVersion;

  /// Without a name: for threads, children that are forked later, and whoever is sent fd(). It
  /// grows as needed: see Capacity.
  Queue() : Queue(Capacity::unlimited()) {}
  /// Without a name, too. Throws Error, also for limits that no queue can have.
  explicit Queue(Capacity capacity, const QueueOptions& options = {})
      : Queue(plan(capacity, options), [](const Plan& p) {
          return Segment::create_anonymous(kind(), p.bytes, p.segment, p.format);
        }) {}

  /// Under a name that must be free.
  static Queue create(std::string_view name, Capacity capacity, const QueueOptions& options = {}) {
    return Queue(plan(capacity, options), [&](const Plan& p) {
      return Segment::create(name, kind(), p.bytes, p.segment, p.format);
    });
  }
  /// What is there under that name.
  static Queue open(std::string_view name, const SegmentOptions& options = {}) {
    return Queue(Segment::open(name, kind(), options));
  }
  /// Either; race-free. What is there keeps its capacity. created() tells which.
  static Queue open_or_create(std::string_view name, Capacity capacity,
                              const QueueOptions& options = {}) {
    return Queue(plan(capacity, options), [&](const Plan& p) {
      return Segment::open_or_create(name, kind(), p.bytes, p.segment, p.format);
    });
  }
  /// From a descriptor that another process obtained with fd() and sent.
  static Queue from_fd(UniqueFd fd, const SegmentOptions& options = {}) {
    return Queue(Segment::from_fd(std::move(fd), kind(), options));
  }
  /// Removes the name, whoever uses the queue; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  /// Appends an item; waits for room until the deadline, unless the queue's Overflow says
  /// otherwise.
  Status push(const T& item, Deadline deadline = Deadline::never()) {
    return push_one(item, Waits::yes, deadline);
  }
  /// As push(), but full instead of waiting.
  Status try_push(const T& item) { return push_one(item, Waits::no, Deadline::now()); }
  /// As push(), of an item made of these arguments.
  template <class... Args>
    requires std::constructible_from<T, Args...>
  Status emplace(Args&&... args) {
    return push(T(std::forward<Args>(args)...));
  }
  /// Appends each, in one piece as far as there is room at once: nobody else's items come between
  /// those. (In a ring, in pieces of up to 64.) What was pushed stays pushed.
  QueueBatch push_each(std::span<const T> items, Deadline deadline = Deadline::never()) {
    return push_some(items, Waits::yes, deadline);
  }
  /// As push_each(), but full instead of waiting for room.
  QueueBatch try_push_each(std::span<const T> items) {
    return push_some(items, Waits::no, Deadline::now());
  }

  /// The next item; waits for it. Empty when the stream has ended: status() tells how. Throws Error
  /// where anything else is wrong.
  std::optional<T> pop() {
    std::optional<T> item(std::in_place);
    const Status status = pop(*item);
    if (status == Status::ok) return item;
    internal::throw_unless_queue_ended(status);
    return std::nullopt;
  }
  /// As above, but gives up at the deadline, and says with a Status how it ended; `item` means
  /// something if that is ok.
  Status pop(T& item, Deadline deadline = Deadline::never()) {
    return pop_one(item, Waits::yes, deadline);
  }
  /// As pop(), but empty instead of waiting.
  Status try_pop(T& item) { return pop_one(item, Waits::no, Deadline::now()); }
  /// Appends items to `items`, `most` at most: waits for the first, takes what is there.
  QueueBatch pop_each(std::vector<T>& items, std::size_t most,
                      Deadline deadline = Deadline::never()) {
    return pop_some(items, most, Waits::yes, deadline);
  }
  /// As pop_each(), but empty instead of waiting for the first.
  QueueBatch try_pop_each(std::vector<T>& items, std::size_t most) {
    return pop_some(items, most, Waits::no, Deadline::now());
  }

  /// Pops the next item by `use`, which sees it where it lies, without a copy of its own (see
  /// ItemView): it is popped when `use` returns, and stays if that throws. Of a ring, other
  /// consumers pop what comes after it meanwhile, and producers that are once around wait for it
  /// (a try_push() says busy); of records, other consumers wait, and `use` must not pop from this
  /// queue. What is no sequence of bytes is decoded for it there. Not for long work: that takes a
  /// JoinableQueue.
  template <std::invocable<ItemView<T>> Use>
  Status pop_in_place(Use use, Deadline deadline = Deadline::never()) {
    return pop_seen(use, Waits::yes, deadline);
  }
  /// As pop_in_place(), but empty instead of waiting.
  template <std::invocable<ItemView<T>> Use>
  Status try_pop_in_place(Use use) {
    return pop_seen(use, Waits::no, Deadline::now());
  }
  /// Appends a string, or a vector of bytes, of `size` bytes that `fill` writes where it will lie,
  /// while other producers wait; waits for room, as push(). If `fill` throws, nothing was pushed.
  template <std::invocable<std::span<internal::Element<T>>> Fill>
    requires ByteSequence<T>
  Status push_in_place(std::size_t size, Fill fill, Deadline deadline = Deadline::never()) {
    std::size_t done = 0;
    return records().push(
        1, [&](std::size_t) { return internal::kCountBytes + size; },
        [&](std::size_t, std::span<std::byte> room) {
          internal::fill_in_place<T>(room, size, fill);
        },
        done, Waits::yes, deadline);
  }

  /// Drops the next item unread, as where it is corrupt: ok, or what try_pop() says of none.
  Status skip() {
    if (kMayBeRing && is_ring()) {
      T item{};
      return try_pop(item);
    }
    std::size_t done = 0;
    return records().pop(
        1, [](std::span<const std::byte>) { return Status::ok; }, done, Waits::no, Deadline::now());
  }

  /// The items that pop() gives, one by one, to the end of the stream: for (T& item : q.items()).
  [[nodiscard]] auto items() { return internal::PoppedItems<Queue>(*this); }

  /// Says that this process will push, for queues that end with their producers: a consumer that
  /// comes before its first push then waits. Every first push does it as well.
  Status announce_producer() { return face().sit_down(); }

  /// Ends the queue for everybody: pushes are refused from now on, and pops when it is drained.
  void close(Remaining remaining = Remaining::delivered) {
    const Status status = face().close(remaining == Remaining::dropped);
    if (status != Status::ok) throw Error(status, {.tried = "close a queue"});
  }
  /// Whether somebody has called close(); there may still be items to pop.
  [[nodiscard]] bool is_closed() const { return face().state() != internal::QueueState::open; }
  /// Ends this handle's part in it. For who pops as well as for who pushes; twice is once.
  void detach() noexcept {
    records_.reset();
    ring_.reset();
  }
  /// Whether this handle was detached or moved from, and can do nothing any more.
  [[nodiscard]] bool is_detached() const noexcept { return records_ == nullptr && !is_ring(); }

  /// How the stream ended for the pop of this handle that said so: closed or peer_died; else ok.
  Status status() const { return face().end(); }

  /// Exact while nobody else is at work; else a snapshot, from 0 to capacity(). A push that has
  /// returned is counted.
  [[nodiscard]] std::size_t size() const { return face().size(); }
  /// Whether there is no item now; a snapshot, as size().
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// Whether there is no room now, not even for the smallest item; a snapshot.
  [[nodiscard]] bool full() const { return !face().has_room_for(fixed_bytes()); }
  /// In items.
  [[nodiscard]] std::size_t capacity() const { return face().max_items(); }
  /// In bytes, of what items take with all that each costs besides its own bytes.
  [[nodiscard]] std::size_t capacity_bytes() const { return face().max_bytes(); }
  /// Bytes in use.
  [[nodiscard]] std::size_t bytes() const { return face().bytes(); }
  /// Items that were dropped under Overflow::drop_oldest and drop_newest.
  [[nodiscard]] std::uint64_t dropped() const { return face().dropped(); }
  /// For people: why this item finds no room.
  [[nodiscard]] std::string refusal(const T& item) const {
    return internal::explain_refusal(face(), bytes_of(item));
  }

  /// For wait_any() and event loops: ready when a pop() would return at once. Refers to the queue,
  /// not to this handle, which may move meanwhile.
  [[nodiscard]] WaitHandle wait_handle() { return face().wait_handle(); }
  /// For poll(2) and epoll(7) in this process: readable once a pop() may return at once, until a
  /// pop with a deadline, or a try_pop(), has found nothing. Stays this object's.
  [[nodiscard]] int descriptor() { return face().descriptor(); }

  /// A new descriptor, for another process's from_fd().
  [[nodiscard]] UniqueFd fd() const { return face().segment().fd(); }
  /// Empty if it has none, or came by from_fd().
  [[nodiscard]] const std::string& name() const { return face().segment().name(); }
  /// Whether this call made the queue; false if it was there already.
  [[nodiscard]] bool created() const { return face().segment().created(); }

  friend std::ostream& operator<<(std::ostream& out, const Queue& queue) {
    if (queue.is_detached()) return out << "Queue: detached";
    return internal::describe(out, queue.face());
  }

 private:
  static constexpr std::size_t fixed_bytes() { return internal::fixed_size<T>(); }

  static SegmentKind kind() {
    return {.name = internal::kQueueKindName,
            .version = kVersion,
            .fingerprint = codec_fingerprint<T>()};
  }

  /// What a new queue looks like.
  struct Plan {
    std::size_t bytes;
    SegmentOptions segment;
    Segment::Format format;
  };
  static Plan plan(const Capacity& capacity, const QueueOptions& options) {
    const auto records = internal::QueuePlan::of(capacity, options, fixed_bytes());
    if constexpr (kMayBeRing) {
      if (internal::is_for_ring(capacity, records.rules)) {
        return {Ring::object_bytes(capacity.items), options.segment,
                Ring::format(capacity.items, records.rules)};
      }
    }
    return {records.object_bytes(), records.rules.segment, records.format()};
  }

  template <class Make>
  Queue(const Plan& plan, Make make) : Queue(make(plan)) {}
  explicit Queue(Segment segment) {
    if constexpr (kMayBeRing) {
      if (internal::engine_of(segment) == internal::QueueEngine::ring) {
        ring_ = std::make_unique<Ring>(std::move(segment));
        return;
      }
    }
    records_ = std::make_unique<Parts>(std::move(segment), fixed_bytes() != 0);
  }

  [[nodiscard]] bool is_ring() const noexcept { return ring_ != nullptr; }
  [[nodiscard]] Parts& records() const {
    if (records_ == nullptr) [[unlikely]]
      internal::refuse_detached();
    return *records_;
  }
  [[nodiscard]] Face& face() const {
    if constexpr (kMayBeRing) {
      if (is_ring()) return *ring_;
    }
    return records();
  }

  static std::size_t bytes_of(const T& item) {
    if constexpr (TellsItsSize<T>) {
      return encoded_size(item);
    } else {
      return encode(item).size();
    }
  }

  Status push_one(const T& item, Waits waits, Deadline deadline) {
    if constexpr (kMayBeRing) {
      if (is_ring()) [[likely]]
        return ring_->push(item, waits, deadline);
    }
    return push_some(std::span(&item, 1), waits, deadline).status;
  }

  QueueBatch push_some(std::span<const T> items, Waits waits, Deadline deadline) {
    if (items.empty()) return {Status::ok, 0};
    QueueBatch batch = {Status::ok, 0};
    if constexpr (kMayBeRing) {
      if (is_ring()) {
        batch.status = ring_->push_each(items, batch.count, waits, deadline);
        return batch;
      }
    }
    if constexpr (TellsItsSize<T>) {
      batch.status = records().push(
          items.size(), [&](std::size_t i) { return encoded_size(items[i]); },
          [&](std::size_t i, std::span<std::byte> room) { internal::write_item(items[i], room); },
          batch.count, waits, deadline);
    } else {
      for (std::size_t one = 0; batch.count < items.size() && batch.status == Status::ok;
           batch.count += one) {
        const std::vector<std::byte> bytes = encode(items[batch.count]);
        batch.status = records().push(
            1, [&](std::size_t) { return bytes.size(); },
            [&](std::size_t, std::span<std::byte> room) {
              std::copy(bytes.begin(), bytes.end(), room.begin());
            },
            one, waits, deadline);
      }
    }
    return batch;
  }

  Status pop_one(T& item, Waits waits, Deadline deadline) {
    if constexpr (kMayBeRing) {
      if (is_ring()) [[likely]]
        return ring_->pop(item, waits, deadline);
    }
    std::size_t done = 0;
    return records().pop(
        1, [&](std::span<const std::byte> bytes) { return decode(bytes, item); }, done, waits,
        deadline);
  }

  template <class Use>
  Status pop_seen(Use& use, Waits waits, Deadline deadline) {
    if constexpr (kMayBeRing) {
      if (is_ring()) return ring_->pop_in_place(use, waits, deadline);
    }
    std::size_t done = 0;
    return records().pop(
        1, [&](std::span<const std::byte> bytes) { return internal::see_in_place<T>(bytes, use); },
        done, waits, deadline);
  }

  QueueBatch pop_some(std::vector<T>& items, std::size_t most, Waits waits, Deadline deadline) {
    if (most == 0) return {Status::ok, 0};
    QueueBatch batch = {Status::ok, 0};
    if constexpr (kMayBeRing) {
      if (is_ring()) {
        batch.status = ring_->pop_each(items, most, batch.count, waits, deadline);
        return batch;
      }
    }
    const auto read = [&](std::span<const std::byte> bytes) {
      T item{};
      const Status status = decode(bytes, item);
      if (status == Status::ok) items.push_back(std::move(item));
      return status;
    };
    batch.status = records().pop(most, read, batch.count, waits, deadline);
    return batch;
  }

  // One of them, unless it is detached.
  std::unique_ptr<Parts> records_;
  std::unique_ptr<Ring> ring_;
};

}  // namespace sluice

#endif  // SLUICE_IPC_QUEUE_H_
