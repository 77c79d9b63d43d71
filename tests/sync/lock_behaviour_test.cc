// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's Lock and RLock rely on, held against Mutex and
// RecursiveMutex (rows LK and RL), by threads, forked children, and processes that meet by name.
//
//   here              LK1 to LK5, LK8 to LK11, RL1, RL2, RL4, RL6, RL8; signals; what a wait costs
//   by death          LK12, LK13, LK14: lock_death_test.cc
//   with threads      LK7: thread_state_test.cc
//   with conditions   RL3: condition_behaviour_test.cc
//   nothing to test   LK15 (no server process)

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// How much later than its deadline a call may return on a machine that does other things as well.
/// The lower bound has no such slack.
constexpr auto kLate = 1s;

template <class Lock>
struct Locked {
  Lock lock;
  Lock other;
  std::atomic<int> step;
  std::atomic<int> in, out;
  long plain;  ///< guarded by `lock`
};

/// Waits for another party to come to `step`.
void await_step(const std::atomic<int>& at, int step) {
  while (at < step) sched_yield();
}

template <class Case>
class LockBehaviour : public testing::Test {
 public:
  using Lock = typename Case::Lock;
  using Shared = Locked<Lock>;
  static constexpr bool kRecursive = std::is_same_v<Lock, RecursiveMutex>;

  /// A party that takes the lock, says so by step 1, and gives it back at step 2.
  int start_holder() {
    return stage_.start([](Shared& shared) {
      shared.lock.lock();
      shared.step = 1;
      await_step(shared.step, 2);
      shared.lock.unlock();
    });
  }
  void hold_elsewhere() {
    start_holder();
    await_step(stage_->step, 1);
  }

  Stage<typename Case::Way, Shared> stage_;
};

using Cases = testing::Types<LockCase<ByThreads, Mutex>, LockCase<ByThreads, RecursiveMutex>,
                             LockCase<ByFork, Mutex>, LockCase<ByFork, RecursiveMutex>,
                             LockCase<ByName, Mutex>, LockCase<ByName, RecursiveMutex>>;
TYPED_TEST_SUITE(LockBehaviour, Cases, LockCaseNames<Mutex>);

TYPED_TEST(LockBehaviour, LK1_AReleaseTooManyIsAnErrorAndNoFreePass) {
  auto& stage = this->stage_;
  auto& lock = stage->lock;
  EXPECT_THROW(lock.unlock(), std::logic_error) << "never used";
  lock.lock();
  EXPECT_EQ(lock.try_lock(), TestFixture::kRecursive) << "by the holder itself";
  if (TestFixture::kRecursive) lock.unlock();
  stage.start([](auto& shared) {
    EXPECT_FALSE(shared.lock.try_lock());
    EXPECT_EQ(shared.lock.acquire(Deadline::now()), Status::timeout);
  });
  stage.finish();
  lock.unlock();
  EXPECT_THROW(lock.unlock(), std::logic_error);
  stage.start([](auto& shared) {
    EXPECT_THROW(shared.lock.unlock(), std::logic_error);
    EXPECT_TRUE(shared.lock.try_lock()) << "one lock, not two free passes";
    EXPECT_FALSE(shared.other.is_owned());
    shared.lock.unlock();
  });
  stage.finish();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TYPED_TEST(LockBehaviour, LK2_ScopesTakeTheLockAndGiveItBack) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  constexpr int kRounds = 20000;
  for (int party = 0; party < 3; ++party) {
    stage.start([party](Shared& shared) {
      for (int i = 0; i < kRounds; ++i) {
        // Two locks in opposite orders: std::scoped_lock avoids the deadlock with try_lock().
        if (party == 0) {
          const std::scoped_lock hold(shared.lock, shared.other);
          ++shared.plain;
        } else if (party == 1) {
          const std::scoped_lock hold(shared.other, shared.lock);
          ++shared.plain;
        } else if (i % 2 == 0) {
          const LockGuard hold(shared.lock);
          ++shared.plain;
        } else {
          std::unique_lock hold(shared.lock, std::defer_lock);
          while (!hold.try_lock_for(1h)) continue;
          ++shared.plain;
        }
      }
      EXPECT_FALSE(shared.lock.is_owned());
    });
  }
  stage.finish();
  EXPECT_EQ(stage->plain, 3 * kRounds);
}

