// SPDX-License-Identifier: Apache-2.0
//
// StdQueueSubject: what most programs use, as a subject of the kit: a std::queue, a std::mutex and
// two std::condition_variables. What a test says of it, it should say of any queue that works; and
// what others are slower than.
//
//   template <class T> using MyQueue = testkit::StdQueueSubject<T>;
//
// Units: items. Errors: as testkit/queue_adapter.h; what T throws passes through, and the queue is
// as before. Threads: all calls may overlap, but for destroying. Processes and death: private to
// its process. Cost: the lock; a futex call where another holds it or waits.

#ifndef SLUICE_TESTKIT_SUBJECTS_STD_SUBJECTS_H_
#define SLUICE_TESTKIT_SUBJECTS_STD_SUBJECTS_H_

#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <queue>
#include <span>
#include <utility>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

template <std::movable T>
class StdQueueSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};

  explicit StdQueueSubject(std::size_t capacity) : capacity_(capacity) {}

  bool try_push(T item) {
    const std::scoped_lock hold(mutex_);
    return put(item);
  }
  bool try_pop(T& item) {
    const std::scoped_lock hold(mutex_);
    return take(item);
  }

  bool push(T item) {
    std::unique_lock hold(mutex_);
    has_room_.wait(hold, [&] { return closed_ || items_.size() < capacity_; });
    return put(item);
  }
  bool pop(T& item) {
    std::unique_lock hold(mutex_);
    has_items_.wait(hold, [&] { return closed_ || !items_.empty(); });
    return take(item);
  }

  std::size_t try_push_n(std::span<const T> items)
    requires std::copyable<T>
  {
    const std::scoped_lock hold(mutex_);
    std::size_t done = 0;
    while (done < items.size()) {
      T copy(items[done]);
      if (!put(copy)) break;
      ++done;
    }
    return done;
  }
  std::size_t try_pop_n(std::span<T> items) {
    const std::scoped_lock hold(mutex_);
    std::size_t done = 0;
    while (done < items.size() && take(items[done])) ++done;
    return done;
  }

  void close() {
    const std::scoped_lock hold(mutex_);
    closed_ = true;
    has_items_.notify_all();
    has_room_.notify_all();
  }

  [[nodiscard]] std::size_t size() const {
    const std::scoped_lock hold(mutex_);
    return items_.size();
  }

 private:
  // With the lock held.

  bool put(T& item) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push(std::move(item));
    has_items_.notify_one();
    return true;
  }
  bool take(T& item) {
    if (items_.empty()) return false;
    item = std::move(items_.front());
    items_.pop();
    has_room_.notify_one();
    return true;
  }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable has_items_, has_room_;
  std::queue<T> items_;
  bool closed_ = false;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_STD_SUBJECTS_H_
