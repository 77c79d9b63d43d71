// SPDX-License-Identifier: Apache-2.0
//
// LockedQueue: a bounded queue behind a lock, in which one thing may be wrong, as such things go
// wrong in programs: so that who uses this kit, or works on it, can see that it finds it.
//
//   template <class T> using Broken = testkit::ForgetsToWake<T>;
//   template <class T> using Whole = testkit::LockedQueue<T>;      // the same without the bug
//
//   bug                what it does                                   found by, in less than
//   OffByOneCapacity   calls itself full with one place left, as      properties, 1 s
//                      rings do that tell full from empty so
//   WrapsBadly         counts in 16 bits, and its places are no       order, 5 s
//                      power of two: once in 65,536 items it leaps
//   CountsLate         size() is a counter that is kept after the     linearizability, 5 s
//                      lock is given back: at times it is -1
//   EmptyWhenBusy      a pop that does not get the lock at once       linearizability, 5 s
//                      says empty
//   ForgetsToWake      a push wakes a consumer if the queue was       blocking, 5 s
//                      empty; of two quick ones, the second does not
//   CloseWakesOne      close() wakes one consumer, and the others     close, 5 s
//                      sleep on
//   LeaksOnClose       what is left in a closed queue is never        ledger, 1 s
//                      destroyed
//   CountsBeforeItHas  a push whose item throws as it is put in       throwing items, 1 s
//                      leaves a place that counts, and holds none
//
// Units: items. Errors: as testkit/queue_adapter.h. Threads: all calls may overlap, but for
// destroying. Processes and death: private to its process. Cost: the lock.

#ifndef SLUICE_TESTKIT_PLANTED_LOCKED_QUEUE_H_
#define SLUICE_TESTKIT_PLANTED_LOCKED_QUEUE_H_

#include <atomic>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

enum class LockedBug : std::uint8_t {
  none,
  one_place_short,
  narrow_counters,
  counts_after_the_lock,
  empty_when_busy,
  wakes_the_first_only,
  close_wakes_one,
  leaks_once_closed,
  counts_before_it_has,
};

template <std::movable T, LockedBug kBug = LockedBug::none>
class LockedQueue {
  static constexpr bool has(LockedBug bug) { return kBug == bug; }
  using Counter = std::conditional_t<has(LockedBug::narrow_counters), std::uint16_t, std::uint64_t>;

 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};

  explicit LockedQueue(std::size_t capacity)
      // An odd number spreads the items over the sets of the cache.
      : room_(has(LockedBug::one_place_short) ? capacity - 1 : capacity),
        places_((capacity | 1U) + 2),
        items_(std::allocator<T>().allocate(places_)) {}
  LockedQueue(const LockedQueue&) = delete;
  LockedQueue& operator=(const LockedQueue&) = delete;
  ~LockedQueue() {
    // Who closes has popped what was left, has he not?
    const bool is_drained = has(LockedBug::leaks_once_closed) && closed_;
    while (!is_drained && head_ != tail_) std::destroy_at(&place(head_++));
    std::allocator<T>().deallocate(items_, places_);
  }

  bool try_push(T item) {
    std::unique_lock hold(mutex_);
    return put(item, hold);
  }
  bool try_pop(T& item) {
    std::unique_lock hold(mutex_, std::defer_lock);
    if constexpr (has(LockedBug::empty_when_busy)) {
      if (!hold.try_lock()) return false;
    } else {
      hold.lock();
    }
    return take(item, hold);
  }

  bool push(T item) {
    std::unique_lock hold(mutex_);
    has_room_.wait(hold, [&] { return closed_ || count() < room_; });
    return put(item, hold);
  }
  bool pop(T& item) {
    std::unique_lock hold(mutex_);
    has_items_.wait(hold, [&] { return closed_ || count() > 0; });
    return take(item, hold);
  }

  void close() {
    const std::scoped_lock hold(mutex_);
    closed_ = true;
    has_room_.notify_all();
    if constexpr (has(LockedBug::close_wakes_one)) {
      has_items_.notify_one();
    } else {
      has_items_.notify_all();
    }
  }

  [[nodiscard]] std::size_t size() const {
    if constexpr (has(LockedBug::counts_after_the_lock)) return counted_.load();
    const std::scoped_lock hold(mutex_);
    return count();
  }

 private:
  // With the lock held; put() and take() may give it back.

  [[nodiscard]] std::size_t count() const { return static_cast<Counter>(tail_ - head_); }
  [[nodiscard]] T& place(Counter at) const { return items_[at % places_]; }

  bool put(T& item, std::unique_lock<std::mutex>& hold) {
    if (closed_ || count() >= room_) return false;
    const bool was_empty = count() == 0;
    if constexpr (has(LockedBug::counts_before_it_has)) {
      const Counter at = tail_++;
      std::construct_at(&place(at), std::move(item));
    } else {
      std::construct_at(&place(tail_), std::move(item));
      ++tail_;
    }
    if (was_empty || !has(LockedBug::wakes_the_first_only)) has_items_.notify_one();
    if constexpr (has(LockedBug::counts_after_the_lock)) {
      hold.unlock();
      ++counted_;
    }
    return true;
  }

  bool take(T& item, std::unique_lock<std::mutex>& hold) {
    if (count() == 0) return false;
    item = std::move(place(head_));
    std::destroy_at(&place(head_));
    ++head_;
    has_room_.notify_one();
    if constexpr (has(LockedBug::counts_after_the_lock)) {
      hold.unlock();
      --counted_;
    }
    return true;
  }

  const std::size_t room_, places_;
  T* const items_;
  mutable std::mutex mutex_;
  std::condition_variable has_room_, has_items_;
  Counter head_ = 0, tail_ = 0;
  bool closed_ = false;
  std::atomic<std::size_t> counted_ = 0;
};

template <std::movable T>
using OffByOneCapacity = LockedQueue<T, LockedBug::one_place_short>;
template <std::movable T>
using WrapsBadly = LockedQueue<T, LockedBug::narrow_counters>;
template <std::movable T>
using CountsLate = LockedQueue<T, LockedBug::counts_after_the_lock>;
template <std::movable T>
using EmptyWhenBusy = LockedQueue<T, LockedBug::empty_when_busy>;
template <std::movable T>
using ForgetsToWake = LockedQueue<T, LockedBug::wakes_the_first_only>;
template <std::movable T>
using CloseWakesOne = LockedQueue<T, LockedBug::close_wakes_one>;
template <std::movable T>
using LeaksOnClose = LockedQueue<T, LockedBug::leaks_once_closed>;
template <std::movable T>
using CountsBeforeItHas = LockedQueue<T, LockedBug::counts_before_it_has>;

/// Without a bug; of one parameter, as the kit takes adapters.
template <std::movable T>
using WholeLockedQueue = LockedQueue<T>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_PLANTED_LOCKED_QUEUE_H_
