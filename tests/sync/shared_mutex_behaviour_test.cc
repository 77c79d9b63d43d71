// SPDX-License-Identifier: Apache-2.0
//
// SharedMutex by threads, forked children, and processes that meet by name: what holds for Mutex
// (rows LK1 to LK5 and LK9, as far as they apply), and what readers and writers are to each other.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/shared_mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kCells = 4;

struct Book {
  SharedMutex<kCells> lock;
  SharedMutex<kCells> other;
  std::atomic<int> step;
  std::atomic<int> reading;  ///< inside at this moment
  std::atomic<int> done;
  long first, second;  ///< equal, but while somebody writes
};

void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

void write(Book& book) {
  EXPECT_EQ(book.first, book.second) << "two write";
  ++book.first;
  EXPECT_EQ(book.reading, 0) << "somebody reads";
  ++book.second;
}

void read(Book& book) {
  ++book.reading;
  EXPECT_EQ(book.first, book.second) << "somebody writes";
  --book.reading;
}

template <class Way>
class SharedMutexBehaviour : public testing::Test {
 public:
  /// A party that reads, says so, and leaves at step 2.
  int start_reader() {
    const int readers = stage_->reading;
    const int party = stage_.start([](Book& book) {
      const std::shared_lock hold(book.lock);
      ++book.reading;
      await(book.step, 2);
      --book.reading;
    });
    await(stage_->reading, readers + 1);
    return party;
  }

  int start_writer() {
    const int party = stage_.start([](Book& book) {
      const std::unique_lock hold(book.lock);
      book.step = 1;
      await(book.step, 2);
    });
    await(stage_->step, 1);
    return party;
  }

  Stage<Way, Book> stage_;
};

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};
using Ways = testing::Types<ByThreads, ByFork, ByName>;
TYPED_TEST_SUITE(SharedMutexBehaviour, Ways, WayNames);

TYPED_TEST(SharedMutexBehaviour, LK1_AReleaseTooManyIsAnErrorAndNoFreePass) {
  auto& stage = this->stage_;
  stage->lock.lock_shared();
  stage.start([](Book& book) {
    EXPECT_THROW(book.lock.unlock_shared(), std::logic_error);
    EXPECT_THROW(book.lock.unlock(), std::logic_error);
    EXPECT_FALSE(book.lock.try_lock());
    EXPECT_EQ(book.lock.shares(), 0U);
    EXPECT_FALSE(book.lock.is_owned());
  });
  stage.finish();
  stage->lock.unlock_shared();
  EXPECT_THROW(stage->lock.unlock_shared(), std::logic_error);
  stage.start([](Book& book) {
    EXPECT_TRUE(book.lock.try_lock()) << "one lock, not two free passes";
    book.lock.unlock();
  });
  stage.finish();
}

TYPED_TEST(SharedMutexBehaviour, LK2_ScopesOfAllKindsExcludeAsTheyShould) {
  auto& stage = this->stage_;
  constexpr int kRounds = 20000;
  for (int party = 0; party < 6; ++party) {
    stage.start([party](Book& book) {
      for (int i = 0; i < kRounds; ++i) {
        if (party == 0) {
          // Two locks in opposite orders: std::scoped_lock avoids the deadlock with try_lock().
          const std::scoped_lock hold(book.lock, book.other);
          write(book);
        } else if (party == 1) {
          const std::scoped_lock hold(book.other, book.lock);
          write(book);
        } else if (i % 2 == 0) {
          const std::shared_lock hold(book.lock);
          read(book);
        } else {
          std::shared_lock hold(book.lock, std::defer_lock);
          while (!hold.try_lock_for(1h)) continue;
          read(book);
        }
      }
    });
  }
  stage.finish();
  EXPECT_EQ(stage->first, 2 * kRounds);
  EXPECT_EQ(stage->lock.readers(), 0U);
}

