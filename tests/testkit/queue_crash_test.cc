// SPDX-License-Identifier: Apache-2.0
//
// Crash tests of queues: nothing is said of two that are healthy, and each flaw is found, for its
// own reason.

#include "sluice/testkit/queue_crash.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <string>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/queue_crash_options.h"
#include "sluice/testkit/test_seed.h"
#include "sluice/tests/testkit/small_queues.h"

namespace {

using sluice::testkit::check_kill_stress;
using sluice::testkit::check_step_kill;
using sluice::testkit::CheckedItem;
using sluice::testkit::CrashProfile;
using sluice::testkit::kNoVerdict;
using sluice::testkit::QueueCrashOptions;
using sluice::tests::Flaw;
using sluice::tests::Locked;
using sluice::tests::LockedQueue;
using sluice::tests::RingAdapter;

QueueCrashOptions printing() {
  return {.profile = sluice::testkit::profile_from_environment(),
          .seed = sluice::testkit::test_seed(),
          .log = &std::cout};
}

const QueueCrashOptions kLong = {.profile = CrashProfile::full};

/// Something is wrong, within ten seconds, and it is `what`.
template <Flaw kFlaw>
void expect_found(const std::string& what) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string wrong = check_step_kill<LockedQueue<CheckedItem, kFlaw>>();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  if (wrong.find("ptrace") != std::string::npos) GTEST_SKIP() << wrong;
  EXPECT_NE(wrong.find(what), std::string::npos) << wrong;
  EXPECT_FALSE(wrong.starts_with(kNoVerdict)) << wrong;
}

TEST(StepKillOfAQueue, SaysNothingOfTheRing) {
  EXPECT_EQ(check_step_kill<RingAdapter>(printing()), "");
}

TEST(StepKillOfAQueue, SaysNothingOfAQueueUnderARobustLock) {
  EXPECT_EQ(check_step_kill<Locked>(printing()), "");
}

TEST(StepKillOfAQueue, FindsThatADeadOneKeepsItsLock) { expect_found<Flaw::plain_lock>("hung"); }

TEST(StepKillOfAQueue, FindsThatAnItemIsPublishedBeforeItIsWritten) {
  expect_found<Flaw::tail_before_item>("never pushed");
}

TEST(StepKillOfAQueue, FindsThatAnAcknowledgedItemIsLost) {
  expect_found<Flaw::forgets_newest>("acknowledged, and lost");
}

TEST(StepKillOfAQueue, FindsThatAnItemComesAgain) {
  expect_found<Flaw::repeats>("came again after its pop had returned");
}

TEST(StepKillOfAQueue, FindsDisorder) { expect_found<Flaw::newest_first>("out of order"); }

TEST(StepKillOfAQueue, FindsThatADeathCostsRoom) { expect_found<Flaw::leaks_room>("room for"); }

TEST(StepKillOfAQueue, FindsAWriteBehindTheQueue) {
  expect_found<Flaw::writes_behind>("behind the queue's bytes");
}

TEST(KillStressOfAQueue, SaysNothingOfTheRing) {
  EXPECT_EQ(check_kill_stress<RingAdapter>(printing()), "");
}

TEST(KillStressOfAQueue, SaysNothingOfAQueueUnderARobustLock) {
  EXPECT_EQ(check_kill_stress<Locked>(printing()), "");
}

TEST(KillStressOfAQueue, FindsThatADeadOneKeepsItsLock) {
  const std::string wrong = check_kill_stress<LockedQueue<CheckedItem, Flaw::plain_lock>>(
      {.hang_after = std::chrono::seconds(2)});
  EXPECT_NE(wrong.find("hung (worker"), std::string::npos) << wrong;
}

TEST(KillStressOfAQueue, FindsThatAnItemComesTwice) {
  const std::string wrong = check_kill_stress<LockedQueue<CheckedItem, Flaw::offers_again>>(kLong);
  EXPECT_NE(wrong.find("twice"), std::string::npos) << wrong;
}

TEST(KillStressOfAQueue, FindsThatAcknowledgedItemsAreLost) {
  const std::string wrong =
      check_kill_stress<LockedQueue<CheckedItem, Flaw::forgets_newest>>(kLong);
  EXPECT_NE(wrong.find("are lost"), std::string::npos) << wrong;
}

}  // namespace
