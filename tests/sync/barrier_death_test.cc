// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a barrier when its parties are killed (row BA14), waiting, on their way, or in
// the action, by forked children and by processes that meet by name; and what each OnDeath makes of
// it.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "sluice/sync/barrier.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Within which the living are told: ten times the 100 ms that are promised on an idle machine.
constexpr auto kLimit = 1s;
/// For waits that are to be ended by something else.
constexpr auto kLong = 30s;

struct Shared {
  Barrier<4> breaks{3};
  Barrier<4> counts{3, {.on_death = OnDeath::counts_if_arrived}};
  Barrier<4> shrinks{3, {.on_death = OnDeath::shrink}};
  Barrier<4> replaces{3, {.on_death = OnDeath::replace}};
  std::atomic<int> joined, passed, broken, step, actions;
};

void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

template <class Way>
class BarrierDeath : public testing::Test {
 public:
  using Which = Barrier<4> Shared::*;

  /// A party that has a seat, waits, and tells how that ended; `rounds` times, or until broken.
  int start_party(Which which, int rounds = 1, WaitMode mode = WaitMode::adaptive) {
    return stage_.start([=](Shared& shared) {
      set_wait_policy({.mode = mode});
      EXPECT_EQ((shared.*which).join(), Status::ok);
      ++shared.joined;
      for (int round = 0; round < rounds; ++round) {
        const Status s = (shared.*which).wait(kLong, [&] { ++shared.actions; }).status;
        if (s == Status::broken) {
          ++shared.broken;
          return;
        }
        EXPECT_EQ(s, Status::ok);
        ++shared.passed;
      }
      (shared.*which).leave();
    });
  }
  /// A party that has a seat and does not come.
  int start_idler(Which which) {
    return stage_.start([=](Shared& shared) {
      EXPECT_EQ((shared.*which).join(), Status::ok);
      ++shared.joined;
      for (;;) pause();
    });
  }
  void await_waiting(Which which, std::uint32_t count) {
    while (((*stage_).*which).n_waiting() < count) sched_yield();
  }
  template <class Done>
  Clock::duration kill_and_await(int party, Done done) {
    const auto start = Clock::now();
    stage_.kill(party);
    while (!done()) sched_yield();
    return Clock::now() - start;
  }

  Stage<Way, Shared> stage_;
};
struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};
using Ways = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(BarrierDeath, Ways, WayNames);

TYPED_TEST(BarrierDeath, BA14_AWaitingPartyThatIsKilledBreaksTheBarrier) {
  auto& stage = this->stage_;
  for (const WaitMode mode : {WaitMode::adaptive, WaitMode::spin, WaitMode::block}) {
    stage->joined = stage->broken = 0;
    std::vector<int> parties;
    for (int i = 0; i < 2; ++i) parties.push_back(this->start_party(&Shared::breaks, 1, mode));
    const int idler = this->start_idler(&Shared::breaks);  // so that all seats are taken
    this->await_waiting(&Shared::breaks, 2);
    await(stage->joined, 3);
    const auto pause = this->kill_and_await(parties[0], [&] { return stage->broken == 1; });
    EXPECT_LT(pause, kLimit);
    std::cout << "BA14: told of a waiting party's death after "
              << std::chrono::duration<double, std::milli>(pause).count() << " ms\n";
    EXPECT_EQ(stage->breaks.wait().status, Status::broken) << "who comes later, at once";
    EXPECT_TRUE(stage->breaks.broken());
    stage.finish(parties[1]);
    stage.kill(idler);
    stage.forget_finished();
    EXPECT_EQ(stage->breaks.reset(), Status::ok) << "the dead give up their seats";
  }
}

