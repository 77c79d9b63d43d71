// SPDX-License-Identifier: Apache-2.0
//
// What the living find when a reader or writer of a SharedMutex has died, or one who waits for it
// (rows LK12 to LK14 as far as they apply), by forked children and by processes that meet by name.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"
#include "sluice/tests/support/no_kernel_help.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Within which the living go on: ten times the 100 ms that are promised on an idle machine.
constexpr auto kLimit = 1s;
constexpr int kCells = 2;

struct Mortal {
  SharedMutex<kCells> lock;
  std::atomic<int> step;
  std::atomic<int> reading;
  std::atomic<int> done;
  std::atomic<long> first, second;  ///< equal, but while somebody writes
};

void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

template <class Way>
class SharedMutexDeath : public testing::Test {
 public:
  /// A party that reads for good.
  int start_reader() {
    const int readers = stage_->reading;
    const int party = stage_.start([](Mortal& shared) {
      shared.lock.lock_shared();
      ++shared.reading;
      for (;;) pause();
    });
    await(stage_->reading, readers + 1);
    return party;
  }

  /// A party that writes for good.
  int start_writer(bool kernel_helps) {
    stage_->step = 0;
    const int party = stage_.start([kernel_helps](Mortal& shared) {
      if (!kernel_helps) refuse_kernel_help();
      shared.lock.lock();
      ++shared.first;
      shared.step = 1;
      for (;;) pause();
    });
    await(stage_->step, 1);
    return party;
  }

  void repair() {
    stage_->lock.lock([&] { stage_->second = stage_->first.load(); });
    stage_->lock.unlock();
  }

  Stage<Way, Mortal> stage_;
};

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};
using Ways = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(SharedMutexDeath, Ways, WayNames);

TYPED_TEST(SharedMutexDeath, LK12_AForkedChildHoldsNothingOfItsParents) {
  auto& stage = this->stage_;
  for (const bool writing : {false, true}) {
    writing ? stage->lock.lock() : stage->lock.lock_shared();
    for (int end = 0; end < 2; ++end) {
      const int child = stage.start([writing, end](Mortal& shared) {
        EXPECT_EQ(shared.lock.shares(), 0U);
        EXPECT_FALSE(shared.lock.is_owned());
        if (end == 0) return;  // also without ever using the lock
        EXPECT_THROW(shared.lock.unlock_shared(), std::logic_error);
        EXPECT_THROW(shared.lock.unlock(), std::logic_error);
        EXPECT_FALSE(shared.lock.try_lock()) << "it is the parent's, who lives";
        EXPECT_EQ(shared.lock.try_lock_shared(), !writing);
        EXPECT_EQ(shared.lock.shares(), writing ? 0U : 1U) << "its own";
      });
      stage.finish(child);
      EXPECT_EQ(stage->lock.is_owned(), writing);
      EXPECT_EQ(stage->lock.shares(), writing ? 0U : 1U);
    }
    stage.start([writing](Mortal& shared) {
      EXPECT_FALSE(shared.lock.try_lock()) << "the child's end is not its parent's";
      EXPECT_EQ(shared.lock.acquire_shared(Deadline::now()),
                writing ? Status::timeout : Status::ok);
    });
    stage.finish();
    writing ? stage->lock.unlock() : stage->lock.unlock_shared();
  }
  EXPECT_EQ(stage->lock.acquire(kLimit), Status::ok);
  stage->lock.unlock();
}

