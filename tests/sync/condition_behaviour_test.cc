// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's Condition rely on, held against ConditionVariable (rows CO,
// and RL3), by threads, forked children, and processes that meet by name, each with a Mutex and
// with a RecursiveMutex.
//
//   here              CO1 to CO6, CO8 to CO12, CO14, RL3; what a wait costs; signals
//   by death          CO2's second half, CO13: condition_death_test.cc

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
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
struct Waited {
  Lock lock;
  Lock other;
  ConditionVariable condition;
  ConditionVariable second;
  std::atomic<int> asleep;  ///< counted with the lock held: who has read it under the lock knows
  std::atomic<int> woken;   ///< that they wait
  std::atomic<int> timed_out;
  int state;   ///< guarded by `lock`
  int tokens;  ///< guarded by `lock`
};

template <class Case>
class ConditionBehaviour : public testing::Test {
 public:
  using Lock = typename Case::Lock;
  using Shared = Waited<Lock>;

  /// A party that waits once.
  int start_waiter(Deadline deadline = Deadline::never()) {
    return stage_.start([deadline](Shared& shared) {
      std::unique_lock hold(shared.lock);
      ++shared.asleep;
      const Status s = shared.condition.wait_for(hold, deadline);
      EXPECT_TRUE(shared.lock.is_owned());
      if (s == Status::ok) {
        ++shared.woken;
      } else {
        EXPECT_EQ(s, Status::timeout);
        ++shared.timed_out;
      }
    });
  }

  /// Returns when `count` parties in all wait, the last of them in the middle of the call.
  void await_waiters(int count) {
    for (;;) {
      const std::scoped_lock hold(stage_->lock);
      if (stage_->asleep >= count) return;
    }
  }

  /// Waits for `woken` to come to `count`, and a little longer to see that it stays there.
  void expect_woken(int count) {
    while (stage_->woken < count) sched_yield();
    const auto until = Clock::now() + 100ms;
    while (Clock::now() < until) usleep(1000);
    EXPECT_EQ(stage_->woken, count);
  }

  Stage<typename Case::Way, Shared> stage_;
};

using Cases = testing::Types<LockCase<ByThreads, Mutex>, LockCase<ByThreads, RecursiveMutex>,
                             LockCase<ByFork, Mutex>, LockCase<ByFork, RecursiveMutex>,
                             LockCase<ByName, Mutex>, LockCase<ByName, RecursiveMutex>>;
TYPED_TEST_SUITE(ConditionBehaviour, Cases, LockCaseNames<Mutex>);

TYPED_TEST(ConditionBehaviour, CO1_EachNotifyWakesOneAndNobodyWakesByItself) {
  auto& stage = this->stage_;
  for (int i = 0; i < 3; ++i) this->start_waiter();
  this->await_waiters(3);
  this->expect_woken(0);
  EXPECT_EQ(stage->condition.waiting(), 3U);
  for (int notified = 1; notified <= 3; ++notified) {
    {
      const std::scoped_lock hold(stage->lock);
      stage->condition.notify_one();
    }
    this->expect_woken(notified);
  }
  stage.finish();
  EXPECT_EQ(stage->condition.waiting(), 0U);
}

TYPED_TEST(ConditionBehaviour, CO2_TimeoutsDoNotEatLaterNotifications) {
  auto& stage = this->stage_;
  for (int i = 0; i < 6; ++i) this->start_waiter(20ms);
  stage.finish();
  EXPECT_EQ(stage->timed_out, 6);
  EXPECT_EQ(stage->condition.waiting(), 0U);
  for (int i = 0; i < 6; ++i) this->start_waiter();
  this->await_waiters(12);
  {
    const std::scoped_lock hold(stage->lock);
    stage->condition.notify_all();
  }
  stage.finish();
  EXPECT_EQ(stage->woken, 6);
}

