// SPDX-License-Identifier: Apache-2.0
//
// What users rely on in a Latest, by threads, forked children, and processes that meet by name
// (rows VA of the behaviour that users of Python's Value know).
//
//   here                 VA4; values seen, waited for, and stored beside stopped and killed parties
//   nothing to test      VA3 (no lock of the user's); VA2 is lockfree/latest_word.h's word itself

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "sluice/lockfree/latest.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/lock_ways.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

/// Of 64 bytes, all of which follow from the number.
struct Block {
  std::array<std::uint64_t, 8> words;

  static Block of(std::uint64_t n) {
    Block block;
    for (std::size_t i = 0; i < block.words.size(); ++i) block.words[i] = n * (i + 1);
    return block;
  }
  [[nodiscard]] std::uint64_t number() const { return words[0]; }
  [[nodiscard]] bool is_whole() const { return words == of(words[0]).words; }
};

struct Shared {
  Latest<std::int32_t> word;
  Latest<Block> block;
  std::atomic<int> step;
};

void await_step(const Shared& shared, int step) {
  while (shared.step < step) sched_yield();
}

template <class Way>
class LatestBehaviour : public testing::Test {
 public:
  /// A party that is in the midst of an update, and says so by step 1, until step 2.
  int start_updating() {
    const int party = stage_.start([](Shared& shared) {
      shared.block.update([&](Block& block) {
        block.words[3] = 99;  // half a change
        shared.step = 1;
        await_step(shared, 2);
        block = Block::of(2);
      });
    });
    await_step(*stage_, 1);
    return party;
  }

  Stage<Way, Shared> stage_;
};

template <class Way>
using LatestDeaths = LatestBehaviour<Way>;

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

using AllWays = testing::Types<ByThreads, ByFork, ByName>;
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(LatestBehaviour, AllWays, WayNames);
TYPED_TEST_SUITE(LatestDeaths, Processes, WayNames);

TYPED_TEST(LatestBehaviour, VA4_NoIncrementIsLost) {
  constexpr int kParties = 4, kTimes = 100000;
  for (int i = 0; i < kParties; ++i) {
    this->stage_.start([](Shared& shared) {
      for (int n = 0; n < kTimes; ++n) {
        shared.word.fetch_add(1);
        shared.block.update([](const Block& now) { return Block::of(now.number() + 1); });
      }
    });
  }
  this->stage_.finish();
  EXPECT_EQ(this->stage_->word.load(), kParties * kTimes);
  EXPECT_EQ(this->stage_->block.load().number(), kParties * kTimes);
}

TYPED_TEST(LatestBehaviour, WhatAPartyStoresAnotherLoads) {
  this->stage_.start([](Shared& shared) {
    shared.word.store(-7);
    shared.block.store(Block::of(7));
  });
  this->stage_.finish();
  EXPECT_EQ(this->stage_->word.load(), -7);
  EXPECT_EQ(this->stage_->block.load().number(), 7U);
}

TYPED_TEST(LatestBehaviour, AreNeverTornAndNeverGoBack) {
  constexpr std::uint64_t kEnd = 20000;
  for (int i = 0; i < 3; ++i) {
    this->stage_.start([](Shared& shared) {
      for (std::uint64_t last = 0; last < kEnd;) {
        const Block block = shared.block.load();
        ASSERT_TRUE(block.is_whole());
        ASSERT_GE(block.number(), last);
        last = block.number();
      }
    });
  }
  for (std::uint64_t n = 1; n <= kEnd; ++n) this->stage_->block.store(Block::of(n));
  this->stage_.finish();
}

TYPED_TEST(LatestBehaviour, AStoreWakesWhoWaits) {
  auto& stage = this->stage_;
  const int word = stage.start([](Shared& shared) { EXPECT_EQ(shared.word.wait(0), 5); });
  const int block =
      stage.start([](Shared& shared) { EXPECT_EQ(shared.block.wait(Block::of(0)).number(), 5U); });
  stage.wait_until_asleep(word);
  stage.wait_until_asleep(block);
  stage->word.store(5);
  stage->block.store(Block::of(5));
  stage.finish();
}

TYPED_TEST(LatestBehaviour, ReadersDoNotWaitForAWriterAndWritersDoUntilTheirDeadline) {
  this->start_updating();
  auto& block = this->stage_->block;
  EXPECT_EQ(block.load().number(), 0U);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(block.store(Block::of(3), 20ms), Status::timeout);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  EXPECT_EQ(block.load().number(), 0U);
  this->stage_->step = 2;
  this->stage_.finish();
  EXPECT_EQ(block.load().number(), 2U);
}

TYPED_TEST(LatestDeaths, AKilledWriterLeavesTheValueAndIsFollowedByTheNext) {
  for (std::uint64_t round = 0; round < 5; ++round) {
    auto& stage = this->stage_;
    stage->step = 0;
    const int writer = this->start_updating();
    const int next = stage.start([round](Shared& shared) {
      EXPECT_EQ(shared.block.store(Block::of(10 + round), 5s), Status::ok);
    });
    stage.wait_until_asleep(next);
    stage.kill(writer);
    stage.finish(next);
    EXPECT_EQ(stage->block.load().number(), 10 + round);
    stage.forget_finished();
  }
}

TYPED_TEST(LatestDeaths, AStoppedWriterStopsNoReader) {
  auto& stage = this->stage_;
  stage->block.store(Block::of(1));
  const int writer = this->start_updating();
  const pid_t pid = stage.thread_of(writer);
  ASSERT_EQ(kill(pid, SIGSTOP), 0);
  ASSERT_TRUE(wait_for_state(pid, 'T'));
  EXPECT_EQ(stage->block.load().number(), 1U);
  EXPECT_EQ(stage->block.store(Block::of(3), 100ms), Status::timeout) << "stopped is not dead";
  ASSERT_EQ(kill(pid, SIGCONT), 0);
  stage->step = 2;
  stage.finish();
  EXPECT_EQ(stage->block.load().number(), 2U);
}

TYPED_TEST(LatestDeaths, AKilledWaiterTakesNoWakeUpAlong) {
  auto& stage = this->stage_;
  const auto wait = [](Shared& shared) { EXPECT_EQ(shared.word.wait(0), 5); };
  const int killed = stage.start(wait);
  const int lives = stage.start(wait);
  stage.wait_until_asleep(killed);
  stage.wait_until_asleep(lives);
  stage.kill(killed);
  stage->word.store(5);
  stage.finish(lives);
}

}  // namespace
}  // namespace sluice::tests
