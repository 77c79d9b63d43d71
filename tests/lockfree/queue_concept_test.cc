// SPDX-License-Identifier: Apache-2.0
//
// One generic function serves our queues, Boost's and moodycamel's.

#include "sluice/lockfree/queue_concept.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <thread>
#include <type_traits>

#include "sluice/lockfree/queue_adapters.h"
#include "sluice/lockfree/spsc_ring.h"
#include "sluice/lockfree/unbounded_queue.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

constexpr long kItems = 20000;

/// From one thread to another; the sum of what arrived.
template <TryQueue Queue>
long carry(Queue& queue) {
  std::jthread producer([&] {
    for (long i = 1; i <= kItems; ++i) {
      while (queue.try_push(i) != Status::ok) std::this_thread::yield();
    }
  });
  long sum = 0;
  for (long got = 0; got < kItems;) {
    long item = 0;
    if (queue.try_pop(item) == Status::ok) {
      sum += item;
      ++got;
    } else {
      std::this_thread::yield();
    }
  }
  return sum;
}

/// What a queue's first items are, pushed and popped by one thread.
template <TryQueue Queue>
bool keeps_order(Queue& queue) {
  for (long i = 0; i < 3; ++i) EXPECT_EQ(queue.try_push(i), Status::ok);
  bool kept = true;
  for (long i = 0; i < 3; ++i) {
    long item = -1;
    EXPECT_EQ(queue.try_pop(item), Status::ok);
    kept = kept && item == i;
  }
  long item = 0;
  EXPECT_EQ(queue.try_pop(item), Status::empty);
  return kept;
}

template <class Queue>
class AnyQueue : public ::testing::Test {
 protected:
  static Queue make() {
    if constexpr (std::is_constructible_v<Queue, std::size_t>) {
      return Queue(128);
    } else {
      return Queue();
    }
  }
};

using Queues = ::testing::Types<UnboundedQueue<long>, RingQueue<SpscRing<long>>, BoostQueue<long>,
                                BoostSpscQueue<long>, BoostStack<long>, MoodycamelQueue<long>>;
class Names {
 public:
  template <class Queue>
  static std::string GetName(int) {
    if (std::is_same_v<Queue, UnboundedQueue<long>>) return "UnboundedQueue";
    if (std::is_same_v<Queue, RingQueue<SpscRing<long>>>) return "SpscRing";
    if (std::is_same_v<Queue, BoostQueue<long>>) return "BoostQueue";
    if (std::is_same_v<Queue, BoostSpscQueue<long>>) return "BoostSpscQueue";
    if (std::is_same_v<Queue, BoostStack<long>>) return "BoostStack";
    return "Moodycamel";
  }
};
TYPED_TEST_SUITE(AnyQueue, Queues, Names);

TYPED_TEST(AnyQueue, CarriesEachItemOnce) {
  TypeParam queue = this->make();
  EXPECT_EQ(carry(queue), kItems * (kItems + 1) / 2);
}

TYPED_TEST(AnyQueue, KeepsTheOrderUnlessItIsAStack) {
  TypeParam queue = this->make();
  constexpr bool kStack = std::is_same_v<TypeParam, BoostStack<long>>;
  EXPECT_EQ(keeps_order(queue), !kStack);
}

static_assert(BlockingQueue<UnboundedQueue<long>> && SizedQueue<UnboundedQueue<long>>);
static_assert(SizedQueue<MoodycamelQueue<long>> && !BlockingQueue<MoodycamelQueue<long>>);
static_assert(!TryQueue<long>);

}  // namespace
}  // namespace sluice::tests