TYPED_TEST(ConditionBehaviour, CO2_AHundredRoundsOfTimeoutsAndNotifications) {
  constexpr int kRounds = 100;
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (int party = 0; party < 6; ++party) {
    stage.start([](Shared& shared) {
      std::unique_lock hold(shared.lock);
      for (int round = 0; round < kRounds; ++round) {
        if (shared.condition.wait_for(hold, 100us) == Status::timeout) ++shared.timed_out;
        ++shared.asleep;
        EXPECT_EQ(shared.condition.wait(hold, [&] { return shared.state > round; }), Status::ok);
        ++shared.woken;
      }
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    this->await_waiters(6 * (round + 1));
    const auto all = time_of([&] {
      {
        const std::scoped_lock hold(stage->lock);
        stage->state = round + 1;
        stage->condition.notify_all();
      }
      while (stage->woken < 6 * (round + 1)) sched_yield();
    });
    EXPECT_LT(all, 1s);
  }
  stage.finish();
  EXPECT_GT(stage->timed_out, kRounds) << "else this has tested nothing";
}

TYPED_TEST(ConditionBehaviour, CO3_NotifyNWakesNAndASurplusIsNotRemembered) {
  auto& stage = this->stage_;
  for (int i = 0; i < 6; ++i) this->start_waiter();
  this->await_waiters(6);
  const auto notify = [&](std::ptrdiff_t n) {
    const std::scoped_lock hold(stage->lock);
    stage->condition.notify(n);
  };
  notify(0);
  notify(-1);
  notify(PTRDIFF_MIN);
  this->expect_woken(0);
  notify(2);
  this->expect_woken(2);
  notify(4);
  this->expect_woken(6);
  stage.finish();
  notify(3);
  std::unique_lock hold(stage->lock);
  EXPECT_EQ(stage->condition.wait_for(hold, 100ms), Status::timeout);
  hold.unlock();
  // More than there are, by one notification and by several.
  for (int i = 0; i < 2; ++i) this->start_waiter();
  this->await_waiters(8);
  notify(7);
  this->expect_woken(8);
  stage.finish();
  hold.lock();
  EXPECT_EQ(stage->condition.wait_for(hold, 20ms), Status::timeout);
  hold.unlock();
  for (int i = 0; i < 2; ++i) this->start_waiter();
  this->await_waiters(10);
  notify(1);
  this->expect_woken(9);  // and not both, by what was left over
  {
    const std::scoped_lock together(stage->lock);
    for (int i = 0; i < 5; ++i) stage->condition.notify_one();
  }
  this->expect_woken(10);
  stage.finish();
  hold.lock();
  EXPECT_EQ(stage->condition.wait_for(hold, 20ms), Status::timeout);
}

TYPED_TEST(ConditionBehaviour, CO3_ALaterWaiterDoesNotTakeWhatAnEarlierOneWasGiven) {
  auto& stage = this->stage_;
  for (int i = 0; i < 3; ++i) this->start_waiter();
  this->await_waiters(3);
  {
    // The newcomer waits before any of the notified can have taken the lock.
    std::unique_lock hold(stage->lock);
    stage->condition.notify(2);
    EXPECT_EQ(stage->condition.wait_for(hold, 300ms), Status::timeout);
  }
  this->expect_woken(2);
  {
    const std::scoped_lock hold(stage->lock);
    stage->condition.notify_one();
  }
  this->expect_woken(3);
  stage.finish();
}

TYPED_TEST(ConditionBehaviour, CO4_ATimeoutComesAfterItsTimeAndWithTheLockHeld) {
  using Wall = std::chrono::system_clock;
  auto& stage = this->stage_;
  auto& lock = stage->lock;
  std::unique_lock hold(lock);
  for (const auto timeout : {1ms, 12ms, 170ms}) {
    const auto waited =
        time_of([&] { EXPECT_EQ(stage->condition.wait_for(hold, timeout), Status::timeout); });
    EXPECT_GE(waited, timeout);
    EXPECT_LT(waited, timeout + kLate);
    EXPECT_TRUE(lock.is_owned());
    const auto until = Clock::now() + timeout;
    EXPECT_EQ(stage->condition.wait_until(hold, until), Status::timeout);
    EXPECT_GE(Clock::now(), until);
    const auto until_wall = Wall::now() + timeout;
    EXPECT_EQ(stage->condition.wait_until(hold, until_wall), Status::timeout);
    EXPECT_GE(Wall::now(), until_wall);
  }
  EXPECT_EQ(stage->condition.wait_for(hold, Deadline::now()), Status::timeout);
  EXPECT_EQ(stage->condition.wait_for(hold, -1h), Status::timeout);
  EXPECT_EQ(stage->condition.wait_until(hold, Clock::time_point::min()), Status::timeout);
  EXPECT_EQ(stage->condition.wait_until(hold, Wall::time_point::min()), Status::timeout);
  EXPECT_TRUE(lock.is_owned());
  EXPECT_EQ(stage->condition.waiting(), 0U);
}

TYPED_TEST(ConditionBehaviour, CO4_ImmenseTimesDoNotOverflow) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (int party = 0; party < 4; ++party) {
    stage.start([party](Shared& shared) {
      std::unique_lock hold(shared.lock);
      ++shared.asleep;
      const auto notified = [&] { return shared.state != 0; };
      auto& condition = shared.condition;
      Status s = Status::timeout;
      if (party == 0) s = condition.wait_for(hold, std::chrono::hours::max());
      if (party == 1) s = condition.wait_until(hold, Clock::time_point::max());
      if (party == 2) s = condition.wait_until(hold, std::chrono::sys_seconds::max());
      if (party == 3) s = condition.wait_until(hold, std::chrono::sys_seconds::max(), notified);
      EXPECT_EQ(s, Status::ok) << "party " << party;
      ++shared.woken;
    });
  }
  this->await_waiters(4);
  this->expect_woken(0);
  {
    const std::scoped_lock hold(stage->lock);
    stage->state = 1;
    stage->condition.notify_all();
  }
  stage.finish();
  EXPECT_EQ(stage->woken, 4);
}

TYPED_TEST(ConditionBehaviour, CO5_WaitingForAPredicateEndsWhenItIsTrue) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (const bool timed : {false, true}) {
    stage->state = 0;
    stage.start([timed](Shared& shared) {
      std::unique_lock hold(shared.lock);
      const auto four = [&] {
        EXPECT_TRUE(shared.lock.is_owned()) << "the predicate runs with the lock held";
        return shared.state == 4;
      };
      EXPECT_EQ(
          timed ? shared.condition.wait_for(hold, 1h, four) : shared.condition.wait(hold, four),
          Status::ok);
      EXPECT_EQ(shared.state, 4);
      EXPECT_TRUE(shared.lock.is_owned());
    });
    for (int i = 0; i < 4; ++i) {
      usleep(5000);
      const std::scoped_lock hold(stage->lock);
      ++stage->state;
      stage->condition.notify_one();
    }
    stage.finish();
  }
  EXPECT_EQ(stage->condition.waiting(), 0U);
}

