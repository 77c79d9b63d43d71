// SPDX-License-Identifier: Apache-2.0
//
// A pool of processes as an executor: wait and as_completed over its futures, and one algorithm
// that runs in threads or in processes; rows AC and EX.

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <vector>

#include "sluice/ipc/value.h"
#include "sluice/pool/executor.h"
#include "sluice/pool/future.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/shared_ref.h"
#include "sluice/pool/thread_pool.h"
#include "sluice/sync/error.h"
#include "sluice/tests/pool/watched.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

using PoolExecutorTest = tests::Watched;

static_assert(Executor<Pool> && Executor<ThreadPool>);

int square(int n) { return n * n; }

/// The same text for threads and for processes.
template <Executor E>
int sum_of_squares(E& executor, int n) {
  std::vector<Future<int>> futures;
  for (int i = 0; i < n; ++i) futures.push_back(executor.submit(square, i));
  int sum = 0;
  for (const auto& future : as_completed(futures)) sum += future.get();
  return sum;
}

TEST_F(PoolExecutorTest, OneAlgorithmRunsInThreadsAndInProcesses) {
  Pool processes(2);
  ThreadPool threads(2);
  EXPECT_EQ(sum_of_squares(processes, 100), 328'350);
  EXPECT_EQ(sum_of_squares(threads, 100), 328'350);
}

// AC7, AC9
TEST_F(PoolExecutorTest, WaitReturnsAtTheFirstOrWithAllOrAtItsDeadline) {
  Value<int> go(0);
  Pool pool(2);
  const auto held = pool.submit([g = shared_ref(go)] { return g->wait(0); });
  const auto quick = pool.submit(square, 3);
  const std::vector<Future<int>> both = {held, quick};
  const auto first = wait(both, Wait::first_completed);
  EXPECT_EQ(first.done, std::vector<Future<int>>{quick});
  EXPECT_EQ(first.not_done, std::vector<Future<int>>{held});
  EXPECT_EQ(wait(both, Wait::all_completed, 1ms).not_done.size(), 1U);
  go.store(7);
  EXPECT_EQ(wait(both, Wait::all_completed).done.size(), 2U);
  EXPECT_EQ(held.get(), 7);
}

// AC8
TEST_F(PoolExecutorTest, WaitReturnsAtTheFirstFailure) {
  Value<int> go(0);
  Pool pool(2);
  const auto held = pool.submit([g = shared_ref(go)] { return g->wait(0); });
  const auto bad = pool.submit([]() -> int { throw std::range_error("bad"); });
  const auto sets = wait(std::vector{held, bad}, Wait::first_exception);
  EXPECT_EQ(sets.done, std::vector{bad});
  go.store(1);
}

// AC1, AC3: of one pool, and of a pool and threads together, which nobody's one wait can fetch
TEST_F(PoolExecutorTest, EachOfManyIsCompletedOnceAlsoOfDifferentExecutors) {
  Pool processes(2);
  Pool others(1);
  ThreadPool threads(2);
  std::vector<Future<int>> futures;
  for (int i = 0; i < 300; ++i) {
    futures.push_back(i % 3 == 0   ? processes.submit(square, i)
                      : i % 3 == 1 ? others.submit(square, i)
                                   : threads.submit(square, i));
    futures.push_back(futures.back());
  }
  std::multiset<int> seen;
  for (const auto& future : as_completed(futures)) seen.insert(future.get());
  EXPECT_EQ(seen.size(), 300U);
  EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), 8'955'050);
}

// AC10: none is overlooked, however many end at a time
TEST_F(PoolExecutorTest, NoWakeUpIsLost) {
  Pool pool(2);
  for (int round = 0; round < 100; ++round) {
    std::vector<Future<int>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(square, i));
    EXPECT_EQ(wait(futures, Wait::all_completed).done.size(), 20U);
  }
}

TEST_F(PoolExecutorTest, AContinuationRunsWhereCallbacksDo) {
  Pool pool(2);
  const Future<double> half = pool.submit(square, 3).then([](int n) { return n + 0.5; });
  EXPECT_EQ(half.get(), 9.5);
  EXPECT_THROW(static_cast<void>(pool.submit([]() -> int { throw std::range_error("bad"); })
                                     .then([](int n) { return n; })
                                     .get()),
               std::range_error);
}

}  // namespace
}  // namespace sluice
