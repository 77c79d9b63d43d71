// SPDX-License-Identifier: Apache-2.0
//
// What a queue is to generic code: ours, between threads or between processes, and others' behind
// an adapter (lockfree/queue_adapters.h). The names are those of the C++ concurrent-queue proposal
// (P0260), the outcomes sluice::Status.
//
//   template <BlockingQueue Queue>
//   void drain(Queue& queue, auto use) {
//     typename Queue::value_type item;
//     while (queue.pop(item) == Status::ok) use(item);
//   }
//
// What the requires-expressions can't say: try_push() is ok or full (or closed, where there is
// close()), try_pop() ok or empty (or closed); an item whose push was ok is popped once; items of
// one producer stay in their order, unless the queue says that it has another. push() and pop()
// wait; after close() push() is closed, and so is pop() once what was pushed is popped.
//
// Units, errors, threads, processes, death, cost: the queue's own.

#ifndef SLUICE_LOCKFREE_QUEUE_CONCEPT_H_
#define SLUICE_LOCKFREE_QUEUE_CONCEPT_H_

#include <concepts>
#include <cstddef>

#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Never waits for room or for items.
template <class Queue>
concept TryQueue =
    requires(Queue& queue, const typename Queue::value_type& in, typename Queue::value_type& out) {
      { queue.try_push(in) } -> std::same_as<Status>;
      { queue.try_pop(out) } -> std::same_as<Status>;
    };

/// Waits, and can be ended.
template <class Queue>
concept BlockingQueue =
    TryQueue<Queue> && requires(Queue& queue, const typename Queue::value_type& in,
                                typename Queue::value_type& out, Deadline deadline) {
      { queue.push(in) } -> std::same_as<Status>;
      { queue.push(in, deadline) } -> std::same_as<Status>;
      { queue.pop(out) } -> std::same_as<Status>;
      { queue.pop(out, deadline) } -> std::same_as<Status>;
      queue.close();
      { queue.is_closed() } -> std::convertible_to<bool>;
    };

/// Tells how much is in it: exact while nobody is at work, else a snapshot.
template <class Queue>
concept SizedQueue = TryQueue<Queue> && requires(const Queue& queue) {
  { queue.size() } -> std::convertible_to<std::size_t>;
  { queue.empty() } -> std::convertible_to<bool>;
};

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_QUEUE_CONCEPT_H_
