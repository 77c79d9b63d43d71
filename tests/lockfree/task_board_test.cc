// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/task_board.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Ended = std::pair<Task, TaskState>;

constexpr std::size_t kTasks = 4, kBody = 24;

struct Shared {
  alignas(kNoSharing) std::array<std::byte, 8192> memory;
};

/// A board that children see as well, and handles of all kinds.
class OnBoard : public testing::Test {
 protected:
  OnBoard() {
    TaskBoard::format(memory(), kTasks, kBody);
    submitter_.emplace(memory());
    worker_.emplace(memory());
    collector_.emplace(memory());
    supervisor_.emplace(memory());
  }

  [[nodiscard]] std::span<std::byte> memory() const { return area_->memory; }

  Task allocated() {
    Task task;
    EXPECT_EQ(submitter_->try_allocate(task), Status::ok);
    return task;
  }
  Task posted(std::uint16_t max_attempts = 1) {
    const Task task = allocated();
    EXPECT_EQ(submitter_->post(task, max_attempts), Status::ok);
    return task;
  }
  Task claimed() {
    Task task;
    EXPECT_EQ(worker_->try_claim(task), Status::ok);
    return task;
  }
  /// Nothing if there is nothing to collect.
  std::optional<Ended> collected() {
    Ended ended;
    if (collector_->try_collect(ended.first, ended.second) != Status::ok) return std::nullopt;
    return ended;
  }

  /// The tag of a process that has done this, and is dead.
  static Tag dead_after(const std::function<void()>& life) {
    testkit::SharedArea<Tag> tag;
    const pid_t pid = fork();
    if (pid == 0) {
      *tag = participant::self();
      life();
      _exit(0);
    }
    waitpid(pid, nullptr, 0);
    return *tag;
  }
  Tag dead_worker_with_a_lease() {
    return dead_after([this] {
      TaskBoard::Worker worker(memory());
      Task task;
      if (worker.try_claim(task) != Status::ok) _exit(1);
    });
  }

  testkit::SharedArea<Shared> area_;
  std::optional<TaskBoard::Submitter> submitter_;
  std::optional<TaskBoard::Worker> worker_;
  std::optional<TaskBoard::Collector> collector_;
  std::optional<TaskBoard::Supervisor> supervisor_;
};

class TaskBoardTest : public OnBoard {};

TEST_F(TaskBoardTest, ATaskGoesThereAndBack) {
  const Task task = allocated();
  EXPECT_EQ(submitter_->state(task), TaskState::allocated);
  const std::span<std::byte> body = submitter_->body(task);
  ASSERT_EQ(body.size(), kBody);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(body.data()) % 16, 0U);
  std::fill(body.begin(), body.end(), std::byte{7});

  EXPECT_EQ(submitter_->post(task), Status::ok);
  EXPECT_EQ(submitter_->state(task), TaskState::ready);
  EXPECT_EQ(submitter_->holder(task), participant::kNobody);
  EXPECT_EQ(collected(), std::nullopt);

  EXPECT_EQ(claimed(), task);
  EXPECT_EQ(submitter_->state(task), TaskState::leased);
  EXPECT_EQ(submitter_->holder(task), participant::self());
  EXPECT_EQ(submitter_->attempts(task), 1);
  EXPECT_EQ(worker_->body(task).back(), std::byte{7});
  worker_->body(task).front() = std::byte{8};

  EXPECT_EQ(worker_->commit(task), Status::ok);
  EXPECT_EQ(collected(), Ended(task, TaskState::done));
  EXPECT_EQ(collector_->body(task).front(), std::byte{8});
  EXPECT_EQ(submitter_->state(task), TaskState::done);
  EXPECT_EQ(collected(), std::nullopt);

  EXPECT_EQ(submitter_->release(task), Status::ok);
  EXPECT_EQ(submitter_->state(task), TaskState::free);
  EXPECT_EQ(submitter_->counts(), (TaskCounts{.free = kTasks, .posted = 1}));
}

