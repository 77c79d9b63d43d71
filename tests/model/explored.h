// SPDX-License-Identifier: Apache-2.0
//
// How the scheduled tests explore: each is linked with briefly.cc, and once more, for
// //tests/model:long, with at_length.cc.

#ifndef SLUICE_TESTS_MODEL_EXPLORED_H_
#define SLUICE_TESTS_MODEL_EXPLORED_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <iostream>
#include <string>

#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/scheduler.h"

namespace sluice::tests {

/// Whether minutes may be spent: briefly.cc says no, at_length.cc yes.
[[nodiscard]] bool explores_at_length();

/// Random walks and PCT, ten thousand schedules each, from the same seeds every time.
inline void expect_holds_by_chance(const testkit::Scenario& scenario,
                                   testkit::ExploreOptions options) {
  const std::uint64_t times = explores_at_length() ? 60 : 1;
  for (const auto strategy : {testkit::Strategy::random, testkit::Strategy::pct}) {
    options.strategy = strategy;
    options.schedules = 10000 * times;
    const testkit::ScheduleResult result = explore(scenario, options);
    std::cout << result << '\n';
    EXPECT_TRUE(result.holds());
  }
}

/// All schedules within the bounds of `options`; at length with one preemption more.
inline void expect_holds_within_bounds(const testkit::Scenario& scenario,
                                       testkit::ExploreOptions options) {
  options.strategy = testkit::Strategy::exhaustive;
  options.schedules = explores_at_length() ? 100'000'000 : 1'000'000;
  if (explores_at_length()) ++options.preemptions;
  const testkit::ScheduleResult result = explore(scenario, options);
  std::cout << result << '\n';
  EXPECT_TRUE(result.holds() && result.complete);
}

/// A planted bug: what the strategy finds.
inline void expect_found(const testkit::Scenario& scenario, testkit::ExploreOptions options,
                         const char* kind) {
  options.schedules = 1'000'000;
  const testkit::ScheduleResult result = explore(scenario, options);
  EXPECT_FALSE(result.holds()) << "not found: " << kind << ": " << result;
  EXPECT_EQ(result.failure.substr(0, std::string(kind).size()), kind) << result;
  if (result.holds()) return;
  options.replay = result.choices;
  EXPECT_EQ(explore(scenario, options).failure, result.failure);
}

/// Virtual threads sleep at once: each look of one that spins would be a step.
class Scheduled : public testing::Test {
 private:
  ScopedWaitPolicy asleep_{{.mode = WaitMode::block}};
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_MODEL_EXPLORED_H_
