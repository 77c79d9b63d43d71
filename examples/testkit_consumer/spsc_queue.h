// SPDX-License-Identifier: Apache-2.0
//
// A queue of somebody's own: one producer, one consumer, in memory that processes share.

#ifndef SPSC_QUEUE_H_
#define SPSC_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

template <class T>
class SpscQueue {
  struct Shared {
    alignas(64) std::atomic<std::uint64_t> pushed = 0;
    alignas(64) std::atomic<std::uint64_t> popped = 0;
  };
  static constexpr std::size_t kItemsAt =
      (sizeof(Shared) + alignof(T) - 1) / alignof(T) * alignof(T);

 public:
  static std::size_t bytes(std::size_t capacity) { return kItemsAt + capacity * sizeof(T); }
  static void make(void* memory, std::size_t capacity) {
    ::new (memory) Shared;
    std::uninitialized_default_construct_n(items_in(memory), capacity);
  }

  SpscQueue(void* memory, std::size_t capacity)
      : shared_(std::launder(static_cast<Shared*>(memory))),
        items_(std::launder(items_in(memory))),
        capacity_(capacity) {}

  bool offer(const T& item) {
    const std::uint64_t at = shared_->pushed.load(std::memory_order_relaxed);
    if (at - shared_->popped.load(std::memory_order_acquire) >= capacity_) return false;
    items_[at % capacity_] = item;
    shared_->pushed.store(at + 1, std::memory_order_release);
    return true;
  }
  bool take(T& item) {
    const std::uint64_t at = shared_->popped.load(std::memory_order_relaxed);
    if (at == shared_->pushed.load(std::memory_order_acquire)) return false;
    item = items_[at % capacity_];
    shared_->popped.store(at + 1, std::memory_order_release);
    return true;
  }

 private:
  static T* items_in(void* memory) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(memory) + kItemsAt);
  }

  Shared* shared_;
  T* items_;
  std::size_t capacity_;
};

#endif  // SPSC_QUEUE_H_
