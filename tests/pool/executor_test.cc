// SPDX-License-Identifier: Apache-2.0
//
// wait(), as_completed() and map(): rows AC1 to AC10, EX2 to EX8.

#include "sluice/pool/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <forward_list>
#include <list>
#include <memory>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/pool/future.h"
#include "sluice/pool/thread_pool.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/tests/pool/watched.h"
#include "sluice/tests/support/calls.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Futures = std::vector<Future<int>>;

class ExecutorTest : public Watched {};

std::exception_ptr an_error() { return std::make_exception_ptr(std::runtime_error("no")); }

/// Promises and their futures, by number.
struct Tasks {
  explicit Tasks(std::size_t n) : promises(n) {
    for (const auto& promise : promises) futures.push_back(promise.future());
  }
  std::vector<Promise<int>> promises;
  Futures futures;
};

TEST_F(ExecutorTest, AsCompletedGivesWhatIsDoneFirst) {  // AC1
  Tasks tasks(5);
  tasks.promises[1].set_value(1);
  tasks.promises[2].set_exception(an_error());
  tasks.futures[3].cancel();
  tasks.promises[3].set_running();  // notices it
  auto order = as_completed(tasks.futures);
  for (const int i : {1, 2, 3}) EXPECT_EQ(order.next(), tasks.futures[i]);
  std::jthread later([&] {
    tasks.promises[4].set_value(4);
    tasks.promises[0].set_value(0);
  });
  EXPECT_EQ(order.next(), tasks.futures[4]);
  EXPECT_EQ(order.next(), tasks.futures[0]);
  EXPECT_EQ(order.next(), std::nullopt);
  EXPECT_EQ(order.next(), std::nullopt);
}

TEST_F(ExecutorTest, AsCompletedGivesWhatIsDoneBeforeItTimesOut) {  // AC2, AC5
  for (const Deadline deadline : {Deadline(0s), Deadline(100ms)}) {
    Tasks tasks(4);
    tasks.promises[0].set_value(0);
    tasks.promises[2].set_value(2);
    std::vector<int> seen;
    const Error error = error_of([&] {
      for (const Future<int>& done : as_completed(tasks.futures, deadline)) {
        seen.push_back(done.get());
      }
      return 0;
    });
    EXPECT_THAT(seen, ElementsAre(0, 2));
    EXPECT_EQ(error.code(), Status::timeout);
    EXPECT_THAT(error.what(), HasSubstr("2 (of 4) futures unfinished"));
    EXPECT_TRUE(deadline.passed());
  }
}

TEST_F(ExecutorTest, AsCompletedGivesEachOnce) {  // AC3
  Tasks tasks(1);
  tasks.promises[0].set_value(7);
  const std::forward_list<Future<int>> thrice(3, tasks.futures[0]);
  int seen = 0;
  for (const Future<int>& done : as_completed(thrice)) seen += done.get();
  EXPECT_EQ(seen, 7);
  int read = 0;
  auto once = std::views::iota(0, 3) | std::views::transform([&](int) {
                ++read;
                return tasks.futures[0];
              });
  for (const Future<int>& done : as_completed(once)) seen += done.get();
  EXPECT_EQ(seen, 14);
  EXPECT_EQ(read, 3);
}

TEST_F(ExecutorTest, WaitTakesEachOnce) {  // AC6
  Tasks tasks(1);
  tasks.promises[0].set_value(7);
  const auto [done, not_done] = wait(Futures{tasks.futures[0], tasks.futures[0]});
  EXPECT_THAT(done, SizeIs(1));
  EXPECT_THAT(not_done, IsEmpty());
}

TEST_F(ExecutorTest, WaitForTheFirst) {  // AC7
  Tasks tasks(4);
  tasks.futures[0].cancel();  // and nobody has noticed: not done
  EXPECT_THAT(wait(tasks.futures, Wait::first_completed, 10ms).done, IsEmpty());
  std::jthread later([&] { tasks.promises[2].set_value(2); });
  EXPECT_THAT(wait(tasks.futures, Wait::first_completed).done, ElementsAre(tasks.futures[2]));
  tasks.promises[3].set_value(3);
  const auto [done, not_done] = wait(tasks.futures, Wait::first_completed);
  EXPECT_THAT(done, ElementsAre(tasks.futures[2], tasks.futures[3]));
  EXPECT_THAT(not_done, ElementsAre(tasks.futures[0], tasks.futures[1]));
}

