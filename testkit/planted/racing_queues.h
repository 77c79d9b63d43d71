// SPDX-License-Identifier: Apache-2.0
//
// Queues of threads with a race in them, for who uses this kit or works on it. Each is a template
// over whether the bug is there: the twin without it passes what the other fails.
//
//   template <class T> using Broken = testkit::LosesOne<T>;
//   template <class T> using Whole = testkit::Inbox<T, testkit::Bug::mended>;
//
//   bug                what it does                                   found by, in less than
//   LosesOne           an inbox whose consumer takes the list by a    exactly once, 5 s
//                      load and a store: what comes between is gone
//   DuplicatesOne      a ring for one consumer, used by several: two  exactly once, 5 s
//                      read the same place, and both move on
//   Reorders           two lanes, taken in turn: whose turn it is is  order, 5 s
//                      told before the item is taken
//   PicksTheWrongChild a heap that does not look at a last child      properties, 1 s
//                      without a brother: not a race, and rarely seen
//
// Units: items. Errors: as testkit/queue_adapter.h. Threads: all calls may overlap, but for
// destroying; of LosesOne one thread pops. Processes and death: private to its process. Cost: that
// of such queues.

#ifndef SLUICE_TESTKIT_PLANTED_RACING_QUEUES_H_
#define SLUICE_TESTKIT_PLANTED_RACING_QUEUES_H_

#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/testkit/planted/bug.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// A list to which producers add at the head; the consumer takes all of it, and turns it round.
template <std::movable T, Bug kBug>
class Inbox {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = false, .consumers = 1};

  explicit Inbox(std::size_t /*capacity*/) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;
  ~Inbox() {
    destroy(head_.load());
    destroy(taken_);
  }

  bool try_push(T item) {
    Node* const node = new Node{std::move(item), head_.load()};
    while (!head_.compare_exchange_weak(node->next, node)) {
    }
    return true;
  }

  bool try_pop(T& item) {
    if (taken_ == nullptr) taken_ = take_all();
    if (taken_ == nullptr) return false;
    item = std::move(taken_->item);
    delete std::exchange(taken_, taken_->next);
    return true;
  }

 private:
  struct Node {
    T item;
    Node* next;
  };

  Node* take_all() {
    if constexpr (kBug == Bug::planted) {
      Node* const all = head_.load();
      if (all != nullptr) head_.store(nullptr);
      return turned(all);
    } else {
      return turned(head_.exchange(nullptr));
    }
  }

  static Node* turned(Node* list) {
    Node* first = nullptr;
    while (list != nullptr) {
      Node* const rest = std::exchange(list->next, first);
      first = std::exchange(list, rest);
    }
    return first;
  }
  static void destroy(Node* list) {
    while (list != nullptr) delete std::exchange(list, list->next);
  }

  std::atomic<Node*> head_ = nullptr;
  Node* taken_ = nullptr;  ///< the consumer's, the oldest first
};

template <std::movable T>
using LosesOne = Inbox<T, Bug::planted>;
template <std::movable T>
using LosesNone = Inbox<T, Bug::mended>;

/// A ring of words: a lock for those who push, none for those who pop.
template <class T, Bug kBug>
  requires(std::is_trivially_copyable_v<T> && std::atomic<T>::is_always_lock_free)
class ManyReaderRing {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};

  explicit ManyReaderRing(std::size_t capacity) : places_(capacity) {}

  bool try_push(T item) {
    const std::scoped_lock hold(pushing_);
    const std::uint64_t at = tail_.load();
    // Others may have moved it back.
    if (at - head_.load() >= places_.size()) return false;
    places_[at % places_.size()].store(item);
    tail_.store(at + 1);
    return true;
  }

  bool try_pop(T& item) {
    std::uint64_t at = head_.load();
    for (;;) {
      if (at >= tail_.load()) return false;
      item = places_[at % places_.size()].load();
      if constexpr (kBug == Bug::planted) {
        head_.store(at + 1);
        return true;
      } else {
        // If it is still the oldest, its place has not been filled anew.
        if (head_.compare_exchange_weak(at, at + 1)) return true;
      }
    }
  }

 private:
  std::vector<std::atomic<T>> places_;
  std::mutex pushing_;
  alignas(128) std::atomic<std::uint64_t> head_ = 0;
  alignas(128) std::atomic<std::uint64_t> tail_ = 0;
};

