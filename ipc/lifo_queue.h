// SPDX-License-Identifier: Apache-2.0
//
// LifoQueue<T>: items between any number of threads and processes, each to one consumer, last in
// first out. T is any type that travels (ipc/codec.h). First in first out: ipc/queue.h; both ends:
// ipc/deque.h.
//
//   LifoQueue<Chunk> spare(1024);                     // threads and forked children share it
//   if (spare.push(chunk) == Status::ok) ++returned;  // waits for room; closed: it has ended
//   if (auto chunk = spare.pop()) use(*chunk);        // the last pushed; waits for one
//   auto jobs = LifoQueue<std::string>::create("jobs", 100);     // under a name
//   auto same = LifoQueue<std::string>::open("jobs");            // elsewhere
//
// In memory: a segment of kind `lifo_queue` (ipc/item_parts.h). An item of up to 24 encoded bytes
// takes 64, and for each further 48 another 64.
//
// Units and errors: as ipc/queue.h. Under Overflow::drop_oldest the first in is dropped.
// Threads and processes: as ipc/queue.h. What is pushed while another pops may be popped at once,
// or after what was there.
//
// If a process dies here: a push and a pop are committed by one store each. An item whose push had
// returned is delivered, once, unless its taker died after the pop's commit. Whoever takes the lock
// next makes the order anew from the items (2 ms for 10,000). Sleepers whom the dead would have
// woken find out at the end of their slice (10 to 80 ms).
//
// Cost: one lock for both ends: two compare-and-swaps, some ten loads and stores, and the copy;
// encoding and decoding under the lock. No system call, unless somebody sleeps, or the queue grows
// or gives memory back.

#ifndef SLUICE_IPC_LIFO_QUEUE_H_
#define SLUICE_IPC_LIFO_QUEUE_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Items between threads and processes, the last pushed popped first: a handle.
template <class T>
class LifoQueue : public internal::ItemQueue<LifoQueue<T>, T> {
  using Base = internal::ItemQueue<LifoQueue<T>, T>;
  using Waits = internal::Waits;
  static constexpr auto kBack = internal::ItemEnd::back;

 public:
  /// What the stamps of its segments call it; another kind is refused with Status::mismatch.
  static constexpr std::string_view kKindName = "lifo_queue";
  /// What it calls itself for people.
  static constexpr std::string_view kName = "LifoQueue";

  /// Without a name: for threads, children that are forked later, and whoever is sent fd(). It
  /// grows as needed: see Capacity.
  LifoQueue() : LifoQueue(Capacity::unlimited()) {}
  /// Without a name, too. Throws Error, also for limits that no queue can have.
  explicit LifoQueue(Capacity capacity, const QueueOptions& options = {})
      : Base(Base::plan(capacity, options)) {}

  /// Under a name that must be free.
  static LifoQueue create(std::string_view name, Capacity capacity,
                          const QueueOptions& options = {}) {
    return LifoQueue(Base::make(name, Base::plan(capacity, options)));
  }
  /// What is there, or a new one; race-free. What is there keeps its capacity.
  static LifoQueue open_or_create(std::string_view name, Capacity capacity,
                                  const QueueOptions& options = {}) {
    return LifoQueue(Base::make_or_open(name, Base::plan(capacity, options)));
  }

  /// Puts an item on top; waits for room until the deadline, unless the queue's Overflow says
  /// otherwise.
  Status push(const T& item, Deadline deadline = Deadline::never()) {
    return push_each(std::span(&item, 1), deadline).status;
  }
  /// As push(), but full instead of waiting.
  Status try_push(const T& item) { return try_push_each(std::span(&item, 1)).status; }
  /// As push(), of an item made of these arguments.
  template <class... Args>
    requires std::constructible_from<T, Args...>
  Status emplace(Args&&... args) {
    return push(T(std::forward<Args>(args)...));
  }
  /// Pushes each, in one piece as far as there is room at once. What was pushed stays pushed.
  QueueBatch push_each(std::span<const T> items, Deadline deadline = Deadline::never()) {
    return Base::push_some(kBack, items, Waits::yes, deadline);
  }
  /// As push_each(), but full instead of waiting for room.
  QueueBatch try_push_each(std::span<const T> items) {
    return Base::push_some(kBack, items, Waits::no, Deadline::now());
  }

  /// The item on top; waits for one. Empty when the stream has ended: status() tells how. Throws
  /// Error where anything else is wrong.
  std::optional<T> pop() {
    return Base::item_or_end([this](T& item) { return pop(item); });
  }
  /// As above, but gives up at the deadline, and says with a Status how it ended; `item` means
  /// something if that is ok.
  Status pop(T& item, Deadline deadline = Deadline::never()) {
    return Base::pop_one(top(), item, Waits::yes, deadline);
  }
  /// As pop(), but empty instead of waiting.
  Status try_pop(T& item) { return Base::pop_one(top(), item, Waits::no, Deadline::now()); }
  /// Appends items to `items`, `most` at most: waits for the first, takes what is there.
  QueueBatch pop_each(std::vector<T>& items, std::size_t most,
                      Deadline deadline = Deadline::never()) {
    return Base::pop_some(top(), items, most, Waits::yes, deadline);
  }
  /// As pop_each(), but empty instead of waiting for the first.
  QueueBatch try_pop_each(std::vector<T>& items, std::size_t most) {
    return Base::pop_some(top(), items, most, Waits::no, Deadline::now());
  }
  /// Drops the item on top unread, as where it is corrupt: ok, or what try_pop() says of none.
  Status skip() { return Base::skip_one(top()); }

 private:
  friend Base;

  explicit LifoQueue(Segment segment) : Base(std::move(segment)) {}
  static std::uint64_t fingerprint() { return codec_fingerprint<T>(); }

  [[nodiscard]] auto top() const {
    return [this] { return Base::parts().items().end(kBack); };
  }
};

}  // namespace sluice

#endif  // SLUICE_IPC_LIFO_QUEUE_H_
