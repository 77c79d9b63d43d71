// SPDX-License-Identifier: Apache-2.0
//
// The task board, one of its users killed after every instruction that matters. In the end each
// posted task has come out once, but for one that its collector died with; none was started more
// often than allowed; and all slots are there.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/lockfree/task_board.h"
#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::RealLockEnv;
using internal::TaskView;
using internal::TaskWord;
using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::uint32_t kTasks = 3;
constexpr std::uint16_t kMaxAttempts = 2;
constexpr std::uint64_t kResult = 0x5a5a5a5a5a5a5a5a;

struct Shared {
  alignas(kNoSharing) std::array<std::byte, 4352> memory;
  std::atomic<Tag> victim, recoverer;
  /// Of each slot: how often a worker began, and how often it was collected, and as what.
  std::array<std::atomic<std::uint32_t>, kTasks> starts, accepted;
  std::array<std::atomic<TaskState>, kTasks> ends;
  std::atomic<std::uint32_t> torn;
  /// What the victim has acknowledged: by a bit for each slot.
  std::atomic<std::uint32_t> committed, cancelled;
};

/// The dead are never found dead.
struct BlindEnv : RealLockEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

/// Who makes a dead worker's task ready again leaves no name, so that nobody makes up for its
/// entry.
struct ForgetfulEnv : RealLockEnv {
  template <class T>
  static bool cas(internal::Word<T>& word, T& expected, T desired,
                  std::memory_order success) noexcept {
    if constexpr (sizeof(T) == 8) {
      if (static_cast<const void*>(&word) >= first_slot &&
          TaskWord::state_of(expected) == TaskState::leased &&
          TaskWord::state_of(desired) == TaskState::ready) {
        desired &= ~std::uint64_t{0xffffffff};  // the fault
      }
    }
    return RealLockEnv::cas(word, expected, desired, success);
  }
  static inline const void* first_slot = nullptr;
};

/// Of the recovery, which is long, each time its end and one point more; all in the full profile.
void expect_all_intact(const CrashOperation& operation) {
  expect_intact(operation, KillAt::each_instruction, 1);
}

template <class Env>
class OnBoard : public testing::Test {
 protected:
  using Board = BasicTaskBoard<Env>;

  [[nodiscard]] std::span<std::byte> memory() const { return area_->memory; }

  /// A board with so many tasks posted, by this process, which lives.
  void start_with(std::uint32_t count) {
    area_.reset();
    ASSERT_LE(Board::bytes_for(kTasks, 8), memory().size());
    Board::format(memory(), kTasks, 8);
    if constexpr (std::is_same_v<Env, ForgetfulEnv>) {
      Env::first_slot = &TaskView<Env>(memory()).slot(0);
    }
    typename Board::Submitter submitter(memory());
    for (std::uint32_t i = 0; i < count; ++i) {
      Task task;
      ASSERT_EQ(submitter.try_allocate(task), Status::ok);
      ASSERT_EQ(submitter.post(task, kMaxAttempts), Status::ok);
    }
  }

  // What the processes do.

  bool begin(typename Board::Worker& worker, Task& task, Deadline deadline = 2ms) {
    if (worker.claim(task, deadline) != Status::ok) return false;
    ++area_->starts[task.slot];
    return true;
  }
  void finish(typename Board::Worker& worker, const Task& task) {
    std::memcpy(worker.body(task).data(), &kResult, sizeof kResult);
    if (worker.commit(task) == Status::ok) area_->committed |= 1U << task.slot;
  }
  void work() {
    typename Board::Worker worker(memory());
    Task task;
    for (std::uint32_t i = 0; i < 2 * kTasks && begin(worker, task); ++i) finish(worker, task);
  }
  void note(const Task& task, TaskState state, std::span<const std::byte> body) {
    area_->ends[task.slot] = state;
    ++area_->accepted[task.slot];
    if (state == TaskState::done && std::memcmp(body.data(), &kResult, sizeof kResult) != 0) {
      ++area_->torn;
    }
  }
  std::vector<Task> collect() {
    typename Board::Collector collector(memory());
    std::vector<Task> tasks;
    Task task;
    TaskState state{};
    while (tasks.size() < 2 * kTasks && collector.collect(task, state, 2ms) == Status::ok) {
      note(task, state, collector.body(task));
      tasks.push_back(task);
    }
    return tasks;
  }
  void take_over() {
    typename Board::Supervisor supervisor(memory());
    for (const Tag dead : {area_->victim.load(), area_->recoverer.load()}) {
      if (dead != participant::kNobody) static_cast<void>(supervisor.take_over(dead));
    }
  }

  // What is left.

