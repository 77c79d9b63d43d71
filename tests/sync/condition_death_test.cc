// SPDX-License-Identifier: Apache-2.0
//
// What is left of a condition variable when those who wait on it or notify it are killed (rows CO2
// and CO13), by forked children and by processes that meet by name, with the kernel's help and
// without.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"
#include "sluice/tests/support/no_kernel_help.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Within which the living go on: ten times the 100 ms that are promised on an idle machine.
constexpr auto kLimit = 1s;

template <class Lock>
struct Haunted {
  Lock lock;
  ConditionVariable condition;
  std::atomic<int> asleep;
  std::atomic<int> woken;
  std::atomic<int> told;  ///< got owner_died
  std::atomic<int> step;
  int tokens;  ///< guarded by `lock`
  int taken;   ///< guarded by `lock`
  bool over;   ///< guarded by `lock`
};

void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

/// For those who bear an owner's death.
template <class Lock>
void take(Lock& lock) {
  const Status s = lock.acquire();
  if (s == Status::owner_died) {
    lock.mark_consistent();
  } else {
    EXPECT_EQ(s, Status::ok);
  }
}

template <class Case>
class ConditionDeath : public testing::Test {
 public:
  using Lock = typename Case::Lock;
  using Shared = Haunted<Lock>;

  int start_waiter(bool kernel_helps = true, WaitPolicy policy = {}) {
    return stage_.start([=](Shared& shared) {
      set_wait_policy(policy);
      if (!kernel_helps) refuse_kernel_help();
      take(shared.lock);
      ++shared.asleep;
      const Status s = shared.condition.wait(shared.lock);
      EXPECT_TRUE(shared.lock.is_owned());
      if (s == Status::ok) {
        ++shared.woken;
      } else {
        EXPECT_EQ(s, Status::owner_died);
        ++shared.told;
      }
      shared.lock.unlock();
    });
  }

  void await_waiters(int count) {
    for (;;) {
      take(stage_->lock);
      const bool there = stage_->asleep >= count;
      stage_->lock.unlock();
      if (there) return;
    }
  }

  void notify(std::ptrdiff_t n) {
    const auto time = time_of([&] {
      take(stage_->lock);
      stage_->condition.notify(n);
      stage_->lock.unlock();
    });
    EXPECT_LT(time, 100ms) << "ten times what a notifier may be held up";
  }

  Stage<typename Case::Way, Shared> stage_;
};

using Cases = testing::Types<LockCase<ByFork, Mutex>, LockCase<ByFork, RecursiveMutex>,
                             LockCase<ByName, Mutex>, LockCase<ByName, RecursiveMutex>>;
TYPED_TEST_SUITE(ConditionDeath, Cases, LockCaseNames<Mutex>);

TYPED_TEST(ConditionDeath, CO2_AfterThreeOfSixWereKilledOneNotificationWakesSixNewOnes) {
  auto& stage = this->stage_;
  for (int i = 0; i < 6; ++i) this->start_waiter();
  this->await_waiters(6);
  for (int i = 0; i < 3; ++i) {
    stage.wait_until_asleep(i);
    stage.kill(i);
  }
  for (int i = 0; i < 6; ++i) this->start_waiter();
  this->await_waiters(12);
  const auto pause = time_of([&] {
    this->notify(PTRDIFF_MAX);
    stage.finish();
  });
  EXPECT_LT(pause, kLimit);
  EXPECT_EQ(stage->woken, 9);
  EXPECT_EQ(stage->condition.waiting(), 0U) << "the killed are forgotten";
}

TYPED_TEST(ConditionDeath, CO13_ANotificationIsNotSwallowedByADeadWaiter) {
  auto& stage = this->stage_;
  for (const bool kernel_helps : {true, false}) {
    for (int dead = 0; dead < 3; ++dead) {  // at each place of the queue
      stage->asleep = stage->woken = 0;
      int parties[3];
      for (int i = 0; i < 3; ++i) {
        parties[i] = this->start_waiter(kernel_helps);
        this->await_waiters(i + 1);
        stage.wait_until_asleep(parties[i]);
      }
      stage.kill(parties[dead]);
      for (int alive = 1; alive <= 2; ++alive) {
        const auto pause = time_of([&] {
          this->notify(1);
          await(stage->woken, alive);
        });
        EXPECT_LT(pause, kLimit);
        usleep(20'000);
        EXPECT_EQ(stage->woken, alive) << "one for one";
      }
      this->notify(PTRDIFF_MAX);
      EXPECT_EQ(stage->condition.waiting(), 0U);
      take(stage->lock);
      EXPECT_EQ(stage->condition.wait_for(stage->lock, 30ms), Status::timeout)
          << "nothing is left over";
      stage->lock.unlock();
      stage.finish();
      stage.forget_finished();
    }
  }
}

TYPED_TEST(ConditionDeath, CO13_NoTokenIsLostToWaitersKilledAtAnyMoment) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  for (const bool kernel_helps : {true, false}) {
    stage->tokens = stage->taken = 0;
    stage->over = false;
    const auto consume = [kernel_helps](Shared& shared) {
      if (!kernel_helps) refuse_kernel_help();
      for (;;) {
        take(shared.lock);
        const Status s =
            shared.condition.wait(shared.lock, [&] { return shared.tokens > 0 || shared.over; });
        if (s == Status::owner_died) shared.lock.mark_consistent();
        if (shared.tokens > 0) {
          ++shared.taken;  // killed in between: a token is counted twice, and none is lost
          --shared.tokens;
        } else if (shared.over) {
          shared.lock.unlock();
          return;
        }
        shared.lock.unlock();
      }
    };
    std::mt19937 random(kernel_helps ? 13 : 31);
    std::vector<Clock::duration> pauses;
    for (int i = 0; i < 2; ++i) stage.start(consume);
    for (int kills = 0; kills < 40; ++kills) {
      const int victim = stage.start(consume);
      stage.thread_of(victim);
      for (int put = 0; put < 5; ++put) {
        take(stage->lock);
        stage->tokens += 2;
        stage->condition.notify(2);
        stage->lock.unlock();
      }
      const auto until = Clock::now() + std::chrono::microseconds(random() % 150);
      while (Clock::now() < until) continue;
      stage.kill(victim);
      pauses.push_back(time_of([&] {
        for (bool drained = false; !drained; sched_yield()) {
          take(stage->lock);
          drained = stage->tokens == 0;
          stage->lock.unlock();
        }
      }));
      ASSERT_LT(pauses.back(), kLimit) << "work is there and everybody sleeps";
      stage.forget_finished();
    }
    take(stage->lock);
    EXPECT_GE(stage->taken, 40 * 10);
    EXPECT_LE(stage->taken, 40 * 10 + 40);
    stage->over = true;
    stage->condition.notify_all();
    stage->lock.unlock();
    stage.finish();
    stage.forget_finished();
    std::cout << "CO13, all tokens taken after a kill, at most "
              << std::chrono::duration<double, std::milli>(
                     *std::max_element(pauses.begin(), pauses.end()))
                     .count()
              << " ms\n";
  }
}

