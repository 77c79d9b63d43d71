// SPDX-License-Identifier: Apache-2.0
//
// A task board whose workers are killed at random and replaced while 100,000 tasks pass: each task
// comes out once, with its own result, or as dead after as many attempts as it had. Until 50 kills
// as well; //tests/crash:task_board_soak goes on for 5,000.

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "sluice/lockfree/task_board.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kWorkers = 4;
constexpr std::size_t kSlots = 64;
constexpr std::uint64_t kEnough = 100'000;
constexpr std::uint16_t kMaxAttempts = 3;

struct Shared {
  alignas(kNoSharing) std::array<std::byte, 16384> memory;
  std::array<std::atomic<Tag>, kWorkers> tags;
};

struct Job {
  std::uint64_t number, result;
};

/// Who tries it dies.
bool is_poison(std::uint64_t number) { return number % 2000 == 1999; }

std::uint64_t result_of(std::uint64_t number) { return ~number * 0x9e3779b97f4a7c15; }

Job read(std::span<const std::byte> body) {
  Job job{};
  std::memcpy(&job, body.data(), sizeof job);
  return job;
}
void write(std::span<std::byte> body, const Job& job) {
  std::memcpy(body.data(), &job, sizeof job);
}

class Stress {
 public:
  Stress() {
    TaskBoard::format(memory(), kSlots, sizeof(Job));
    submitter_.emplace(memory());
    collector_.emplace(memory());
    supervisor_.emplace(memory());
    for (std::size_t i = 0; i < kWorkers; ++i) start(i);
  }
  ~Stress() {
    for (const pid_t pid : pids_) {
      if (pid > 0) kill(pid, SIGKILL);
      if (pid > 0) waitpid(pid, nullptr, 0);
    }
  }
  Stress(const Stress&) = delete;
  Stress& operator=(const Stress&) = delete;

  void run(std::uint64_t kills) {
    auto next_kill = Deadline::Clock::now();
    while (numbers_.size() < kEnough || kills_ < kills) {
      submit();
      ASSERT_TRUE(collect_some());
      replace_the_dead();
      if (Deadline::Clock::now() < next_kill) continue;
      const std::size_t worker = random_() % kWorkers;
      kill(pids_[worker], SIGKILL);
      replace(worker);
      next_kill = Deadline::Clock::now() + std::chrono::microseconds(random_() % 2000);
    }
    submitter_->close();
    finish();
  }

  void report() const {
    std::cout << "[   STRESS ] " << numbers_.size() << " tasks, " << kills_ << " kills, " << again_
              << " ready again, " << dead_ << " dead" << std::endl;
  }

 private:
  [[nodiscard]] std::span<std::byte> memory() const { return area_->memory; }