TYPED_TEST(BarrierDeath, BA14_APartyKilledOnItsWayBreaksTheBarrier) {
  auto& stage = this->stage_;
  std::vector<int> waiting;
  for (int i = 0; i < 2; ++i) waiting.push_back(this->start_party(&Shared::breaks));
  const int idler = this->start_idler(&Shared::breaks);
  this->await_waiting(&Shared::breaks, 2);
  await(stage->joined, 3);
  for (const int party : waiting) stage.wait_until_asleep(party);
  const auto pause = this->kill_and_await(idler, [&] { return stage->broken == 2; });
  EXPECT_LT(pause, kLimit);
  stage.finish();
  EXPECT_EQ(stage->passed, 0);
}

TYPED_TEST(BarrierDeath, ANewcomerIsToldThatAllSeatsAreTheDeads) {
  auto& stage = this->stage_;
  for (const auto which : {&Shared::breaks, &Shared::counts, &Shared::shrinks}) {
    auto& barrier = (*stage).*which;
    stage->joined = 0;
    for (int i = 0; i < 3; ++i) this->start_idler(which);
    await(stage->joined, 3);
    EXPECT_EQ(barrier.wait(100ms).status, Status::full) << "they live";
    EXPECT_EQ(barrier.join(), Status::full);
    EXPECT_FALSE(barrier.broken()) << "and nothing is broken by one who is none of them";
    for (int i = 0; i < 3; ++i) stage.kill(i);
    stage.forget_finished();
    EXPECT_EQ(barrier.wait(10s).status, Status::broken);
    EXPECT_EQ(barrier.reset(), Status::ok);
    EXPECT_EQ(barrier.parties(), 3U);
    EXPECT_EQ(barrier.join(), Status::ok);
    barrier.leave();
  }
}

TYPED_TEST(BarrierDeath, WhoHadComeCountsIfThatIsWanted) {
  auto& stage = this->stage_;
  const int first = this->start_party(&Shared::counts, 2);
  const int second = this->start_party(&Shared::counts, 2);
  await(stage->joined, 2);
  EXPECT_EQ(stage->counts.join(), Status::ok);
  this->await_waiting(&Shared::counts, 2);
  stage.kill(first);
  usleep(200'000);  // slices end meanwhile
  EXPECT_EQ(stage->counts.n_waiting(), 2U);
  EXPECT_EQ(stage->counts.wait(kLong).status, Status::ok);
  const auto start = Clock::now();
  EXPECT_EQ(stage->counts.wait(kLong).status, Status::broken) << "to the next it can't come";
  EXPECT_LT(Clock::now() - start, kLimit);
  stage.finish(second);
  EXPECT_EQ(stage->passed, 1);
  EXPECT_EQ(stage->broken, 1);
}

TYPED_TEST(BarrierDeath, WhoHadNotComeBreaksItAlsoThen) {
  auto& stage = this->stage_;
  this->start_party(&Shared::counts);
  this->start_party(&Shared::counts);
  const int idler = this->start_idler(&Shared::counts);
  await(stage->joined, 3);
  this->await_waiting(&Shared::counts, 2);
  EXPECT_LT(this->kill_and_await(idler, [&] { return stage->broken == 2; }), kLimit);
  stage.finish();
}

TYPED_TEST(BarrierDeath, TheOthersGoOnWithFewerIfThatIsWanted) {
  auto& stage = this->stage_;
  const int waiting = this->start_party(&Shared::shrinks, 20);
  const int idler = this->start_idler(&Shared::shrinks);
  await(stage->joined, 2);
  EXPECT_EQ(stage->shrinks.join(), Status::ok);
  this->await_waiting(&Shared::shrinks, 1);
  stage.kill(idler);
  const auto start = Clock::now();
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(stage->shrinks.wait(kLong, [&] { ++stage->actions; }).status, Status::ok);
  }
  EXPECT_LT(Clock::now() - start, kLimit) << "one slice, not one per round";
  stage.finish(waiting);
  EXPECT_EQ(stage->shrinks.parties(), 2U);
  EXPECT_EQ(stage->actions, 20);
  EXPECT_EQ(stage->shrinks.reset(), Status::ok);
  EXPECT_EQ(stage->shrinks.parties(), 3U);
}