TEST_F(ExecutorTest, WaitForNothingAndInNoWay) {  // AC7
  const auto [done, not_done] = wait(Futures(), Wait::first_completed);
  EXPECT_THAT(done, IsEmpty());
  EXPECT_THAT(not_done, IsEmpty());
  EXPECT_THROW(wait(Futures(), static_cast<Wait>(3)), std::invalid_argument);
  EXPECT_THROW(wait(Futures(1)), std::future_error);
}

TEST_F(ExecutorTest, WaitForTheFirstException) {  // AC8
  Tasks tasks(5);
  tasks.futures[0].cancel();
  tasks.futures[4].cancel();
  tasks.promises[4].set_running();  // cancelled and noticed: done, but no exception
  tasks.promises[1].set_value(1);
  EXPECT_THAT(wait(tasks.futures, Wait::first_exception, 10ms).done, SizeIs(2));
  std::jthread later([&] { tasks.promises[2].set_exception(an_error()); });
  const auto [done, not_done] = wait(tasks.futures, Wait::first_exception);
  EXPECT_THAT(done, ElementsAre(tasks.futures[1], tasks.futures[2], tasks.futures[4]));
  EXPECT_THAT(not_done, ElementsAre(tasks.futures[0], tasks.futures[3]));
  EXPECT_THAT(wait(tasks.futures, Wait::first_exception, 0s).done, SizeIs(3));  // already failed
}

TEST_F(ExecutorTest, WaitForAll) {  // AC9
  Tasks tasks(3);
  tasks.promises[0].set_value(0);
  const auto start = Deadline::Clock::now();
  EXPECT_THAT(wait(tasks.futures, Wait::all_completed, 50ms).not_done, SizeIs(2));
  EXPECT_GE(Deadline::Clock::now() - start, 50ms);
  std::jthread later([&] {
    tasks.promises[2].set_exception(an_error());
    tasks.promises[1].set_value(1);
  });
  const auto [done, not_done] = wait(tasks.futures);
  EXPECT_THAT(done, SizeIs(3));
  EXPECT_THAT(not_done, IsEmpty());
}

TEST_F(ExecutorTest, NoWakeUpIsLost) {  // AC10 (from processes: the pool's tests)
  ThreadPool pool(8);
  for (int round = 0; round < 200; ++round) {
    Futures futures;
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit([i] { return i; }));
    ASSERT_THAT(wait(futures).done, SizeIs(100));
  }
}

TEST_F(ExecutorTest, WaitReturnsAfterTheCallbacks) {  // PO5
  ThreadPool pool(2);
  for (int round = 0; round < 100; ++round) {
    int called = 0;
    Event go_on;
    const Future<int> task = pool.submit([&] {
      go_on.wait();
      return 1;
    });
    task.on_done([&] { ++called; });
    go_on.set();
    wait(Futures{task});
    ASSERT_EQ(called, 1);
  }
}

TEST_F(ExecutorTest, MapIsTheSerialMap) {  // EX2
  ThreadPool pool(3);
  const std::vector<double> bases = {2, 3, 4};
  const std::list<int> exponents = {1, 2, 3, 4, 5};
  std::vector<double> powers;
  const auto power = [](double base, int exponent) { return std::pow(base, exponent); };
  for (const double x : map(pool, power, bases, exponents)) powers.push_back(x);
  EXPECT_THAT(powers, ElementsAre(2, 9, 64));
  for (const double x : map(pool, power, std::vector<double>(), exponents)) ADD_FAILURE() << x;
  EXPECT_THROW(map(pool, {.ahead = 0}, power, bases, exponents), std::invalid_argument);
}

TEST_F(ExecutorTest, MapThrowsInItsPlace) {  // EX3
  ThreadPool pool(2);
  std::vector<int> seen;
  auto results = map(pool, [](int n) { return 12 / n; }, std::vector{3, 4});
  auto failing = map(
      pool, [](int n) { return n == 0 ? throw std::domain_error("zero") : 12 / n; },
      std::vector{3, 4, 0, 6});
  EXPECT_THROW(for (const int n : failing) { seen.push_back(n); }, std::domain_error);
  EXPECT_THAT(seen, ElementsAre(4, 3));
  EXPECT_EQ(failing.next(), std::nullopt);
}