TYPED_TEST(ConditionDeath, AnOwnersDeathIsToldToEverySleeperWithTheLockHeld) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  for (const bool kernel_helps : {true, false}) {
    stage->asleep = stage->told = stage->step = 0;
    std::vector<int> waiters;
    for (int i = 0; i < 3; ++i) waiters.push_back(this->start_waiter(kernel_helps));
    this->await_waiters(3);
    // Killed between its change and its notification.
    const int notifier = stage.start([kernel_helps](Shared& shared) {
      if (!kernel_helps) refuse_kernel_help();
      shared.lock.lock();
      ++shared.tokens;
      shared.step = 1;
      for (;;) pause();
    });
    await(stage->step, 1);
    const auto pause = time_of([&] {
      stage.kill(notifier);
      await(stage->told, 3);
    });
    EXPECT_LT(pause, kLimit);
    for (const int waiter : waiters) stage.finish(waiter);
    EXPECT_EQ(stage->woken, 0);
    EXPECT_EQ(stage->lock.acquire(), Status::owner_died) << "none of them has repaired";
    EXPECT_EQ(stage->condition.wait(stage->lock), Status::owner_died) << "at once";
    EXPECT_EQ(stage->condition.wait(stage->lock, [] { return false; }), Status::owner_died);
    stage->lock.mark_consistent();
    EXPECT_EQ(stage->condition.waiting(), 0U);
    stage->lock.unlock();
    stage.forget_finished();
  }
}

TYPED_TEST(ConditionDeath, ANotifierThatFindsOwnerDiedNotifiesAll) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  // Their slices do not end, so that none of them notices the death by itself.
  const WaitPolicy no_slices = {.first_slice = 1h, .longest_slice = 1h};
  for (int i = 0; i < 4; ++i) this->start_waiter(true, no_slices);
  this->await_waiters(4);
  for (int i = 0; i < 4; ++i) stage.wait_until_asleep(i);
  const int notifier = stage.start([](Shared& shared) {
    shared.lock.lock();
    shared.step = 1;
    for (;;) pause();
  });
  await(stage->step, 1);
  stage.kill(notifier);
  ASSERT_EQ(stage->lock.acquire(), Status::owner_died);
  stage->condition.notify(0);
  EXPECT_NE(stage->condition.waiting(), 0U) << "nobody was notified";
  stage->condition.notify_one();
  EXPECT_EQ(stage->condition.waiting(), 0U) << "all are";
  stage->lock.mark_consistent();
  stage->lock.unlock();
  await(stage->woken, 4);
  stage.finish();
  EXPECT_EQ(stage->told, 0);
}

TYPED_TEST(ConditionDeath, ANotifierKilledRightBehindItsCallIsHeard) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    stage->asleep = stage->woken = stage->told = stage->step = 0;
    for (int i = 0; i < 2; ++i) this->start_waiter(round % 2 == 0);
    this->await_waiters(2);
    const int notifier = stage.start([](Shared& shared) {
      take(shared.lock);
      shared.step = 1;
      for (int i = 0; i < 100; ++i) shared.condition.notify(i % 2);
      shared.condition.notify_all();
      shared.lock.unlock();
      for (;;) pause();
    });
    await(stage->step, 1);
    const auto until = Clock::now() + std::chrono::microseconds(random() % 30);
    while (Clock::now() < until) continue;
    const auto pause = time_of([&] {
      stage.kill(notifier);
      while (stage->woken + stage->told < 2) sched_yield();
    });
    ASSERT_LT(pause, kLimit) << "in round " << round;
    stage.finish();
    stage.forget_finished();
    take(stage->lock);
    stage->condition.notify_all();
    stage->lock.unlock();
  }
}

}  // namespace
}  // namespace sluice::tests