TYPED_TEST(ConditionBehaviour, CO6_OneDeadlineCoversAllWakeUps) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  stage.start([](Shared& shared) {
    std::unique_lock hold(shared.lock);
    const auto waited = time_of([&] {
      EXPECT_EQ(shared.condition.wait_for(hold, 200ms, [&] { return shared.state == 40; }),
                Status::timeout);
    });
    EXPECT_GE(waited, 200ms);
    EXPECT_LT(waited, 200ms + kLate);
    EXPECT_TRUE(shared.lock.is_owned());
    shared.tokens = 1;
  });
  // Notified on and on; were each a new deadline, it would never pass.
  for (bool ended = false; !ended; usleep(5000)) {
    const std::scoped_lock hold(stage->lock);
    stage->state = (stage->state + 1) % 30;
    stage->condition.notify_all();
    ended = stage->tokens == 1;
  }
  stage.finish();
}

TYPED_TEST(ConditionBehaviour, CO6_APredicateThatCameTrueAtTheDeadlineIsTrue) {
  auto& stage = this->stage_;
  std::unique_lock hold(stage->lock);
  int asked = 0;
  EXPECT_EQ(stage->condition.wait_for(hold, 10ms, [&] { return ++asked > 1; }), Status::ok)
      << "nobody notified, but it is asked once more";
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(stage->condition.wait_for(hold, Deadline::now(), [] { return true; }), Status::ok);
}

