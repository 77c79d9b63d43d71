// SPDX-License-Identifier: Apache-2.0
//
// In which order LifoQueue, PriorityQueue and Deque give back what they were given (rows LP1, LP2
// and LP4, QU10, QU11, SQ2 to SQ4, SQ8), by threads, forked children, and processes that meet by
// name: also among equals, at both ends, after a death, and of an order that throws, or that
// contradicts itself.
//
//   differs   LP2: of equal ones the first in comes first, whatever else they hold

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/lifo_queue.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/lock_ways.h"
#include "sluice/tests/support/queue_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Texts = Deque<std::string>;

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

template <class Way>
class ItemOrders : public testing::Test {};
TYPED_TEST_SUITE(ItemOrders, Ways, WayNames);

template <class Q>
std::vector<typename Q::value_type> take_all(Q& queue) {
  std::vector<typename Q::value_type> items;
  typename Q::value_type item{};
  while (queue.try_pop(item) == Status::ok) items.push_back(item);
  return items;
}
template <class T>
std::vector<T> take_all(Deque<T>& queue) {
  std::vector<T> items;
  T item{};
  while (queue.try_pop_front(item) == Status::ok) items.push_back(item);
  return items;
}

// -------------------------------------------------------------------------------------------------
// LifoQueue

TYPED_TEST(ItemOrders, LP1_LastInFirstOut) {
  QueueStage<TypeParam, LifoQueue<int>> stage(Capacity(5));
  stage.elsewhere([](LifoQueue<int>& queue, Notes&) {
    const std::array<int, 3> some = {1, 2, 3};
    EXPECT_EQ(queue.push_each(some).count, 3U);
    EXPECT_EQ(queue.emplace(4), Status::ok);
  });
  EXPECT_EQ(stage->pop(), 4);
  EXPECT_EQ(stage->push(5), Status::ok);
  std::vector<int> batch;
  EXPECT_EQ(stage->pop_each(batch, 3).count, 3U);
  EXPECT_EQ(batch, (std::vector{5, 3, 2}));
  EXPECT_EQ(stage->skip(), Status::ok);
  EXPECT_EQ(stage->skip(), Status::empty);
}

TYPED_TEST(ItemOrders, LP1_TheFirstInIsDroppedForWantOfRoom) {
  QueueStage<TypeParam, LifoQueue<int>> stage(Capacity(3), {.overflow = Overflow::drop_oldest});
  stage.elsewhere([](LifoQueue<int>& queue, Notes&) {
    for (int i = 0; i < 10; ++i) EXPECT_EQ(queue.push(i), Status::ok);
  });
  EXPECT_EQ(stage->dropped(), 7U);
  EXPECT_EQ(take_all(*stage), (std::vector{9, 8, 7}));
}

// -------------------------------------------------------------------------------------------------
// PriorityQueue

using Job = std::pair<int, std::string>;

TYPED_TEST(ItemOrders, LP2_TheSmallestFirst) {
  QueueStage<TypeParam, PriorityQueue<Job>> stage(Capacity(10, 4096));
  stage.elsewhere([](PriorityQueue<Job>& queue, Notes&) {
    for (const Job& job : {Job{3, "c"}, Job{1, std::string(100, 'x')}, Job{2, "b"}, Job{1, "a"}}) {
      EXPECT_EQ(queue.push(job), Status::ok);
    }
  });
  EXPECT_EQ(take_all(*stage),
            (std::vector<Job>{{1, "a"}, {1, std::string(100, 'x')}, {2, "b"}, {3, "c"}}));
}

struct ByNumber {
  static constexpr std::string_view kTypeName = "test.ByNumber";
  bool operator()(const Job& a, const Job& b) const { return a.first < b.first; }
};

TYPED_TEST(ItemOrders, LP2_OfEqualOnesTheFirstIn) {
  using Q = PriorityQueue<Job, ByNumber>;
  QueueStage<TypeParam, Q> stage(Capacity(100, 1 << 14));
  std::vector<Job> expected;
  for (int i = 0; i < 60; ++i) expected.emplace_back(i * 7 % 3, std::to_string(i));
  stage.elsewhere([&](Q& queue, Notes&) {
    for (const Job& job : expected) EXPECT_EQ(queue.push(job), Status::ok);
  });
  std::ranges::stable_sort(expected, ByNumber());
  EXPECT_EQ(take_all(*stage), expected);
}