TYPED_TEST(LockBehaviour, LK3_TheTextSaysWhoHoldsIt) {
  auto& stage = this->stage_;
  const auto text = [&] { return (std::ostringstream() << stage->lock).str(); };
  const std::string kind = TestFixture::kRecursive ? "RecursiveMutex: " : "Mutex: ";
  EXPECT_EQ(text(), kind + "unlocked");
  const int holder = this->start_holder();
  await_step(stage->step, 1);
  const LockReport report = stage->lock.report();
  EXPECT_EQ(report.state, LockReport::State::held);
  EXPECT_EQ(report.thread, static_cast<std::uint32_t>(stage.thread_of(holder)));
  EXPECT_EQ(participant::probe(report.owner), Liveness::alive);
  EXPECT_FALSE(report.maybe_waiting);
  EXPECT_THAT(text(), testing::StartsWith(kind + "locked by participant "));
  const pid_t process = TypeParam::Way::kProcesses ? stage.thread_of(holder) : getpid();
  EXPECT_THAT(text(), testing::HasSubstr("(pid " + std::to_string(process) + ","));
  stage->step = 2;
  stage.finish();
  EXPECT_EQ(text(), kind + "unlocked");
}

TYPED_TEST(LockBehaviour, LK3_DestroyIsBusyWhileHeldAndEndsTheUse) {
  auto& stage = this->stage_;
  this->hold_elsewhere();
  EXPECT_EQ(stage->lock.destroy(), Status::busy);
  EXPECT_EQ(stage->lock.reset(), Status::busy);
  EXPECT_FALSE(stage->lock.try_lock()) << "and changes nothing";
  stage->step = 2;
  stage.finish();
  stage->lock.lock();
  EXPECT_EQ(stage->lock.destroy(), Status::busy) << "by the holder itself as well";
  stage->lock.unlock();
  EXPECT_EQ(stage->lock.destroy(), Status::ok);
  EXPECT_EQ(stage->lock.report().state, LockReport::State::destroyed);
  EXPECT_EQ(stage->lock.acquire(), Status::closed);
  EXPECT_THROW(stage->lock.lock(), Error);
  EXPECT_THROW(stage->lock.unlock(), std::logic_error);
  EXPECT_FALSE(stage->lock.is_owned());
  EXPECT_EQ(stage->lock.reset(), Status::ok) << "begins anew";
  EXPECT_TRUE(stage->lock.try_lock());
  stage->lock.unlock();
}

TYPED_TEST(LockBehaviour, LK4_TryIsAnsweredAtOnce) {
  auto& stage = this->stage_;
  stage.start([](auto& shared) {
    EXPECT_TRUE(shared.lock.try_lock()) << "free";
    shared.lock.unlock();
  });
  stage.finish();
  this->hold_elsewhere();
  auto shortest = Clock::duration::max();
  for (int i = 0; i < 100; ++i) {
    const auto tried = time_of([&] { EXPECT_FALSE(stage->lock.try_lock()); });
    shortest = std::min(shortest, tried);
  }
  // The shortest of many: that the machine was busy says nothing about the call.
  EXPECT_LT(shortest, 1ms);
  EXPECT_FALSE(stage->lock.report().maybe_waiting) << "who only tries never waits";
  stage->step = 2;
  stage.finish();
}

TYPED_TEST(LockBehaviour, LK5_FiveWaitWithoutCostAndGetItOneByOne) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  stage->lock.lock();
  for (int i = 0; i < 5; ++i) {
    stage.start([](Shared& shared) {
      rusage before{}, after{};
      getrusage(RUSAGE_THREAD, &before);
      const auto begun = Clock::now();
      shared.lock.lock();
      const std::chrono::duration<double> waited = Clock::now() - begun;
      getrusage(RUSAGE_THREAD, &after);
      EXPECT_EQ(shared.in++, shared.out) << "somebody else holds it";
      // 12.5 slices a second and the short ones at the beginning. Another five for being woken and
      // overtaken by the others.
      EXPECT_LE(after.ru_nvcsw - before.ru_nvcsw, 13 * waited.count() + 10);
      const auto used =
          std::chrono::microseconds(after.ru_utime.tv_usec - before.ru_utime.tv_usec +
                                    after.ru_stime.tv_usec - before.ru_stime.tv_usec) +
          std::chrono::seconds(after.ru_utime.tv_sec - before.ru_utime.tv_sec +
                               after.ru_stime.tv_sec - before.ru_stime.tv_sec);
      EXPECT_LT(used, 100ms) << "of CPU time";
      ++shared.out;
      shared.lock.unlock();
    });
  }
  for (int i = 0; i < 5; ++i) stage.wait_until_asleep(i);
  const auto until = Clock::now() + 800ms;
  while (Clock::now() < until) usleep(10'000);
  EXPECT_EQ(stage->in, 0);
  EXPECT_TRUE(stage->lock.report().maybe_waiting);
  const auto all = time_of([&] {
    stage->lock.unlock();
    stage.finish();
  });
  EXPECT_EQ(stage->out, 5);
  EXPECT_LT(all, 10s);
}

