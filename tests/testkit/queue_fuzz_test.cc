// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing of queues: nothing is said of two that are healthy, and each flaw is found.

#include "sluice/testkit/queue_fuzz.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/test_seed.h"
#include "sluice/tests/testkit/small_queues.h"

namespace {

using sluice::testkit::check_fuzz;
using sluice::testkit::check_fuzz_calls;
using sluice::testkit::check_fuzz_memory;
using sluice::testkit::CheckedItem;
using sluice::testkit::fuzz_calls;
using sluice::testkit::fuzz_memory;
using sluice::testkit::QueueFuzzOptions;
using sluice::testkit::QueueOrder;
using sluice::testkit::QueueTraits;
using sluice::testkit::test_seed;
using sluice::tests::Flaw;
using sluice::tests::Locked;
using sluice::tests::LockedQueue;
using sluice::tests::RingAdapter;

/// Without an end, for threads alone, and with all that an adapter may have.
template <class T>
struct Heap {
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::per_producer_fifo, .bounded = false};

  struct Party {
    bool try_push(const T& item) { return heap.try_push(item); }
    bool try_pop(T& item) { return heap.try_pop(item); }
    bool push(const T& item) { return heap.push(item); }
    bool pop(T& item) { return heap.pop(item); }
    std::size_t try_push_n(std::span<const T> items) { return heap.try_push_n(items); }
    std::size_t try_pop_n(std::span<T> items) { return heap.try_pop_n(items); }
    Heap& heap;
  };

  explicit Heap(std::size_t) {}
  Party party() { return {*this}; }
  void close() { closed = true; }
  [[nodiscard]] std::size_t size() const { return items.size(); }
  bool try_push(const T& item) {
    if (closed) return false;
    items.push_back(item);
    return true;
  }
  bool try_pop(T& item) {
    if (items.empty()) return false;
    item = items.front();
    items.pop_front();
    return true;
  }
  /// Which waits, where there is nothing, for a push that never comes.
  bool pop(T& item) {
    while (items.empty() && !closed) pause();
    return try_pop(item);
  }
  bool push(const T& item) { return try_push(item); }
  std::size_t try_push_n(std::span<const T> some) {
    std::size_t count = 0;
    while (count < some.size() && try_push(some[count])) ++count;
    return count;
  }
  std::size_t try_pop_n(std::span<T> some) {
    std::size_t count = 0;
    while (count < some.size() && try_pop(some[count])) ++count;
    return count;
  }

  std::deque<T> items;
  bool closed = false;
};

template <Flaw kFlaw>
using Broken = LockedQueue<CheckedItem, kFlaw>;

TEST(FuzzOfCalls, SaysNothingOfHealthyQueues) {
  const QueueFuzzOptions options{.seed = test_seed(), .cases = 10'000};
  EXPECT_EQ(check_fuzz_calls<RingAdapter>(options), "");
  EXPECT_EQ(check_fuzz_calls<Locked>(options), "");
  EXPECT_EQ(check_fuzz_calls<Heap>(options), "");
}

TEST(FuzzOfCalls, FindsACapacityThatIsOneTooSmall) {
  const std::string wrong = check_fuzz_calls<Broken<Flaw::off_by_one>>();
  EXPECT_NE(wrong.find("-> full\nwith"), std::string::npos) << wrong;
}

TEST(FuzzOfCalls, FindsDisorder) {
  const std::string wrong = check_fuzz_calls<Broken<Flaw::newest_of_three>>();
  EXPECT_NE(wrong.find("with 3 items in the queue"), std::string::npos) << wrong;
  EXPECT_NE(wrong.find("input: "), std::string::npos) << wrong;
}

TEST(FuzzOfCalls, IsTheSameEachTime) {
  const std::string wrong = check_fuzz_calls<Broken<Flaw::newest_of_three>>();
  EXPECT_EQ(check_fuzz_calls<Broken<Flaw::newest_of_three>>(), wrong);
  EXPECT_NE(check_fuzz_calls<Broken<Flaw::newest_of_three>>({.seed = 2}), wrong);
}

TEST(FuzzOfCalls, FindsThatACallHangs) {
  const std::string wrong =
      check_fuzz_calls<Broken<Flaw::stops_at_three>>({.limit = std::chrono::milliseconds(1000)});
  EXPECT_NE(wrong.find("hangs"), std::string::npos) << wrong;
  EXPECT_NE(wrong.find("push"), std::string::npos) << wrong;
}

TEST(FuzzOfMemory, SaysNothingOfHealthyQueues) {
  const QueueFuzzOptions options{.seed = test_seed(), .cases = 2'000};
  EXPECT_EQ(check_fuzz_memory<RingAdapter>(options), "");
  EXPECT_EQ(check_fuzz_memory<Locked>(options), "");
}

TEST(FuzzOfMemory, FindsALengthThatIsBelieved) {
  const std::string wrong = check_fuzz_memory<Broken<Flaw::trusts_capacity>>();
  // A little too far it hits the margin, far too far it faults.
  EXPECT_TRUE(wrong.find("signal 11") != std::string::npos ||
              wrong.find("behind the queue's bytes") != std::string::npos)
      << wrong;
  EXPECT_NE(wrong.find("scribble"), std::string::npos) << wrong;
}

TEST(FuzzOfMemory, FindsAWalkWithoutAnEnd) {
  const std::string wrong =
      check_fuzz_memory<Broken<Flaw::walks>>({.limit = std::chrono::milliseconds(1000)});
  EXPECT_NE(wrong.find("hangs"), std::string::npos) << wrong;
}

TEST(FuzzOfMemory, FindsAWriteBehindTheQueue) {
  const std::string wrong = check_fuzz_memory<Broken<Flaw::writes_behind>>();
  EXPECT_NE(wrong.find("behind the queue's bytes"), std::string::npos) << wrong;
}

TEST(Fuzz, IsBothOfWhatThereIs) {
  EXPECT_EQ(check_fuzz<RingAdapter>(3, 100), "");
  EXPECT_EQ(check_fuzz<Heap>(3, 100), "");
  EXPECT_NE(check_fuzz<Broken<Flaw::off_by_one>>(3, 100), "");
  EXPECT_NE(check_fuzz<Broken<Flaw::trusts_capacity>>(3, 1000), "");
}

// What a fuzzer calls.

constexpr std::array<std::uint8_t, 8> kThreeThenPop = {4, 0, 0, 0, 1, 1, 1, 1};

TEST(FuzzDeathTest, TargetOfCallsPrintsTheProgramAndAborts) {
  EXPECT_EQ(fuzz_calls<Locked>(kThreeThenPop.data(), kThreeThenPop.size()), 0);
  EXPECT_DEATH(
      fuzz_calls<Broken<Flaw::newest_of_three>>(kThreeThenPop.data(), kThreeThenPop.size()),
      "pop\\(\\) -> 0:3");
}

TEST(FuzzDeathTest, TargetOfMemoryPrintsTheProgramAndAborts) {
  std::array<std::uint8_t, 13> input = {4, 1};
  EXPECT_EQ(fuzz_memory<Locked>(input.data(), input.size()), 0);
  EXPECT_DEATH(fuzz_memory<Broken<Flaw::writes_behind>>(input.data(), input.size()),
               "behind the queue's bytes");
}

}  // namespace