TYPED_TEST(ItemOrders, LP2_AnOrderOfOnesOwn) {
  using Q = PriorityQueue<int, std::greater<>>;
  QueueStage<TypeParam, Q> stage(Capacity(5));
  stage.elsewhere([](Q& queue, Notes&) {
    for (const int i : {2, 5, 1, 4, 3}) EXPECT_EQ(queue.push(i), Status::ok);
  });
  EXPECT_THROW(PriorityQueue<int>::from_fd(stage->fd()), Error);
  EXPECT_EQ(take_all(*stage), (std::vector{5, 4, 3, 2, 1}));
}

TEST(PriorityQueueOverflow, WhichWouldBeTheOldestIsNotSaid) {
  EXPECT_THROW(PriorityQueue<int>(3, {.overflow = Overflow::drop_oldest}), Error);
  PriorityQueue<int> queue(2, {.overflow = Overflow::drop_newest});
  for (const int i : {3, 2, 1}) EXPECT_EQ(queue.push(i), Status::ok);
  EXPECT_EQ(queue.dropped(), 1U);
  EXPECT_EQ(take_all(queue), (std::vector{2, 3}));
}

/// Refuses to compare when it is told to, in this process.
struct Moody {
  static constexpr std::string_view kTypeName = "test.MoodyOrder";
  static inline std::atomic<bool> refuses = false;
  bool operator()(int a, int b) const {
    if (refuses) throw std::domain_error("not in the mood");
    return a < b;
  }
};

TYPED_TEST(ItemOrders, LP2_AnOrderThatThrowsLeavesTheQueueWhole) {
  using Q = PriorityQueue<int, Moody>;
  QueueStage<TypeParam, Q> stage(Capacity(5));
  stage.elsewhere([](Q& queue, Notes&) {
    for (const int i : {4, 2, 3, 1}) EXPECT_EQ(queue.push(i), Status::ok);
    int item = 0;
    for (int twice = 0; twice < 2; ++twice) {
      Moody::refuses = true;
      EXPECT_THROW(static_cast<void>(queue.push(0)), std::domain_error);
      EXPECT_THROW(static_cast<void>(queue.try_pop(item)), std::domain_error);
      EXPECT_THROW(static_cast<void>(queue.pop(item, 10ms)), std::domain_error);
      Moody::refuses = false;
      EXPECT_EQ(queue.size(), 4U);
    }
    EXPECT_EQ(queue.push(0), Status::ok);
    EXPECT_EQ(queue.try_push(0), Status::full);
  });
  EXPECT_EQ(take_all(*stage), (std::vector{0, 1, 2, 3, 4}));
}

/// Of whatever: the first is less.
struct Contradiction {
  static constexpr std::string_view kTypeName = "test.Contradiction";
  static inline bool kills = false;
  bool operator()(int /*a*/, int /*b*/) const {
    if (kills) raise(SIGKILL);
    return true;
  }
};

/// A process dies with the lock while it compares.
template <class Q>
void die_in(Q& queue) {
  Process victim("victim", [&] {
    Contradiction::kills = true;
    static_cast<void>(queue.try_push(-1));
  });
  victim.join();
  EXPECT_EQ(victim.exit_code(), -SIGKILL);
}

TEST(PriorityQueueOrder, OneThatContradictsItselfLosesNothing) {
  PriorityQueue<int, Contradiction> queue(200);
  for (const bool dies : {false, true}) {
    for (int i = 0; i < 200; ++i) ASSERT_EQ(queue.try_push(i), Status::ok);
    int first = 0;
    ASSERT_EQ(queue.try_pop(first), Status::ok);
    if (dies) die_in(queue);
    std::vector<int> items = take_all(queue);
    items.push_back(first);
    std::ranges::sort(items);
    ASSERT_EQ(items.size(), 200U);
    for (int i = 0; i < 200; ++i) EXPECT_EQ(items[static_cast<std::size_t>(i)], i);
  }
}

struct Mortal {
  static constexpr std::string_view kTypeName = "test.MortalOrder";
  static inline bool kills = false;
  bool operator()(const Job& a, const Job& b) const {
    if (kills) raise(SIGKILL);
    return a.first < b.first;
  }
};

TEST(PriorityQueueOrder, ADeathWhileItComparesChangesNoOrder) {
  PriorityQueue<Job, Mortal> queue(Capacity(500, 1 << 16));
  std::vector<Job> expected;
  for (int i = 0; i < 300; ++i) expected.emplace_back(i * 37 % 11, std::to_string(i));
  for (const Job& job : expected) ASSERT_EQ(queue.push(job), Status::ok);
  for (const bool pushes : {true, false}) {
    Process victim("victim", [&] {
      Mortal::kills = true;
      Job job = {0, "never"};
      static_cast<void>(pushes ? queue.try_push(job) : queue.try_pop(job));
    });
    victim.join();
    EXPECT_EQ(victim.exit_code(), -SIGKILL);
    EXPECT_EQ(queue.size(), 300U);
  }
  std::ranges::stable_sort(expected, {}, &Job::first);
  EXPECT_EQ(take_all(queue), expected);
}