  /// The tasks of `slots` come out, once each; of others none.
  std::string come_out(std::uint32_t slots) {
    take_over();
    work();
    collect();
    take_over();  // again: does no harm
    work();
    collect();
    for (std::uint32_t i = 0; i < kTasks; ++i) {
      const std::string task = "task " + std::to_string(i);
      const bool is_wanted = (slots >> i & 1) != 0;
      if (area_->accepted[i] > 1) return task + " came out twice";
      if (is_wanted && area_->accepted[i] == 0) return task + " is lost";
      if (area_->starts[i] > kMaxAttempts) return task + " was started too often";
      if (area_->accepted[i] == 0) continue;
      const TaskState end = area_->ends[i];
      if ((area_->committed >> i & 1) != 0 && end != TaskState::done) {
        return task + " was committed and is " + std::string(to_string(end));
      }
      if ((area_->cancelled >> i & 1) != 0 && end != TaskState::cancelled) {
        return task + " was cancelled and is " + std::string(to_string(end));
      }
    }
    return area_->torn == 0 ? "" : "a torn result";
  }

  /// One who comes after the death of a submitter has all slots in the end.
  std::string all_slots_are_there() {
    typename Board::Submitter submitter(memory());
    std::array<bool, kTasks> seen = {};
    Task task;
    for (std::uint32_t i = 0; i < kTasks; ++i) {
      if (submitter.try_allocate(task) != Status::ok) {
        return std::to_string(i) + " slots of " + std::to_string(kTasks);
      }
      if (std::exchange(seen[task.slot], true)) return "a slot twice";
    }
    return submitter.try_allocate(task) == Status::full ? "" : "more slots than there are";
  }

  CrashOperation on_board(std::string name, std::uint32_t posted) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {area_.bytes()};
    op.setup = [this, posted] { start_with(posted); };
    op.prepare = [this] { join(); };
    op.interfere = [this] {
      work();
      collect();
    };
    op.prepare_recovery = [this] { area_->recoverer = participant::self(); };
    op.recover = [this] { take_over(); };
    op.survivor = [this, posted](bool) { return come_out((1U << posted) - 1); };
    return op;
  }
  /// The victim's handles, so that the operation is what is stepped.
  void join() {
    area_->victim = participant::self();
    submitter_.emplace(memory());
    worker_.emplace(memory());
    collector_.emplace(memory());
    supervisor_.emplace(memory());
  }

  CrashOperation claim(std::string name) {
    CrashOperation op = on_board(std::move(name), 2);
    op.operation = [this] { static_cast<void>(begin(*worker_, task_)); };
    return op;
  }
  CrashOperation commit(std::string name) {
    CrashOperation op = on_board(std::move(name), 2);
    op.prepare = [this] {
      join();
      if (!begin(*worker_, task_)) _exit(1);
    };
    op.operation = [this] { finish(*worker_, task_); };
    return op;
  }

  /// A process that has done this, and is dead.
  template <class Life>
  void let_one_die(Life life) {
    const pid_t pid = fork();
    if (pid == 0) {
      area_->recoverer = participant::self();
      typename Board::Worker worker(memory());
      life(worker);
      _exit(0);
    }
    waitpid(pid, nullptr, 0);
  }

  /// Of one that had leased a task, and committed another.
  CrashOperation take_over_of_one(std::string name) {
    CrashOperation op = on_board(std::move(name), 3);
    op.setup = [this] {
      start_with(3);
      let_one_die([this](typename Board::Worker& worker) {
        Task first, second;
        if (begin(worker, first) && begin(worker, second)) finish(worker, second);
      });
    };
    op.operation = [this] { static_cast<void>(supervisor_->take_over(area_->recoverer)); };
    op.prepare_recovery = [] { attach(); };
    return op;
  }

  /// What is ready is in no ring, and a search has been asked for.
  void forget_entries() {
    const TaskView<RealLockEnv> view(memory());
    MpmcRing<std::uint64_t>::Consumer ready(view.ready());
    std::uint64_t entry = 0;
    while (ready.try_pop(entry) == Status::ok) continue;
    // Relaxed: nobody else is there.
    RealLockEnv::store(view.control().ready_search.asked, 1U, std::memory_order_relaxed);
  }

  SharedArea<Shared> area_;
  std::optional<typename Board::Submitter> submitter_;
  std::optional<typename Board::Worker> worker_;
  std::optional<typename Board::Collector> collector_;
  std::optional<typename Board::Supervisor> supervisor_;
  Task task_;
  std::array<Task, 2> two_;
};

using TaskBoardCrash = OnBoard<RealLockEnv>;

TEST_F(TaskBoardCrash, Claim) { expect_all_intact(claim("task claim")); }

TEST_F(TaskBoardCrash, Commit) { expect_all_intact(commit("task commit")); }