TYPED_TEST(ConditionBehaviour, CO8_TheLockIsGivenBackForTheWaitAndTwoConditionsMayShareIt) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  this->start_waiter();
  stage.start([](Shared& shared) {
    std::unique_lock hold(shared.lock);
    ++shared.asleep;
    EXPECT_EQ(shared.second.wait(hold, [&] { return shared.state == 1; }), Status::ok);
    shared.state = 2;
  });
  this->await_waiters(2);
  ASSERT_TRUE(stage->lock.try_lock()) << "both have given it back";
  stage->second.notify_all();
  stage->lock.unlock();
  this->expect_woken(0);
  {
    const std::scoped_lock hold(stage->lock);
    stage->state = 1;
    stage->second.notify_one();
  }
  stage.finish(1);
  EXPECT_EQ(stage->state, 2);
  {
    const std::scoped_lock hold(stage->lock);
    EXPECT_EQ(stage->condition.waiting(), 1U);
    stage->condition.notify_one();
  }
  stage.finish();
  EXPECT_EQ(stage->woken, 1);
}

TYPED_TEST(ConditionBehaviour, CO9_RL3_WaitingAndNotifyingWithoutTheLockAreErrors) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  const auto misuse = [](Shared& shared) {
    auto& condition = shared.condition;
    const auto never = [] { return false; };
    std::unique_lock hold(shared.lock, std::defer_lock);
    EXPECT_THROW(static_cast<void>(condition.wait(hold)), std::logic_error);
    EXPECT_THROW(static_cast<void>(condition.wait(shared.lock)), std::logic_error);
    EXPECT_THROW(static_cast<void>(condition.wait(hold, never)), std::logic_error);
    EXPECT_THROW(static_cast<void>(condition.wait_for(hold, 1ms)), std::logic_error);
    EXPECT_THROW(static_cast<void>(condition.wait_until(hold, Clock::now())), std::logic_error);
    EXPECT_THROW(condition.notify_one(), std::logic_error);
    EXPECT_THROW(condition.notify_all(), std::logic_error);
    EXPECT_THROW(condition.notify(3), std::logic_error);
    std::unique_lock<typename TestFixture::Lock> none;
    EXPECT_THROW(static_cast<void>(condition.wait(none)), std::logic_error);
  };
  misuse(*stage);  // never used
  this->start_waiter();
  this->await_waiters(1);
  misuse(*stage);
  EXPECT_EQ(stage->condition.waiting(), 1U) << "nothing has changed";
  {
    const std::scoped_lock hold(stage->lock);
    stage.start(misuse);  // while another holds it
    stage.finish(1);
    stage->condition.notify_one();
  }
  stage.finish();
  EXPECT_EQ(stage->woken, 1);
}

TYPED_TEST(ConditionBehaviour, CO9_AnotherLockThanTheOthersIsAnError) {
  auto& stage = this->stage_;
  this->start_waiter();
  this->await_waiters(1);
  stage->other.lock();
  EXPECT_THROW(static_cast<void>(stage->condition.wait(stage->other)), std::logic_error);
  EXPECT_THROW(stage->condition.notify_all(), std::logic_error) << "it holds a lock, but another";
  EXPECT_TRUE(stage->other.is_owned()) << "still";
  stage->other.unlock();
  {
    const std::scoped_lock hold(stage->lock);
    stage->condition.notify_one();
  }
  stage.finish();
  EXPECT_EQ(stage->woken, 1);
  const std::scoped_lock hold(stage->other);
  EXPECT_EQ(stage->condition.wait_for(stage->other, 1ms), Status::timeout)
      << "nobody waits any more: a new beginning";
}

TYPED_TEST(ConditionBehaviour, CO11_WaitersInTwoPhasesAreCountedPerPhase) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  const auto notify = [&](std::ptrdiff_t n) {
    const std::scoped_lock hold(stage->lock);
    stage->condition.notify(n);
  };
  for (int run = 0; run < 2; ++run) {  // on the same condition
    stage->asleep = 0;
    stage->woken = 0;
    for (int i = 0; i < 5; ++i) {
      stage.start([](Shared& shared) {
        std::unique_lock hold(shared.lock);
        for (int phase = 0; phase < 2; ++phase) {
          ++shared.asleep;
          EXPECT_EQ(shared.condition.wait(hold), Status::ok);
          ++shared.woken;
        }
      });
    }
    this->await_waiters(5);
    notify(3);
    this->expect_woken(3);
    this->await_waiters(8);  // three wait once more
    notify(5);               // whoever waits, in either phase
    this->expect_woken(8);
    this->await_waiters(10);
    {
      const std::scoped_lock hold(stage->lock);
      stage->condition.notify_all();
    }
    stage.finish();
    EXPECT_EQ(stage->woken, 10);
    EXPECT_EQ(stage->condition.waiting(), 0U);
  }
}

