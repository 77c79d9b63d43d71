// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/unbounded_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using ::testing::ElementsAre;

TEST(UnboundedQueue, GivesWhatWasPushedInItsOrder) {
  UnboundedQueue<std::string> queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.push("a"), Status::ok);
  EXPECT_EQ(queue.try_push("b"), Status::ok);
  EXPECT_EQ(queue.emplace(2, 'c'), Status::ok);
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(queue.pop(), "a");
  std::string item;
  EXPECT_EQ(queue.try_pop(item), Status::ok);
  EXPECT_EQ(item, "b");
  EXPECT_EQ(queue.pop(item), Status::ok);
  EXPECT_EQ(item, "cc");
  EXPECT_EQ(queue.try_pop(item), Status::empty);
}

// QU7.
TEST(UnboundedQueue, WaitsAsLongAsItWasTold) {
  UnboundedQueue<int> queue;
  int item = 0;
  const auto start = Clock::now();
  EXPECT_EQ(queue.pop(item, 50ms), Status::timeout);
  EXPECT_GE(Clock::now() - start, 50ms);
  EXPECT_EQ(queue.pop(item, -1s), Status::timeout);
  EXPECT_EQ(queue.push(7, Deadline::now()), Status::ok);
  EXPECT_EQ(queue.pop(item, Deadline::now()), Status::ok);
  EXPECT_EQ(item, 7);
}

// TQ8, TQ9.
TEST(UnboundedQueue, CanBeDrainedOnceClosed) {
  UnboundedQueue<int> queue;
  EXPECT_EQ(queue.push_each(std::array{1, 2, 3}), Status::ok);
  queue.close();
  queue.close();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_EQ(queue.push(4), Status::closed);
  EXPECT_EQ(queue.try_push(4), Status::closed);
  EXPECT_EQ(queue.push_each(std::array{4, 5}), Status::closed);
  std::vector<int> items;
  EXPECT_EQ(queue.try_pop_each(items, 2), 2U);
  EXPECT_THAT(items, ElementsAre(1, 2));
  EXPECT_EQ(queue.pop(), 3);
  EXPECT_EQ(queue.pop(), std::nullopt);
  int item = 0;
  EXPECT_EQ(queue.try_pop(item), Status::closed);
  EXPECT_EQ(queue.pop(item, 10s), Status::closed);
}

// TQ11.
TEST(UnboundedQueue, ClosingWakesAllWhoWait) {
  UnboundedQueue<int> queue;
  std::atomic<int> got = 0;
  std::atomic<int> ended = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        while (queue.pop()) ++got;
        ++ended;
      });
    }
    EXPECT_EQ(queue.push(1), Status::ok);
    EXPECT_EQ(queue.push(2), Status::ok);
    while (got != 2) std::this_thread::yield();
    queue.close();
  }
  EXPECT_EQ(ended, 3);
}

// TQ10: whatever was accepted comes out, whenever the queue is closed.
TEST(UnboundedQueue, NothingAcceptedIsLostAtTheEnd) {
  for (int round = 0; round < 40; ++round) {
    UnboundedQueue<int> queue;
    std::atomic<int> accepted = 0;
    std::atomic<int> popped = 0;
    std::latch start(4);
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
          start.arrive_and_wait();
          while (queue.push(1) == Status::ok) ++accepted;
        });
      }
      threads.emplace_back([&] {
        start.arrive_and_wait();
        while (queue.pop()) ++popped;
      });
      start.arrive_and_wait();
      while (accepted < round) std::this_thread::yield();
      queue.close();
    }
    ASSERT_EQ(popped, accepted) << "round " << round;
  }
}

// SQ8: none lost, none twice, the items of one thread in their order.
TEST(UnboundedQueue, ManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kEach = 4000;
  UnboundedQueue<std::pair<int, int>> queue;
  std::array<std::atomic<int>, kThreads> seen{};
  {
    std::vector<std::jthread> consumers;
    for (int i = 0; i < kThreads; ++i) {
      consumers.emplace_back([&] {
        std::array<int, kThreads> last{};
        while (const auto item = queue.pop()) {
          const auto [producer, number] = *item;
          EXPECT_GT(number, last.at(producer));
          last.at(producer) = number;
          ++seen.at(producer);
        }
      });
    }
    {
      std::vector<std::jthread> producers;
      for (int i = 0; i < kThreads; ++i) {
        producers.emplace_back([&, i] {
          for (int n = 1; n <= kEach; ++n) EXPECT_EQ(queue.push({i, n}), Status::ok);
        });
      }
    }
    queue.close();
  }
  for (const auto& count : seen) EXPECT_EQ(count, kEach);
  EXPECT_TRUE(queue.empty());
}

// SQ9.
TEST(UnboundedQueue, LetsGoOfWhatWasPopped) {
  const auto item = std::make_shared<int>(1);
  UnboundedQueue<std::shared_ptr<int>> queue;
  EXPECT_EQ(queue.push(item), Status::ok);
  EXPECT_EQ(item.use_count(), 2);
  queue.pop();
  EXPECT_EQ(item.use_count(), 1);
}

TEST(UnboundedQueue, TakesWhatCanOnlyBeMoved) {
  UnboundedQueue<std::unique_ptr<int>> queue;
  EXPECT_EQ(queue.push(std::make_unique<int>(5)), Status::ok);
  EXPECT_EQ(queue.emplace(new int(6)), Status::ok);
  EXPECT_EQ(**queue.pop(), 5);
  EXPECT_EQ(**queue.pop(), 6);
}

// TQ7.
struct Touchy {
  Touchy() = default;
  explicit Touchy(int n) : number(n) {}
  Touchy(const Touchy& other) : number(other.number) {
    if (number < 0) throw std::runtime_error("touchy");
  }
  Touchy(Touchy&&) = default;
  Touchy& operator=(const Touchy&) = default;
  Touchy& operator=(Touchy&&) = default;
  ~Touchy() = default;
  int number = 0;
};

TEST(UnboundedQueue, APushThatThrowsLeavesNothingBehind) {
  UnboundedQueue<Touchy> queue;
  const Touchy bad(-1);
  EXPECT_THROW((void)queue.push(bad), std::runtime_error);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.push(Touchy(1)), Status::ok);
  EXPECT_EQ(queue.pop()->number, 1);
  queue.close();  // does not wait for the push that threw
  EXPECT_FALSE(queue.pop());
}

TEST(UnboundedQueue, PrintsItself) {
  UnboundedQueue<int> queue;
  EXPECT_EQ(queue.push(1), Status::ok);
  std::ostringstream text;
  text << queue;
  EXPECT_EQ(text.str(), "UnboundedQueue: 1 items, open");
}

}  // namespace
}  // namespace sluice::tests
