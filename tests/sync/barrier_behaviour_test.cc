// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's Barrier rely on (rows BA), by threads, forked children, and
// processes that meet by name.
//
//   here              BA3 to BA5, BA7 to BA13; leaving, dropping; signals; wait modes
//   by death          BA14: barrier_death_test.cc
//   bytes, cost       barrier_test.cc

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>

#include "sluice/sync/barrier.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kParties = 5;
/// How much later than its deadline a call may return on a machine that does other things as well.
constexpr auto kLate = 1s;
/// For waits that are to be ended by something else.
constexpr auto kLong = 30s;

struct Shared {
  Barrier<> barrier{kParties};
  Barrier<> timed{kParties, {.timeout = 300ms}};
  Barrier<1> alone;
  Barrier<2> two;
  Barrier<4> three{3};
  Mutex mutex;
  std::atomic<int> actions, thrown, passed, broken, timeouts, last;
  std::atomic<std::uint32_t> indices;
  std::atomic<int> step;
  int logged;  ///< guarded by `mutex`
  int log[kParties * 1000];
};

void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

template <class B>
void await_waiting(const B& barrier, std::uint32_t count) {
  while (barrier.n_waiting() < count) sched_yield();
}

template <class Way>
class BarrierBehaviour : public testing::Test {
 public:
  Stage<Way, Shared> stage_;
};
struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};
using Ways = testing::Types<ByThreads, ByFork, ByName>;
TYPED_TEST_SUITE(BarrierBehaviour, Ways, WayNames);

TYPED_TEST(BarrierBehaviour, BA3_TheActionRunsOncePerRoundBeforeAnybodyIsLetGo) {
  auto& stage = this->stage_;
  constexpr int kRounds = 50;
  for (int party = 0; party < kParties; ++party) {
    stage.start([](Shared& shared) {
      for (int round = 1; round <= kRounds; ++round) {
        const BarrierResult all = shared.barrier.wait(kLong, [&] {
          EXPECT_EQ(shared.barrier.n_waiting(), 5U) << "all have come";
          ++shared.actions;
          shared.indices = 0;
        });
        ASSERT_EQ(all.status, Status::ok);
        EXPECT_EQ(shared.actions, round);
        shared.last += all.last ? 1 : 0;
        shared.indices |= 1U << all.index;
        // None begins the next round before all have looked.
        ASSERT_EQ(shared.barrier.wait(kLong).status, Status::ok);
        EXPECT_EQ(shared.indices, 0b11111U) << "each party has a number of its own, below 5";
        EXPECT_EQ(shared.last, round);
        ASSERT_EQ(shared.barrier.wait(kLong).status, Status::ok);
      }
      shared.barrier.leave();
    });
  }
  stage.finish();
  EXPECT_EQ(stage->actions, kRounds);
}

TYPED_TEST(BarrierBehaviour, BA4_AnActionThatThrowsBreaksTheBarrier) {
  auto& stage = this->stage_;
  for (int party = 0; party < kParties; ++party) {
    stage.start([](Shared& shared) {
      try {
        const BarrierResult all =
            shared.barrier.wait(kLong, [] { throw std::out_of_range("the action's"); });
        EXPECT_EQ(all.status, Status::broken);
        ++shared.broken;
      } catch (const std::out_of_range&) {
        ++shared.thrown;
      }
      EXPECT_TRUE(shared.barrier.broken());
    });
  }
  stage.finish();
  EXPECT_EQ(stage->thrown, 1);
  EXPECT_EQ(stage->broken, 4);
}

TYPED_TEST(BarrierBehaviour, BA5_AnAbortIsToldToAllUntilReset) {
  auto& stage = this->stage_;
  for (int party = 0; party < kParties - 1; ++party) {
    stage.start([](Shared& shared) {
      EXPECT_EQ(shared.barrier.wait(kLong).status, Status::broken);
      EXPECT_TRUE(shared.barrier.broken());
      EXPECT_EQ(shared.barrier.wait(kLong).status, Status::broken) << "at once";
      EXPECT_THROW(shared.barrier.arrive_and_wait(), Error);
    });
  }
  await_waiting(stage->barrier, kParties - 1);
  EXPECT_FALSE(stage->barrier.broken());
  const auto told = time_of([&] {
    stage->barrier.abort();
    stage->barrier.abort();
    stage.finish();
  });
  EXPECT_LT(told, 10s);
  EXPECT_TRUE(stage->barrier.broken());
  EXPECT_EQ(stage->barrier.n_waiting(), 0U);
}

