// SPDX-License-Identifier: Apache-2.0
//
// What users rely on in a TaskBoard, by threads, forked children, and processes that meet by name:
// who waits and who is woken, with parties that are killed asleep or at work.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/lockfree/task_board.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kTasks = 8;

struct Shared {
  alignas(kNoSharing) std::array<std::byte, 8192> memory;
  std::atomic<std::uint32_t> step, done;
  std::atomic<Tag> tag;
};

void await_step(const Shared& shared, std::uint32_t step) {
  while (shared.step < step) sched_yield();
}

/// A worker's whole life.
void work(Shared& shared) {
  TaskBoard::Worker worker(shared.memory);
  Task task;
  Status status = Status::ok;
  while ((status = worker.claim(task, 60s)) == Status::ok) {
    worker.body(task)[0] = std::byte{1};
    EXPECT_EQ(worker.commit(task), Status::ok);
    ++shared.done;
  }
  EXPECT_EQ(status, Status::closed);
}

template <class Way>
class TaskBoardBehaviour : public testing::Test {
 protected:
  TaskBoardBehaviour() { TaskBoard::format(stage_->memory, kTasks, 8); }

  /// A party that has leased a task and will not commit it.
  int start_one_who_keeps_a_lease() {
    const int party = stage_.start([](Shared& shared) {
      shared.tag = participant::self();
      TaskBoard::Worker worker(shared.memory);
      Task task;
      EXPECT_EQ(worker.claim(task, 60s), Status::ok);
      shared.step = 1;
      await_step(shared, 2);
    });
    await_step(*stage_, 1);
    return party;
  }

  Stage<Way, Shared> stage_;
};

template <class Way>
using TaskBoardDeaths = TaskBoardBehaviour<Way>;

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

using AllWays = testing::Types<ByThreads, ByFork, ByName>;
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(TaskBoardBehaviour, AllWays, WayNames);
TYPED_TEST_SUITE(TaskBoardDeaths, Processes, WayNames);

void post(TaskBoard::Submitter& submitter, std::uint16_t max_attempts = 1) {
  Task task;
  ASSERT_EQ(submitter.try_allocate(task), Status::ok);
  ASSERT_EQ(submitter.post(task, max_attempts), Status::ok);
}

/// The next, which must be done.
void collect(TaskBoard::Submitter& submitter, TaskBoard::Collector& collector) {
  Task task;
  TaskState state{};
  ASSERT_EQ(collector.collect(task, state, 60s), Status::ok);
  EXPECT_EQ(state, TaskState::done);
  EXPECT_EQ(collector.body(task)[0], std::byte{1});
  EXPECT_EQ(submitter.release(task), Status::ok);
}

TYPED_TEST(TaskBoardBehaviour, EachTaskIsDoneOnceByOneOfSeveralWorkers) {
  constexpr std::uint32_t kRounds = 20'000;
  TaskBoard::Submitter submitter(this->stage_->memory);
  TaskBoard::Collector collector(this->stage_->memory);
  for (int i = 0; i < 3; ++i) this->stage_.start(work);
  std::uint32_t collected = 0;
  for (std::uint32_t posted = 0; collected < kRounds; ++collected) {
    Task task;
    while (posted < kRounds && submitter.try_allocate(task) == Status::ok) {
      ASSERT_EQ(submitter.post(task), Status::ok);
      ++posted;
    }
    collect(submitter, collector);
  }
  submitter.close();
  this->stage_.finish();
  EXPECT_EQ(this->stage_->done, kRounds);
  EXPECT_EQ(submitter.counts(), (TaskCounts{.free = kTasks, .posted = kRounds}));
}

TYPED_TEST(TaskBoardBehaviour, ASleepingWorkerIsWokenByAPost) {
  TaskBoard::Submitter submitter(this->stage_->memory);
  TaskBoard::Collector collector(this->stage_->memory);
  const int party = this->stage_.start(work);
  for (int i = 0; i < 20; ++i) {
    this->stage_.wait_until_asleep(party);
    post(submitter);
    collect(submitter, collector);
  }
  submitter.close();
  this->stage_.finish();
}

