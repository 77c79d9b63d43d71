// SPDX-License-Identifier: Apache-2.0
//
// The modes of the step-kill harness, each with a bug that it finds and that no other mode does.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"

namespace {

using sluice::testkit::CrashMode;
using sluice::testkit::CrashOperation;
using sluice::testkit::CrashOptions;
using sluice::testkit::CrashProfile;
using sluice::testkit::CrashResult;
using sluice::testkit::SharedArea;
using sluice::testkit::step_kill;
using sluice::testkit::step_kill_in_all_modes;
using std::chrono::milliseconds;

std::string printed(const CrashResult& result) {
  std::ostringstream out;
  out << result;
  return out.str();
}

void expect_found_only_by(CrashMode mode, const CrashOperation& op, const std::string& reason) {
  for (const CrashResult& result : step_kill_in_all_modes(op)) {
    EXPECT_EQ(result.error, "") << result;
    EXPECT_EQ(result.broken > 0, result.mode == mode) << result;
    EXPECT_EQ(result.reason, result.mode == mode ? reason : "") << result;
  }
}

void expect_intact_in_all_modes(const CrashOperation& op) {
  const std::vector<CrashResult> results = step_kill_in_all_modes(op);
  EXPECT_EQ(results.size(), 3u);
  for (const CrashResult& result : results) EXPECT_TRUE(result.intact()) << result;
}

// -------------------------------------------------------------------------------------------------
// An account whose journal says what is under way: an amount is moved from one pot to another, and
// whoever finds a journal finishes the move

struct Pots {
  std::atomic<int> from, to;
  // Of a move: what the pots are to hold. `open` is written last and cleared last.
  std::atomic<int> new_from, new_to, open;

  void move_one() {
    new_from = from - 1;
    new_to = to + 1;
    open = 1;
    finish();
  }
  void finish() {
    from.store(new_from);
    to.store(new_to);
    open = 0;
  }
};

class Moving : public testing::Test {
 protected:
  // Right: what is to be stored does not depend on what has been stored already.
  void repair() {
    if (pots_->open != 0) pots_->finish();
  }
  // Wrong: whoever dies after the first store leaves nothing that says what is to be done.
  void repair_that_closes_first() {
    if (pots_->open == 0) return;
    pots_->open = 0;
    pots_->finish();
  }

  CrashOperation move(const std::function<void()>& recover) {
    CrashOperation op{.name = "move"};
    op.shared = {pots_.bytes()};
    op.setup = [this] {
      pots_.reset();
      pots_->from = 10;
    };
    op.operation = [this] { pots_->move_one(); };
    op.interfere = [] {};
    op.recover = recover;
    op.survivor = [this, recover](bool completed) -> std::string {
      recover();
      if (pots_->from + pots_->to != 10) return "something is lost";
      return completed && pots_->to != 1 ? "not moved" : "";
    };
    return op;
  }

  SharedArea<Pots> pots_;
};

TEST_F(Moving, IsIntactInAllModes) {
  expect_intact_in_all_modes(move([this] { repair(); }));
}

TEST_F(Moving, ARepairThatCantBeRepeatedIsFoundBySecondDeathOnly) {
  expect_found_only_by(CrashMode::second_death, move([this] { repair_that_closes_first(); }),
                       "something is lost");
}

TEST_F(Moving, TheLineTellsWhereTheSecondDeathWas) {
  const CrashOptions options{.mode = CrashMode::second_death, .seed = 7};
  const CrashResult result = step_kill(move([this] { repair_that_closes_first(); }), options);
  ASSERT_GT(result.broken, 0u) << result;
  EXPECT_GT(result.second_deaths, result.kill_points);
  EXPECT_GT(result.first_broken_recovery, 0u);
  const std::string line = printed(result);
  EXPECT_EQ(line.rfind("move, second death: ", 0), 0u) << line;
  EXPECT_NE(line.find(" second deaths (seed 7), "), std::string::npos) << line;
  EXPECT_NE(line.find(", then point " + std::to_string(result.first_broken_recovery) +
                      " of the recovery): something is lost"),
            std::string::npos)
      << line;
}

TEST_F(Moving, TheFullProfileTriesAllSecondDeaths) {
  const CrashOperation op = move([this] { repair(); });
  CrashOptions options{.mode = CrashMode::second_death, .second_deaths = 1};
  const CrashResult quick = step_kill(op, options);
  options.profile = CrashProfile::full;
  const CrashResult full = step_kill(op, options);
  EXPECT_TRUE(quick.intact()) << quick;
  EXPECT_TRUE(full.intact()) << full;
  EXPECT_LE(quick.second_deaths, 2 * quick.kill_points);
  EXPECT_GT(full.second_deaths, 2 * full.kill_points);
}

// The survivor hears of the victim's operation, never of the recovery's.
TEST_F(Moving, WhatTheSurvivorIsToldIsTrueInEachMode) {
  SharedArea<std::atomic<int>> returned;
  CrashOperation op = move([this] { repair(); });
  op.shared.push_back(returned.bytes());
  op.setup = [&] {
    pots_.reset();
    *returned = 0;
  };
  op.operation = [&] {
    pots_->move_one();
    *returned = 1;
  };
  op.survivor = [&](bool completed) -> std::string {
    return completed && *returned == 0 ? "told too early" : "";
  };
  expect_intact_in_all_modes(op);
}

TEST_F(Moving, ARecoveryThatFailsIsBroken) {
  const CrashOptions options{.mode = CrashMode::second_death, .stop_after_broken = 1};
  CrashOperation op = move([this] { repair(); });
  op.recover = [] { throw std::runtime_error("what is this"); };
  EXPECT_EQ(step_kill(op, options).reason, "the recovery threw: what is this");
  op.recover = [] { _exit(3); };
  EXPECT_EQ(step_kill(op, options).reason,
            "the recovery, by itself, ended its process with exit code 3");
  op.recover = [] { pause(); };
  EXPECT_EQ(step_kill(op, options).reason, "the recovery blocks in a system call");
}

// -------------------------------------------------------------------------------------------------
// Two words that belong together, guarded by a third with the owner's pid in it

struct Guarded {
  std::atomic<int> owner;  // 0: nobody
  std::atomic<int> first, second;
};

class Guarding : public testing::Test {
 protected:
  // A neighbour takes what is free, or what the dead have left.
  CrashOperation setting() {
    CrashOperation op{.name = "set both"};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.operation = [this] { set_both(7); };
    op.interfere = [this] {
      const bool free = area_->owner == 0 || kill(area_->owner, 0) != 0;
      if (free) set_both(8);
    };
    op.survivor = [this](bool) -> std::string {
      const bool torn = area_->first != area_->second;
      return torn && area_->owner == 0 ? "torn, and nobody owns it" : "";
    };
    return op;
  }

