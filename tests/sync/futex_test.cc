// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/futex.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <new>
#include <thread>

#include "sluice/tests/support/bodies.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using internal::futex_wait;
using internal::futex_wake;
using internal::FutexWait;
using internal::Word;

TEST(Futex, DoesNotSleepIfTheWordIsNotAsExpected) {
  Word<std::uint32_t> word = {};
  const auto start = Clock::now();
  EXPECT_EQ(futex_wait(word, 1, start + 10s), FutexWait::changed);
  EXPECT_LT(Clock::now() - start, 5s);
}

TEST(Futex, TimesOutNotEarly) {
  Word<std::uint32_t> word = {};
  for (const auto timeout : {1ms, 20ms}) {
    const auto until = Clock::now() + timeout;
    EXPECT_EQ(futex_wait(word, 0, until), FutexWait::timeout);
    EXPECT_GE(Clock::now(), until);
    EXPECT_LT(Clock::now(), until + 1s);
  }
}

TEST(Futex, AnyTimePointIsATime) {
  Word<std::uint32_t> word = {};
  EXPECT_EQ(futex_wait(word, 0, Clock::now() - 1s), FutexWait::timeout);
  EXPECT_NE(futex_wait(word, 0, Clock::time_point::min()), FutexWait::woken);
  EXPECT_EQ(futex_wait(word, 1, Clock::time_point::max()), FutexWait::changed);
}

TEST(Futex, WakesAsManyAsAskedForAndSaysHowMany) {
  Word<std::uint32_t> word = {};
  EXPECT_EQ(futex_wake(word, 1), 0) << "nobody is asleep";
  std::atomic<pid_t> ids[3] = {};
  std::vector<std::jthread> sleepers;
  for (auto& id : ids) {
    sleepers.emplace_back([&] {
      id = gettid();
      EXPECT_EQ(futex_wait(word, 0, Clock::now() + 20s), FutexWait::woken);
    });
  }
  for (auto& id : ids) {
    while (id == 0) std::this_thread::yield();
    wait_until_asleep(id);
  }
  // Asleep in this call or a moment before it: counted until all were woken.
  int woken = 0;
  while (woken == 0) woken = futex_wake(word, 1);
  EXPECT_EQ(woken, 1);
  while (woken < 3) woken += futex_wake(word, 100);
  EXPECT_EQ(woken, 3);
}

TEST(Futex, WakesAcrossProcesses) {
  auto* const word =
      new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
          Word<std::uint32_t>();
  ChildParty child([&] { EXPECT_EQ(futex_wait(*word, 0, Clock::now() + 20s), FutexWait::woken); });
  const auto start = Clock::now();
  while (futex_wake(*word, 1) == 0 && Clock::now() - start < 20s) sched_yield();
  child.finish();
  munmap(word, 4096);
}

TEST(Futex, ASignalShowsAsAnInterruption) {
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, &before);
  Word<std::uint32_t> word = {};
  const pthread_t sleeper = pthread_self();
  const pid_t id = gettid();
  {
    std::atomic<bool> over = false;
    const std::jthread other([&] {
      while (!over) {
        if (state_of(id) == 'S') pthread_kill(sleeper, SIGUSR1);
      }
    });
    EXPECT_EQ(futex_wait(word, 0, Clock::now() + 20s), FutexWait::interrupted);
    over = true;
  }
  sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace sluice::tests