TEST_F(TaskBoardCrash, ClaimPastACancelledOne) {
  CrashOperation op = claim("task claim, past a cancelled one");
  op.setup = [this] {
    start_with(2);
    const Task first{};
    ASSERT_EQ(typename Board::Submitter(memory()).cancel(first), Status::ok);
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, ClaimOfWhatIsNotInTheRing) {
  CrashOperation op = claim("task claim, by a search");
  op.setup = [this] {
    start_with(2);
    forget_entries();
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, CommitWithoutRoom) {
  CrashOperation op = commit("task commit, full ring");
  op.setup = [this] {
    start_with(2);
    MpmcRing<std::uint64_t>::Producer junk(TaskView<RealLockEnv>(memory()).done());
    while (junk.try_push(TaskWord::entry({.slot = 77, .seq = 0})) == Status::ok) continue;
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, TakeOver) { expect_all_intact(take_over_of_one("task take_over")); }

TEST_F(TaskBoardCrash, TakeOverOfTheLastAttempt) {
  CrashOperation op = take_over_of_one("task take_over, last attempt");
  op.setup = [this] {
    start_with(3);
    let_one_die([this](typename Board::Worker& worker) {
      Task task;
      static_cast<void>(begin(worker, task));
    });
    take_over();
    let_one_die([this](typename Board::Worker& worker) {
      for (Task task; begin(worker, task) && task.slot != 0;) finish(worker, task);
    });
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, Post) {
  CrashOperation op = on_board("task try_allocate, post", 0);
  op.operation = [this] {
    if (submitter_->try_allocate(task_) == Status::ok) {
      static_cast<void>(submitter_->post(task_, kMaxAttempts));
    }
  };
  op.survivor = [this](bool completed) {
    const std::string wrong = come_out(completed ? 1 : 0);
    return wrong.empty() ? all_slots_are_there() : wrong;
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, PostOfTwo) {
  CrashOperation op = on_board("task post_n", 0);
  op.prepare = [this] {
    join();
    for (Task& task : two_) {
      if (submitter_->try_allocate(task) != Status::ok) _exit(1);
    }
  };
  op.operation = [this] { static_cast<void>(submitter_->post_n(two_, kMaxAttempts)); };
  op.survivor = [this](bool completed) {
    const std::string wrong = come_out(completed ? 3 : 0);
    return wrong.empty() ? all_slots_are_there() : wrong;
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, Cancel) {
  CrashOperation op = on_board("task cancel", 2);
  op.operation = [this] {
    if (submitter_->cancel(Task{}) == Status::ok) area_->cancelled |= 1;
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, Drain) {
  CrashOperation op = on_board("task drain", 2);
  op.operation = [this] {
    supervisor_->drain([this](const Task& task) { area_->cancelled |= 1U << task.slot; });
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, Collect) {
  CrashOperation op = on_board("task collect", 2);
  op.setup = [this] {
    start_with(2);
    work();
  };
  op.operation = [this] {
    TaskState state{};
    if (collector_->try_collect(task_, state) == Status::ok) {
      note(task_, state, collector_->body(task_));
    }
  };
  op.survivor = [this](bool completed) {
    std::string wrong = come_out(completed ? 3 : 0);
    std::uint32_t lost = 0;
    for (std::uint32_t i = 0; i < 2; ++i) lost += area_->accepted[i] == 0 ? 1 : 0;
    // One may be gone with the victim.
    return wrong.empty() && lost > 1 ? "two are lost" : wrong;
  };
  expect_all_intact(op);
}

TEST_F(TaskBoardCrash, Release) {
  CrashOperation op = on_board("task release", 0);
  op.prepare = [this] {
    join();
    TaskState state{};
    if (submitter_->try_allocate(task_) != Status::ok || submitter_->post(task_) != Status::ok ||
        !begin(*worker_, task_) || worker_->commit(task_) != Status::ok ||
        collector_->try_collect(task_, state) != Status::ok) {
      _exit(1);
    }
  };
  op.operation = [this] { static_cast<void>(submitter_->release(task_)); };
  op.survivor = [this](bool) {
    const std::string wrong = come_out(0);
    return wrong.empty() ? all_slots_are_there() : wrong;
  };
  expect_all_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

TEST_F(TaskBoardCrash, AnEntryThatIsAcknowledgedBeforeTheLeaseIsFound) {
  CrashOperation op = on_board("mutant: claim, entry first", 2);
  op.operation = [this] {
    const TaskView<RealLockEnv> view(memory());
    MpmcRing<std::uint64_t>::Consumer ready(view.ready());
    std::uint64_t entry = 0;
    if (ready.try_pop(entry) != Status::ok) return;
    const Task task = TaskWord::task_of_entry(entry);
    auto& word = view.slot(task.slot).word;
    // Acquire and release, as TaskSide::change().
    std::uint64_t now = RealLockEnv::load(word, std::memory_order_acquire);
    // As above.
    RealLockEnv::cas(word, now, TaskWord::make(task.seq, TaskState::leased, participant::self()),
                     std::memory_order_acq_rel);
  };
  expect_found(op, "task 0 is lost");
}

using BlindTaskBoardCrash = OnBoard<BlindEnv>;
TEST_F(BlindTaskBoardCrash, NoTakeOverIsFound) {
  expect_found(claim("mutant: claim, and nobody takes over"), "task 0 is lost");
}

using ForgetfulTaskBoardCrash = OnBoard<ForgetfulEnv>;
TEST_F(ForgetfulTaskBoardCrash, ATakeOverThatLeavesNoNameIsFound) {
  expect_found(take_over_of_one("mutant: take_over leaves no name"), "task 0 is lost");
}

}  // namespace
}  // namespace sluice::tests