TEST_F(TaskBoardTest, TasksAreDoneInTheirOrder) {
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < kTasks; ++i) tasks.push_back(allocated());
  EXPECT_EQ(submitter_->post_n(tasks), kTasks);
  for (const Task& task : tasks) EXPECT_EQ(claimed(), task);
  Task none;
  EXPECT_EQ(worker_->try_claim(none), Status::empty);
  for (const Task& task : tasks) EXPECT_EQ(worker_->commit(task), Status::ok);
  for (const Task& task : tasks) EXPECT_EQ(collected(), Ended(task, TaskState::done));
}

TEST_F(TaskBoardTest, SlotsAreUsedAgainForOtherLives) {
  std::set<std::pair<std::uint32_t, std::uint32_t>> lives;
  for (int round = 0; round < 1000; ++round) {
    const Task task = posted();
    EXPECT_TRUE(lives.emplace(task.slot, task.seq).second);
    EXPECT_EQ(claimed(), task);
    EXPECT_EQ(worker_->commit(task), Status::ok);
    EXPECT_EQ(collected(), Ended(task, TaskState::done));
    EXPECT_EQ(submitter_->release(task), Status::ok);
  }
  EXPECT_EQ(submitter_->counts(), (TaskCounts{.free = kTasks, .posted = 1000}));
}

TEST_F(TaskBoardTest, WhoFindsItFullWaitsForRoom) {
  std::vector<Task> tasks;
  for (std::size_t i = 0; i < kTasks; ++i) tasks.push_back(allocated());
  Task one_more;
  EXPECT_EQ(submitter_->try_allocate(one_more), Status::full);
  EXPECT_EQ(submitter_->await_room(10ms), Status::timeout);
  std::thread other([&] { EXPECT_EQ(submitter_->release(tasks[2]), Status::ok); });
  EXPECT_EQ(submitter_->await_room(60s), Status::ok);
  other.join();
  EXPECT_EQ(submitter_->try_allocate(one_more), Status::ok);
  EXPECT_EQ(one_more, (Task{tasks[2].slot, tasks[2].seq + 1}));
}

TEST_F(TaskBoardTest, AnEndedLifeIsStaleToEveryCall) {
  const Task task = posted();
  EXPECT_EQ(claimed(), task);
  EXPECT_EQ(worker_->commit(task), Status::ok);
  ASSERT_TRUE(collected());
  EXPECT_EQ(submitter_->release(task), Status::ok);
  const Task next = allocated();
  ASSERT_EQ(next.slot, task.slot);

  EXPECT_EQ(submitter_->post(task), Status::stale);
  EXPECT_EQ(submitter_->cancel(task), Status::stale);
  EXPECT_EQ(submitter_->release(task), Status::stale);
  EXPECT_EQ(worker_->commit(task), Status::stale);
  EXPECT_EQ(submitter_->state(task), TaskState::free);
  EXPECT_EQ(submitter_->holder(task), participant::kNobody);
  EXPECT_EQ(submitter_->state(next), TaskState::allocated);
}

TEST_F(TaskBoardTest, CallsOutOfTurnChangeNothing) {
  const Task task = allocated();
  EXPECT_EQ(worker_->commit(task), Status::stale);
  EXPECT_EQ(submitter_->cancel(task), Status::stale);
  EXPECT_EQ(submitter_->post(task), Status::ok);
  EXPECT_EQ(submitter_->post(task), Status::stale);
  EXPECT_EQ(worker_->commit(task), Status::stale);
  EXPECT_EQ(submitter_->release(task), Status::busy);
  EXPECT_EQ(claimed(), task);
  EXPECT_EQ(submitter_->cancel(task), Status::busy);
  EXPECT_EQ(submitter_->release(task), Status::busy);
  EXPECT_EQ(worker_->commit(task), Status::ok);
  EXPECT_EQ(worker_->commit(task), Status::stale);
  EXPECT_EQ(submitter_->cancel(task), Status::closed);
  EXPECT_THROW(static_cast<void>(submitter_->post(task, 0)), std::invalid_argument);
  EXPECT_EQ(collected(), Ended(task, TaskState::done));
}

