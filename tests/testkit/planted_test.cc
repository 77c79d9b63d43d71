// SPDX-License-Identifier: Apache-2.0
//
// The planted bugs that the checks of testkit/queue_checks.h find: each within ten seconds, by the
// check that is there for it, and in words that tell it; and each twin without the bug passes the
// same check. A race is looked for with one seed after another.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/planted/locked_queue.h"
#include "sluice/testkit/planted/racing_queues.h"
#include "sluice/testkit/planted/shared_queues.h"
#include "sluice/testkit/queue_checks.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CheckOptions;
using testkit::CheckProfile;
using testkit::find_check;
using testkit::QueueCheck;
using testkit::QueueKit;

using Clock = std::chrono::steady_clock;
constexpr auto kBudget = 10s;

struct Sought {
  std::string wrong;
  std::uint64_t seed = 0;
  std::chrono::milliseconds time = {};
};

/// The check with one seed after another, until it has found something or the time is over.
template <class Kit>
Sought seek(std::string_view name, CheckProfile profile) {
  const QueueCheck check = find_check<Kit>(name);
  EXPECT_EQ(check.left_out, nullptr) << check.left_out;
  const auto begin = Clock::now();
  Sought sought;
  while (sought.wrong.empty() && Clock::now() - begin < kBudget) {
    sought.wrong = check.run({.profile = profile, .seed = ++sought.seed});
  }
  sought.time = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  return sought;
}

template <template <class> class Planted>
void expect_caught(std::string_view name, std::string_view words,
                   CheckProfile profile = CheckProfile::quick) {
  const Sought sought = seek<QueueKit<Planted>>(name, profile);
  std::cout << name << ", seed " << sought.seed << ", " << sought.time.count()
            << " ms: " << sought.wrong << '\n';
  EXPECT_FALSE(sought.wrong.empty()) << name << " does not see this bug within ten seconds";
  EXPECT_LT(sought.time, kBudget);
  EXPECT_NE(sought.wrong.find(words), std::string::npos) << "in other words: " << sought.wrong;
}

template <template <class> class Whole>
void expect_passes(std::string_view name, CheckProfile profile = CheckProfile::quick) {
  const QueueCheck check = find_check<QueueKit<Whole>>(name);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    EXPECT_EQ(check.run({.profile = profile, .seed = seed}), "")
        << "a false alarm of " << name << ", seed " << seed;
  }
}

TEST(Planted, OffByOneCapacity) {
  expect_caught<testkit::OffByOneCapacity>("boundaries", "-> full, with 0 of 1 in it");
  expect_passes<testkit::WholeLockedQueue>("boundaries");
}

TEST(Planted, WrapsBadly) {
  expect_caught<testkit::WrapsBadly>("exactly_once", "popped", CheckProfile::full);
  expect_passes<testkit::WholeLockedQueue>("exactly_once", CheckProfile::full);
}

TEST(Planted, CountsLate) {
  expect_caught<testkit::CountsLate>("size", "during work");
  expect_passes<testkit::WholeLockedQueue>("size");
}

TEST(Planted, ForgetsToWake) {
  expect_caught<testkit::ForgetsToWake>("many_sleepers", "still sleep");
  expect_passes<testkit::WholeLockedQueue>("many_sleepers");
}

TEST(Planted, CloseWakesOne) {
  expect_caught<testkit::CloseWakesOne>("close", "3 of 4 pop() still sleep");
  expect_passes<testkit::WholeLockedQueue>("close");
}

TEST(Planted, LeaksOnClose) {
  expect_caught<testkit::LeaksOnClose>("lives", "never destroyed");
  expect_passes<testkit::WholeLockedQueue>("lives");
}

TEST(Planted, CountsBeforeItHas) {
  expect_caught<testkit::CountsBeforeItHas>("throwing_items", "after a throw");
  expect_passes<testkit::WholeLockedQueue>("throwing_items");
}

TEST(Planted, LosesOne) {
  expect_caught<testkit::LosesOne>("exactly_once", "lost", CheckProfile::full);
  expect_passes<testkit::LosesNone>("exactly_once", CheckProfile::full);
}

TEST(Planted, DuplicatesOne) {
  expect_caught<testkit::DuplicatesOne>("exactly_once", "twice", CheckProfile::full);
  expect_passes<testkit::DuplicatesNone>("exactly_once", CheckProfile::full);
}

TEST(Planted, Reorders) {
  expect_caught<testkit::Reorders>("producer_order", "after", CheckProfile::full);
  expect_passes<testkit::KeepsOrder>("producer_order", CheckProfile::full);
}

TEST(Planted, PicksTheWrongChild) {
  expect_caught<testkit::PicksTheWrongChild>("sequential", "made for 3: pop() -> ");
  expect_passes<testkit::PicksTheRightChild>("sequential");
}

TEST(Planted, PublishesEarly) {
  expect_caught<testkit::PublishesEarly>("exactly_once", "", CheckProfile::full);
  expect_passes<testkit::PublishesLast>("exactly_once", CheckProfile::full);
}

}  // namespace
}  // namespace sluice::tests
