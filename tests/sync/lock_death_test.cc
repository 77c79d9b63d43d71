// SPDX-License-Identifier: Apache-2.0
//
// What the living find when the owner of a lock, or one who waits for it, has died (rows LK12 to
// LK14), by forked children and by processes that meet by name, with the kernel's help and without.

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/lock_guard.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
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

/// Of each kind of lock, each way, with the kernel's help and without; lock_death_long has LK14's
/// thousand.
int kills_asked() {
  const char* const kills = std::getenv("SLUICE_SOAK_KILLS");
  return kills == nullptr ? 150 : std::atoi(kills);
}

/// For sleepers whom nothing but a wake-up helps.
constexpr WaitPolicy kNoSlices = {.first_slice = 1h, .longest_slice = 1h};

template <class Lock>
struct Mortal {
  Lock lock;
  Lock other;
  std::atomic<int> step;
  std::atomic<int> round;
  std::atomic<int> done;
  std::atomic<int> notices;
  std::atomic<int> in;
  std::atomic<std::int64_t> killed_at;      ///< steady clock
  std::atomic<std::uint64_t> begun, ended;  ///< changed together under `lock`
};

void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

/// The process id behind a tag, as the registry has noted it.
pid_t pid_of(Tag tag) {
  const auto record = participant::describe(Domain::current(), tag);
  return record ? record->pid : 0;
}

void print_pauses(const std::string& what, std::vector<Clock::duration> pauses) {
  std::sort(pauses.begin(), pauses.end());
  const auto at = [&](double part) {
    const auto i = static_cast<std::size_t>(part * static_cast<double>(pauses.size() - 1));
    return std::chrono::duration<double, std::micro>(pauses[i]).count();
  };
  std::cout << what << ": " << pauses.size() << " pauses, median " << at(0.5) << " us, p99 "
            << at(0.99) << " us, max " << at(1) << " us\n";
}

template <class Case>
class LockDeath : public testing::Test {
 public:
  using Lock = typename Case::Lock;
  using Shared = Mortal<Lock>;

  /// A party that takes the lock, says so by step 1, and does nothing more.
  int start_victim(bool kernel_helps) {
    stage_->step = 0;
    const int victim = stage_.start([kernel_helps](Shared& shared) {
      if (!kernel_helps) refuse_kernel_help();
      shared.lock.lock();
      shared.step = 1;
      for (;;) pause();
    });
    await(stage_->step, 1);
    return victim;
  }

  /// The lock is marked by the death of `dead`, says so to everybody, and can be repaired.
  void expect_owner_died(Lock& lock, pid_t dead) {
    try {
      lock.lock();
      ADD_FAILURE() << "locked, although its owner died";
    } catch (const OwnerDied& e) {
      EXPECT_EQ(pid_of(e.owner()), dead);
      EXPECT_EQ(e.code(), make_error_code(Status::owner_died));
      EXPECT_NE(std::string(e.what()).find("pid " + std::to_string(dead)), std::string::npos)
          << e.what();
    }
    EXPECT_FALSE(lock.is_owned());
    EXPECT_THROW(static_cast<void>(lock.try_lock()), OwnerDied) << "as long as nobody repairs";
    EXPECT_EQ(lock.report().state, LockReport::State::owner_died);
    EXPECT_EQ(lock.acquire(kLimit), Status::owner_died);
    EXPECT_TRUE(lock.is_owned());
    lock.mark_consistent();
    lock.unlock();
    EXPECT_EQ(lock.acquire(Deadline::now()), Status::ok) << "repaired";
    lock.unlock();
  }

  Stage<typename Case::Way, Shared> stage_;
};

using Cases = testing::Types<LockCase<ByFork, Mutex>, LockCase<ByFork, RecursiveMutex>,
                             LockCase<ByName, Mutex>, LockCase<ByName, RecursiveMutex>>;
TYPED_TEST_SUITE(LockDeath, Cases, LockCaseNames<Mutex>);