TEST_F(TaskBoardTest, NoTaskOfThisBoardIsStaleAndHasNoBody) {
  const Task none{.slot = kTasks, .seq = 0};
  EXPECT_EQ(submitter_->post(none), Status::stale);
  EXPECT_EQ(submitter_->cancel(none), Status::stale);
  EXPECT_EQ(submitter_->release(none), Status::stale);
  EXPECT_EQ(worker_->commit(none), Status::stale);
  EXPECT_EQ(submitter_->state(none), TaskState::free);
  EXPECT_TRUE(submitter_->body(none).empty());
}

TEST_F(TaskBoardTest, ACancelledTaskIsCollectedAndDoneByNobody) {
  const Task first = posted(), second = posted();
  EXPECT_EQ(submitter_->cancel(first), Status::ok);
  EXPECT_EQ(submitter_->cancel(first), Status::closed);
  EXPECT_EQ(claimed(), second);
  Task none;
  EXPECT_EQ(worker_->try_claim(none), Status::empty);
  EXPECT_EQ(collected(), Ended(first, TaskState::cancelled));
  EXPECT_EQ(collected(), std::nullopt);
}

TEST_F(TaskBoardTest, MoreThanTheRingHoldsMayBeCancelledWhileNobodyWorks) {
  for (int i = 0; i < 500; ++i) {
    const Task task = posted();
    EXPECT_EQ(submitter_->cancel(task), Status::ok);
    EXPECT_EQ(collected(), Ended(task, TaskState::cancelled));
    EXPECT_EQ(submitter_->release(task), Status::ok);
  }
  // No entry of these got into the ring.
  const Task first = posted(), second = posted();
  const std::set<std::uint32_t> slots = {claimed().slot, claimed().slot};
  EXPECT_EQ(slots, (std::set{first.slot, second.slot}));
  Task none;
  EXPECT_EQ(worker_->try_claim(none), Status::empty);
}

TEST_F(TaskBoardTest, MoreThanTheRingHoldsMayBeDoneAndReleasedUncollected) {
  for (int i = 0; i < 500; ++i) {
    const Task task = posted();
    EXPECT_EQ(claimed(), task);
    EXPECT_EQ(worker_->commit(task), Status::ok);
    EXPECT_EQ(submitter_->release(task), Status::ok);
  }
  const Task last = posted();
  EXPECT_EQ(claimed(), last);
  EXPECT_EQ(worker_->commit(last), Status::ok);
  EXPECT_EQ(collected(), Ended(last, TaskState::done));
  EXPECT_EQ(collected(), std::nullopt);
}

TEST_F(TaskBoardTest, WhatIsNotInTheRingDoesNotWaitForAnEmptyOne) {
  // All but one of the ring's cells, for tasks that are gone.
  for (std::size_t i = 1; i < internal::TaskPlan(kTasks, kBody).ring_capacity; ++i) {
    const Task task = posted();
    EXPECT_EQ(submitter_->cancel(task), Status::ok);
    EXPECT_TRUE(collected());
    EXPECT_EQ(submitter_->release(task), Status::ok);
  }
  const Task last_in = posted(), left_out = posted();
  EXPECT_EQ(claimed(), last_in);
  bool came = false;
  for (int i = 0; i < 200 && !came; ++i) {
    static_cast<void>(posted());
    const Task task = claimed();
    came = task == left_out;
    EXPECT_EQ(worker_->commit(task), Status::ok);
    ASSERT_TRUE(collected());
    EXPECT_EQ(submitter_->release(task), Status::ok);
  }
  EXPECT_TRUE(came);
}

