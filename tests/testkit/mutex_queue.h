// SPDX-License-Identifier: Apache-2.0
//
// MutexQueue: a queue for the tests of the kit: a deque, a mutex and two condition variables, in
// any order, and with any one fault that a check must find.
//
//   MutexQueue<int> queue(2);                    // as it should be
//   const WithFault lossy(Fault::loses_one);     // and until the end of the block all of them are

#ifndef SLUICE_TESTS_TESTKIT_MUTEX_QUEUE_H_
#define SLUICE_TESTS_TESTKIT_MUTEX_QUEUE_H_

#include <signal.h>

#include <algorithm>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::tests {

enum class Fault : std::uint8_t {
  none,
  loses_one,       ///< the 1000th
  duplicates_one,  ///< the 1000th
  swaps_two,       ///< the 1000th and the one before it
  holds_one_less,  ///< than its capacity
  holds_one_more,
  forgets_to_wake_pop,  ///< unless it was empty
  never_wakes_pop,
  never_wakes_push,
  forgets_close,  ///< to wake for it
  pushes_when_closed,
  drops_when_closed,  ///< what is in it
  wrong_size,         ///< while an item is on its way in
  stale_size,         ///< one too many once it has been full
  batch_forgets_last,
  batch_wakes_one,
  leaks_on_close,
  destroys_twice,
  leaks,       ///< what was moved out
  loses_lock,  ///< when it is full: the next call hangs
  throws_when_full,
  dies,  ///< at the 1000th
  dies_at_third,
  gives_shells,  ///< for items that were moved out by a pop that threw
  hollows,       ///< items that only move
  halves,        ///< large items
  tears,         ///< the 1000th
  misaligns,     ///< items that want more than 16 bytes
};

/// Gives all MutexQueues of this process, and of children forked meanwhile, that fault.
class WithFault {
 public:
  explicit WithFault(Fault fault) { now = fault; }
  WithFault(const WithFault&) = delete;
  WithFault& operator=(const WithFault&) = delete;
  ~WithFault() { now = Fault::none; }

  static inline Fault now = Fault::none;
};

template <class T, testkit::QueueOrder kOrder = testkit::QueueOrder::fifo>
class MutexQueue {
 public:
  using value_type = T;
  static constexpr testkit::QueueTraits kTraits{.order = kOrder, .bounded = true};

  explicit MutexQueue(std::size_t capacity) : capacity_(capacity) {}

  bool try_push(T item) {
    std::unique_lock lock(mutex_);
    if (is_full() && has(Fault::loses_lock)) lock.release();
    if (is_full() && has(Fault::throws_when_full)) throw std::runtime_error("no room at all");
    if (refuses() || is_full()) return false;
    put(std::move(item));
    return true;
  }
  bool try_pop(T& item) {
    const std::scoped_lock lock(mutex_);
    return !items_.empty() && take(item);
  }
  bool push(T item) {
    std::unique_lock lock(mutex_);
    popped_.wait(lock, [&] { return is_closed_ || !is_full(); });
    if (refuses() || is_full()) return false;
    put(std::move(item));
    return true;
  }
  bool pop(T& item) {
    std::unique_lock lock(mutex_);
    pushed_.wait(lock, [&] { return is_closed_ || !items_.empty(); });
    return !items_.empty() && take(item);
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    is_closed_ = true;
    if (has(Fault::drops_when_closed)) items_.clear();
    if (has(Fault::leaks_on_close)) new std::deque<T>(std::move(items_));
    if (has(Fault::forgets_close)) return;
    pushed_.notify_all();
    popped_.notify_all();
  }
  std::size_t size() {
    const std::scoped_lock lock(mutex_);
    return items_.size() + (has(Fault::stale_size) && was_full_ ? 1 : 0) + (in_the_way_ ? 1 : 0);
  }

