// SPDX-License-Identifier: Apache-2.0
//
// The planted bugs that show when a process is killed, or writes what it should not: each found
// within ten seconds by the part that is there for it, and each twin without the bug passes.

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>

#include "sluice/testkit/planted/shared_queues.h"
#include "sluice/testkit/queue_crash.h"
#include "sluice/testkit/queue_crash_options.h"
#include "sluice/testkit/queue_fuzz.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::kNoVerdict;

constexpr auto kBudget = 10s;

using Check = std::function<std::string()>;

void expect_caught(const Check& check, std::string_view words) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string wrong = check();
  const auto time = std::chrono::steady_clock::now() - begin;
  std::cout << std::chrono::duration_cast<std::chrono::milliseconds>(time).count()
            << " ms: " << wrong << '\n';
  if (wrong.starts_with(kNoVerdict)) GTEST_SKIP() << wrong;
  EXPECT_NE(wrong.find(words), std::string::npos) << "the kit does not see this bug: " << wrong;
  EXPECT_LT(time, kBudget);
}

void expect_passes(const Check& check) {
  const std::string wrong = check();
  if (wrong.starts_with(kNoVerdict)) GTEST_SKIP() << wrong;
  EXPECT_EQ(wrong, "") << "a false alarm";
}

TEST(PlantedCrash, PublishesEarlyIsSteppedThrough) {
  expect_caught([] { return testkit::check_step_kill<testkit::PublishesEarly>(); }, "push");
  expect_passes([] { return testkit::check_step_kill<testkit::PublishesLast>(); });
}

TEST(PlantedCrash, StuckAfterKillIsSteppedThrough) {
  expect_caught([] { return testkit::check_step_kill<testkit::StuckAfterKill>(); }, "hung");
  expect_passes([] { return testkit::check_step_kill<testkit::GoesOnAfterKill>(); });
  // Which kills at random: it may miss this, but must not see it where it is not.
  expect_passes([] { return testkit::check_kill_stress<testkit::GoesOnAfterKill>(); });
}

TEST(PlantedCrash, TrustsLengthOfHostileBytes) {
  expect_caught([] { return testkit::check_fuzz_memory<testkit::TrustsLength>(); }, "signal");
  expect_passes([] { return testkit::check_fuzz_memory<testkit::ChecksLength>(); });
}

}  // namespace
}  // namespace sluice::tests
