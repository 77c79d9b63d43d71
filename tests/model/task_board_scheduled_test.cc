// SPDX-License-Identifier: Apache-2.0
//
// The task board that ships, under the scheduler: each posted task comes out once, with what its
// worker has written, nobody sleeps on, and nobody leaves too early; with deaths of workers. Beside
// it mutants, which must be seen to fail.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "sluice/lockfree/task_board.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::Word;
using testkit::renew;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledData;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

// -------------------------------------------------------------------------------------------------
// Environments with one fault

/// Compare-and-swaps and stores that publish nothing.
struct NoReleaseEnv : ScheduledEnv {
  template <class T>
  static void store(Word<T>& word, T value, Order /*order*/) noexcept {
    ScheduledEnv::store(word, value, Order::relaxed);  // the fault
  }
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order /*success*/) noexcept {
    return ScheduledEnv::cas(word, expected, desired, Order::relaxed);  // the fault
  }
};

/// The phase is looked at, but in no order with what one has done before.
struct UnorderedPhaseEnv : ScheduledEnv {
  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    return ScheduledEnv::load(word, order == Order::seq_cst ? Order::relaxed : order);  // the fault
  }
};

/// Nobody is woken.
struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& /*word*/, int /*count*/) noexcept {
    return 0;
  }
};

/// Nobody is ever found dead: nothing is taken over.
struct BlindEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

// -------------------------------------------------------------------------------------------------
// What is explored

constexpr std::size_t kTasks = 2;
constexpr std::uint32_t kMostTimeouts = 8;

struct Plan {
  std::uint32_t rounds, at_once;
  std::size_t workers = 1;
  std::size_t mortal = 0;  ///< workers, the first so many
  bool cancels = false;    ///< another cancels the first task, whenever it may be
  bool closes = false;     ///< another closes the board, whenever it may be
  bool assists = false;    ///< another takes over as well, and may die
};

/// Thread 0 posts, collects and takes over; then come the workers; then who cancels or closes.
template <class Env>
class Users {
 public:
  using Board = BasicTaskBoard<Env>;

  Scenario of(const Plan& plan) {
    plan_ = plan;
    Scenario scenario{.name =
                          std::to_string(plan.rounds) + " times " + std::to_string(plan.at_once) +
                          " tasks, " + std::to_string(plan.workers) + " workers" +
                          (plan.cancels ? ", cancelled" : "") + (plan.closes ? ", closed" : "") +
                          (plan.assists ? ", two take over" : "")};
    scenario.setup = [this] { start(); };
    scenario.threads.push_back({[this] { submit(); }});
    for (std::size_t i = 0; i < plan.workers; ++i) {
      scenario.threads.push_back({[this] { work(); }, i < plan.mortal});
    }
    if (plan.cancels) scenario.threads.push_back({[this] { cancel(); }});
    if (plan.closes) {
      scenario.threads.push_back({[this] { typename Board::Worker(memory()).close(); }});
    }
    if (plan.assists) scenario.threads.push_back({[this] { assist(); }, true});
    scenario.check = [](const ScheduleEnd& /*end*/) { return std::string(); };
    scenario.names = {{"board", shared_.memory}};
    return scenario;
  }

 private:
  struct Shared {
    alignas(kNoSharing) std::array<std::byte, 4352> memory;
    std::array<ScheduledData<std::uint64_t>, kTasks> bodies;
  };

  [[nodiscard]] std::span<std::byte> memory() { return shared_.memory; }

  void start() {
    renew(shared_);
    Board::format(memory(), kTasks, 8);
    posted_ = accepted_ = 0;
  }

  // A lock's words must live to the end of the schedule.
  typename Board::Submitter& submitter(std::optional<typename Board::Submitter>& place) {
    return place.emplace(memory());
  }

  void submit() {
    auto& mine = submitter(submitter_);
    typename Board::Collector collector(memory());
    typename Board::Supervisor supervisor(memory());
    for (std::uint32_t round = 0; round < plan_.rounds; ++round) {
      for (std::uint32_t i = 0; i < plan_.at_once; ++i) post(mine);
      if (round + 1 == plan_.rounds) mine.close();
      for (std::uint32_t i = 0; i < plan_.at_once && accepted_ != posted_; ++i) {
        require(collect(mine, collector, supervisor) == Status::ok, "a task is lost");
      }
    }
    mine.close();
    require(collect(mine, collector, supervisor) == Status::closed, "one too many");
    const TaskCounts counts = mine.counts();
    require(counts.free == kTasks, "a slot is lost");
  }

  void post(typename Board::Submitter& mine) {
    Task task;
    const Status allocated = mine.try_allocate(task);
    if (allocated == Status::closed && plan_.closes) return;
    require(allocated == Status::ok, "no slot");
    shared_.bodies[task.slot] = kSent;
    const Status status = mine.post(task, kMaxAttempts);
    if (status == Status::ok) {
      ++posted_;
      return;
    }
    require(status == Status::closed && plan_.closes, "not posted");
    require(mine.release(task) == Status::ok, "not released");
  }