  void start(std::size_t worker) {
    area_->tags[worker] = participant::kNobody;
    const pid_t parent = getpid();
    pids_[worker] = fork();
    if (pids_[worker] != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    area_->tags[worker] = participant::self();
    work();
    _exit(0);
  }

  void work() {
    TaskBoard::Worker worker(memory());
    Task task;
    while (worker.claim(task, Deadline::never()) == Status::ok) {
      Job job = read(worker.body(task));
      if (is_poison(job.number)) kill(getpid(), SIGKILL);
      // Some take longer, so that there is something to lose.
      for (std::uint64_t i = job.number % 16 == 0 ? 2000 : 0; i > 0; --i) cpu_pause();
      job.result = result_of(job.number);
      write(worker.body(task), job);
      if (worker.commit(task) != Status::ok) std::abort();
    }
  }

  void replace_the_dead() {
    for (std::size_t i = 0; i < kWorkers; ++i) {
      siginfo_t info = {};
      waitid(P_PID, static_cast<id_t>(pids_[i]), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid != 0) replace(i);
    }
  }

  /// Which is dead, or about to be.
  void replace(std::size_t worker) {
    waitpid(pids_[worker], nullptr, 0);
    ++kills_;
    const Tag tag = area_->tags[worker];
    if (tag != participant::kNobody) {
      const Status status = supervisor_->take_over(tag, [this](const Task&, TaskState state) {
        if (state == TaskState::ready) ++again_;
      });
      ASSERT_EQ(status, Status::ok);
    }
    start(worker);
  }

  void submit() {
    Task task;
    while (submitter_->try_allocate(task) == Status::ok) {
      write(submitter_->body(task), {.number = numbers_.size(), .result = 0});
      numbers_.push_back(false);
      ASSERT_EQ(submitter_->post(task, kMaxAttempts), Status::ok);
    }
  }

  /// False if something is wrong.
  bool collect_some() {
    Task task;
    TaskState state{};
    Status status = collector_->collect(task, state, 1ms);
    if (status == Status::timeout) {
      EXPECT_LT(++in_vain_, 30'000U) << "nothing comes: " << submitter_->counts();
      return in_vain_ < 30'000;
    }
    in_vain_ = 0;
    for (; status == Status::ok; status = collector_->try_collect(task, state)) {
      if (!accept(task, state)) return false;
    }
    return status == Status::empty || status == Status::closed;
  }

  bool accept(const Task& task, TaskState state) {
    const Job job = read(collector_->body(task));
    const bool is_new = job.number < numbers_.size() && !numbers_[job.number];
    EXPECT_TRUE(is_new) << "number " << job.number << " came out twice, or never went in";
    if (!is_new) return false;
    numbers_[job.number] = true;
    if (state == TaskState::done) {
      EXPECT_EQ(job.result, result_of(job.number));
    } else {
      EXPECT_EQ(state, TaskState::dead);
      EXPECT_EQ(collector_->attempts(task), kMaxAttempts);
      ++dead_;
    }
    EXPECT_TRUE(state == TaskState::dead || !is_poison(job.number));
    EXPECT_LE(collector_->attempts(task), kMaxAttempts);
    EXPECT_EQ(submitter_->release(task), Status::ok);
    return true;
  }

  void finish() {
    const Deadline deadline = 60s;
    Task task;
    TaskState state{};
    Status status = Status::timeout;
    while (status == Status::timeout || status == Status::ok) {
      ASSERT_FALSE(deadline.passed()) << submitter_->counts();
      replace_the_dead();
      status = collector_->collect(task, state, 10ms);
      ASSERT_TRUE(status != Status::ok || accept(task, state));
    }
    EXPECT_EQ(status, Status::closed);
    for (std::size_t i = 0; i < numbers_.size(); ++i) EXPECT_TRUE(numbers_[i]) << i << " is lost";
    EXPECT_EQ(submitter_->counts(), (TaskCounts{.free = kSlots, .posted = numbers_.size()}));
    // Nothing is left to do, so they end by themselves.
    for (pid_t& pid : pids_) waitpid(std::exchange(pid, 0), nullptr, 0);
  }

  testkit::SharedArea<Shared> area_;
  std::optional<TaskBoard::Submitter> submitter_;
  std::optional<TaskBoard::Collector> collector_;
  std::optional<TaskBoard::Supervisor> supervisor_;
  std::array<pid_t, kWorkers> pids_ = {};
  std::vector<bool> numbers_;  ///< of each task that was posted: whether it has come out
  std::mt19937_64 random_{std::random_device{}()};
  std::uint64_t kills_ = 0, again_ = 0, dead_ = 0;
  std::uint64_t in_vain_ = 0;
};

TEST(TaskBoardStress, EachTaskComesOutOnceWhileWorkersAreKilled) {
  const char* const kills = std::getenv("SLUICE_SOAK_KILLS");
  Stress stress;
  stress.run(kills == nullptr ? 50 : std::strtoull(kills, nullptr, 10));
  stress.report();
}

}  // namespace
}  // namespace sluice::tests