TYPED_TEST(ConditionBehaviour, ATokenForEachNotificationIsTakenOnceAndNoneIsLost) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  constexpr int kTokens = 3000;
  for (int party = 0; party < 4; ++party) {
    stage.start([party](Shared& shared) {
      const ScopedWaitPolicy policy(
          {.mode = party % 2 == 0 ? WaitMode::block : WaitMode::adaptive});
      for (;;) {
        std::unique_lock hold(shared.lock);
        EXPECT_EQ(shared.condition.wait(
                      hold, [&] { return shared.tokens > 0 || shared.state == kTokens; }),
                  Status::ok);
        if (shared.tokens == 0) return;
        --shared.tokens;
        ++shared.woken;
      }
    });
  }
  const auto is_drained = [&] {
    const std::scoped_lock hold(stage->lock);
    return stage->tokens == 0;
  };
  for (int put = 0; put < kTokens;) {
    std::unique_lock hold(stage->lock);
    const int n = std::min(1 + put % 3, kTokens - put);
    stage->tokens += n;
    put += n;
    stage->condition.notify(n);
    hold.unlock();
    // Most notifications find everybody waiting, some find nobody.
    while (put % 8 != 0 && !is_drained()) sched_yield();
  }
  while (!is_drained()) sched_yield();
  {
    const std::scoped_lock hold(stage->lock);
    stage->state = kTokens;
    stage->condition.notify_all();
  }
  stage.finish();
  EXPECT_EQ(stage->woken, kTokens);
  EXPECT_EQ(stage->condition.waiting(), 0U);
}

TYPED_TEST(ConditionBehaviour, ASleeperCostsThirteenWakeUpsASecondAndNoneSurfaces) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (const bool predicate : {false, true}) {
    stage.start([predicate](Shared& shared) {
      std::unique_lock hold(shared.lock);
      rusage before{}, after{};
      getrusage(RUSAGE_THREAD, &before);
      const auto begun = Clock::now();
      ++shared.asleep;
      int asked = 0;
      if (predicate) {
        EXPECT_EQ(shared.condition.wait(hold, [&] { return ++asked > 1 && shared.state == 1; }),
                  Status::ok);
        EXPECT_LE(asked, 3) << "a slice's end asks nobody";
      } else {
        EXPECT_EQ(shared.condition.wait(hold), Status::ok);
        EXPECT_EQ(shared.state, 1) << "a slice's end does not surface";
      }
      getrusage(RUSAGE_THREAD, &after);
      const std::chrono::duration<double> waited = Clock::now() - begun;
      // And the short slices at the beginning, and the lock.
      EXPECT_LE(after.ru_nvcsw - before.ru_nvcsw, 13 * waited.count() + 10);
    });
  }
  this->await_waiters(2);
  usleep(1'000'000);
  {
    const std::scoped_lock hold(stage->lock);
    stage->state = 1;
    stage->condition.notify_all();
  }
  stage.finish();
}

TYPED_TEST(ConditionBehaviour, SignalHandlersDoNotEndAWait) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  static std::atomic<int> handled;  // of this process
  handled = 0;
  struct sigaction count = {};
  struct sigaction before = {};
  count.sa_handler = [](int) { ++handled; };  // without SA_RESTART
  sigaction(SIGUSR1, &count, &before);
  const int waiter = stage.start([](Shared& shared) {
    std::unique_lock hold(shared.lock);
    ++shared.asleep;
    EXPECT_EQ(shared.condition.wait(hold), Status::ok);
    EXPECT_EQ(shared.state, 1);
    EXPECT_GE(handled, 10);
  });
  const pid_t thread = stage.thread_of(waiter);
  const pid_t process = TypeParam::Way::kProcesses ? thread : getpid();
  this->await_waiters(1);
  for (int i = 0; i < 30; ++i) {
    stage.wait_until_asleep(waiter);
    EXPECT_EQ(tgkill(process, thread, SIGUSR1), 0);
    usleep(5000);
  }
  {
    const std::scoped_lock hold(stage->lock);
    stage->state = 1;
    stage->condition.notify_one();
  }
  stage.finish();
  sigaction(SIGUSR1, &before, nullptr);
}

