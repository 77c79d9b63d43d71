// SPDX-License-Identifier: Apache-2.0
//
// The task board on memory that a hostile process overwrites between calls: no call touches
// anything outside of it, and every call ends.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <random>
#include <stdexcept>
#include <vector>

#include "sluice/lockfree/task_board.h"
#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using internal::TaskPlan;
using internal::TaskWord;

constexpr std::size_t kTasks = 4, kBody = 40;

class Attack {
 public:
  explicit Attack(std::uint64_t seed)
      : random_(seed), memory_(TaskBoard::bytes_for(kTasks, kBody)) {
    TaskBoard::format(memory_, kTasks, kBody);
  }

  /// Handles that were made in time, and bytes that change under them.
  void on_handles() {
    TaskBoard::Submitter submitter(memory_);
    TaskBoard::Worker worker(memory_);
    TaskBoard::Collector collector(memory_);
    TaskBoard::Supervisor supervisor(memory_);
    for (int i = 0; i < 60; ++i) {
      if (i >= 10) overwrite();
      act(submitter, worker, collector, supervisor);
    }
  }

  /// Who attaches to such bytes is refused, or may work.
  void on_attaching() {
    for (int i = 0; i < 20; ++i) {
      TaskBoard::format(memory_, kTasks, kBody);
      overwrite();
      try {
        on_handles();
      } catch (const Error& error) {
        EXPECT_TRUE(error.code() == Status::corrupt || error.code() == Status::foreign_registry)
            << error.what();
      }
    }
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  /// A word of what might be there, or of anything.
  std::uint64_t word() {
    switch (below(5)) {
      case 0:
        return random_();
      case 1:
        return ~std::uint64_t{0};
      case 2:
        return below(8);
      case 3:
        return TaskWord::entry(
            {static_cast<std::uint32_t>(below(6)), static_cast<std::uint32_t>(below(3))});
      default:
        return TaskWord::make(static_cast<std::uint32_t>(below(3)),
                              static_cast<TaskState>(below(16)),
                              below(2) == 0 ? participant::self() : 0xfffffff);
    }
  }

  void overwrite() {
    const TaskPlan plan(kTasks, kBody);
    // Each part is as likely as the others.
    const std::size_t from[] = {
        0, TaskPlan::kStackAt, plan.ready_at, plan.done_at, plan.slots_at, plan.total};
    const std::size_t part = below(5);
    const std::size_t words = (from[part + 1] - from[part]) / 8;
    for (std::uint64_t n = 1 + below(4); n > 0; --n) {
      memory_.poke(from[part] + 8 * below(words), word());
    }
  }

  Task some() {
    if (tasks_.empty() || below(4) == 0) {
      return {static_cast<std::uint32_t>(below(8)), static_cast<std::uint32_t>(below(3))};
    }
    return tasks_[below(tasks_.size())];
  }

  void act(TaskBoard::Submitter& submitter, TaskBoard::Worker& worker,
           TaskBoard::Collector& collector, TaskBoard::Supervisor& supervisor) {
    Task task = some();
    TaskState state{};
    const std::vector<Task> several = {some(), some(), some()};
    const std::function<Status()> calls[] = {
        [&] { return submitter.try_allocate(task); },
        [&] { return submitter.post(task, 2); },
        [&] { return submitter.post_n(several) <= several.size() ? Status::ok : Status::corrupt; },
        [&] { return submitter.cancel(task); },
        [&] { return submitter.release(task); },
        [&] { return submitter.await_room(Deadline::now()); },
        [&] { return worker.claim(task, Deadline::now()); },
        [&] { return worker.commit(task); },
        [&] { return collector.collect(task, state, Deadline::now()); },
        [&] { return supervisor.take_over(0xfffffff); },
        [&] { return supervisor.drain() <= kTasks ? Status::ok : Status::corrupt; },
        [&] { return below(10) == 0 ? (worker.close(), Status::ok) : Status::busy; },
        [&] { return submitter.counts().free <= kTasks ? Status::ok : Status::corrupt; },
    };
    try {
      if (calls[below(std::size(calls))]() != Status::ok) return;
    } catch (const std::logic_error&) {
      return;  // it seems to be misuse
    }
    if (task.slot < kTasks) tasks_.push_back(task);
    // Whatever is given out may be written to.
    std::ranges::fill(worker.body(task), std::byte{1});
    static_cast<void>(worker.holder(task));
  }

  std::mt19937_64 random_;
  Memory memory_;
  std::vector<Task> tasks_;
};

TEST(HostileTaskBoard, CallsEndAndStayInside) {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE(seed);
    Attack(seed).on_handles();
  }
}

TEST(HostileTaskBoard, AttachingEndsAndStaysInside) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Attack(seed).on_attaching();
  }
}

}  // namespace
}  // namespace sluice::tests
