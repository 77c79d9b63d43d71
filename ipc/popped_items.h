// SPDX-License-Identifier: Apache-2.0
//
// PoppedItems<Queue>: an input range over what a queue's pop() gives, to the end of the stream.
// Internal: Queue::items() returns one.
//
// Errors: as pop(). Threads: one, as an iterator has it; several ranges over one queue may be used
// by several threads. If a process dies here: as pop(): the item that it holds was popped.

#ifndef SLUICE_IPC_POPPED_ITEMS_H_
#define SLUICE_IPC_POPPED_ITEMS_H_

#include <cstddef>
#include <iterator>
#include <optional>

namespace sluice::internal {

template <class Queue>
class PoppedItems {
 public:
  /// Pops nothing before begin(); the queue's handle must outlive it.
  explicit PoppedItems(Queue& queue) : queue_(queue) {}

  /// Holds the item that was popped last.
  class Iterator {
   public:
    using value_type = typename Queue::value_type;
    using difference_type = std::ptrdiff_t;
    /// Pops the first item: waits and throws as pop().
    explicit Iterator(Queue& queue) : queue_(&queue), item_(queue.pop()) {}
    /// The item, which is nobody else's any more: it may be moved from.
    value_type& operator*() const { return *item_; }
    /// Pops the next item: waits and throws as pop().
    Iterator& operator++() {
      item_ = queue_->pop();
      return *this;
    }
    /// The same; there is no going back to the item before.
    void operator++(int) { ++*this; }
    /// Whether the stream has ended.
    bool operator==(std::default_sentinel_t) const { return !item_.has_value(); }

   private:
    Queue* queue_;
    mutable std::optional<value_type> item_;
  };

  [[nodiscard]] Iterator begin() const { return Iterator(queue_); }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  Queue& queue_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_POPPED_ITEMS_H_