TYPED_TEST(LockBehaviour, LK8_AWaitEndsAtItsDeadlineAndNotBefore) {
  auto& stage = this->stage_;
  auto& lock = stage->lock;
  this->hold_elsewhere();
  for (const auto timeout : {1ms, 9ms, 170ms}) {
    const auto waited = time_of([&] { EXPECT_FALSE(lock.try_lock_for(timeout)); });
    EXPECT_GE(waited, timeout);
    EXPECT_LT(waited, timeout + kLate);
    const auto until_steady = Clock::now() + timeout;
    EXPECT_FALSE(lock.try_lock_until(until_steady));
    EXPECT_GE(Clock::now(), until_steady);
    const auto until_wall = std::chrono::system_clock::now() + timeout;
    EXPECT_FALSE(lock.try_lock_until(until_wall));
    EXPECT_GE(std::chrono::system_clock::now(), until_wall);
    EXPECT_LT(std::chrono::system_clock::now(), until_wall + kLate);
    EXPECT_EQ(lock.acquire(timeout), Status::timeout);
  }
  stage->step = 2;
  stage.finish();
  EXPECT_LT(time_of([&] { EXPECT_TRUE(lock.try_lock_for(5s)); }), 500ms) << "free";
  lock.unlock();
}

TYPED_TEST(LockBehaviour, LK8_TimesThatHavePassedMeanOnce) {
  using Wall = std::chrono::system_clock;
  auto& stage = this->stage_;
  auto& lock = stage->lock;
  this->hold_elsewhere();
  const auto waited = time_of([&] {
    EXPECT_FALSE(lock.try_lock_for(0s));
    EXPECT_FALSE(lock.try_lock_for(-100s));
    EXPECT_FALSE(lock.try_lock_for(std::chrono::nanoseconds::min()));
    EXPECT_FALSE(lock.try_lock_for(std::chrono::hours::min()));
    EXPECT_FALSE(lock.try_lock_until(Clock::now()));
    EXPECT_FALSE(lock.try_lock_until(Clock::time_point::min()));
    EXPECT_FALSE(lock.try_lock_until(Wall::now() - 1h));
    EXPECT_FALSE(lock.try_lock_until(Wall::time_point()));
    EXPECT_FALSE(lock.try_lock_until(Wall::time_point::min()));
    EXPECT_FALSE(lock.try_lock_until(std::chrono::sys_seconds::min()));
  });
  EXPECT_LT(waited, kLate);
  stage->step = 2;
  stage.finish();
}

TYPED_TEST(LockBehaviour, LK8_ImmenseTimesDoNotOverflow) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  stage->lock.lock();
  const std::vector<std::function<bool(Shared&)>> waits = {
      [](Shared& s) { return s.lock.try_lock_for(std::chrono::nanoseconds::max()); },
      [](Shared& s) { return s.lock.try_lock_for(std::chrono::hours::max()); },
      [](Shared& s) {
        return s.lock.try_lock_for(
            std::chrono::duration<double>(std::numeric_limits<double>::infinity()));
      },
      [](Shared& s) { return s.lock.try_lock_until(Clock::time_point::max()); },
      [](Shared& s) {
        return s.lock.try_lock_until(std::chrono::time_point<Clock, std::chrono::seconds>::max());
      },
      [](Shared& s) { return s.lock.try_lock_until(std::chrono::system_clock::time_point::max()); },
      [](Shared& s) { return s.lock.try_lock_until(std::chrono::sys_seconds::max()); },
  };
  for (const auto& wait : waits) {
    stage.start([&wait](Shared& shared) {
      EXPECT_TRUE(wait(shared));
      ++shared.out;
      shared.lock.unlock();
    });
  }
  for (std::size_t i = 0; i < waits.size(); ++i) stage.wait_until_asleep(static_cast<int>(i));
  EXPECT_EQ(stage->out, 0);
  stage->lock.unlock();
  stage.finish();
  EXPECT_EQ(stage->out, 7);
}