TEST_F(TaskBoardTest, ADeadWorkersTaskIsReadyAgainAsOftenAsAllowed) {
  const Task task = posted(2);
  for (int death = 1; death <= 2; ++death) {
    const Tag dead = dead_worker_with_a_lease();
    EXPECT_EQ(submitter_->holder(task), dead);
    EXPECT_EQ(collected(), std::nullopt);
    std::vector<Ended> told;
    EXPECT_EQ(
        supervisor_->take_over(dead, [&](const Task& t, TaskState s) { told.emplace_back(t, s); }),
        Status::ok);
    const TaskState now = death == 1 ? TaskState::ready : TaskState::dead;
    EXPECT_EQ(told, (std::vector<Ended>{{task, now}}));
    EXPECT_EQ(submitter_->state(task), now);
    EXPECT_EQ(submitter_->holder(task), death == 1 ? participant::kNobody : dead);
    // Again, by somebody who does not know.
    EXPECT_EQ(supervisor_->take_over(dead, [](const Task&, TaskState) { FAIL(); }), Status::ok);
  }
  EXPECT_EQ(submitter_->attempts(task), 2);
  Task none;
  EXPECT_EQ(worker_->try_claim(none), Status::empty);
  EXPECT_EQ(collected(), Ended(task, TaskState::dead));
  EXPECT_EQ(collected(), std::nullopt);
  EXPECT_EQ(submitter_->release(task), Status::ok);
}

TEST_F(TaskBoardTest, WhatADeadWorkerHadCommittedIsCollectedOnce) {
  const Task task = posted();
  const Tag dead = dead_after([this] {
    TaskBoard::Worker worker(memory());
    Task mine;
    if (worker.try_claim(mine) != Status::ok || worker.commit(mine) != Status::ok) _exit(1);
  });
  EXPECT_EQ(supervisor_->take_over(dead), Status::ok);
  EXPECT_EQ(supervisor_->take_over(dead), Status::ok);
  EXPECT_EQ(collected(), Ended(task, TaskState::done));
  EXPECT_EQ(collected(), std::nullopt);
}

TEST_F(TaskBoardTest, TheLivingKeepTheirLeases) {
  const Task task = posted();
  EXPECT_EQ(claimed(), task);
  EXPECT_EQ(supervisor_->take_over(participant::self()), Status::busy);
  EXPECT_EQ(worker_->commit(task), Status::ok);
}

TEST_F(TaskBoardTest, SlotsOfADeadSubmitterComeBack) {
  const Tag dead = dead_after([this] {
    TaskBoard::Submitter submitter(memory());
    Task task;
    while (submitter.try_allocate(task) == Status::ok) {
      if (task.slot == 1 && submitter.post(task) != Status::ok) _exit(1);
    }
  });
  Task task;
  EXPECT_EQ(submitter_->try_allocate(task), Status::full);
  EXPECT_EQ(supervisor_->take_over(dead), Status::ok);
  // All but that which was posted, which goes on.
  std::vector<Task> mine;
  while (submitter_->try_allocate(task) == Status::ok) mine.push_back(task);
  EXPECT_EQ(mine.size(), kTasks - 1);
  const Task posted = claimed();
  EXPECT_EQ(posted.slot, 1U);
  EXPECT_EQ(worker_->commit(posted), Status::ok);
  EXPECT_EQ(collected(), Ended(posted, TaskState::done));
  EXPECT_EQ(submitter_->release(posted), Status::ok);
  EXPECT_EQ(submitter_->try_allocate(task), Status::ok);
}

TEST_F(TaskBoardTest, AfterCloseWhatIsLeftIsDone) {
  const Task first = posted(), second = posted();
  submitter_->close();
  Task none;
  EXPECT_EQ(submitter_->try_allocate(none), Status::closed);
  EXPECT_EQ(submitter_->await_room(60s), Status::closed);
  EXPECT_EQ(claimed(), first);
  EXPECT_EQ(claimed(), second);
  EXPECT_EQ(worker_->try_claim(none), Status::closed);
  EXPECT_EQ(worker_->commit(first), Status::ok);
  TaskState state{};
  EXPECT_EQ(collected(), Ended(first, TaskState::done));
  EXPECT_EQ(collector_->try_collect(none, state), Status::empty);
  EXPECT_EQ(worker_->commit(second), Status::ok);
  EXPECT_EQ(collected(), Ended(second, TaskState::done));
  EXPECT_EQ(collector_->collect(none, state, 60s), Status::closed);
}