template <class T>
  requires(std::is_trivially_copyable_v<T> && std::atomic<T>::is_always_lock_free)
using DuplicatesOne = ManyReaderRing<T, Bug::planted>;
template <class T>
  requires(std::is_trivially_copyable_v<T> && std::atomic<T>::is_always_lock_free)
using DuplicatesNone = ManyReaderRing<T, Bug::mended>;

/// Two lanes, each with a lock of its own, so that producers and consumers meet less often.
template <std::movable T, Bug kBug>
class TwoLanes {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = false};

  explicit TwoLanes(std::size_t /*capacity*/) {}

  bool try_push(T item) {
    const Turn turn(*this);
    Lane& lane = lanes_[pushed_++ % lanes_.size()];
    const std::scoped_lock hold(lane.mutex);
    lane.items.push_back(std::move(item));
    return true;
  }

  bool try_pop(T& item) {
    const Turn turn(*this);
    const std::uint64_t at = popped_.load();
    for (std::uint64_t i = 0; i < lanes_.size(); ++i) {
      Lane& lane = lanes_[(at + i) % lanes_.size()];
      const std::scoped_lock hold(lane.mutex);
      if (lane.items.empty()) continue;
      item = std::move(lane.items.front());
      lane.items.pop_front();
      popped_.fetch_add(i + 1);
      return true;
    }
    return false;
  }

 private:
  struct Lane {
    std::mutex mutex;
    std::deque<T> items;
  };

  /// From the number of the lane to the end of the call: one at a time.
  class Turn {
   public:
    explicit Turn(TwoLanes& queue) : hold_(queue.turn_, std::defer_lock) {
      if constexpr (kBug == Bug::mended) hold_.lock();
    }

   private:
    std::unique_lock<std::mutex> hold_;
  };

  std::array<Lane, 2> lanes_;
  std::atomic<std::uint64_t> pushed_ = 0, popped_ = 0;
  std::mutex turn_;
};

template <std::movable T>
using Reorders = TwoLanes<T, Bug::planted>;
template <std::movable T>
using KeepsOrder = TwoLanes<T, Bug::mended>;

/// A binary heap behind a lock.
template <std::movable T, Bug kBug>
  requires std::totally_ordered<T>
class LockedHeap {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::priority, .bounded = true};

  explicit LockedHeap(std::size_t capacity) : capacity_(capacity) {}

  bool try_push(T item) {
    const std::scoped_lock hold(mutex_);
    if (items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    for (std::size_t at = items_.size() - 1; at > 0 && items_[at] < items_[(at - 1) / 2];) {
      std::swap(items_[at], items_[(at - 1) / 2]);
      at = (at - 1) / 2;
    }
    return true;
  }

  bool try_pop(T& item) {
    const std::scoped_lock hold(mutex_);
    if (items_.empty()) return false;
    item = std::move(items_.front());
    if (items_.size() > 1) items_.front() = std::move(items_.back());
    items_.pop_back();
    sink();
    return true;
  }

 private:
  void sink() {
    // A heap of n items has children below i as long as 2 i + 1 < n; of a last one without a
    // brother 2 i + 2 is n.
    const std::size_t brothers = kBug == Bug::planted ? 2 : 1;
    for (std::size_t at = 0; 2 * at + brothers < items_.size();) {
      std::size_t child = 2 * at + 1;
      if (child + 1 < items_.size() && items_[child + 1] < items_[child]) ++child;
      if (!(items_[child] < items_[at])) return;
      std::swap(items_[child], items_[at]);
      at = child;
    }
  }

  const std::size_t capacity_;
  std::mutex mutex_;
  std::vector<T> items_;
};

template <std::movable T>
  requires std::totally_ordered<T>
using PicksTheWrongChild = LockedHeap<T, Bug::planted>;
template <std::movable T>
  requires std::totally_ordered<T>
using PicksTheRightChild = LockedHeap<T, Bug::mended>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_PLANTED_RACING_QUEUES_H_