  std::size_t try_push_n(std::span<const T> items)
    requires std::copyable<T>
  {
    const std::scoped_lock lock(mutex_);
    std::size_t count = 0;
    for (; count < items.size() && !refuses() && !is_full(); ++count) {
      put(T(items[count]), !has(Fault::batch_wakes_one) || count == 0);
    }
    return count;
  }
  std::size_t try_pop_n(std::span<T> items) {
    const std::scoped_lock lock(mutex_);
    std::size_t count = 0;
    while (count < items.size() && !items_.empty() && take(items[count])) ++count;
    return count - (has(Fault::batch_forgets_last) && count > 3 ? 1 : 0);
  }

 private:
  static bool has(Fault fault) { return WithFault::now == fault; }

  [[nodiscard]] bool is_full() const {
    if (has(Fault::holds_one_less) && capacity_ > 1) return items_.size() + 1 >= capacity_;
    if (has(Fault::holds_one_more)) return items_.size() >= capacity_ + 1;
    return items_.size() >= capacity_;
  }
  [[nodiscard]] bool refuses() const { return is_closed_ && !has(Fault::pushes_when_closed); }

  void put(T item, bool wakes = true) {
    const bool was_empty = items_.empty();
    const bool now = ++pushes_ % 1000 == 0;
    if (has(Fault::dies) && now) raise(SIGKILL);
    if (has(Fault::dies_at_third) && items_.size() == 2) raise(SIGKILL);
    if (has(Fault::misaligns)) misplace<T>();
    if ((has(Fault::halves) && sizeof(T) > 1024) || (has(Fault::tears) && now)) halve(item);
    if (has(Fault::hollows) && !std::copyable<T>) item = T();
    if (has(Fault::loses_one) && now) return;
    if constexpr (std::copyable<T>) {
      if (has(Fault::duplicates_one) && now) items_.push_back(item);
    }
    items_.push_back(std::move(item));
    if (has(Fault::swaps_two) && now && items_.size() > 1) {
      std::swap(items_.back(), *(items_.end() - 2));
    }
    was_full_ = was_full_ || is_full();
    in_the_way_ = has(Fault::wrong_size) && is_full();
    if (has(Fault::never_wakes_pop) || !wakes) return;
    if (!has(Fault::forgets_to_wake_pop) || was_empty) pushed_.notify_one();
  }

  bool take(T& item) {
    in_the_way_ = false;
    const auto place = next();
    if (has(Fault::gives_shells)) {
      T first = std::move(*place);
      item = std::move(first);
    } else {
      item = std::move(*place);
    }
    if (has(Fault::leaks)) new T(std::move(*place));
    if (has(Fault::destroys_twice)) destroy(*place);
    items_.erase(place);
    if (!has(Fault::never_wakes_push)) popped_.notify_one();
    return true;
  }

  static void halve(T& item) {
    if constexpr (std::is_trivially_copyable_v<T>) {
      std::memset(reinterpret_cast<char*>(&item) + sizeof item / 2, 0, sizeof item / 2);
    }
  }
  /// As a queue would that has bytes for its items, and no more.
  template <class U>
  static void misplace() {
    alignas(U) std::byte bytes[sizeof(U) + 16];
    std::destroy_at(::new (bytes + 16) U());
  }
  /// And it will be once more.
  static void destroy(T& item) {
    if constexpr (!std::is_trivially_destructible_v<T>) item.~T();
  }

  auto next() {
    if constexpr (kOrder == testkit::QueueOrder::lifo) {
      return items_.end() - 1;
    } else if constexpr (kOrder == testkit::QueueOrder::priority) {
      return std::ranges::min_element(items_);
    } else {
      return items_.begin();
    }
  }

  const std::size_t capacity_;
  std::mutex mutex_;
  std::condition_variable pushed_;
  std::condition_variable popped_;
  std::deque<T> items_;
  std::uint64_t pushes_ = 0;
  bool is_closed_ = false;
  bool was_full_ = false;
  bool in_the_way_ = false;
};

/// The kit of a MutexQueue.
template <testkit::QueueOrder kOrder>
struct MutexKit {
  template <std::movable T>
  using Adapter = MutexQueue<T, kOrder>;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_TESTKIT_MUTEX_QUEUE_H_
