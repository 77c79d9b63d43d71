// SPDX-License-Identifier: Apache-2.0
//
// Queues whose histories are recorded in these tests: good ones, and ones with a fault.

#ifndef SLUICE_TESTS_TESTKIT_HISTORY_SUBJECTS_H_
#define SLUICE_TESTS_TESTKIT_HISTORY_SUBJECTS_H_

#include <concurrentqueue/concurrentqueue.h>

#include <array>
#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/stack.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::tests {

using Item = std::uint64_t;

/// A deque under a lock, bounded: the one end or the other.
template <testkit::QueueOrder kOrder>
struct Locked {
  using value_type = Item;
  static constexpr testkit::QueueTraits kTraits{.order = kOrder, .bounded = true};
  explicit Locked(std::size_t capacity) : room(capacity) {}

  bool try_push(Item item) {
    const std::scoped_lock lock(mutex);
    if (items.size() == room) return false;
    items.push_back(item);
    return true;
  }
  bool try_pop(Item& item) {
    const std::scoped_lock lock(mutex);
    if (items.empty()) return false;
    if constexpr (kOrder == testkit::QueueOrder::lifo) {
      item = items.back();
      items.pop_back();
    } else {
      item = items.front();
      items.pop_front();
    }
    return true;
  }
  std::size_t size() {
    const std::scoped_lock lock(mutex);
    return items.size();
  }

  std::mutex mutex;
  std::deque<Item> items;
  std::size_t room;
};
using LockedFifo = Locked<testkit::QueueOrder::fifo>;
using LockedLifo = Locked<testkit::QueueOrder::lifo>;

/// Our ring, between threads or processes.
struct Mpmc {
  using value_type = Item;
  using Ring = MpmcRing<Item>;
  static constexpr testkit::QueueTraits kTraits{.order = testkit::QueueOrder::fifo};

  static std::size_t bytes(std::size_t capacity) { return Ring::bytes_for(capacity); }
  static void make(void* memory, std::size_t capacity) {
    Ring::format({static_cast<std::byte*>(memory), bytes(capacity)}, capacity);
  }
  Mpmc(void* memory, std::size_t capacity)
      : bytes_(static_cast<std::byte*>(memory), bytes(capacity)) {}

  struct Party {
    bool try_push(Item item) { return producer.try_push(item) == Status::ok; }
    bool try_pop(Item& item) { return consumer.try_pop(item) == Status::ok; }
    Ring::Producer producer;
    Ring::Consumer consumer;
  };
  [[nodiscard]] Party party() const { return {Ring::Producer(bytes_), Ring::Consumer(bytes_)}; }
  bool try_push(Item item) { return party().try_push(item); }
  bool try_pop(Item& item) { return party().try_pop(item); }

 private:
  std::span<std::byte> bytes_;
};

template <class Queue, testkit::QueueOrder kOrder>
struct BoostLockfree {
  using value_type = Item;
  static constexpr testkit::QueueTraits kTraits{.order = kOrder, .bounded = false};
  explicit BoostLockfree(std::size_t capacity) : queue(capacity) {}
  bool try_push(Item item) { return queue.push(item); }
  bool try_pop(Item& item) { return queue.pop(item); }
  Queue queue;
};
using BoostFifo = BoostLockfree<boost::lockfree::queue<Item>, testkit::QueueOrder::fifo>;
using BoostLifo = BoostLockfree<boost::lockfree::stack<Item>, testkit::QueueOrder::lifo>;

template <testkit::QueueOrder kOrder>
struct MoodyQueue {
  using value_type = Item;
  static constexpr testkit::QueueTraits kTraits{.order = kOrder, .bounded = false};
  explicit MoodyQueue(std::size_t capacity) : queue(capacity) {}
  bool try_push(Item item) { return queue.enqueue(item); }
  bool try_pop(Item& item) { return queue.try_dequeue(item); }
  moodycamel::ConcurrentQueue<Item> queue;
};

/// A fault in a FIFO under a lock: `Fault` says which.
enum class Fault : std::uint8_t {
  loses,       ///< one item in forty
  duplicates,  ///< one item in forty
  gives_up,    ///< "empty", if another has the lock
  two_queues,  ///< a producer's items go where its thread's number says
  hangs,
  crashes,
  throws,
};

template <Fault kFault, testkit::QueueOrder kOrder = testkit::QueueOrder::fifo>
struct Faulty {
  using value_type = Item;
  static constexpr testkit::QueueTraits kTraits{.order = kOrder, .bounded = false};
  explicit Faulty(std::size_t) {}

  bool try_push(Item item) {
    const std::scoped_lock lock(mutex);
    const bool is_odd_one = ++pushes % 40 == 0;
    if (is_odd_one && kFault == Fault::hangs) std::this_thread::sleep_for(std::chrono::hours(1));
    if (is_odd_one && kFault == Fault::crashes) std::abort();
    if (is_odd_one && kFault == Fault::throws) throw std::runtime_error("odd");
    if (is_odd_one && kFault == Fault::loses) return true;
    if (is_odd_one && kFault == Fault::duplicates) of(item).push_back(item);
    of(item).push_back(item);
    return true;
  }
  bool try_pop(Item& item) {
    std::unique_lock lock(mutex, std::defer_lock);
    if constexpr (kFault == Fault::gives_up) {
      if (!lock.try_lock()) return false;
    } else {
      lock.lock();
    }
    for (auto& queue : queues) {
      if (queue.empty()) continue;
      item = queue.front();
      queue.pop_front();
      return true;
    }
    return false;
  }

  std::deque<Item>& of(Item item) {
    return queues[kFault == Fault::two_queues ? testkit::producer_of(item) % 2 : 0];
  }

  std::mutex mutex;
  std::array<std::deque<Item>, 2> queues;
  std::uint64_t pushes = 0;
};

/// Counts in a word of its own, after the fact.
struct CountsLate : LockedFifo {
  using LockedFifo::LockedFifo;
  bool try_push(Item item) {
    if (!LockedFifo::try_push(item)) return false;
    ++count;
    return true;
  }
  bool try_pop(Item& item) {
    if (!LockedFifo::try_pop(item)) return false;
    --count;
    return true;
  }
  std::size_t size() { return count; }

  std::atomic<std::size_t> count = 0;
};

/// A stack whose pop looks at the top and takes it away in two steps.
struct TwoSteps : LockedLifo {
  using LockedLifo::LockedLifo;
  bool try_pop(Item& item) {
    {
      const std::scoped_lock lock(mutex);
      if (items.empty()) return false;
      item = items.back();
    }
    const std::scoped_lock lock(mutex);
    if (!items.empty()) items.pop_back();
    return true;
  }
};

/// A ring for one producer and one consumer: what more than one of each make of it is no fault of
/// its.
struct OneEach {
  using value_type = Item;
  static constexpr testkit::QueueTraits kTraits{.producers = 1, .consumers = 1};
  explicit OneEach(std::size_t capacity) : cells(capacity) {}
  bool try_push(Item item) {
    if (tail - head == cells.size()) return false;
    cells[tail % cells.size()] = item;
    ++tail;
    return true;
  }
  bool try_pop(Item& item) {
    if (tail == head) return false;
    item = cells[head % cells.size()];
    ++head;
    return true;
  }

  std::vector<Item> cells;
  std::atomic<std::size_t> head = 0, tail = 0;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_TESTKIT_HISTORY_SUBJECTS_H_
