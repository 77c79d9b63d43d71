// SPDX-License-Identifier: Apache-2.0
//
// All that the testkit has to be told of the queue.

#ifndef ADAPTER_H_
#define ADAPTER_H_

#include <cstddef>
#include <type_traits>

#include "sluice/testkit/queue_adapter.h"
#include "spsc_queue.h"

template <class T>
  requires std::is_trivially_copyable_v<T>
struct Adapter {
  using value_type = T;
  static constexpr sluice::testkit::QueueTraits kTraits{.producers = 1, .consumers = 1};
  static std::size_t bytes(std::size_t capacity) { return SpscQueue<T>::bytes(capacity); }
  static void make(void* memory, std::size_t n) { SpscQueue<T>::make(memory, n); }
  Adapter(void* memory, std::size_t capacity) : queue(memory, capacity) {}
  bool try_push(const T& item) { return queue.offer(item); }
  bool try_pop(T& item) { return queue.take(item); }
  SpscQueue<T> queue;
};

#endif  // ADAPTER_H_