TYPED_TEST(TaskBoardBehaviour, ASleepingCollectorIsWokenByACommit) {
  const int party = this->stage_.start([](Shared& shared) {
    TaskBoard::Submitter submitter(shared.memory);
    TaskBoard::Collector collector(shared.memory);
    post(submitter);
    collect(submitter, collector);
  });
  this->stage_.wait_until_asleep(party);
  TaskBoard::Worker worker(this->stage_->memory);
  Task task;
  ASSERT_EQ(worker.claim(task, 60s), Status::ok);
  worker.body(task)[0] = std::byte{1};
  EXPECT_EQ(worker.commit(task), Status::ok);
  this->stage_.finish();
}

TYPED_TEST(TaskBoardBehaviour, CloseAndStopWakeAll) {
  for (const bool at_once : {false, true}) {
    TaskBoard::format(this->stage_->memory, kTasks, 8);
    const int worker = this->stage_.start(work);
    const int collector = this->stage_.start([](Shared& shared) {
      Task task;
      TaskState state{};
      EXPECT_EQ(TaskBoard::Collector(shared.memory).collect(task, state, 60s), Status::closed);
    });
    const int submitter = this->stage_.start([](Shared& shared) {
      TaskBoard::Submitter mine(shared.memory);
      std::vector<Task> all(kTasks);
      for (Task& task : all) EXPECT_EQ(mine.try_allocate(task), Status::ok);
      EXPECT_EQ(mine.await_room(60s), Status::closed);
      for (const Task& task : all) EXPECT_EQ(mine.release(task), Status::ok);
    });
    for (const int party : {worker, collector, submitter}) this->stage_.wait_until_asleep(party);
    TaskBoard::Worker mine(this->stage_->memory);
    at_once ? mine.stop() : mine.close();
    this->stage_.finish();
  }
}

TYPED_TEST(TaskBoardBehaviour, AWaitOfATimeIsNotShorter) {
  TaskBoard::Worker worker(this->stage_->memory);
  TaskBoard::Collector collector(this->stage_->memory);
  Task task;
  TaskState state{};
  const Clock::time_point begin = Clock::now();
  EXPECT_EQ(worker.claim(task, 20ms), Status::timeout);
  EXPECT_EQ(collector.collect(task, state, 20ms), Status::timeout);
  EXPECT_GE(Clock::now() - begin, 40ms);
}

TYPED_TEST(TaskBoardDeaths, TheTaskOfAKilledWorkerGoesToTheNext) {
  TaskBoard::Submitter submitter(this->stage_->memory);
  TaskBoard::Collector collector(this->stage_->memory);
  TaskBoard::Supervisor supervisor(this->stage_->memory);
  post(submitter, 2);
  const int victim = this->start_one_who_keeps_a_lease();
  const int other = this->stage_.start(work);
  this->stage_.wait_until_asleep(other);
  EXPECT_EQ(supervisor.take_over(this->stage_->tag), Status::busy);
  this->stage_.kill(victim);
  EXPECT_EQ(supervisor.take_over(this->stage_->tag), Status::ok);
  collect(submitter, collector);
  submitter.close();
  this->stage_.finish();
}

TYPED_TEST(TaskBoardDeaths, TheTaskOfAStoppedWorkerStaysItsOwn) {
  TaskBoard::Submitter submitter(this->stage_->memory);
  TaskBoard::Supervisor supervisor(this->stage_->memory);
  post(submitter, 2);
  const int party = this->start_one_who_keeps_a_lease();
  ::kill(this->stage_.thread_of(party), SIGSTOP);
  EXPECT_EQ(supervisor.take_over(this->stage_->tag), Status::busy);
  EXPECT_EQ(submitter.counts().leased, 1U);
  ::kill(this->stage_.thread_of(party), SIGCONT);
  this->stage_->step = 2;
  this->stage_.finish();
}

TYPED_TEST(TaskBoardDeaths, AKilledSleeperIsInNobodysWay) {
  TaskBoard::Submitter submitter(this->stage_->memory);
  TaskBoard::Collector collector(this->stage_->memory);
  const int victim = this->stage_.start(work);
  const int other = this->stage_.start(work);
  this->stage_.wait_until_asleep(victim);
  this->stage_.wait_until_asleep(other);
  this->stage_.kill(victim);
  for (int i = 0; i < 100; ++i) {
    post(submitter);
    collect(submitter, collector);
  }
  submitter.close();
  this->stage_.finish();
}

}  // namespace
}  // namespace sluice::tests