TYPED_TEST(ConditionBehaviour, ANotificationWakesAtOnceAndNotAtASlicesEnd) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (int party = 0; party < 6; ++party) {
    stage.start([party](Shared& shared) {
      const ScopedWaitPolicy no_slices(
          {.mode = party % 2 == 0 ? WaitMode::block : WaitMode::adaptive,
           .first_slice = 1h,
           .longest_slice = 1h});
      std::unique_lock hold(shared.lock);
      ++shared.asleep;
      EXPECT_EQ(shared.condition.wait(hold), Status::ok);
      ++shared.woken;
    });
  }
  this->await_waiters(6);
  for (int party = 0; party < 6; ++party) stage.wait_until_asleep(party);
  int notified = 0;
  for (const int n : {1, 2, 6}) {
    notified = std::min(6, notified + n);
    const auto pause = time_of([&] {
      {
        const std::scoped_lock hold(stage->lock);
        stage->condition.notify(n);
      }
      while (stage->woken < notified) sched_yield();
    });
    EXPECT_LT(pause, 10s);
    usleep(10'000);
    EXPECT_EQ(stage->woken, notified);
  }
  stage.finish();
}

TYPED_TEST(ConditionBehaviour, EachWaitModeIsNotified) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (const WaitMode mode : {WaitMode::spin, WaitMode::adaptive, WaitMode::block}) {
    stage.start([mode](Shared& shared) {
      const ScopedWaitPolicy policy({.mode = mode});
      std::unique_lock hold(shared.lock);
      ++shared.asleep;
      EXPECT_EQ(shared.condition.wait(hold), Status::ok);
      ++shared.woken;
      EXPECT_EQ(shared.condition.wait_for(hold, 30ms), Status::timeout);
    });
  }
  this->await_waiters(3);
  usleep(300'000);  // several slices
  EXPECT_EQ(stage->woken, 0);
  {
    const std::scoped_lock hold(stage->lock);
    stage->condition.notify(2);
  }
  this->expect_woken(2);
  {
    const std::scoped_lock hold(stage->lock);
    stage->condition.notify_one();
  }
  stage.finish();
  EXPECT_EQ(stage->woken, 3);
}

// -------------------------------------------------------------------------------------------------
// With a RecursiveMutex alone

template <class Way>
class RecursiveCondition : public testing::Test {
 public:
  Stage<Way, Waited<RecursiveMutex>> stage_;
};
TYPED_TEST_SUITE(RecursiveCondition, Ways, WayNames);

TYPED_TEST(RecursiveCondition, CO10_AllLevelsAreGivenBackAndTakenAgain) {
  auto& stage = this->stage_;
  stage.start([](Waited<RecursiveMutex>& shared) {
    for (int i = 0; i < 3; ++i) shared.lock.lock();
    ++shared.asleep;
    EXPECT_EQ(shared.condition.wait_for(shared.lock, 1h), Status::ok);
    EXPECT_EQ(shared.lock.recursion_count(), 3U) << "notified";
    EXPECT_EQ(shared.condition.wait_for(shared.lock, 20ms), Status::timeout);
    EXPECT_EQ(shared.lock.recursion_count(), 3U) << "timed out";
    for (int i = 0; i < 3; ++i) shared.lock.unlock();
    EXPECT_FALSE(shared.lock.is_owned());
  });
  for (bool waits = false; !waits;) {
    const std::scoped_lock twice(stage->lock);
    const std::unique_lock<RecursiveMutex> hold(stage->lock);
    waits = stage->asleep == 1;
    if (waits) stage->condition.notify_one();
  }
  stage.finish();
}

}  // namespace
}  // namespace sluice::tests