// -------------------------------------------------------------------------------------------------
// Deque

TYPED_TEST(ItemOrders, LP4_BothEnds) {
  QueueStage<TypeParam, Texts> stage(Capacity(4, 4096));
  stage.elsewhere([](Texts& row, Notes&) {
    EXPECT_EQ(row.push_back("b"), Status::ok);
    EXPECT_EQ(row.push_front("a"), Status::ok);
    EXPECT_EQ(row.try_push_back("c"), Status::ok);
    EXPECT_EQ(row.try_push_front("0"), Status::ok);
    EXPECT_EQ(row.try_push_front("1"), Status::full);
    EXPECT_EQ(row.push_front("1", 1ms), Status::timeout);
    EXPECT_EQ(row.push_back("1", 1ms), Status::timeout);
  });
  EXPECT_EQ(stage->pop_front(), "0");
  EXPECT_EQ(stage->pop_back(), "c");
  std::string text;
  EXPECT_EQ(stage->pop_back(text, 1s), Status::ok);
  EXPECT_EQ(text, "b");
  EXPECT_EQ(stage->pop_front(text, 1s), Status::ok);
  EXPECT_EQ(text, "a");
  EXPECT_EQ(stage->try_pop_front(text), Status::empty);
  EXPECT_EQ(stage->try_pop_back(text), Status::empty);
  EXPECT_EQ(stage->pop_back(text, 1ms), Status::timeout);
  EXPECT_EQ(stage->pop_front(text, 1ms), Status::timeout);
  EXPECT_EQ(stage->skip_back(), Status::empty);
  stage->close();
  EXPECT_EQ(stage->pop_back(), std::nullopt);
  EXPECT_EQ(stage->pop_front(), std::nullopt);
}

TYPED_TEST(ItemOrders, LP4_APushAtOneEndDropsAtTheOther) {
  QueueStage<TypeParam, Deque<int>> stage(Capacity(3), {.overflow = Overflow::drop_oldest});
  stage.elsewhere([](Deque<int>& row, Notes&) {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(row.push_back(i), Status::ok);  // 2 3 4
    EXPECT_EQ(row.push_front(9), Status::ok);                             // 9 2 3
  });
  EXPECT_EQ(take_all(*stage), (std::vector{9, 2, 3}));
  EXPECT_EQ(stage->dropped(), 3U);
  EXPECT_EQ(stage->bytes(), 0U);
}

TYPED_TEST(ItemOrders, LP4_Rotates) {
  QueueStage<TypeParam, Deque<int>> stage(Capacity(9));
  std::vector<int> model;
  const auto is_model = [&] {
    std::vector<int> row = take_all(*stage);
    EXPECT_EQ(row, model);
    for (const int i : row) EXPECT_EQ(stage->push_back(i), Status::ok);
  };
  stage.elsewhere([](Deque<int>& row, Notes&) { row.rotate(3); });
  for (int i = 0; i < 5; ++i) {
    model.push_back(i);
    EXPECT_EQ(stage->push_back(i), Status::ok);
  }
  for (const std::int64_t by : {1, -1, 2, -7, 5, 0, 12}) {
    stage.elsewhere([by](Deque<int>& row, Notes&) { row.rotate(by); });
    const std::int64_t left = ((-by) % 5 + 5) % 5;
    std::ranges::rotate(model, model.begin() + left);
    is_model();
  }
  stage->rotate(std::numeric_limits<std::int64_t>::min());  // -(2^63) is -3 modulo 5
  std::ranges::rotate(model, model.begin() + 3);
  is_model();
}

// -------------------------------------------------------------------------------------------------
// Handles

template <class Q>
concept Copies = std::is_copy_constructible_v<Q> || std::is_copy_assignable_v<Q>;
static_assert(!Copies<LifoQueue<int>> && !Copies<PriorityQueue<int>> && !Copies<Deque<int>> &&
              !Copies<JoinableQueue<int>>);
static_assert(std::is_nothrow_move_constructible_v<LifoQueue<int>>);