TYPED_TEST(SharedMutexDeath, LK13_HoweverAReaderEndsItsShareEnds) {
  auto& stage = this->stage_;
  enum End { returned, exited, left, terminated, killed, kEnds };
  for (int end = returned; end < kEnds; ++end) {
    SCOPED_TRACE("end " + std::to_string(end));
    stage->step = 0;
    const int reader = stage.start([=](Mortal& shared) {
      shared.lock.lock_shared();
      shared.lock.lock_shared();
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
    // Not collected yet: a zombie is dead.
    const auto pause = time_of([&] { EXPECT_EQ(stage->lock.acquire(10s), Status::ok); });
    EXPECT_LT(pause, kLimit);
    stage->lock.unlock();
    EXPECT_EQ(stage->lock.readers(), 0U);
    stage.kill(reader);
  }
}

TYPED_TEST(SharedMutexDeath, AWaitingWriterGetsInWhenAllReadersAreKilled) {
  auto& stage = this->stage_;
  for (int round = 0; round < 5; ++round) {
    stage->done = 0;
    std::vector<int> readers;
    // One of them without a cell.
    for (int i = 0; i < kCells + 1; ++i) readers.push_back(this->start_reader());
    const int writer = stage.start([](Mortal& shared) {
      EXPECT_EQ(shared.lock.acquire(), Status::ok) << "a reader's death is nobody's concern";
      shared.done = 1;
      shared.lock.unlock();
    });
    stage.wait_until_asleep(writer);
    EXPECT_EQ(stage->done, 0);
    const auto pause = time_of([&] {
      for (const int reader : readers) stage.kill(reader);
      await(stage->done, 1);
    });
    EXPECT_LT(pause, kLimit);
    stage.finish(writer);
    EXPECT_EQ(stage->lock.readers(), 0U);
    stage.forget_finished();
  }
}

TYPED_TEST(SharedMutexDeath, CellsOfTheDeadAreUsedAgain) {
  auto& stage = this->stage_;
  for (int i = 0; i < 3 * kCells; ++i) {
    const int reader = this->start_reader();
    stage.kill(reader);
  }
  // No writer has come by: readers find them on their own, and without the writer's lock.
  std::vector<int> readers;
  for (int i = 0; i < kCells; ++i) readers.push_back(this->start_reader());
  EXPECT_EQ(stage->lock.readers(), static_cast<std::size_t>(kCells));
  EXPECT_EQ(stage->lock.report().state, LockReport::State::free);
  for (const int reader : readers) stage.kill(reader);
  EXPECT_TRUE(stage->lock.try_lock()) << "who only tries finds out as well";
  stage->lock.unlock();
}

TYPED_TEST(SharedMutexDeath, AWritersDeathIsToldToReadersAndWriters) {
  auto& stage = this->stage_;
  for (const bool kernel_helps : {true, false}) {
    stage->done = 0;
    const int victim = this->start_writer(kernel_helps);
    std::vector<int> parties;
    for (int i = 0; i < 2; ++i) {
      parties.push_back(stage.start([](Mortal& shared) {
        EXPECT_THROW(shared.lock.lock_shared(), OwnerDied);
        EXPECT_EQ(shared.lock.shares(), 0U);
        ++shared.done;
      }));
      parties.push_back(stage.start([](Mortal& shared) {
        EXPECT_THROW(shared.lock.lock(), OwnerDied);
        EXPECT_FALSE(shared.lock.is_owned());
        ++shared.done;
      }));
    }
    for (const int party : parties) stage.wait_until_asleep(party);
    const auto pause = time_of([&] {
      stage.kill(victim);
      await(stage->done, 4);
    });
    EXPECT_LT(pause, kLimit);
    for (const int party : parties) stage.finish(party);
    EXPECT_EQ(stage->lock.acquire_shared(Deadline::now()), Status::owner_died);
    EXPECT_THROW(static_cast<void>(stage->lock.try_lock_shared()), OwnerDied);
    this->repair();
    EXPECT_EQ(stage->lock.acquire_shared(Deadline::now()), Status::ok);
    stage->lock.unlock_shared();
    stage.forget_finished();
  }
}

/// The first to look is a reader that does not wait.
TYPED_TEST(SharedMutexDeath, AReaderWhoOnlyTriesFindsOutThatTheWriterDied) {
  auto& stage = this->stage_;
  const int victim = this->start_writer(false);
  EXPECT_EQ(stage->lock.acquire_shared(Deadline::now()), Status::timeout);
  stage.kill(victim);
  EXPECT_EQ(stage->lock.acquire_shared(Deadline::now()), Status::owner_died);
  this->repair();
}

TYPED_TEST(SharedMutexDeath, AWaitingWriterThatIsKilledLocksNobodyOut) {
  auto& stage = this->stage_;
  for (int round = 0; round < 10; ++round) {
    stage->lock.lock_shared();
    const int writer = stage.start([](Mortal& shared) {
      shared.lock.lock();
      ADD_FAILURE() << "a writer and a reader at once";
    });
    while (stage->lock.report().state != LockReport::State::held) sched_yield();
    stage.wait_until_asleep(writer);
    stage->done = 0;
    const int reader = stage.start([](Mortal& shared) {
      EXPECT_EQ(shared.lock.acquire_shared(), Status::ok) << "nothing was being changed";
      shared.lock.unlock_shared();
      shared.done = 1;
    });
    if (round % 2 == 0) stage.wait_until_asleep(reader);
    const auto pause = time_of([&] {
      stage.kill(writer);
      await(stage->done, 1);
    });
    EXPECT_LT(pause, kLimit);
    stage.finish(reader);
    stage->lock.unlock_shared();
    EXPECT_EQ(stage->lock.acquire(kLimit), Status::ok) << "nothing was being changed";
    stage->lock.unlock();
    stage.forget_finished();
  }
}

TYPED_TEST(SharedMutexDeath, AStoppedReaderIsAlive) {
  auto& stage = this->stage_;
  const int reader = this->start_reader();
  const pid_t pid = stage.thread_of(reader);
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  EXPECT_TRUE(wait_for_state(pid, 'T'));
  EXPECT_EQ(stage->lock.acquire(200ms), Status::timeout);
  EXPECT_EQ(stage->lock.destroy(), Status::busy);
  ::kill(pid, SIGCONT);
  stage.kill(reader);
  EXPECT_EQ(stage->lock.destroy(), Status::ok) << "a dead reader keeps nobody busy";
}

/// A reader and a writer at work are killed at any point, beside a reader who stays.
TYPED_TEST(SharedMutexDeath, LK14_WhoeverIsKilledAtAnyPointTheNextGoesOn) {
  auto& stage = this->stage_;
  std::mt19937 random(14);
  int told = 0;
  constexpr int kKills = 150;
  for (int i = 0; i < kKills; ++i) {
    const bool writes = i % 2 == 0;
    stage->step = 0;
    const int victim = stage.start([writes](Mortal& shared) {
      for (;;) {
        if (writes) {
          shared.lock.lock();
          ++shared.first;
          for (int work = 0; work < 5; ++work) cpu_pause();
          ++shared.second;
          shared.lock.unlock();
        } else {
          shared.lock.lock_shared();
          if (shared.first != shared.second) _exit(EXIT_FAILURE);
          shared.lock.unlock_shared();
        }
        shared.step = 1;
      }
    });
    await(stage->step, 1);
    const auto until = Clock::now() + std::chrono::microseconds(random() % 100);
    while (Clock::now() < until) continue;
    stage.kill(victim);
    Status s = Status::ok;
    const auto pause = time_of(
        [&] { s = i % 4 < 2 ? stage->lock.acquire_shared(10s) : stage->lock.acquire(10s); });
    ASSERT_LT(pause, kLimit) << "after " << i << " kills";
    if (s == Status::owner_died) {
      ASSERT_TRUE(writes) << "told of a reader";
      ++told;
      if (stage->lock.is_owned()) stage->lock.unlock();
      this->repair();
    } else {
      ASSERT_EQ(s, Status::ok) << "after " << i << " kills";
      ASSERT_EQ(stage->first, stage->second) << "half changed, and nobody was told";
      stage->lock.is_owned() ? stage->lock.unlock() : stage->lock.unlock_shared();
    }
    stage.forget_finished();
  }
  EXPECT_GT(told, kKills / 20) << "else this has tested little";
}

}  // namespace
}  // namespace sluice::tests
