// SPDX-License-Identifier: Apache-2.0
//
// Queues of all kinds between processes, healthy ones: of each order, of one producer and one
// consumer, and made before the fork. For the tests of what attacks queues.

#ifndef SLUICE_TESTS_TESTKIT_SMALL_KINDS_H_
#define SLUICE_TESTS_TESTKIT_SMALL_KINDS_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <type_traits>

#include "sluice/lockfree/spsc_ring.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/shared_queue.h"
#include "sluice/tests/testkit/small_queues.h"

namespace sluice::tests {

template <class T>
  requires std::is_trivially_copyable_v<T>
struct SpscAdapter {
  using value_type = T;
  using Ring = SpscRing<T>;
  static constexpr testkit::QueueTraits kTraits{.producers = 1, .consumers = 1};

  static std::size_t bytes(std::size_t capacity) { return Ring::bytes_for(capacity); }
  static void make(void* memory, std::size_t capacity) {
    Ring::format(all(memory, capacity), capacity);
  }
  SpscAdapter(void* memory, std::size_t capacity)
      : producer(all(memory, capacity)), consumer(all(memory, capacity)) {}

  bool try_push(const T& item) { return producer.try_push(item) == Status::ok; }
  bool try_pop(T& item) { return consumer.try_pop(item) == Status::ok; }

  static std::span<std::byte> all(void* memory, std::size_t capacity) {
    return {static_cast<std::byte*>(memory), bytes(capacity)};
  }

  typename Ring::Producer producer;
  typename Ring::Consumer consumer;
};

/// Places under a lock that survives its owners, each with the number of its push, or 0 if it is
/// free: that is the commit of both calls. Whatever order is wanted is looked for.
template <class T, testkit::QueueOrder kOrder>
struct PlaceQueue {
  using value_type = T;
  static constexpr testkit::QueueTraits kTraits{.order = kOrder};

  struct Place {
    std::uint64_t number;
    T item;
  };
  struct Shared {
    Mutex mutex;
    std::uint64_t last = 0;
  };

  static std::size_t bytes(std::size_t capacity) {
    return sizeof(Shared) + capacity * sizeof(Place);
  }
  static void make(void* memory, std::size_t) { new (memory) Shared; }
  PlaceQueue(void* memory, std::size_t capacity)
      : shared(static_cast<Shared*>(memory)),
        places(reinterpret_cast<Place*>(shared + 1), capacity) {}

  bool try_push(const T& item) {
    return locked([&] {
      Place* free = nullptr;
      for (Place& place : places) free = place.number == 0 ? &place : free;
      if (free == nullptr) return false;
      free->item = item;
      // The commit stays where it is, and so in try_pop().
      std::atomic_signal_fence(std::memory_order_seq_cst);
      free->number = ++shared->last;
      return true;
    });
  }
  bool try_pop(T& item) {
    return locked([&] {
      Place* next = nullptr;
      for (Place& place : places) {
        if (place.number != 0 && (next == nullptr || is_before(place, *next))) next = &place;
      }
      if (next == nullptr) return false;
      item = next->item;
      std::atomic_signal_fence(std::memory_order_seq_cst);  // as above
      next->number = 0;
      return true;
    });
  }

  static bool is_before(const Place& a, const Place& b) {
    if constexpr (kOrder == testkit::QueueOrder::priority) return a.item < b.item;
    return kOrder == testkit::QueueOrder::lifo ? a.number > b.number : a.number < b.number;
  }
  template <class Call>
  bool locked(Call call) {
    const Status status = shared->mutex.acquire(std::chrono::milliseconds(20));
    if (status == Status::owner_died) shared->mutex.mark_consistent();
    if (status != Status::ok && status != Status::owner_died) return false;
    const bool done = call();
    shared->mutex.unlock();
    return done;
  }

  Shared* shared;
  std::span<Place> places;
};

template <class T>
using Stack = PlaceQueue<T, testkit::QueueOrder::lifo>;
template <class T>
using Priorities = PlaceQueue<T, testkit::QueueOrder::priority>;

/// Made before the fork: an object in memory of its own.
template <class T>
class Inherited {
 public:
  using value_type = T;
  static constexpr testkit::QueueTraits kTraits{};

  explicit Inherited(std::size_t capacity) : memory_(Locked<T>::bytes(capacity)) {
    Locked<T>::make(memory_.bytes().data(), capacity);
    queue_.emplace(memory_.bytes().data(), capacity);
  }
  bool try_push(const T& item) { return queue_->try_push(item); }
  bool try_pop(T& item) { return queue_->try_pop(item); }
  [[nodiscard]] std::span<const std::byte> shared() const { return memory_.bytes(); }

 private:
  internal::GuardedMemory memory_;
  std::optional<Locked<T>> queue_;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_TESTKIT_SMALL_KINDS_H_
