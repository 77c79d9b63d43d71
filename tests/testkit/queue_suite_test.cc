// SPDX-License-Identifier: Apache-2.0
//
// The suite for queues on some that are as they should be.

#include "sluice/testkit/queue_suite.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <type_traits>

#include "sluice/lockfree/spsc_ring.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_checks.h"
#include "sluice/tests/testkit/mutex_queue.h"

namespace sluice::tests {
namespace {

using namespace testkit;  // the macro wants the bare name

/// In memory that is given, with a side for each end.
template <class T>
  requires std::is_trivially_copyable_v<T>
struct SpscAdapter {
  using value_type = T;
  using Ring = SpscRing<T>;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::fifo, .bounded = true, .producers = 1, .consumers = 1};

  static std::size_t bytes(std::size_t capacity) { return Ring::bytes_for(capacity); }
  static void make(void* memory, std::size_t capacity) {
    Ring::format(span(memory, capacity), capacity);
  }
  SpscAdapter(void* memory, std::size_t capacity)
      : producer(span(memory, capacity)), consumer(span(memory, capacity)) {}

  bool try_push(const T& item) { return producer.try_push(item) == Status::ok; }
  bool try_pop(T& item) { return consumer.try_pop(item) == Status::ok; }
  std::size_t try_push_n(std::span<const T> items) { return producer.try_push_n(items); }
  std::size_t try_pop_n(std::span<T> items) { return consumer.try_pop_n(items); }

  static std::span<std::byte> span(void* memory, std::size_t capacity) {
    return {static_cast<std::byte*>(memory), bytes(capacity)};
  }

  typename Ring::Producer producer;
  typename Ring::Consumer consumer;
};
static_assert(SharedAdapter<SpscAdapter<int>>);

INSTANTIATE_TYPED_TEST_SUITE_P(MutexFifo, QueueSuite, MutexKit<QueueOrder::fifo>);
INSTANTIATE_TYPED_TEST_SUITE_P(MutexLifo, QueueSuite, MutexKit<QueueOrder::lifo>);
INSTANTIATE_TYPED_TEST_SUITE_P(MutexPriority, QueueSuite, MutexKit<QueueOrder::priority>);
INSTANTIATE_TYPED_TEST_SUITE_P(Spsc, QueueSuite, QueueKit<SpscAdapter>);

}  // namespace
}  // namespace sluice::tests