TEST_F(TaskBoardTest, AClosedBoardWaitsForWhatIsAllocated) {
  const Task task = allocated();
  submitter_->close();
  EXPECT_EQ(submitter_->post(task), Status::closed);
  const std::vector<Task> tasks = {task};
  EXPECT_EQ(submitter_->post_n(tasks), 0U);
  Task none;
  TaskState state{};
  EXPECT_EQ(collector_->collect(none, state, 10ms), Status::timeout);
  std::thread other([&] { EXPECT_EQ(submitter_->release(task), Status::ok); });
  EXPECT_EQ(collector_->collect(none, state, 60s), Status::closed);
  other.join();
}

TEST_F(TaskBoardTest, AWorkerStaysForWhatAnotherMayLeave) {
  const Task task = posted(2);
  submitter_->close();
  const Tag dead = dead_worker_with_a_lease();
  Task mine;
  EXPECT_EQ(worker_->claim(mine, 10ms), Status::timeout);
  std::thread other([&] { EXPECT_EQ(supervisor_->take_over(dead), Status::ok); });
  EXPECT_EQ(worker_->claim(mine, 60s), Status::ok);
  other.join();
  EXPECT_EQ(mine, task);
  EXPECT_EQ(worker_->commit(mine), Status::ok);
  EXPECT_EQ(worker_->claim(mine, 60s), Status::closed);
}

TEST_F(TaskBoardTest, AfterStopWhatIsReadyIsCancelled) {
  const Task first = posted(), second = posted();
  EXPECT_EQ(claimed(), first);
  submitter_->stop();
  Task none;
  EXPECT_EQ(worker_->claim(none, 60s), Status::closed);
  EXPECT_EQ(collected(), Ended(second, TaskState::cancelled));
  EXPECT_EQ(worker_->commit(first), Status::ok);
  EXPECT_EQ(collected(), Ended(first, TaskState::done));
  TaskState state{};
  EXPECT_EQ(collector_->try_collect(none, state), Status::closed);
  submitter_->close();
  EXPECT_EQ(worker_->try_claim(none), Status::closed);
}

TEST_F(TaskBoardTest, WhatIsDrainedIsCollectedAsCancelled) {
  const Task first = posted(), second = posted();
  EXPECT_EQ(claimed(), first);
  std::vector<Task> drained;
  EXPECT_EQ(supervisor_->drain([&](const Task& task) { drained.push_back(task); }), 1U);
  EXPECT_EQ(drained, std::vector<Task>{second});
  EXPECT_EQ(collected(), Ended(second, TaskState::cancelled));
  EXPECT_EQ(supervisor_->drain(), 0U);
}

TEST_F(TaskBoardTest, WaitersAreWoken) {
  Task task;
  EXPECT_EQ(worker_->claim(task, Deadline::now()), Status::timeout);
  TaskState state{};
  EXPECT_EQ(collector_->collect(task, state, Deadline::now()), Status::timeout);
  constexpr int kRounds = 2000;
  std::thread works([&] {
    TaskBoard::Worker worker(memory());
    Task mine;
    while (worker.claim(mine, 60s) == Status::ok) EXPECT_EQ(worker.commit(mine), Status::ok);
  });
  for (int i = 0; i < kRounds; ++i) {
    const Task sent = posted();
    ASSERT_EQ(collector_->collect(task, state, 60s), Status::ok);
    EXPECT_EQ(task, sent);
    EXPECT_EQ(submitter_->release(task), Status::ok);
  }
  submitter_->close();
  works.join();
}