/// BA7, and the same with parties that still wait.
TYPED_TEST(BarrierBehaviour, BA7_AfterAResetAllPass) {
  auto& stage = this->stage_;
  for (int party = 0; party < kParties; ++party) {
    stage.start([party](Shared& shared) {
      if (party == 0) {
        await_waiting(shared.barrier, kParties - 1);
        shared.barrier.abort();
        await(shared.broken, kParties - 1);  // all are out
        EXPECT_EQ(shared.barrier.reset(), Status::ok);
        shared.step = 1;
      } else {
        EXPECT_EQ(shared.barrier.wait(kLong).status, Status::broken);
        ++shared.broken;
        await(shared.step, 1);
      }
      EXPECT_EQ(shared.barrier.wait(kLong).status, Status::ok);
      ++shared.passed;
      if (party == 0) {
        await_waiting(shared.barrier, kParties - 1);
        EXPECT_EQ(shared.barrier.reset(), Status::ok) << "they are told";
      } else {
        EXPECT_EQ(shared.barrier.wait(kLong).status, Status::broken);
      }
      EXPECT_EQ(shared.barrier.wait(kLong).status, Status::ok) << "and may come again at once";
      shared.barrier.leave();
    });
  }
  stage.finish();
  EXPECT_EQ(stage->passed, kParties);
  EXPECT_FALSE(stage->barrier.broken());
}

