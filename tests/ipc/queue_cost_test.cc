// SPDX-License-Identifier: Apache-2.0
//
// What queues cost that nobody uses just now: nothing without waiters; with a consumer asleep in
// each, its looks at the ends of its slices.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <cstddef>
#include <deque>
#include <iostream>
#include <thread>
#include <vector>

#include "sluice/ipc/queue.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

/// CPU time of all threads of this process.
Seconds cpu_time() {
  timespec used = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

/// The part of one CPU that this process uses while the calling thread sleeps.
double share_while_idle(std::chrono::milliseconds time) {
  const auto begin = std::chrono::steady_clock::now();
  const Seconds before = cpu_time();
  std::this_thread::sleep_for(time);
  const Seconds used = cpu_time() - before;
  return used / Seconds(std::chrono::steady_clock::now() - begin);
}

/// How many this process may have open, once it has asked for all that it may.
std::size_t most_descriptors() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

TEST(QueueCost, TenThousandWithoutWaitersUseNoCpu) {
  constexpr std::size_t kQueues = 10'000;
  if (most_descriptors() < kQueues + 100) GTEST_SKIP() << "too few descriptors are allowed";
  std::deque<Queue<int>> queues;
  for (std::size_t i = 0; i < kQueues; ++i) {
    ASSERT_EQ(queues.emplace_back(4).push(static_cast<int>(i)), Status::ok);
  }
  const double share = share_while_idle(1s);
  std::cout << "[    COST  ] " << kQueues << " queues: " << 100 * share << " % of a CPU\n";
  EXPECT_LT(share, 0.01) << "there is nobody to use any";
  EXPECT_EQ(queues.back().pop(), static_cast<int>(kQueues - 1));
}

TEST(QueueCost, AThousandSleepingConsumersUseLittleCpu) {
  constexpr std::size_t kQueues = 1'000;
  if (most_descriptors() < kQueues + 100) GTEST_SKIP() << "too few descriptors are allowed";
  std::deque<Queue<int>> queues;
  for (std::size_t i = 0; i < kQueues; ++i) queues.emplace_back(4);
  std::vector<std::thread> consumers;
  std::vector<int> got(kQueues, -1);
  for (std::size_t i = 0; i < kQueues; ++i) {
    consumers.emplace_back([&, i] { static_cast<void>(queues[i].pop(got[i])); });
  }
  static_cast<void>(share_while_idle(500ms));  // all fall asleep, and their slices become long
  const double share = share_while_idle(3s);
  std::cout << "[    COST  ] " << kQueues << " sleeping consumers: " << 100 * share
            << " % of a CPU\n";
  // Ten times what is expected of a quiet machine.
  EXPECT_LT(share, 1.0);
  for (std::size_t i = 0; i < kQueues; ++i) {
    EXPECT_EQ(queues[i].push(static_cast<int>(i)), Status::ok);
  }
  for (std::thread& consumer : consumers) consumer.join();
  for (std::size_t i = 0; i < kQueues; ++i) EXPECT_EQ(got[i], static_cast<int>(i));
}

}  // namespace
}  // namespace sluice::tests