TYPED_TEST(BarrierDeath, BA14_TheRoundWaitsForAReplacementIfThatIsWanted) {
  auto& stage = this->stage_;
  const int waiting = this->start_party(&Shared::replaces);
  const int idler = this->start_idler(&Shared::replaces);
  await(stage->joined, 2);
  EXPECT_EQ(stage->replaces.join(), Status::ok);
  this->await_waiting(&Shared::replaces, 1);
  stage.kill(idler);
  usleep(200'000);  // slices end meanwhile
  EXPECT_EQ(stage->passed, 0);
  EXPECT_FALSE(stage->replaces.broken());
  const int newcomer = this->start_party(&Shared::replaces);
  EXPECT_EQ(stage->replaces.wait(kLong).status, Status::ok);
  stage.finish(waiting);
  stage.finish(newcomer);
  EXPECT_EQ(stage->passed, 2);
}

TYPED_TEST(BarrierDeath, APartyKilledInTheActionBreaksTheBarrierWhateverWasWanted) {
  auto& stage = this->stage_;
  for (const auto which : {&Shared::breaks, &Shared::counts, &Shared::shrinks, &Shared::replaces}) {
    stage->joined = stage->broken = stage->step = 0;
    const int first = this->start_party(which);
    const int second = this->start_party(which);
    this->await_waiting(which, 2);
    const int victim = stage.start([which](Shared& shared) {
      static_cast<void>((shared.*which).wait(kLong, [&] {
        shared.step = 1;
        for (;;) pause();
      }));
    });
    await(stage->step, 1);
    EXPECT_EQ(((*stage).*which).report().state, BarrierReport::State::acting);
    const auto pause = this->kill_and_await(victim, [&] { return stage->broken == 2; });
    EXPECT_LT(pause, kLimit);
    stage.finish(first);
    stage.finish(second);
    EXPECT_EQ(stage->passed, 0);
    stage.forget_finished();
  }
}

/// Once all have come, only the one who runs the action matters.
TYPED_TEST(BarrierDeath, ADeathBesideTheActionDoesNotBreakTheRound) {
  auto& stage = this->stage_;
  const int first = this->start_party(&Shared::breaks);
  const int second = this->start_party(&Shared::breaks);
  this->await_waiting(&Shared::breaks, 2);
  const Status s = stage->breaks
                       .wait(kLong,
                             [&] {
                               stage.kill(first);
                               usleep(200'000);  // slices end meanwhile
                             })
                       .status;
  EXPECT_EQ(s, Status::ok);
  stage.finish(second);
  EXPECT_EQ(stage->passed, 1);
  EXPECT_EQ(stage->breaks.wait(kLong).status, Status::broken) << "to the next it can't come";
}

/// Killed at random moments of many rounds: the living are let go or told, and never sleep on.
TYPED_TEST(BarrierDeath, NobodySleepsOnWhenPartiesAreKilledAtAnyMoment) {
  auto& stage = this->stage_;
  std::mt19937 random(14);
  for (int kills = 0; kills < 30; ++kills) {
    stage->joined = stage->broken = 0;
    std::vector<int> parties;
    for (int i = 0; i < 3; ++i) {
      parties.push_back(this->start_party(&Shared::breaks, 1'000'000,
                                          i == 0 ? WaitMode::adaptive : WaitMode::block));
    }
    await(stage->joined, 3);
    const auto until = Clock::now() + std::chrono::microseconds(random() % 3000);
    while (Clock::now() < until) continue;
    const int victim = parties[random() % 3];
    const auto pause = this->kill_and_await(victim, [&] { return stage->broken == 2; });
    ASSERT_LT(pause, kLimit) << "at kill " << kills;
    for (const int party : parties) {
      if (party != victim) stage.finish(party);
    }
    stage.forget_finished();
    ASSERT_EQ(stage->breaks.reset(), Status::ok);
  }
}

}  // namespace
}  // namespace sluice::tests