/// Four readers for each cell, and writers among them.
TYPED_TEST(SharedMutexBehaviour, ManyMoreReadersThanCells) {
  auto& stage = this->stage_;
  constexpr int kRounds = 400;
  for (int party = 0; party < 4 * kCells; ++party) {
    stage.start([](Book& book) {
      for (int i = 0; i < kRounds; ++i) {
        const std::shared_lock hold(book.lock);
        read(book);
        if (i % 16 == 0) sched_yield();  // so that others find it inside
      }
    });
  }
  for (int party = 0; party < 2; ++party) {
    stage.start([](Book& book) {
      for (int i = 0; i < kRounds; ++i) {
        const std::unique_lock hold(book.lock);
        write(book);
      }
    });
  }
  stage.finish();
  EXPECT_EQ(stage->first, 2 * kRounds);
  EXPECT_EQ(stage->lock.readers(), 0U);
  EXPECT_TRUE(stage->lock.try_lock());
  stage->lock.unlock();
}

TYPED_TEST(SharedMutexBehaviour, ReadersAreInsideTogetherAndKeepWritersOut) {
  auto& stage = this->stage_;
  // One in each cell, and one without.
  for (int i = 0; i < kCells + 1; ++i) this->start_reader();
  EXPECT_EQ(stage->reading, kCells + 1);
  EXPECT_EQ(stage->lock.readers(), static_cast<std::size_t>(kCells));
  EXPECT_FALSE(stage->lock.try_lock());
  EXPECT_FALSE(stage->lock.try_lock_for(5ms));
  stage->step = 2;
  EXPECT_TRUE(stage->lock.try_lock_for(20s));
  EXPECT_EQ(stage->reading, 0);
  stage->lock.unlock();
  stage.finish();
}

/// Beside a reader without a cell others come and go in the cells.
TYPED_TEST(SharedMutexBehaviour, AReaderWithoutACellKeepsNoReaderOut) {
  auto& stage = this->stage_;
  std::vector<int> parties;
  for (int i = 0; i < kCells; ++i) {
    parties.push_back(stage.start([i](Book& book) {
      const std::shared_lock hold(book.lock);
      ++book.reading;
      await(book.step, i == 0 ? 1 : 2);
    }));
  }
  await(stage->reading, kCells);
  this->start_reader();
  stage->step = 1;
  stage.finish(parties.front());
  EXPECT_TRUE(stage->lock.try_lock_shared());
  stage.finish(stage.start([](Book& book) { EXPECT_FALSE(book.lock.try_lock()); }));
  stage->lock.unlock_shared();
  stage->step = 2;
  stage.finish();
}

TYPED_TEST(SharedMutexBehaviour, AWriterGoesBeforeNewReaders) {
  auto& stage = this->stage_;
  const int reader = this->start_reader();
  const int writer = stage.start([](Book& book) {
    const std::unique_lock hold(book.lock);
    EXPECT_EQ(book.done, 0) << "a later reader went first";
    write(book);
  });
  stage.wait_until_asleep(writer);
  while (stage->lock.report().state != LockReport::State::held) sched_yield();
  EXPECT_FALSE(stage->lock.try_lock_shared());
  const int late = stage.start([](Book& book) {
    const std::shared_lock hold(book.lock);
    EXPECT_EQ(book.first, 1) << "before the writer";
    ++book.done;
  });
  stage.wait_until_asleep(late);
  stage->step = 2;
  stage.finish(reader);
  stage.finish();
  EXPECT_EQ(stage->done, 1);
}

TYPED_TEST(SharedMutexBehaviour, LK3_TheTextSaysWhoHoldsIt) {
  auto& stage = this->stage_;
  const auto text = [&] { return (std::ostringstream() << stage->lock).str(); };
  const int writer = this->start_writer();
  const pid_t process = TypeParam::kProcesses ? stage.thread_of(writer) : getpid();
  EXPECT_THAT(text(), testing::StartsWith("SharedMutex: locked by participant "));
  EXPECT_THAT(text(), testing::HasSubstr("(pid " + std::to_string(process) + ","));
  EXPECT_EQ(stage->lock.destroy(), Status::busy);
  stage->step = 2;
  stage.finish();
  stage->step = 0;
  this->start_reader();
  EXPECT_EQ(text(), "SharedMutex: unlocked; 1 of 4 reader cells taken");
  EXPECT_EQ(stage->lock.destroy(), Status::busy);
  EXPECT_EQ(stage->lock.reset(), Status::busy);
  stage->step = 2;
  stage.finish();
  EXPECT_EQ(stage->lock.destroy(), Status::ok);
}