TYPED_TEST(LockDeath, LK12_AForkedChildHoldsNothingOfItsParents) {
  auto& stage = this->stage_;
  stage->lock.lock();
  stage->other.lock();
  const auto look = [](auto& shared) {
    EXPECT_FALSE(shared.lock.is_owned());
    EXPECT_EQ(shared.lock.recursion_count(), 0U);
    EXPECT_THROW(shared.lock.unlock(), std::logic_error);
    EXPECT_FALSE(shared.lock.try_lock()) << "it is the parent's, who lives";
    EXPECT_THROW(shared.lock.unlock(), std::logic_error) << "attached as well";
    EXPECT_FALSE(shared.other.is_owned());
  };
  for (int end = 0; end < 3; ++end) {
    stage.start([&](auto& shared) {
      if (end != 1) look(shared);  // also without ever using a lock
      if (end == 2) std::exit(0);
    });
    end == 2 ? stage.kill(end) : stage.finish(end);
    EXPECT_TRUE(stage->lock.is_owned());
    EXPECT_EQ(stage->lock.report().state, LockReport::State::held);
    EXPECT_FALSE(stage->lock.report().marked) << "the child's end is not the owner's";
  }
  stage->other.unlock();
  stage->lock.unlock();
}

TYPED_TEST(LockDeath, LK13_HoweverTheOwnerEndsTheAnswerIsOwnerDied) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  enum End { returned, exited, left, terminated, killed, kEnds };
  for (const bool kernel_helps : {true, false}) {
    for (int end = returned; end < kEnds; ++end) {
      const std::string trace = "end " + std::to_string(end) + (kernel_helps ? "" : ", no help");
      SCOPED_TRACE(trace);
      stage->step = 0;
      const int owner = stage.start([=](Shared& shared) {
        if (!kernel_helps) refuse_kernel_help();
        shared.lock.lock();
        shared.other.lock();  // the kernel sees one lock of a nest
        shared.step = 1;
        switch (end) {
          case exited:
            std::exit(0);
          case left:
            _exit(0);
          case terminated:
            raise(SIGTERM);
            break;
          case killed:
            raise(SIGKILL);
            break;
          default:
            break;
        }
      });
      await(stage->step, 1);
      const pid_t pid = stage.thread_of(owner);
      // Not collected yet: a zombie is dead.
      const auto pause = time_of([&] {
        EXPECT_EQ(stage->lock.acquire(10s), Status::owner_died);
        EXPECT_EQ(stage->other.acquire(10s), Status::owner_died);
      });
      EXPECT_LT(pause, kLimit);
      stage->other.unlock();
      stage->lock.unlock();
      this->expect_owner_died(stage->lock, pid);
      this->expect_owner_died(stage->other, pid);
      stage.kill(owner);
    }
  }
}

TYPED_TEST(LockDeath, LK14_WhoeverIsKilledAtAnyPointTheNextIsTold) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  const int kills = kills_asked();
  for (const bool kernel_helps : {true, false}) {
    std::mt19937 random(kernel_helps ? 14 : 41);
    int died = 0;
    std::vector<Clock::duration> pauses;
    for (int i = 0; i < kills; ++i) {
      stage->step = 0;
      const int victim = stage.start([kernel_helps](Shared& shared) {
        if (!kernel_helps) refuse_kernel_help();
        for (;;) {
          shared.lock.lock();
          shared.step = 1;
          ++shared.begun;
          for (int work = 0; work < 2; ++work) cpu_pause();
          ++shared.ended;
          shared.lock.unlock();
          for (int rest = 0; rest < 2; ++rest) cpu_pause();
        }
      });
      await(stage->step, 1);
      const auto until = Clock::now() + std::chrono::microseconds(random() % 100);
      while (Clock::now() < until) continue;
      const pid_t pid = stage.thread_of(victim);
      ASSERT_EQ(::kill(pid, SIGKILL), 0);
      Status s = Status::ok;
      pauses.push_back(time_of([&] { s = stage->lock.acquire(10s); }));
      ASSERT_TRUE(s == Status::ok || s == Status::owner_died) << s << " after " << i << " kills";
      ASSERT_LT(pauses.back(), kLimit) << "after " << i << " kills";
      ASSERT_TRUE(stage->lock.is_owned());
      // It may have been alive for another moment, and then somebody else's turn was not ours.
      if (s == Status::ok) {
        stage->lock.unlock();
        stage.kill(victim);
        s = stage->lock.acquire(10s);
      } else {
        stage.kill(victim);
      }
      if (s == Status::owner_died) {
        ++died;
        stage->lock.unlock();
        this->expect_owner_died(stage->lock, pid);
        stage->begun = stage->ended = 0;
      } else {
        ASSERT_EQ(s, Status::ok);
        ASSERT_EQ(stage->begun, stage->ended) << "half changed, and nobody was told";
        stage->lock.unlock();
      }
      this->stage_.forget_finished();
    }
    EXPECT_GT(died, kills / 10) << "else this has tested little";
    EXPECT_LT(died, kills) << "else too";
    print_pauses("LK14, " + std::to_string(died) + " of " + std::to_string(kills) +
                     " killed as the owner, " + (kernel_helps ? "with" : "without") +
                     " the kernel's help",
                 pauses);
  }
}