TEST_F(ExecutorTest, MapHasOneDeadlineFromItsCallOn) {  // EX4
  ThreadPool pool(1);
  Event go_on;
  std::atomic<int> begun = 0;
  const auto wait_if = [&](int n) {
    begun++;
    if (n == 6) go_on.wait();
    return n;
  };
  const auto start = Deadline::Clock::now();
  auto results = map(pool, {.deadline = 200ms}, wait_if, std::vector{0, 0, 6, 0, 0});
  std::this_thread::sleep_for(100ms);
  std::vector<int> seen;
  const Error error = error_of([&] {
    for (const int n : results) seen.push_back(n);
    return 0;
  });
  EXPECT_THAT(seen, ElementsAre(0, 0));
  EXPECT_EQ(error.code(), Status::timeout);
  EXPECT_GE(Deadline::Clock::now() - start, 200ms);
  EXPECT_LT(Deadline::Clock::now() - start, 2s);
  go_on.set();
  pool.shutdown();
  EXPECT_EQ(begun, 3);  // the rest was cancelled
}

/// Counts what is alive of it.
struct Counted {
  Counted() : alive(std::make_shared<int>()) {}
  std::shared_ptr<int> alive;
};

TEST_F(ExecutorTest, ReleasesArgumentsAndResults) {  // EX6, PO22
  ThreadPool pool(1);
  const Counted argument;
  const Future<Counted> kept = pool.submit([](const Counted& c) { return c; }, argument);
  pool.submit([](const Counted&) {}, argument);  // its future is dropped
  pool.submit([](const Counted&) {}, argument).wait();
  EXPECT_EQ(argument.alive.use_count(), 2);  // and that in `kept`
  EXPECT_EQ(kept.take().alive.use_count(), 2);
  EXPECT_EQ(argument.alive.use_count(), 1);
  {
    auto results = map(pool, [](Counted c) { return c; }, std::vector<Counted>(10, argument));
    while (results.next()) {
    }
    EXPECT_EQ(argument.alive.use_count(), 1);
  }
}

TEST_F(ExecutorTest, MapSubmitsAllAtOnceUnlessToldOtherwise) {  // EX8
  std::atomic<int> calls = 0;
  const auto count = [&](int n) {
    calls++;
    return n;
  };
  {
    ThreadPool pool(2);
    const auto all = map(pool, count, std::vector<int>(20));
    pool.shutdown();  // all of them are run, if nobody cancels them
    EXPECT_EQ(calls, 20);
  }
  ThreadPool pool(2);
  const std::vector<int> numbers = {1, 2, 3, 4, 5};
  calls = 0;
  auto some = map(pool, {.ahead = 2}, count, numbers);
  EXPECT_EQ(some.next(), 1);
  std::vector<int> rest;
  while (const auto n = some.next()) {
    EXPECT_LE(calls, *n + 1);
    rest.push_back(*n);
  }
  EXPECT_THAT(rest, ElementsAre(2, 3, 4, 5));
}

/// Runs tasks in the caller.
class Inline {
 public:
  template <class Fn, class... Args>
  auto submit(Fn fn, Args... args) {
    Promise<std::invoke_result_t<Fn, Args...>> promise;
    promise.set_value(fn(args...));
    return promise.future();
  }
};
static_assert(Executor<Inline> && Executor<ThreadPool>);

TEST_F(ExecutorTest, OneAlgorithmRunsOnAnyExecutor) {
  const auto sum_of_squares = [](auto& executor) {
    int sum = 0;
    const auto square = [](int n) { return n * n; };
    for (const int n : map(executor, square, std::views::iota(1, 4))) sum += n;
    return sum;
  };
  Inline here;
  ThreadPool pool(2);
  EXPECT_EQ(sum_of_squares(here), 14);
  EXPECT_EQ(sum_of_squares(pool), 14);
}

}  // namespace
}  // namespace sluice::tests