  Status collect(typename Board::Submitter& mine, typename Board::Collector& collector,
                 typename Board::Supervisor& supervisor) {
    Task task;
    TaskState state{};
    Status status = Status::timeout;
    for (std::uint32_t tries = 0; status == Status::timeout && tries < kMostTimeouts; ++tries) {
      const bool somebody_may_die = plan_.mortal > 0;
      // Longer than the slices of those whom a dead one would have woken.
      status = collector.collect(
          task, state, somebody_may_die ? Deadline(Env::now() + 100ms) : Deadline::never());
      for (std::uint32_t tag = 2; somebody_may_die && tag < 2 + plan_.mortal; ++tag) {
        static_cast<void>(supervisor.take_over(tag));
      }
    }
    if (status != Status::ok) return status;
    ++accepted_;
    require(accepted_ <= posted_, "a task came out twice");
    const std::uint64_t body = shared_.bodies[task.slot];
    require(state != TaskState::done || body == kDone, "not what the worker has written");
    require(state != TaskState::cancelled || plan_.cancels || plan_.closes, "who cancels?");
    require(state != TaskState::dead || mine.attempts(task) == kMaxAttempts, "dead too early");
    require(mine.release(task) == Status::ok, "not released");
    return status;
  }

  void work() {
    typename Board::Worker worker(memory());
    Task task;
    Status status = worker.claim(task, Deadline::never());
    for (; status == Status::ok; status = worker.claim(task, Deadline::never())) {
      shared_.bodies[task.slot] = kDone;
      require(worker.commit(task) == Status::ok, "not committed");
    }
    require(status == Status::closed, "neither a task nor closed");
  }

  void assist() {
    typename Board::Supervisor supervisor(memory());
    for (int i = 0; i < 3; ++i) {
      static_cast<void>(supervisor.take_over(2));
      Env::yield();
    }
  }

  void cancel() {
    const Status status = submitter(canceller_).cancel(Task{});
    require(status == Status::ok || status == Status::busy || status == Status::closed ||
                status == Status::stale,
            "a wrong answer");
  }

  static constexpr std::uint64_t kSent = 1, kDone = 2;
  static constexpr std::uint16_t kMaxAttempts = 2;

  Plan plan_ = {};
  Shared shared_;
  std::optional<typename Board::Submitter> submitter_, canceller_;
  std::uint32_t posted_ = 0, accepted_ = 0;
};

class TaskBoardScheduled : public Scheduled {
 protected:
  Users<ScheduledEnv> users_;
};
using TaskBoardMutant = Scheduled;

TEST_F(TaskBoardScheduled, ATaskGoesThereAndBack) {
  expect_holds_by_chance(users_.of({.rounds = 2, .at_once = 1}), {});
}

TEST_F(TaskBoardScheduled, TwoWorkersShareTheTasks) {
  expect_holds_by_chance(users_.of({.rounds = 1, .at_once = 2, .workers = 2}), {});
}

TEST_F(TaskBoardScheduled, AnotherMayCancel) {
  expect_holds_by_chance(users_.of({.rounds = 1, .at_once = 2, .cancels = true}), {});
}

TEST_F(TaskBoardScheduled, AnotherMayClose) {
  expect_holds_by_chance(users_.of({.rounds = 1, .at_once = 1, .closes = true}), {});
}

TEST_F(TaskBoardScheduled, AWorkerMayDieAtEachPoint) {
  expect_holds_by_chance(users_.of({.rounds = 1, .at_once = 2, .workers = 2, .mortal = 1}),
                         {.deaths = 1, .timeouts = 100});
}

TEST_F(TaskBoardScheduled, TwoMayTakeOverAndOneOfThemDie) {
  expect_holds_by_chance(
      users_.of({.rounds = 1, .at_once = 2, .workers = 2, .mortal = 1, .assists = true}),
      {.deaths = 2, .timeouts = 100});
}

TEST_F(TaskBoardMutant, WithoutReleaseIsFound) {
  Users<NoReleaseEnv> users;
  expect_found(users.of({.rounds = 1, .at_once = 1}), {.strategy = Strategy::random},
               "data race on");
}

TEST_F(TaskBoardMutant, ThatDoesNotLookAgainAfterAPostIsFound) {
  Users<UnorderedPhaseEnv> users;
  expect_found(users.of({.rounds = 1, .at_once = 1, .closes = true}),
               {.strategy = Strategy::random}, "");
}

TEST_F(TaskBoardMutant, ThatWakesNobodyIsFound) {
  Users<SilentEnv> users;
  expect_found(users.of({.rounds = 2, .at_once = 1}), {.strategy = Strategy::random}, "");
}

TEST_F(TaskBoardMutant, WithoutTakeOverIsFound) {
  Users<BlindEnv> users;
  expect_found(users.of({.rounds = 1, .at_once = 2, .workers = 2, .mortal = 1}),
               {.strategy = Strategy::random, .deaths = 1, .timeouts = 100}, "a task is lost");
}

}  // namespace
}  // namespace sluice::tests