TYPED_TEST(LockBehaviour, LK9_RelockingAMutexIsAnErrorAndARecursiveOneCounts) {
  auto& lock = this->stage_->lock;
  lock.lock();
  if (TestFixture::kRecursive) {
    lock.lock();
    EXPECT_EQ(lock.acquire(), Status::ok);
    EXPECT_EQ(lock.recursion_count(), 3U);
    lock.unlock();
    lock.unlock();
  } else {
    EXPECT_THROW(lock.lock(), std::logic_error);
    EXPECT_THROW(lock.try_lock_for(1h), std::logic_error);
    EXPECT_THROW(static_cast<void>(lock.acquire()), std::logic_error);
    EXPECT_THROW(lock.lock([] { ADD_FAILURE() << "nothing to repair"; }), std::logic_error);
    EXPECT_EQ(lock.acquire(Deadline::now()), Status::timeout);
  }
  EXPECT_TRUE(lock.is_owned()) << "still";
  lock.unlock();
  EXPECT_FALSE(lock.is_owned());
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

TYPED_TEST(LockBehaviour, LK10_OnlyTheHolderUnlocks) {
  auto& stage = this->stage_;
  stage->lock.lock();
  stage.start([](auto& shared) {
    EXPECT_THROW(shared.lock.unlock(), std::logic_error);
    EXPECT_THROW(shared.lock.mark_consistent(), std::logic_error);
    EXPECT_FALSE(shared.lock.is_owned());
    EXPECT_FALSE(shared.lock.try_lock()) << "still held";
  });
  stage.finish();
  EXPECT_TRUE(stage->lock.is_owned());
  EXPECT_THROW(stage->lock.mark_consistent(), std::logic_error) << "nobody died";
  stage->lock.unlock();
}

TYPED_TEST(LockBehaviour, LK11_AThousandTimeoutsLeaveNothingBehind) {
  auto& stage = this->stage_;
  auto& lock = stage->lock;
  this->hold_elsewhere();
  for (int i = 0; i < 1000; ++i) ASSERT_FALSE(lock.try_lock_for(i % 2 == 0 ? 0us : 200us));
  stage->step = 2;
  stage.finish();
  EXPECT_EQ(lock.report().state, LockReport::State::free);
  EXPECT_FALSE(lock.report().maybe_waiting) << "else each unlock makes a system call";
  EXPECT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.report().maybe_waiting);
  lock.unlock();
  EXPECT_FALSE(lock.try_lock() && (lock.unlock(), lock.report().maybe_waiting));
}