TYPED_TEST(SharedMutexBehaviour, LK4_TryIsAnsweredAtOnce) {
  auto& stage = this->stage_;
  const auto expect_at_once = [](auto call) {
    auto shortest = Clock::duration::max();
    for (int i = 0; i < 100; ++i) shortest = std::min(shortest, time_of(call));
    // The shortest of many: that the machine was busy says nothing about the call.
    EXPECT_LT(shortest, 1ms);
  };
  this->start_writer();
  expect_at_once([&] { EXPECT_FALSE(stage->lock.try_lock()); });
  expect_at_once([&] { EXPECT_FALSE(stage->lock.try_lock_shared()); });
  stage->step = 2;
  stage.finish();
  stage->step = 0;
  this->start_reader();
  expect_at_once([&] { EXPECT_FALSE(stage->lock.try_lock()); });
  expect_at_once([&] {
    EXPECT_TRUE(stage->lock.try_lock_shared());
    stage->lock.unlock_shared();
  });
  stage->step = 2;
  stage.finish();
}

TYPED_TEST(SharedMutexBehaviour, LK9_ADeadlineIsNeverEarly) {
  auto& stage = this->stage_;
  const auto expect_timeout = [](auto call) {
    for (const auto wait : {1ms, 40ms}) {
      const auto waited = time_of([&] { EXPECT_EQ(call(wait), Status::timeout); });
      EXPECT_GE(waited, wait);
      EXPECT_LT(waited, wait + 1s);
    }
    EXPECT_EQ(call(-1ms), Status::timeout);
  };
  this->start_writer();
  expect_timeout([&](auto wait) { return stage->lock.acquire(wait); });
  expect_timeout([&](auto wait) { return stage->lock.acquire_shared(wait); });
  EXPECT_FALSE(stage->lock.try_lock_shared_for(2ms));
  EXPECT_FALSE(stage->lock.try_lock_shared_until(std::chrono::system_clock::now() + 2ms));
  EXPECT_FALSE(stage->lock.try_lock_until(Clock::now() + 2ms));
  stage->step = 2;
  stage.finish();
  stage->step = 0;
  this->start_reader();
  expect_timeout([&](auto wait) { return stage->lock.acquire(wait); });
  EXPECT_EQ(stage->lock.acquire_shared(1ms), Status::ok);
  stage->lock.unlock_shared();
  stage->step = 2;
  stage.finish();
}

TYPED_TEST(SharedMutexBehaviour, EachWaitModeWaitsForAsLongAsItTakes) {
  auto& stage = this->stage_;
  stage->lock.lock();
  for (const WaitMode mode : {WaitMode::spin, WaitMode::adaptive, WaitMode::block}) {
    stage.start([mode](Book& book) {
      const ScopedWaitPolicy policy({.mode = mode});
      ++book.step;
      const std::shared_lock hold(book.lock);
      ++book.done;
    });
    stage.start([mode](Book& book) {
      const ScopedWaitPolicy policy({.mode = mode});
      ++book.step;
      const std::unique_lock hold(book.lock);
      write(book);
      ++book.done;
    });
  }
  await(stage->step, 6);
  usleep(300'000);
  EXPECT_EQ(stage->done, 0);
  stage->lock.unlock();
  stage.finish();
  EXPECT_EQ(stage->done, 6);
}

/// Sleepers whom nothing but a wake-up helps.
TYPED_TEST(SharedMutexBehaviour, WakeUpsDoNotWaitForSlices) {
  auto& stage = this->stage_;
  constexpr WaitPolicy kNoSlices = {
      .mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};
  const auto begun = Clock::now();
  for (int round = 0; round < 20; ++round) {
    stage->step = 0;
    const bool writer_first = round % 2 == 0;
    const int holder = writer_first ? this->start_writer() : this->start_reader();
    const int writer = stage.start([&](Book& book) {
      const ScopedWaitPolicy policy(kNoSlices);
      const std::unique_lock hold(book.lock);
    });
    const int reader = stage.start([&](Book& book) {
      const ScopedWaitPolicy policy(kNoSlices);
      const std::shared_lock hold(book.lock);
    });
    stage.wait_until_asleep(writer);
    if (writer_first) stage.wait_until_asleep(reader);
    stage->step = 2;
    stage.finish(holder);
    stage.finish();
    stage.forget_finished();
  }
  EXPECT_LT(Clock::now() - begun, 40s);
}

}  // namespace
}  // namespace sluice::tests