TYPED_TEST(LockDeath, LK14_OfThreeWhoAcquireExactlyOneIsTold) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  constexpr int kRounds = 30;
  for (int party = 0; party < 3; ++party) {
    stage.start([](Shared& shared) {
      for (int round = 1; round <= 2 * kRounds; ++round) {
        await(shared.round, round);
        const Status s = shared.lock.acquire();
        EXPECT_EQ(++shared.in, 1) << "two hold it";
        if (s == Status::owner_died) {
          ++shared.notices;
          shared.lock.mark_consistent();
        } else {
          EXPECT_EQ(s, Status::ok);
        }
        --shared.in;
        shared.lock.unlock();
        ++shared.done;
      }
    });
  }
  int round = 0;
  for (const bool kernel_helps : {true, false}) {
    std::vector<Clock::duration> pauses;
    for (int i = 0; i < kRounds; ++i) {
      const int victim = this->start_victim(kernel_helps);
      stage->round = ++round;
      for (int party = 0; party < 3; ++party) stage.wait_until_asleep(party);
      const auto begun = Clock::now();
      stage.kill(victim);
      await(stage->done, 3 * round);
      pauses.push_back(Clock::now() - begun);
      ASSERT_EQ(stage->notices, round);
      ASSERT_LT(pauses.back(), kLimit);
      stage.forget_finished();
    }
    print_pauses(std::string("LK14, until all of three had the lock, ") +
                     (kernel_helps ? "with" : "without") + " the kernel's help",
                 pauses);
  }
  stage.finish();
}

TYPED_TEST(LockDeath, LK14_WhoeverLocksIsRefusedAndLeavesTheMarkAndTheOthersAreToldToo) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  for (const bool kernel_helps : {true, false}) {
    stage->done = 0;
    const int victim = this->start_victim(kernel_helps);
    std::vector<int> parties;
    for (int party = 0; party < 3; ++party) {
      parties.push_back(stage.start([kernel_helps](Shared& shared) {
        // The kernel wakes one, who wakes the next: no slice ends in time.
        const ScopedWaitPolicy policy(kernel_helps ? kNoSlices : WaitPolicy());
        EXPECT_THROW(shared.lock.lock(), OwnerDied);
        EXPECT_FALSE(shared.lock.is_owned());
        ++shared.done;
      }));
    }
    for (const int party : parties) stage.wait_until_asleep(party);
    const pid_t pid = stage.thread_of(victim);
    const auto pause = time_of([&] {
      stage.kill(victim);
      await(stage->done, 3);
    });
    EXPECT_LT(pause, kLimit);
    for (const int party : parties) stage.finish(party);
    this->expect_owner_died(stage->lock, pid);
  }
}

TYPED_TEST(LockDeath, LK14_HowLongASleeperIsLeftAlone) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  const int rounds = kills_asked() / 5;
  const pid_t me = gettid();
  for (const bool kernel_helps : {true, false}) {
    std::mt19937 random(5);
    std::vector<Clock::duration> pauses;
    for (int i = 0; i < rounds; ++i) {
      const int victim = this->start_victim(kernel_helps);
      const pid_t pid = stage.thread_of(victim);
      const auto delay = std::chrono::microseconds(random() % 40'000);
      const int killer = stage.start([=](Shared& shared) {
        EXPECT_TRUE(tests::wait_until_asleep(me));
        std::this_thread::sleep_for(delay);
        shared.killed_at = Clock::now().time_since_epoch().count();
        EXPECT_EQ(::kill(pid, SIGKILL), 0);
      });
      ASSERT_EQ(stage->lock.acquire(10s), Status::owner_died);
      pauses.push_back(Clock::now().time_since_epoch() - Clock::duration(stage->killed_at));
      ASSERT_LT(pauses.back(), kLimit);
      stage->lock.mark_consistent();
      stage->lock.unlock();
      stage.finish(killer);
      stage.kill(victim);
      stage.forget_finished();
    }
    print_pauses(std::string("From the owner's death to the sleeper's turn, ") +
                     (kernel_helps ? "with" : "without") + " the kernel's help",
                 pauses);
  }
}

