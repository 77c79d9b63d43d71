// SPDX-License-Identifier: Apache-2.0
//
// Items that are pushed and popped where they lie, in both ways in which a queue keeps them.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <future>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include "sluice/ipc/in_place.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

static_assert(std::is_same_v<ItemView<std::string>, std::string_view>);
static_assert(std::is_same_v<ItemView<std::vector<std::byte>>, std::span<const std::byte>>);
static_assert(std::is_same_v<ItemView<std::vector<double>>, const std::vector<double>&>);
static_assert(std::is_same_v<ItemView<std::vector<bool>>, const std::vector<bool>&>);
static_assert(std::is_same_v<ItemView<int>, const int&>);

/// The bytes of the sequence are the queue's own: what is changed in place is changed for all.
TEST(QueueInPlace, AStringIsSeenWhereItLies) {
  Queue<std::string> queue(8);
  const std::string long_one(10'000, 'x');
  ASSERT_EQ(queue.push(long_one), Status::ok);
  const char* seen = nullptr;
  EXPECT_THROW(static_cast<void>(queue.pop_in_place([&](std::string_view item) {
                 EXPECT_EQ(item, long_one);
                 EXPECT_EQ(queue.size(), 1U) << "it is popped only afterwards";
                 seen = item.data();
                 throw std::runtime_error("not now");
               })),
               std::runtime_error);
  const_cast<char*>(seen)[0] = 'y';
  ASSERT_EQ(queue.try_pop_in_place([&](std::string_view item) {
    EXPECT_EQ(item.data(), seen);
    EXPECT_EQ(item.substr(0, 2), "yx");
  }),
            Status::ok);
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_EQ(queue.try_pop_in_place([](std::string_view) { FAIL(); }), Status::empty);
  EXPECT_EQ(queue.pop_in_place([](std::string_view) { FAIL(); }, 1ms), Status::timeout);
  queue.close();
  EXPECT_EQ(queue.pop_in_place([](std::string_view) { FAIL(); }), Status::closed);
}

TEST(QueueInPlace, AStringIsWrittenWhereItWillLie) {
  Queue<std::string> queue(Capacity(8, 4096));
  const auto fill = [](std::span<char> room) { std::ranges::fill(room, 'a'); };
  EXPECT_EQ(queue.push_in_place(3, fill), Status::ok);
  EXPECT_EQ(queue.push_in_place(0, fill), Status::ok);
  EXPECT_EQ(queue.push_in_place(5000, fill), Status::too_large);
  EXPECT_THROW(static_cast<void>(queue.push_in_place(
                   4, [](std::span<char>) { throw std::runtime_error("no more input"); })),
               std::runtime_error);
  EXPECT_EQ(queue.size(), 2U) << "what was not filled is not there";
  EXPECT_EQ(queue.pop(), "aaa");
  EXPECT_EQ(queue.pop(), "");
  queue.close();
  EXPECT_EQ(queue.push_in_place(3, fill), Status::closed);
}

TEST(QueueInPlace, NothingIsLostAtTheEndOfTheMemory) {
  Queue<std::vector<std::uint8_t>> queue(Capacity(64, 1000));
  std::deque<std::vector<std::uint8_t>> model;
  std::mt19937 random(7);
  for (int i = 0; i < 5000; ++i) {
    if (random() % 2 == 0) {
      std::vector<std::uint8_t> item(random() % 200);
      for (auto& byte : item) byte = static_cast<std::uint8_t>(random());
      const Status status = queue.push_in_place(
          item.size(), [&](std::span<std::uint8_t> room) { std::ranges::copy(item, room.begin()); },
          0ms);
      ASSERT_TRUE(status == Status::ok || status == Status::timeout) << status;
      if (status == Status::ok) model.push_back(item);
    } else {
      const Status status = queue.try_pop_in_place([&](std::span<const std::uint8_t> item) {
        ASSERT_FALSE(model.empty());
        EXPECT_TRUE(std::ranges::equal(item, model.front())) << i;
        model.pop_front();
      });
      ASSERT_EQ(status == Status::empty, status != Status::ok);
    }
    ASSERT_EQ(queue.size(), model.size());
  }
}

TEST(QueueInPlace, WhatIsNoSequenceIsDecoded) {
  Queue<std::vector<double>> queue;
  ASSERT_EQ(queue.push({1.5, 2.5}), Status::ok);
  double sum = 0;
  ASSERT_EQ(queue.pop_in_place([&](const std::vector<double>& item) {
    for (const double number : item) sum += number;
  }),
            Status::ok);
  EXPECT_EQ(sum, 4.0);
}

TEST(QueueInPlace, RecordsAreNotPoppedWithinAPop) {
  Queue<std::string> queue(8);
  ASSERT_EQ(queue.push("first"), Status::ok);
  EXPECT_THROW(static_cast<void>(
                   queue.pop_in_place([&](std::string_view) { static_cast<void>(queue.pop()); })),
               std::logic_error);
  EXPECT_EQ(queue.pop(), "first");
}

TEST(QueueInPlace, OfARingOthersPopWhatComesAfter) {
  Queue<int> queue(4);
  for (int i = 0; i < 4; ++i) ASSERT_EQ(queue.push(i), Status::ok);
  std::vector<int> seen;
  const auto see = [&](const int& item) { seen.push_back(item); };
  ASSERT_EQ(queue.pop_in_place([&](const int& first) {
    ASSERT_EQ(queue.pop_in_place([&](const int& second) {
      EXPECT_EQ(queue.pop(), 2) << "by the same thread, twice within";
      see(second);
    }),
              Status::ok);
    std::jthread([&] { EXPECT_EQ(queue.pop(), 3); }).join();
    EXPECT_EQ(queue.try_push(4), Status::busy) << "its place is the next to be written";
    EXPECT_EQ(queue.push(4, 1ms), Status::timeout);
    see(first);
  }),
            Status::ok);
  EXPECT_EQ(seen, (std::vector<int>{1, 0}));
  EXPECT_EQ(queue.push(4), Status::ok);
  EXPECT_EQ(queue.pop(), 4);
}

TEST(QueueInPlace, OfARingAnItemThatIsNotWantedStays) {
  Queue<int> queue(4);
  ASSERT_EQ(queue.push(1), Status::ok);
  ASSERT_EQ(queue.push(2), Status::ok);
  EXPECT_THROW(static_cast<void>(
                   queue.pop_in_place([](const int&) { throw std::runtime_error("not now"); })),
               std::runtime_error);
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
}

/// Who sleeps since the item was claimed is woken when it is given back.
TEST(QueueInPlace, OfARingASleeperGetsWhatWasNotWanted) {
  Queue<int> queue(4);
  ASSERT_EQ(queue.push(1), Status::ok);
  std::promise<pid_t> thread;
  std::optional<int> popped;
  std::jthread other;
  EXPECT_THROW(static_cast<void>(queue.pop_in_place([&](const int&) {
                 other = std::jthread([&] {
                   set_wait_policy({.first_slice = 1h, .longest_slice = 1h});
                   thread.set_value(gettid());
                   popped = queue.pop();
                 });
                 ASSERT_TRUE(wait_until_asleep(thread.get_future().get()));
                 throw std::runtime_error("not now");
               })),
               std::runtime_error);
  other.join();
  EXPECT_EQ(popped, 1);
}

/// Both ways: a consumer that is killed in the midst of it has popped nothing.
template <class T>
void expect_back_after_kill(Queue<T>& queue, const T& item) {
  Shared<Event> seen;
  ASSERT_EQ(queue.push(item), Status::ok);
  Process consumer([&] {
    static_cast<void>(queue.pop_in_place([&](const auto&) {
      seen->set();
      for (;;) pause();
    }));
  });
  ASSERT_EQ(seen->wait(10s), Status::ok);
  consumer.send_signal(SIGKILL);
  T back{};
  EXPECT_EQ(queue.pop(back, 10s), Status::ok);
  EXPECT_EQ(back, item);
  EXPECT_EQ(queue.size(), 0U);
  consumer.join();
}

TEST(QueueInPlace, AKilledConsumerHasPoppedNothing) {
  Queue<std::string> records(8);
  expect_back_after_kill(records, std::string("record"));
  Queue<int> ring(8);
  expect_back_after_kill(ring, 7);
}

TEST(QueueInPlace, ALengthThatLiesIsCorrupt) {
  Queue<std::string> queue(8);
  ASSERT_EQ(queue.push("abcdef"), Status::ok);
  char* bytes = nullptr;
  EXPECT_THROW(static_cast<void>(queue.pop_in_place([&](std::string_view item) {
                 bytes = const_cast<char*>(item.data());
                 throw std::runtime_error("not now");
               })),
               std::runtime_error);
  for (const std::uint32_t lie : {5U, 7U, 1U << 31, 0xffffffffU}) {
    std::memcpy(bytes - sizeof lie, &lie, sizeof lie);
    EXPECT_EQ(queue.try_pop_in_place([](std::string_view) { FAIL(); }), Status::corrupt) << lie;
  }
  EXPECT_EQ(queue.skip(), Status::ok);
}

}  // namespace
}  // namespace sluice::tests
