// SPDX-License-Identifier: Apache-2.0
//
// Pool: map, starmap, imap and their kin; rows PO, AS and EX.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <list>
#include <numeric>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "sluice/ipc/value.h"
#include "sluice/pool/future.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/progress_bar.h"
#include "sluice/pool/shared_ref.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/tests/pool/watched.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

using PoolMapTest = tests::Watched;

int square(int n) { return n * n; }

std::vector<int> numbers(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::vector<int> squares(int n) {
  std::vector<int> all = numbers(n);
  std::ranges::transform(all, all.begin(), square);
  return all;
}

/// 0, 1, ... and an exception instead of number `at`.
auto failing_at(int at) {
  return std::views::iota(0, 1000) | std::views::transform([at](int n) {
           if (n == at) throw std::domain_error("the input ends at " + std::to_string(n));
           return n;
         });
}

// EX16, PO4
TEST_F(PoolMapTest, MapGivesWhatTheSerialOneGivesInAnyChunks) {
  Pool pool(2);
  for (const std::size_t chunk : {0U, 1U, 3U, 6U, 39U, 40U, 50U}) {
    EXPECT_EQ(pool.map(PoolMapOptions{.chunk = chunk}, square, numbers(40)), squares(40)) << chunk;
  }
  const auto future = pool.map_async(square, numbers(1000));
  EXPECT_EQ(future.get(), squares(1000));
  const std::list<int> list = {3, 1, 2};
  EXPECT_EQ(pool.map(square, list), (std::vector<int>{9, 1, 4}));
  EXPECT_EQ(pool.map([](int n) { return n % 2 == 0; }, numbers(3)),
            (std::vector<bool>{true, false, true}));
  EXPECT_EQ(pool.map([](bool b) { return !b; }, std::vector<bool>{true, false}),
            (std::vector<bool>{false, true}));
}

// EX2
TEST_F(PoolMapTest, SeveralRangesAreZippedAndTheShortestWins) {
  Pool pool(2);
  const std::vector<std::string> words = {"a", "b", "c"};
  EXPECT_EQ(pool.map([](const std::string& w, int n) { return w + std::to_string(n); }, words,
                     numbers(2)),
            (std::vector<std::string>{"a0", "b1"}));
  const std::vector<std::tuple<int, int>> pairs = {{1, 2}, {3, 4}};
  EXPECT_EQ(pool.starmap([](int a, int b) { return a * b; }, pairs), (std::vector<int>{2, 12}));
}

// PO17
TEST_F(PoolMapTest, NothingInNothingOut) {
  Pool pool(1);
  const std::vector<int> none;
  EXPECT_TRUE(pool.map(square, none).empty());
  std::atomic<int> called{0};
  const auto future = pool.map_async(square, none);
  future.on_success([&](const std::vector<int>& all) { called += all.empty() ? 1 : 100; });
  future.wait();
  EXPECT_EQ(called, 1);
  auto stream = pool.imap(square, none);
  EXPECT_EQ(stream.next(), std::nullopt);
  EXPECT_EQ(stream.next(), std::nullopt);
}

TEST_F(PoolMapTest, AMapOfAFunctionThatReturnsNothing) {
  Value<int> sum(0);
  Pool pool(2);
  pool.map([s = shared_ref(sum)](int n) { s->fetch_add(n); }, numbers(101));
  EXPECT_EQ(sum.load(), 5050);
}

// PO21, AS4, EX3: all are tried, the first failure counts, its callback is called once
TEST_F(PoolMapTest, AFailureWaitsForTheOthersAndTheFirstOneCounts) {
  Value<int> tried(0);
  Pool pool(2);
  const auto fail_some = [t = shared_ref(tried)](int n) -> int {
    t->fetch_add(1);
    if (n == 7 || n == 31) throw std::range_error(std::string(100'000, 'x') + std::to_string(n));
    return n;
  };
  std::atomic<int> errors{0};
  const auto future = pool.map_async(PoolMapOptions{.chunk = 3}, fail_some, numbers(40));
  future.on_success([&](const std::vector<int>&) { errors += 100; });
  future.on_error([&](const std::exception_ptr&) { ++errors; });
  try {
    static_cast<void>(future.get());
    FAIL();
  } catch (const std::range_error& e) {
    EXPECT_TRUE(std::string(e.what()).ends_with("x7"));
  }
  EXPECT_EQ(tried.load(), 40);
  EXPECT_EQ(errors, 1);
  pool.close();
  EXPECT_TRUE(pool.join(10s));
}

// PO8
TEST_F(PoolMapTest, WhatTheInputsIteratorThrowsComesOutOfTheCall) {
  Pool pool(2);
  for (const int at : {0, 4}) {
    EXPECT_THROW(pool.map(square, failing_at(at)), std::domain_error);
    EXPECT_EQ(pool.map(square, numbers(5)), squares(5));
  }
}

// PO11, PO13
TEST_F(PoolMapTest, StreamsGiveEachResultOnceInOrderOrNot) {
  Pool pool(2);
  for (const std::size_t chunk : {1U, 7U, 100U}) {
    std::vector<int> got;
    for (const int n : pool.imap(square, numbers(1000), {.chunk = chunk})) got.push_back(n);
    EXPECT_EQ(got, squares(1000)) << chunk;
    got.clear();
    for (const int n : pool.imap_unordered(square, numbers(1000), {.chunk = chunk})) {
      got.push_back(n);
    }
    std::ranges::sort(got);
    EXPECT_EQ(got, squares(1000)) << chunk;
  }
}

// C20: the input is read as results are taken
TEST_F(PoolMapTest, AStreamReadsNoMoreThanItsWindowAhead) {
  Pool pool(2);
  int read = 0;
  const auto counting = std::views::iota(0, 100'000) | std::views::transform([&read](int n) {
                          ++read;
                          return n;
                        });
  auto stream = pool.imap(square, counting, {.chunk = 2, .window = 8});
  for (int n = 0; n < 50; ++n) EXPECT_EQ(stream.next(), n * n);
  EXPECT_LE(read, 50 + 2 * 8 + 2);
}

// PO12, PO14
TEST_F(PoolMapTest, AStreamGivesAllResultsBeforeTheInputsFailureAndThenEnds) {
  Pool pool(2);
  for (const std::size_t chunk : {1U, 2U, 4U}) {
    for (const int at : {0, 3, 7}) {
      auto stream = pool.imap(square, failing_at(at), {.chunk = chunk});
      for (int n = 0; n < at; ++n) ASSERT_EQ(stream.next(), n * n);
      EXPECT_THROW(stream.next(), std::domain_error);
      EXPECT_EQ(stream.next(), std::nullopt);
    }
  }
  auto stream = pool.imap_unordered(square, failing_at(5));
  std::vector<int> got;
  EXPECT_THROW(
      {
        while (const auto n = stream.next()) got.push_back(*n);
      },
      std::domain_error);
  std::ranges::sort(got);
  EXPECT_EQ(got, squares(5));
}

// AS5
TEST_F(PoolMapTest, AnItemsFailureDoesNotEndTheStreamNorDoesATimeout) {
  Pool pool(2);
  const auto fail_at_two = [](int n) { return n == 2 ? throw std::range_error("two") : n; };
  for (const std::size_t chunk : {1U, 3U, 5U}) {
    auto stream = pool.imap(fail_at_two, numbers(5), {.chunk = chunk});
    EXPECT_EQ(stream.next(), 0);
    EXPECT_EQ(stream.next(), 1);
    EXPECT_THROW(stream.next(), std::range_error);
    EXPECT_EQ(stream.next(), 3);
    EXPECT_EQ(stream.next(), 4);
    EXPECT_EQ(stream.next(), std::nullopt);
  }
  Value<int> go(0);
  Pool held(1);
  const auto wait_first = [g = shared_ref(go)](int n) { return g->wait(0) + n; };
  auto stream = held.imap(wait_first, numbers(1));
  EXPECT_THROW(stream.next(1ms), Error);
  go.store(1);
  EXPECT_EQ(stream.next(), 1);
}

// EX4
TEST_F(PoolMapTest, AMapCanBeWaitedForWithADeadlineAndCancelled) {
  Pool pool(1);
  const auto slow = [](int n) {
    std::this_thread::sleep_for(100ms);
    return n;
  };
  const auto future = pool.map_async(PoolMapOptions{.chunk = 1}, slow, numbers(100));
  EXPECT_FALSE(future.wait(10ms));
  EXPECT_TRUE(future.cancel());
  EXPECT_TRUE(future.cancelled());
  EXPECT_THROW(static_cast<void>(future.get()), CancelledError);
  EXPECT_EQ(pool.apply(square, 3), 9);
}

TEST_F(PoolMapTest, ProgressIsTold) {
  Pool pool(2);
  std::vector<std::size_t> seen;
  const PoolMapOptions options = {.chunk = 10, .progress = [&](std::size_t done, std::size_t all) {
                                    EXPECT_EQ(all, 100U);
                                    seen.push_back(done);
                                  }};
  pool.map(options, square, numbers(100));
  EXPECT_EQ(seen.size(), 10U);
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(seen.back(), 100U);
}

TEST_F(PoolMapTest, AProgressBarWritesALineForEachTenthWhereThereIsNoTerminal) {
  std::array<int, 2> ends = {};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  Pool pool(2);
  ProgressBar bar("squares", ends[1]);
  pool.map(PoolMapOptions{.chunk = 5, .progress = std::ref(bar)}, square, numbers(100));
  close(ends[1]);
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(read(ends[0], text.data(), text.size())));
  close(ends[0]);
  EXPECT_EQ(std::ranges::count(text, '\n'), 11);
  EXPECT_TRUE(text.starts_with("squares [#                             ]   5 %  5/100\n")) << text;
  EXPECT_TRUE(text.ends_with("[##############################] 100 %  100/100\n")) << text;
}

TEST_F(PoolMapTest, MoreChunksThanSlots) {
  Pool pool({.workers = 2, .max_tasks = 8});
  EXPECT_EQ(pool.map(PoolMapOptions{.chunk = 1}, square, numbers(2000)), squares(2000));
}

}  // namespace
}  // namespace sluice
