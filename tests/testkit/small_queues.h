// SPDX-License-Identifier: Apache-2.0
//
// Small queues between processes for the tests of what attacks queues (queue_crash.h,
// queue_fuzz.h): two that are healthy, and for each demand one that does not meet it.

#ifndef SLUICE_TESTS_TESTKIT_SMALL_QUEUES_H_
#define SLUICE_TESTS_TESTKIT_SMALL_QUEUES_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <stdexcept>
#include <type_traits>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::tests {

/// The ring of many producers and consumers.
template <class T>
  requires std::is_trivially_copyable_v<T>
struct RingAdapter {
  using value_type = T;
  using Ring = MpmcRing<T>;
  static constexpr testkit::QueueTraits kTraits{};

  static std::size_t bytes(std::size_t capacity) { return Ring::bytes_for(capacity); }
  static void make(void* memory, std::size_t capacity) {
    Ring::format(all(memory, capacity), capacity);
  }
  RingAdapter(void* memory, std::size_t capacity)
      : producer(all(memory, capacity)), consumer(all(memory, capacity)) {}

  bool try_push(const T& item) { return producer.try_push(item) == Status::ok; }
  bool try_pop(T& item) { return consumer.try_pop(item) == Status::ok; }
  std::size_t try_push_n(std::span<const T> items) { return producer.try_push_n(items); }
  std::size_t try_pop_n(std::span<T> items) { return consumer.try_pop_n(items); }

  static std::span<std::byte> all(void* memory, std::size_t capacity) {
    return {static_cast<std::byte*>(memory), bytes(capacity)};
  }

  typename Ring::Producer producer;
  typename Ring::Consumer consumer;
};

/// How a LockedQueue is wrong.
enum class Flaw : std::uint8_t {
  none,
  plain_lock,        ///< nobody gives a dead one's lock back
  tail_before_item,  ///< publishes before it writes
  forgets_newest,    ///< after a death the last acknowledged push is gone
  repeats,           ///< gives up what a pop has returned with the next call only
  offers_again,      ///< after a death the last item comes once more
  newest_first,      ///< pops the wrong end once somebody has died
  leaks_room,        ///< with each death the queue becomes one place smaller
  trusts_capacity,   ///< believes a length in shared memory
  walks,             ///< walks as far as shared memory says
  writes_behind,     ///< one place too far, where nothing of it is
  off_by_one,        ///< full one item too early
  newest_of_three,   ///< pops the wrong end of three
  stops_at_three,    ///< a pop of three never returns
};

/// Under a lock that survives its owners; each call commits with one store.
template <class T, Flaw kFlaw = Flaw::none>
struct LockedQueue {
  using value_type = T;
  static constexpr testkit::QueueTraits kTraits{};

  struct Shared {
    Mutex mutex;
    std::atomic<std::uint32_t> spin = 0;
    std::uint64_t capacity = 0;
    std::uint64_t head = 0, tail = 0, deaths = 0;
  };

  static std::size_t bytes(std::size_t capacity) { return sizeof(Shared) + capacity * sizeof(T); }
  static void make(void* memory, std::size_t capacity) {
    (new (memory) Shared)->capacity = capacity;
  }
  LockedQueue(void* memory, std::size_t capacity)
      : shared(static_cast<Shared*>(memory)),
        items(reinterpret_cast<T*>(shared + 1)),
        asked(capacity) {}

  bool try_push(const T& item) {
    return locked([&](std::uint64_t head, std::uint64_t tail) {
      if (tail - head >= room()) return false;
      if (kDawdles) walk(500);
      const auto write = [&] { items[tail % length()] = item; };
      if (kFlaw == Flaw::writes_behind) items[length()] = item;
      if (kFlaw != Flaw::tail_before_item) write();
      // The store is the commit, so the compiler must leave it where it is; and so in try_pop().
      std::atomic_signal_fence(std::memory_order_seq_cst);
      shared->tail = tail + 1;
      std::atomic_signal_fence(std::memory_order_seq_cst);  // as above
      if (kFlaw == Flaw::tail_before_item) write();
      return true;
    });
  }
  bool try_pop(T& item) {
    return locked([&](std::uint64_t head, std::uint64_t tail) {
      const std::uint64_t there = tail - head;
      if (kFlaw == Flaw::walks) walk(there);
      if (kFlaw == Flaw::stops_at_three && there == 3) stop();
      if (there == 0 || there > length()) return false;
      if (kDawdles) walk(500);
      const bool newest = (kFlaw == Flaw::newest_first && shared->deaths > 0) ||
                          (kFlaw == Flaw::newest_of_three && there == 3);
      item = items[(newest ? tail - 1 : head) % length()];
      std::atomic_signal_fence(std::memory_order_seq_cst);  // as above
      owed = kFlaw == Flaw::repeats;
      if (newest) {
        shared->tail = tail - 1;
      } else if (!owed) {
        shared->head = head + 1;
      }
      return true;
    });
  }

  template <class Call>
  bool locked(Call call) {
    if constexpr (kFlaw == Flaw::plain_lock) {
      while (shared->spin.exchange(1) != 0) cpu_pause();
    } else {
      // Who is stopped, or makes believe that somebody is, keeps nobody for ever.
      const Status status = shared->mutex.acquire(std::chrono::milliseconds(20));
      if (status == Status::owner_died) repair();
      if (status != Status::ok && status != Status::owner_died) return false;
    }
    if (owed) ++shared->head;
    owed = false;
    const bool done = call(shared->head, shared->tail);
    if constexpr (kFlaw == Flaw::plain_lock) {
      shared->spin = 0;
    } else {
      shared->mutex.unlock();
    }
    return done;
  }
  void repair() {
    ++shared->deaths;
    if (kFlaw == Flaw::forgets_newest && shared->tail > shared->head) --shared->tail;
    if (kFlaw == Flaw::offers_again && shared->tail - shared->head < asked) --shared->head;
    shared->mutex.mark_consistent();
  }
  [[noreturn]] static void stop() {
    for (;;) cpu_pause();
  }
  static void walk(std::uint64_t times) {
    for (std::uint64_t i = 0; i < times; ++i)
      std::atomic_signal_fence(std::memory_order_seq_cst);  // lest it is left out
  }
  [[nodiscard]] std::uint64_t room() const {
    const std::uint64_t lost = kFlaw == Flaw::leaks_room ? shared->deaths : 0;
    return length() - lost - (kFlaw == Flaw::off_by_one ? 1 : 0);
  }
  /// Modulo which all is taken: what was asked for, whatever the memory says.
  [[nodiscard]] std::uint64_t length() const {
    if (kFlaw != Flaw::trusts_capacity) return asked;
    if (shared->capacity == 0) throw std::runtime_error("no queue");
    return shared->capacity;
  }

  /// Long enough under the lock for a death there to be likely.
  static constexpr bool kDawdles =
      kFlaw == Flaw::offers_again || kFlaw == Flaw::forgets_newest || kFlaw == Flaw::plain_lock;

  Shared* shared;
  T* items;
  std::size_t asked;
  bool owed = false;
};

template <class T>
using Locked = LockedQueue<T>;

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_TESTKIT_SMALL_QUEUES_H_