TYPED_TEST(BarrierBehaviour, BA8_ATimeOutBreaksTheRoundForAllAlsoForTheLate) {
  auto& stage = this->stage_;
  const auto begun = Clock::now();
  for (int party = 0; party < kParties - 1; ++party) {
    stage.start([](Shared& shared) {
      const auto start = Clock::now();
      const Status s = shared.barrier.wait(500ms).status;
      EXPECT_TRUE(s == Status::timeout || s == Status::broken) << s;
      if (s == Status::timeout) {
        EXPECT_GE(Clock::now() - start, 500ms);
        ++shared.timeouts;
      }
      EXPECT_LT(Clock::now() - start, 500ms + kLate);
    });
  }
  for (int party = 0; party < kParties - 1; ++party) stage.finish(party);
  EXPECT_GE(stage->timeouts, 1);
  while (Clock::now() - begun < 1s) usleep(10'000);
  const auto late = time_of([&] { EXPECT_EQ(stage->barrier.wait().status, Status::broken); });
  EXPECT_LT(late, 200ms) << "ten times the 20 ms that are promised on an idle machine";
}

TYPED_TEST(BarrierBehaviour, BA8_TimesThatHavePassedBreakAtOnce) {
  auto& stage = this->stage_;
  for (const Deadline deadline : {Deadline::now(), Deadline(-1h), Deadline(0s)}) {
    const auto waited =
        time_of([&] { EXPECT_EQ(stage->barrier.wait(deadline).status, Status::timeout); });
    EXPECT_LT(waited, kLate);
    EXPECT_TRUE(stage->barrier.broken());
    EXPECT_EQ(stage->barrier.reset(), Status::ok);
  }
}

TYPED_TEST(BarrierBehaviour, BA9_TheBarrierHasATimeOutOfItsOwn) {
  auto& stage = this->stage_;
  for (int party = 0; party < kParties - 1; ++party) {
    stage.start([party](Shared& shared) {
      const auto start = Clock::now();
      const Status s =
          party % 2 == 0 ? shared.timed.wait().status : shared.timed.wait([] {}).status;
      if (s == Status::timeout) {
        EXPECT_GE(Clock::now() - start, 300ms);
        ++shared.timeouts;
      } else {
        EXPECT_EQ(s, Status::broken);
      }
      EXPECT_LT(Clock::now() - start, 300ms + kLate);
    });
  }
  stage.finish();
  EXPECT_GE(stage->timeouts, 1);
}

TYPED_TEST(BarrierBehaviour, BA10_ABarrierForOneNeverBlocks) {
  auto& stage = this->stage_;
  stage.start([](Shared& shared) {
    for (int i = 1; i <= 1000; ++i) {
      const BarrierResult all = shared.alone.wait(Deadline::now(), [&] { ++shared.actions; });
      ASSERT_EQ(all.status, Status::ok);
      EXPECT_TRUE(all.last);
      EXPECT_EQ(all.index, 0U);
      EXPECT_EQ(shared.actions, i);
    }
  });
  stage.finish();
}

TYPED_TEST(BarrierBehaviour, BA11_AThousandRoundsOfFive) {
  auto& stage = this->stage_;
  for (int party = 0; party < kParties; ++party) {
    stage.start([](Shared& shared) {
      for (int round = 0; round < 1000; ++round) {
        {
          const std::scoped_lock hold(shared.mutex);
          shared.log[shared.logged++] = round;
        }
        ASSERT_EQ(shared.barrier.wait(kLong).status, Status::ok);
      }
    });
  }
  stage.finish();
  ASSERT_EQ(stage->logged, kParties * 1000);
  for (int i = 0; i < kParties * 1000; ++i) ASSERT_EQ(stage->log[i], i / kParties) << i;
}

/// The long form of BA11: SLUICE_BARRIER_ROUNDS=100000.
TYPED_TEST(BarrierBehaviour, BA11_ManyRoundsOfTwo) {
  auto& stage = this->stage_;
  const char* const given = std::getenv("SLUICE_BARRIER_ROUNDS");
  const int rounds = given != nullptr ? std::atoi(given) : 10000;
  const auto took = time_of([&] {
    for (int party = 0; party < 2; ++party) {
      stage.start([rounds](Shared& shared) {
        for (int round = 0; round < rounds; ++round) {
          ASSERT_EQ(shared.two.wait(kLong).status, Status::ok);
        }
      });
    }
    stage.finish();
  });
  std::cout << "BA11: " << rounds << " rounds of two in "
            << std::chrono::duration<double>(took).count() << " s\n";
}

TYPED_TEST(BarrierBehaviour, BA12_TheTextSaysHowManyWait) {
  auto& stage = this->stage_;
  const auto text = [&] { return (std::ostringstream() << stage->three).str(); };
  EXPECT_EQ(text(), "Barrier: 0 of 3 wait");
  for (int party = 0; party < 2; ++party) {
    stage.start([](Shared& shared) { EXPECT_EQ(shared.three.wait(kLong).status, Status::broken); });
  }
  await_waiting(stage->three, 2);
  EXPECT_EQ(text(), "Barrier: 2 of 3 wait");
  stage->three.abort();
  stage.finish();
  EXPECT_THAT(text(), testing::StartsWith("Barrier: broken by participant "));
  EXPECT_THAT(text(), testing::HasSubstr("(pid " + std::to_string(getpid()) + ","));
}

TYPED_TEST(BarrierBehaviour, BA13_AChildSeesThePartiesAndResets) {
  auto& stage = this->stage_;
  stage->barrier.abort();
  stage.start([](Shared& shared) {
    EXPECT_EQ(shared.barrier.parties(), 5U);
    EXPECT_TRUE(shared.barrier.broken());
    EXPECT_EQ(shared.barrier.reset(), Status::ok);
  });
  stage.finish();
  EXPECT_FALSE(stage->barrier.broken());
  EXPECT_EQ(stage->barrier.n_waiting(), 0U);
}

TYPED_TEST(BarrierBehaviour, WhoLeavesMayBeReplacedByANewcomer) {
  auto& stage = this->stage_;
  for (int generation = 0; generation < 3; ++generation) {
    for (int party = 0; party < 3; ++party) {
      stage.start([](Shared& shared) {
        for (int round = 0; round < 10; ++round) {
          ASSERT_EQ(shared.three.wait(kLong).status, Status::ok);
        }
        shared.three.leave();
      });
    }
    stage.finish();
    stage.forget_finished();
    EXPECT_EQ(stage->three.parties(), 3U);
    EXPECT_FALSE(stage->three.broken());
  }
}

TYPED_TEST(BarrierBehaviour, WhoDropsOutLetsTheOthersGoOnWithFewer) {
  auto& stage = this->stage_;
  for (int party = 0; party < 3; ++party) {
    stage.start([party](Shared& shared) {
      for (int round = 0; round < 20 * (party + 1); ++round) {
        ASSERT_EQ(shared.three.wait(kLong, [&] { ++shared.actions; }).status, Status::ok);
      }
      shared.three.arrive_and_drop([&] { ++shared.actions; });
    });
  }
  stage.finish();
  EXPECT_EQ(stage->actions, 61) << "a drop is an arrival, and the last is a round of its own";
  EXPECT_EQ(stage->three.parties(), 0U);
  EXPECT_EQ(stage->three.reset(), Status::ok);
  EXPECT_EQ(stage->three.parties(), 3U);
}

TYPED_TEST(BarrierBehaviour, SignalHandlersDoNotEndAWait) {
  auto& stage = this->stage_;
  static std::atomic<int> handled;  // of this process
  handled = 0;
  struct sigaction count = {};
  struct sigaction before = {};
  count.sa_handler = [](int) { ++handled; };  // without SA_RESTART
  sigaction(SIGUSR1, &count, &before);
  const int waiter = stage.start([](Shared& shared) {
    EXPECT_EQ(shared.three.wait(kLong).status, Status::broken);
    EXPECT_GE(handled, 10);
  });
  const pid_t thread = stage.thread_of(waiter);
  const pid_t process = TypeParam::kProcesses ? thread : getpid();
  await_waiting(stage->three, 1);
  for (int i = 0; i < 30; ++i) {
    stage.wait_until_asleep(waiter);
    EXPECT_EQ(tgkill(process, thread, SIGUSR1), 0);
    usleep(5000);
  }
  EXPECT_EQ(stage->three.n_waiting(), 1U);
  stage->three.abort();
  stage.finish();
  sigaction(SIGUSR1, &before, nullptr);
}

TYPED_TEST(BarrierBehaviour, EachWaitModeIsLetGoAtOnce) {
  auto& stage = this->stage_;
  for (const WaitMode mode : {WaitMode::spin, WaitMode::adaptive, WaitMode::block}) {
    stage.start([mode](Shared& shared) {
      // No slice ends: who is not woken stays.
      const ScopedWaitPolicy policy({.mode = mode, .first_slice = 1h, .longest_slice = 1h});
      for (int round = 0; round < 100; ++round) {
        ASSERT_EQ(shared.three.wait(Deadline::never()).status, Status::ok);
      }
    });
  }
  EXPECT_LT(time_of([&] { stage.finish(); }), 30s);
}

}  // namespace
}  // namespace sluice::tests