TYPED_TEST(LockDeath, ARepairerWhoDiesLeavesTheMarkToTheNext) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  for (const bool kernel_helps : {true, false}) {
    const int first = this->start_victim(kernel_helps);
    stage.kill(first);
    stage->step = 0;
    const int second = stage.start([kernel_helps](Shared& shared) {
      if (!kernel_helps) refuse_kernel_help();
      shared.lock.lock([&] {
        shared.step = 1;
        for (;;) pause();
      });
    });
    await(stage->step, 1);
    EXPECT_TRUE(stage->lock.report().marked);
    const pid_t pid = stage.thread_of(second);
    stage.kill(second);
    this->expect_owner_died(stage->lock, pid);
  }
}

TYPED_TEST(LockDeath, ADeathIsNoticedByWhoeverOnlyTries) {
  auto& stage = this->stage_;
  const int victim = this->start_victim(false);
  const pid_t pid = stage.thread_of(victim);
  EXPECT_EQ(stage->lock.acquire(Deadline::now()), Status::timeout);
  stage.kill(victim);
  EXPECT_THROW(static_cast<void>(stage->lock.try_lock()), OwnerDied);
  this->expect_owner_died(stage->lock, pid);
  const int next = this->start_victim(false);
  stage.kill(next);
  EXPECT_EQ(stage->lock.destroy(), Status::ok) << "a dead owner keeps nobody busy";
}

TYPED_TEST(LockDeath, AStoppedOwnerIsAlive) {
  auto& stage = this->stage_;
  const int owner = this->start_victim(true);
  const pid_t pid = stage.thread_of(owner);
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  EXPECT_TRUE(wait_for_state(pid, 'T'));
  EXPECT_EQ(stage->lock.acquire(300ms), Status::timeout);
  EXPECT_EQ(stage->lock.destroy(), Status::busy);
  ::kill(pid, SIGCONT);
  stage.kill(owner);
  this->expect_owner_died(stage->lock, pid);
}

/// Sleeps on the lock's word as a waiter does, and ends as soon as it is woken, which is what a
/// death on the way to the lock looks like to the others.
template <class Lock>
void be_woken_and_die(Lock& lock) {
  std::uint32_t word = 0;
  __atomic_load(reinterpret_cast<std::uint32_t*>(&lock), &word, __ATOMIC_RELAXED);
  syscall(SYS_futex, &lock, FUTEX_WAIT, word, nullptr, nullptr, 0);
}

TYPED_TEST(LockDeath, WokenOvertakenKilledTheNextSleeperIsWoken) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  for (int round = 0; round < 20; ++round) {
    stage->lock.lock();
    // Sets the waiters' bit, so that the word does not change any more.
    const int early = stage.start([](Shared& s) { EXPECT_FALSE(s.lock.try_lock_for(1ms)); });
    stage.finish(early);
    const int dying = stage.start([](Shared& shared) { be_woken_and_die(shared.lock); });
    stage.wait_until_asleep(dying);
    const int sleeper = stage.start([](Shared& shared) {
      const ScopedWaitPolicy policy(kNoSlices);
      EXPECT_TRUE(shared.lock.try_lock_for(20s));
      shared.lock.unlock();
    });
    stage.wait_until_asleep(sleeper);
    stage->lock.unlock();
    stage->lock.lock();  // overtakes who has been woken
    stage.finish(dying);
    const auto pause = time_of([&] {
      stage->lock.unlock();
      stage.finish(sleeper);
    });
    ASSERT_LT(pause, 10s) << "in round " << round;
    stage.forget_finished();
  }
}

TYPED_TEST(LockDeath, AKilledWaiterDoesNotTakeAWakeUpWithIt) {
  auto& stage = this->stage_;
  using Shared = typename TestFixture::Shared;
  std::mt19937 random(9);
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(stage->lock.acquire(), Status::ok);
    const auto wait = [](Shared& shared) {
      const ScopedWaitPolicy policy(kNoSlices);
      if (shared.lock.acquire(20s) == Status::owner_died) shared.lock.mark_consistent();
      shared.lock.unlock();
    };
    const int dying = stage.start(wait);
    stage.wait_until_asleep(dying);
    const int sleeper = stage.start(wait);
    stage.wait_until_asleep(sleeper);
    stage->lock.unlock();
    const bool overtaken = round % 2 == 0 && stage->lock.acquire(Deadline::now()) == Status::ok;
    const auto until = Clock::now() + std::chrono::microseconds(random() % 60);
    while (Clock::now() < until) continue;
    stage.kill(dying);
    const auto pause = time_of([&] {
      if (overtaken) stage->lock.unlock();
      stage.finish(sleeper);
    });
    ASSERT_LT(pause, 10s) << "in round " << round;
    stage.forget_finished();
  }
}

}  // namespace
}  // namespace sluice::tests