template <class Q>
class ItemHandles : public testing::Test {};
using Kinds = testing::Types<LifoQueue<int>, PriorityQueue<int>, Deque<int>, JoinableQueue<int>>;
TYPED_TEST_SUITE(ItemHandles, Kinds);

template <class Q>
Status put(Q& queue, int item) {
  if constexpr (requires { queue.push_back(item); }) {
    return queue.push_back(item);
  } else {
    return queue.push(item);
  }
}

TYPED_TEST(ItemHandles, QU10_QU11_SQ2_SQ3_SQ4_DetachingIsForThisHandleAlone) {
  TypeParam queue(4);
  TypeParam other = TypeParam::from_fd(queue.fd());
  EXPECT_EQ(put(queue, 1), Status::ok);
  queue.detach();
  queue.detach();
  EXPECT_TRUE(queue.is_detached());
  EXPECT_THROW(static_cast<void>(put(queue, 2)), std::logic_error);
  EXPECT_THROW(static_cast<void>(queue.empty()), std::logic_error);
  EXPECT_THROW(queue.close(), std::logic_error);
  EXPECT_EQ(put(other, 3), Status::ok);
  EXPECT_EQ(other.size(), 2U);
  TypeParam moved = std::move(other);
  EXPECT_EQ(moved.size(), 2U);
}

TYPED_TEST(ItemHandles, OfTooManyIsRefused) {
  EXPECT_THROW(TypeParam(Capacity(std::numeric_limits<std::size_t>::max())), Error);
  EXPECT_THROW(TypeParam(Capacity(1, std::numeric_limits<std::size_t>::max())), Error);
}

// -------------------------------------------------------------------------------------------------
// SQ8: many at once

constexpr int kParties = 3;
constexpr int kEach = 400;

Status get(LifoQueue<int>& queue, int& item) { return queue.pop(item, 20s); }
Status get(PriorityQueue<int>& queue, int& item) { return queue.pop(item, 20s); }
Status get(Deque<int>& queue, int& item) {
  return item % 2 == 0 ? queue.pop_front(item, 20s) : queue.pop_back(item, 20s);
}

/// Each item is its producer's number and its own; consumers hand on what they got, which the test
/// takes from there.
template <class Way, class Q>
void pass_many() {
  QueueStage<Way, Q> stage(Capacity(8));
  QueueStage<ByFork, Deque<int>> seen(Capacity(kParties * kEach));
  for (int party = 0; party < kParties; ++party) {
    stage.start([party](Q& queue, Notes&) {
      for (int i = 0; i < kEach; ++i) ASSERT_EQ(put(queue, party * kEach + i), Status::ok);
    });
    stage.start([&seen](Q& queue, Notes&) {
      for (int i = 0; i < kEach; ++i) {
        int item = i;
        ASSERT_EQ(get(queue, item), Status::ok);
        ASSERT_EQ(seen->try_push_back(item), Status::ok);
      }
    });
  }
  stage.finish();
  EXPECT_TRUE(stage->empty());
  EXPECT_EQ(stage->bytes(), 0U);
  std::map<int, int> times;
  for (const int item : take_all(*seen)) ++times[item];
  EXPECT_EQ(times.size(), static_cast<std::size_t>(kParties * kEach));
  for (const auto& [item, n] : times) EXPECT_EQ(n, 1) << item;
}

TYPED_TEST(ItemOrders, SQ8_EachItemOnceOffTheStack) { pass_many<TypeParam, LifoQueue<int>>(); }
TYPED_TEST(ItemOrders, SQ8_EachItemOnceByRank) { pass_many<TypeParam, PriorityQueue<int>>(); }
TYPED_TEST(ItemOrders, SQ8_EachItemOnceFromBothEnds) { pass_many<TypeParam, Deque<int>>(); }

/// One consumer sees what each producer pushed in that one's order.
TYPED_TEST(ItemOrders, SQ7_OneProducersItemsKeepTheirOrder) {
  QueueStage<TypeParam, Deque<int>> stage(Capacity(8));
  for (int party = 0; party < kParties; ++party) {
    stage.start([party](Deque<int>& row, Notes&) {
      for (int i = 0; i < kEach; ++i) ASSERT_EQ(row.push_back(party * kEach + i), Status::ok);
    });
  }
  std::array<int, kParties> next = {};
  for (int i = 0; i < kParties * kEach; ++i) {
    int item = -1;
    ASSERT_EQ(stage->pop_front(item, 20s), Status::ok);
    ASSERT_EQ(item % kEach, next.at(static_cast<std::size_t>(item / kEach))++);
  }
  stage.finish();
}

}  // namespace
}  // namespace sluice::tests
