// SPDX-License-Identifier: Apache-2.0
//
// PriorityQueue<T>: items between any number of threads and processes, each to one consumer, the
// smallest first; of equal ones, the first in. T is any type that travels (ipc/codec.h) and
// compares with <, or as Compare says.
//
//   PriorityQueue<std::pair<int, std::string>> tasks(100);    // pairs compare as a whole
//   if (tasks.push({2, "later"}) == Status::ok) ++pushed;
//   if (tasks.push({1, "now"}) == Status::ok) ++pushed;
//   auto first = tasks.pop();                                 // (1, "now"); waits for one
//   PriorityQueue<int, std::greater<int>> largest_first(100);
//
//   struct ByDue {                                            // an order of yours has a name
//     static constexpr std::string_view kTypeName = "acme.ByDue";
//     bool operator()(const Job& a, const Job& b) const { return a.due < b.due; }
//   };
//
// In memory: a segment of kind `priority_queue` (ipc/item_parts.h), which an attacher with another
// order is refused. An item of up to 24 encoded bytes takes 64, and for each further 48 another 64.
//
// Units and errors: as ipc/queue.h. Overflow::drop_oldest is refused: which would that be? What
// comparing throws passes through: then the item is not pushed, or stays, and the queue is whole.
// An item that can't be decoded comes first: pop says corrupt, skip() drops it.
// Threads and processes: as ipc/queue.h. Compare has no state, and orders alike in all processes.
//
// If a process dies here: a push and a pop are committed by one store each. Whoever takes the lock
// next makes the order anew from the items, O(n log n). Sleepers whom the dead would have woken
// find out at the end of their slice (10 to 80 ms).
//
// Cost: as ipc/lifo_queue.h, and O(log n) comparisons under the lock, each of which decodes an
// item.

#ifndef SLUICE_IPC_PRIORITY_QUEUE_H_
#define SLUICE_IPC_PRIORITY_QUEUE_H_

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/fingerprint.h"
#include "sluice/ipc/item_heap.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_parts.h"
#include "sluice/ipc/item_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/status.h"

namespace sluice {

namespace internal {

/// The name of an order, for fingerprints.
template <class Compare, class T>
constexpr std::string_view order_name() {
  if constexpr (std::is_same_v<Compare, std::less<T>> || std::is_same_v<Compare, std::less<>>) {
    return "less";
  } else if constexpr (std::is_same_v<Compare, std::greater<T>> ||
                       std::is_same_v<Compare, std::greater<>>) {
    return "greater";
  } else {
    return type_name<Compare>();
  }
}

}  // namespace internal

/// Items between threads and processes, the smallest popped first: a handle.
template <class T, std::predicate<const T&, const T&> Compare = std::less<T>>
class PriorityQueue
    : public internal::ItemQueue<PriorityQueue<T, Compare>, T, internal::ItemOrder::heap> {
  static_assert(std::is_empty_v<Compare> && std::is_default_constructible_v<Compare>,
                "sluice: an order that several processes share has no state");
  static_assert(!internal::order_name<Compare, T>().empty(),
                "sluice: give your order a name, so that all who share the queue are known to use "
                "the same:  static constexpr std::string_view kTypeName = \"acme.ByDue\";");
  using Base = internal::ItemQueue<PriorityQueue<T, Compare>, T, internal::ItemOrder::heap>;
  using Waits = internal::Waits;

 public:
  /// What the stamps of its segments call it; another kind is refused with Status::mismatch.
  static constexpr std::string_view kKindName = "priority_queue";
  /// What it calls itself for people.
  static constexpr std::string_view kName = "PriorityQueue";

  /// Without a name: for threads, children that are forked later, and whoever is sent fd(). It
  /// grows as needed: see Capacity.
  PriorityQueue() : PriorityQueue(Capacity::unlimited()) {}
  /// Without a name, too. Throws Error, also for limits that no queue can have.
  explicit PriorityQueue(Capacity capacity, const QueueOptions& options = {})
      : Base(plan(capacity, options)) {}

  /// Under a name that must be free.
  static PriorityQueue create(std::string_view name, Capacity capacity,
                              const QueueOptions& options = {}) {
    return PriorityQueue(Base::make(name, plan(capacity, options)));
  }
  /// What is there, or a new one; race-free. What is there keeps its capacity.
  static PriorityQueue open_or_create(std::string_view name, Capacity capacity,
                                      const QueueOptions& options = {}) {
    return PriorityQueue(Base::make_or_open(name, plan(capacity, options)));
  }

  /// Adds an item; waits for room until the deadline, unless the queue's Overflow says otherwise.
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
    return Base::push_some(heap(), internal::ItemEnd::front, items, Waits::yes, deadline);
  }
  /// As push_each(), but full instead of waiting for room.
  QueueBatch try_push_each(std::span<const T> items) {
    return Base::push_some(heap(), internal::ItemEnd::front, items, Waits::no, Deadline::now());
  }

  /// The smallest item; waits for one. Empty when the stream has ended: status() tells how. Throws
  /// Error where anything else is wrong.
  std::optional<T> pop() {
    return Base::item_or_end([this](T& item) { return pop(item); });
  }
  /// As above, but gives up at the deadline, and says with a Status how it ended; `item` means
  /// something if that is ok.
  Status pop(T& item, Deadline deadline = Deadline::never()) {
    return Base::pop_one(heap(), item, Waits::yes, deadline);
  }
  /// As pop(), but empty instead of waiting.
  Status try_pop(T& item) { return Base::pop_one(heap(), item, Waits::no, Deadline::now()); }
  /// Appends items to `items`, `most` at most: waits for the first, takes what is there.
  QueueBatch pop_each(std::vector<T>& items, std::size_t most,
                      Deadline deadline = Deadline::never()) {
    return Base::pop_some(heap(), items, most, Waits::yes, deadline);
  }
  /// As pop_each(), but empty instead of waiting for the first.
  QueueBatch try_pop_each(std::vector<T>& items, std::size_t most) {
    return Base::pop_some(heap(), items, most, Waits::no, Deadline::now());
  }
  /// Drops the first item unread, as where it is corrupt: ok, or what try_pop() says of none.
  Status skip() { return Base::skip_one(heap()); }

 private:
  friend Base;

  explicit PriorityQueue(Segment segment) : Base(std::move(segment)) {}

  static std::uint64_t fingerprint() {
    return Fnv1a()
        .add_number(codec_fingerprint<T>())
        .add(internal::order_name<Compare, T>())
        .value();
  }
  static internal::ItemQueuePlan plan(const Capacity& capacity, const QueueOptions& options) {
    if (options.overflow == Overflow::drop_oldest) {
      throw Error::from_errno(EINVAL, {.tried = "make a priority queue",
                                       .expected = "Overflow::block, fail or drop_newest",
                                       .found = "Overflow::drop_oldest"});
    }
    return Base::plan(capacity, options);
  }

  [[nodiscard]] auto heap() const {
    return [this] {
      auto& items = Base::parts().items();
      return internal::HeapIndex<internal::RealLockEnv, T, Compare>(items.control(), items.units());
    };
  }
};

}  // namespace sluice

#endif  // SLUICE_IPC_PRIORITY_QUEUE_H_