  void set_both(int value) {
    area_->owner = getpid();
    area_->first = value;
    area_->second = value;
    area_->owner = 0;
  }

  SharedArea<Guarded> area_;
};

TEST_F(Guarding, IsIntactBesideAPoliteNeighbour) {
  for (const CrashResult& result : step_kill_in_all_modes(setting())) {
    EXPECT_TRUE(result.intact()) << result;
  }
}

// Alone, the victim leaves its name beside what it has torn; only somebody who comes along while it
// is alive can take that away.
TEST_F(Guarding, ALockThatIsBrokenWhileItsOwnerLivesIsFoundByInterferenceOnly) {
  CrashOperation op = setting();
  op.interfere = [this] { area_->owner = 0; };
  expect_found_only_by(CrashMode::interference, op, "torn, and nobody owns it");
}

// -------------------------------------------------------------------------------------------------

CrashOperation harmless() {
  CrashOperation op{.name = "harmless"};
  op.operation = [] {};
  op.interfere = [] {};
  op.recover = [] {};
  op.survivor = [](bool) { return std::string(); };
  return op;
}

TEST(Interference, TheVictimIsAliveMeanwhileAndDeadAfterwards) {
  SharedArea<std::atomic<int>> victim, alive_then;
  CrashOperation op = harmless();
  op.shared = {victim.bytes()};
  op.setup = [&] { *victim = 0, *alive_then = 0; };
  op.prepare = [&] { *victim = getpid(); };
  op.operation = [] {};
  op.interfere = [&] { *alive_then = kill(*victim, 0) == 0; };
  op.survivor = [&](bool) -> std::string {
    if (*alive_then == 0) return "the victim was dead while the other one interfered";
    return kill(*victim, 0) == 0 ? "the victim is alive while the survivor runs" : "";
  };
  const CrashResult result = step_kill(op, {.mode = CrashMode::interference});
  EXPECT_TRUE(result.intact()) << result;
}

TEST(Interference, AProcessThatFailsIsBroken) {
  CrashOptions options{.mode = CrashMode::interference, .stop_after_broken = 1};
  CrashOperation op = harmless();
  op.interfere = [] { throw std::runtime_error("in my way"); };
  EXPECT_EQ(step_kill(op, options).reason, "the interfering process threw: in my way");
  op.interfere = [] { _exit(3); };
  EXPECT_EQ(step_kill(op, options).reason,
            "the interfering process ended its process with exit code 3");
  options.survivor_limit = milliseconds(50);
  op.interfere = [] { pause(); };
  EXPECT_EQ(step_kill(op, options).reason, "the interfering process hung: not ready after 50 ms");
}

TEST(Modes, TheOnesWithoutACallbackAreLeftOutOrRefused) {
  CrashOperation op = harmless();
  EXPECT_EQ(step_kill_in_all_modes(op).size(), 3u);
  op.interfere = nullptr;
  EXPECT_EQ(step_kill_in_all_modes(op).size(), 2u);
  EXPECT_THROW((void)step_kill(op, {.mode = CrashMode::interference}), std::invalid_argument);
  op.recover = nullptr;
  EXPECT_EQ(step_kill_in_all_modes(op).size(), 1u);
  EXPECT_THROW((void)step_kill(op, {.mode = CrashMode::second_death}), std::invalid_argument);
}

}  // namespace