TYPED_TEST(LockBehaviour, SignalHandlersDoNotEndAWait) {
  auto& stage = this->stage_;
  static std::atomic<int> handled;  // of this process
  handled = 0;
  struct sigaction count = {};
  struct sigaction before = {};
  count.sa_handler = [](int) { ++handled; };  // without SA_RESTART
  sigaction(SIGUSR1, &count, &before);
  stage->lock.lock();
  const auto begun = Clock::now();
  const int waiter = stage.start([](auto& shared) {
    EXPECT_FALSE(shared.lock.try_lock_for(300ms));
    ++shared.step;
    shared.lock.lock();
    EXPECT_GE(handled, 20);
    shared.lock.unlock();
  });
  const pid_t thread = stage.thread_of(waiter);
  const pid_t process = TypeParam::Way::kProcesses ? thread : getpid();
  for (int i = 0; i < 50; ++i) {
    stage.wait_until_asleep(waiter);
    EXPECT_EQ(tgkill(process, thread, SIGUSR1), 0);
    usleep(10'000);
    const int ended = stage->step;
    EXPECT_TRUE(ended == 0 || Clock::now() - begun >= 300ms) << "ended early";
  }
  stage->lock.unlock();
  stage.finish();
  EXPECT_EQ(stage->step, 1);
  sigaction(SIGUSR1, &before, nullptr);
}

TYPED_TEST(LockBehaviour, EachWaitModeWaitsForAsLongAsItTakes) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  stage->lock.lock();
  for (const WaitMode mode : {WaitMode::spin, WaitMode::adaptive, WaitMode::block}) {
    stage.start([mode](Shared& shared) {
      const ScopedWaitPolicy policy({.mode = mode});
      ++shared.step;
      EXPECT_NO_THROW(shared.lock.lock());
      EXPECT_EQ(shared.in++, shared.out);
      ++shared.out;
      shared.lock.unlock();
    });
  }
  await_step(stage->step, 3);
  usleep(300'000);  // several slices
  EXPECT_EQ(stage->in, 0);
  stage->lock.unlock();
  stage.finish();
  EXPECT_EQ(stage->out, 3);
}

/// Counts how often a waiter looks. It does not let others run in between: it is to be quick.
struct CountingEnv : internal::RealLockEnv {
  static inline std::atomic<std::uint64_t> looks{0};
  static void pause() noexcept {
    ++looks;
    RealLockEnv::pause();
  }
  static void yield() noexcept {}
};

TEST(LockWait, ASpinnerLooksForAsLongAsItTakes) {
  BasicMutex<CountingEnv> lock;
  std::atomic<bool> taken = false;
  lock.lock();
  std::jthread spinner([&] {
    const ScopedWaitPolicy policy({.mode = WaitMode::spin});
    EXPECT_EQ(lock.acquire(), Status::ok);
    taken = true;
    lock.unlock();
  });
  // More often than the attempts in a row against a word that keeps changing are.
  while (CountingEnv::looks < (1U << 20) + 1000 && !taken) usleep(1000);
  EXPECT_FALSE(taken);
  lock.unlock();
  spinner.join();
  EXPECT_TRUE(taken);
}

// -------------------------------------------------------------------------------------------------
// RL

template <class Way>
class RecursiveBehaviour : public testing::Test {
 public:
  Stage<Way, Locked<RecursiveMutex>> stage_;
};
TYPED_TEST_SUITE(RecursiveBehaviour, Ways, WayNames);

TYPED_TEST(RecursiveBehaviour, RL1_AsManyReleasesAsAcquisitionsAndNotOneMore) {
  auto& stage = this->stage_;
  auto& lock = stage->lock;
  for (int i = 0; i < 3; ++i) lock.lock();
  for (int i = 0; i < 3; ++i) {
    stage.start([](auto& shared) { EXPECT_FALSE(shared.lock.try_lock()); });
    stage.finish();
    lock.unlock();
  }
  EXPECT_THROW(lock.unlock(), std::logic_error);
  stage.start([](auto& shared) {
    EXPECT_TRUE(shared.lock.try_lock());
    shared.lock.unlock();
  });
  stage.finish();
}

TYPED_TEST(RecursiveBehaviour, RL2_NestsKeepTheCountAndAnUnheldReleaseIsAnError) {
  auto& lock = this->stage_->lock;
  EXPECT_THROW(lock.unlock(), std::logic_error);
  for (int round = 0; round < 2; ++round) {
    lock.lock();                         // 1
    EXPECT_TRUE(lock.try_lock());        // 2
    lock.unlock();                       // 1
    EXPECT_TRUE(lock.try_lock_for(1s));  // 2
    {
      const std::scoped_lock third(lock);
      EXPECT_EQ(lock.recursion_count(), 3U);
    }
    lock.unlock();
    EXPECT_EQ(lock.recursion_count(), 1U);
    lock.unlock();
    EXPECT_THROW(lock.unlock(), std::logic_error) << "after a full cycle too";
  }
}

TYPED_TEST(RecursiveBehaviour, RL4_RL6_TheCountAndTheOwnerAreTheCallers) {
  auto& stage = this->stage_;
  auto& lock = stage->lock;
  const auto elsewhere = [&] {
    stage.start([](auto& shared) {
      EXPECT_EQ(shared.lock.recursion_count(), 0U);
      EXPECT_FALSE(shared.lock.is_owned());
    });
    stage.finish();
  };
  EXPECT_EQ(lock.recursion_count(), 0U);
  EXPECT_FALSE(lock.is_owned());
  lock.lock();
  EXPECT_EQ(lock.recursion_count(), 1U);
  EXPECT_TRUE(lock.is_owned());
  lock.lock();
  lock.lock();
  EXPECT_EQ(lock.recursion_count(), 3U);
  EXPECT_TRUE(lock.is_owned());
  elsewhere();
  lock.unlock();
  EXPECT_EQ(lock.recursion_count(), 2U);
  EXPECT_TRUE(lock.is_owned());
  lock.unlock();
  lock.unlock();
  EXPECT_EQ(lock.recursion_count(), 0U);
  EXPECT_FALSE(lock.is_owned());
  elsewhere();
}

}  // namespace
}  // namespace sluice::tests