TEST_F(TaskBoardTest, AllThreadsOfAProcessMaySubmitThroughOneHandle) {
  constexpr std::size_t kThreads = 3, kEach = 2000;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < kEach;) {
        Task task;
        if (submitter_->try_allocate(task) != Status::ok) {
          EXPECT_EQ(submitter_->await_room(60s), Status::ok);
          continue;
        }
        EXPECT_EQ(submitter_->post(task), Status::ok);
        ++i;
      }
    });
  }
  std::thread works([&] {
    Task mine;
    while (worker_->claim(mine, 60s) == Status::ok) EXPECT_EQ(worker_->commit(mine), Status::ok);
  });
  for (std::size_t i = 0; i < kThreads * kEach; ++i) {
    Task task;
    TaskState state{};
    ASSERT_EQ(collector_->collect(task, state, 60s), Status::ok);
    EXPECT_EQ(submitter_->release(task), Status::ok);
  }
  for (std::thread& thread : threads) thread.join();
  submitter_->close();
  works.join();
  EXPECT_EQ(submitter_->counts(), (TaskCounts{.free = kTasks, .posted = kThreads * kEach}));
}

TEST_F(TaskBoardTest, PrintsItselfForAPerson) {
  static_cast<void>(posted());
  std::ostringstream out;
  out << submitter_->counts() << "; " << TaskState::cancelled << ' ' << TaskState{7};
  EXPECT_EQ(out.str(),
            "task board: 1 ready, 0 leased, 0 finished, 0 collected, 0 allocated, 3 free, 1 posted "
            "in all; cancelled unknown");
}

// -------------------------------------------------------------------------------------------------
// Attaching

TEST(TaskBoardMemory, IsWhatBytesForSays) {
  for (const std::size_t tasks : {1U, 3U, 100U}) {
    for (const std::size_t body : {0U, 1U, 48U, 49U, 1000U}) {
      Memory memory(TaskBoard::bytes_for(tasks, body));
      TaskBoard::format(memory, tasks, body);
      TaskBoard::Submitter submitter(memory);
      TaskBoard::Worker worker(memory);
      Task task;
      std::size_t count = 0;
      for (; submitter.try_allocate(task) == Status::ok; ++count) {
        const std::span<std::byte> bytes = submitter.body(task);
        ASSERT_EQ(bytes.size(), body);
        std::fill(bytes.begin(), bytes.end(), std::byte{255});
        EXPECT_EQ(submitter.post(task), Status::ok);
      }
      EXPECT_EQ(count, tasks);
      while (worker.try_claim(task) == Status::ok) --count;
      EXPECT_EQ(count, 0U);
    }
  }
}

TEST(TaskBoardMemory, RefusesSizesOutOfRange) {
  EXPECT_THROW(static_cast<void>(TaskBoard::bytes_for(0, 8)), Error);
  EXPECT_THROW(static_cast<void>(TaskBoard::bytes_for(TaskBoard::kMaxTasks + 1, 8)), Error);
  EXPECT_THROW(static_cast<void>(TaskBoard::bytes_for(1, TaskBoard::kMaxBody + 1)), Error);
  EXPECT_GT(TaskBoard::bytes_for(TaskBoard::kMaxTasks, TaskBoard::kMaxBody), std::size_t{1} << 50);
  Memory memory(TaskBoard::bytes_for(4, 8));
  EXPECT_THROW(TaskBoard::format(memory, 5, 8), Error);
  EXPECT_THROW(TaskBoard::format(memory.span().subspan(8), 1, 8), Error);
}

TEST(TaskBoardMemory, RefusesWhatIsNoBoard) {
  Memory memory(TaskBoard::bytes_for(4, 8));
  std::ranges::fill(memory.span(), std::byte{0});
  EXPECT_THROW(TaskBoard::Worker{memory}, Error);
  EXPECT_THROW(TaskBoard::Worker{memory.span().first(64)}, Error);
  for (const std::uint32_t tasks : {0U, 6U, 1U << 20, ~0U}) {
    TaskBoard::format(memory, 4, 8);
    memory.poke(0, tasks);
    EXPECT_THROW(TaskBoard::Supervisor{memory}, Error) << tasks;
  }
  for (const std::uint32_t body : {500U, 1U << 30, ~0U}) {
    TaskBoard::format(memory, 4, 8);
    memory.poke(4, body);
    EXPECT_THROW(TaskBoard::Collector{memory}, Error) << body;
  }
}

}  // namespace
}  // namespace sluice::tests
