// SPDX-License-Identifier: Apache-2.0
//
// The machinery that measures must itself be beyond doubt: who runs where, what a failure looks
// like, and that traffic which is wrong in any way ends a run.

#include "sluice/bench/harness/team.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "sluice/bench/harness/in_threads.h"
#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/rivals/descriptors.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {
namespace {

using namespace std::chrono_literals;
using testing::StartsWith;

constexpr SliceTimes kShort{1ms, 3ms};

std::vector<Figures> run(const Roles& roles) {
  const Stage stage{&roles, kShort};
  return Team(choose_cpus()).run({&stage, 1});
}

/// What run() complains about; "" if it does not.
std::string trouble_of(const Roles& roles) {
  try {
    (void)run(roles);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

TEST(InThreads, RunsAllRolesInOneProcessEachOnItsCpu) {
  const Placement placement = choose_cpus();
  std::atomic<int> there = 0;
  const auto tell = [&there](std::size_t figure) {
    return [&there, figure](Slice& slice) {
      // Both are there at once, and see each other's memory.
      ++there;
      while (there < 2) std::this_thread::yield();
      slice.report(figure, ::sched_getcpu());
    };
  };
  const Figures cpus = run(in_threads({tell(0), tell(1)}))[0];
  ASSERT_TRUE(placement.pinned) << "needs two CPUs";
  EXPECT_EQ(cpus[0], placement.cpus[0]);
  EXPECT_EQ(cpus[1], placement.cpus[1]);
}

TEST(InThreads, SaysWhatARoleHasThrown) {
  const Roles roles = {[](Slice&) {}, [](Slice&) { throw std::runtime_error("no more"); }};
  EXPECT_THAT(trouble_of(in_threads(roles)), testing::HasSubstr("no more"));
}

TEST(Team, RunsEachRoleInAProcessOfItsOwnOnACpuOfItsOwn) {
  const Placement placement = choose_cpus();
  const auto tell = [](std::size_t figure, double (*what)()) {
    return [=](Slice& slice) { slice.report(figure, what()); };
  };
  const auto pid = [] { return static_cast<double>(::getpid()); };
  const auto cpu = [] { return static_cast<double>(::sched_getcpu()); };
  const Figures pids = run({tell(0, pid), tell(1, pid)})[0];
  EXPECT_NE(pids[0], pids[1]);
  EXPECT_NE(pids[0], ::getpid());
  EXPECT_NE(pids[1], ::getpid());
  if (!placement.pinned) GTEST_SKIP() << "only one CPU";
  const Figures cpus = run({tell(0, cpu), tell(1, cpu)})[0];
  EXPECT_EQ(cpus[0], placement.cpus[0]);
  EXPECT_EQ(cpus[1], placement.cpus[1]);
  EXPECT_NE(cpus[0], cpus[1]);
}

TEST(Team, EntersEachStageTogether) {
  // Each process counts itself in; whoever enters the second stage must see both.
  auto counted = std::make_shared<InShared<std::atomic<int>>>(0);
  const Role count = [counted](Slice&) { ++**counted; };
  const auto look = [counted](std::size_t figure) {
    return [=](Slice& slice) { slice.report(figure, (**counted).load()); };
  };
  const Roles first = {count, count};
  const Roles second = {look(0), look(1)};
  const Stage stages[] = {{&first, kShort}, {&second, kShort}};
  const Figures seen = Team(choose_cpus()).run(stages)[1];
  EXPECT_EQ(seen[0], 2);
  EXPECT_EQ(seen[1], 2);
}

TEST(Team, LeavesAFigureThatNobodyReportedNotANumber) {
  EXPECT_TRUE(std::isnan(run({[](Slice&) {}})[0][0]));
}

TEST(Team, TellsWhichProcessFailedAndWhy) {
  const Role wait_for_ever = [](Slice&) {
    for (;;) ::pause();
  };
  const Role fail = [](Slice&) { throw std::runtime_error("no room"); };
  EXPECT_EQ(trouble_of({wait_for_ever, fail}), "process 1: no room");
  EXPECT_EQ(trouble_of({fail, wait_for_ever}), "process 0: no room");
}

TEST(Team, NoticesAKilledProcessAndKillsTheOther) {
  const Role spin_for_ever = [](Slice&) {
    for (;;) cpu_pause();
  };
  const Role die = [](Slice&) { ::raise(SIGKILL); };
  EXPECT_EQ(trouble_of({spin_for_ever, die}), "process 1: killed by signal 9");
}

TEST(Yardsticks, AreMeasurable) {
  const Yardsticks yardsticks;
  for (std::size_t i = 0; i < kYardsticks; ++i) {
    const auto yardstick = static_cast<Yardstick>(i);
    // Twice: each leaves its words as the next slice expects them.
    const Stage stage{&yardsticks.roles(yardstick), kShort};
    const Stage twice[] = {stage, stage};
    for (const Figures& figures : Team(choose_cpus()).run(twice)) {
      EXPECT_GT(figures[0], 0) << text_of(yardstick).name;
    }
  }
}

/// A pipe whose sender does something wrong to its second message; every slice has more than two.
template <std::size_t kSize>
class Planted {
 public:
  enum Bug { kNone, kLose, kRepeat, kReorder, kTear };

  explicit Planted(Bug bug) : bug_(bug) {}

  struct Sender {
    void send(const Message<kSize>& message) {
      ++sent;
      if (bug == kNone || sent < 2 || sent > 3) return pipe.send(message);
      if (sent == 2) held = message;
      if (bug == kLose && sent == 2) return;
      if (bug == kReorder && sent == 2) return;
      if (bug == kTear && sent == 2) held.words.back() ^= 1;
      pipe.send(bug == kTear && sent == 2 ? held : message);
      if (bug == kRepeat && sent == 2) pipe.send(message);
      if (bug == kReorder) pipe.send(held);
    }
    typename DescriptorChannel<kSize>::Sender pipe;
    Bug bug;
    int sent = 0;
    Message<kSize> held = {};
  };

  Sender sender() { return {pipe_.sender(), bug_}; }
  auto receiver() { return pipe_.receiver(); }

 private:
  DescriptorChannel<kSize> pipe_{make_pipe(Wait::block)};
  Bug bug_;
};

template <std::size_t kSize>
std::string trouble_of_stream(typename Planted<kSize>::Bug bug) {
  return trouble_of(one_way<kSize>(std::make_shared<Planted<kSize>>(bug)));
}

TEST(Traffic, PassesThroughAChannelThatWorks) {
  const Figures stream = run(one_way<64>(std::make_shared<Planted<64>>(Planted<64>::kNone)))[0];
  EXPECT_GT(stream[0], 0);
  const auto channel = [] { return std::make_shared<Planted<64>>(Planted<64>::kNone); };
  const Figures trips = run(round_trip<64>(channel(), channel()))[0];
  EXPECT_GT(trips[kMedianTrip], 0);
}

TEST(Traffic, EndsTheRunAtALostRepeatedReorderedOrTornMessage) {
  using Bugs = Planted<64>;
  EXPECT_THAT(trouble_of_stream<64>(Bugs::kLose), StartsWith("process 1: expected message 1,"));
  EXPECT_THAT(trouble_of_stream<64>(Bugs::kRepeat), StartsWith("process 1: expected message 2,"));
  EXPECT_THAT(trouble_of_stream<64>(Bugs::kReorder), StartsWith("process 1: expected message 1,"));
  EXPECT_THAT(trouble_of_stream<64>(Bugs::kTear), StartsWith("process 1: expected message 1,"));
  EXPECT_THAT(trouble_of_stream<4096>(Planted<4096>::kTear),
              StartsWith("process 1: expected message 1,"));
}

TEST(Traffic, EndsARoundTripAtAWrongEcho) {
  const auto good = std::make_shared<Planted<64>>(Planted<64>::kNone);
  const auto bad = std::make_shared<Planted<64>>(Planted<64>::kTear);
  // Its first word is right.
  EXPECT_EQ(trouble_of(round_trip<64>(good, bad)), "process 0: expected message 1, found 1");
}

}  // namespace
}  // namespace sluice::bench
