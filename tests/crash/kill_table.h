// SPDX-License-Identifier: Apache-2.0
//
// What a test in this folder says about an operation: that it is intact wherever it is killed, or
// that it is a mutant, which the harness must find. Each says it with a row of the kill table.

#ifndef SLUICE_TESTS_CRASH_KILL_TABLE_H_
#define SLUICE_TESTS_CRASH_KILL_TABLE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "sluice/testkit/crash.h"

namespace sluice::tests {

using testkit::KillAt;

/// Kills at every point, however many are broken, and prints the row. In the profile that the
/// environment names: bazel test //:crash_full is the full one. `second_deaths` for each kill
/// point.
inline testkit::CrashResult kill_everywhere(const testkit::CrashOperation& operation,
                                            testkit::CrashMode mode, KillAt kill_at,
                                            std::uint64_t second_deaths) {
  testkit::CrashOptions options{
      .mode = mode, .profile = testkit::profile_from_environment(), .kill_at = kill_at};
  options.stop_after_broken = options.max_kill_points;
  options.second_deaths = second_deaths;
  testkit::CrashResult result = step_kill(operation, options);
  std::cout << "[    KILLS ] " << result << std::endl;
  return result;
}

/// `wanted`, or what SLUICE_CRASH_SECOND_DEATHS says if that is less: for who has little time. The
/// seed chooses which.
inline std::uint64_t at_most_as_told(std::uint64_t wanted) {
  const char* const told = std::getenv("SLUICE_CRASH_SECOND_DEATHS");
  return told == nullptr ? wanted : std::min<std::uint64_t>(wanted, std::stoul(told));
}

/// In each mode that the operation has a callback for.
inline void expect_intact(const testkit::CrashOperation& operation,
                          KillAt kill_at = KillAt::each_instruction,
                          std::uint64_t second_deaths = 4) {
  for (const testkit::CrashMode mode : modes_of(operation)) {
    const testkit::CrashResult result =
        kill_everywhere(operation, mode, kill_at, at_most_as_told(second_deaths));
    if (result.refused) GTEST_SKIP() << result.error;
    EXPECT_TRUE(result.intact()) << result;
  }
}

/// A mutant: in one of the modes some kill point must be broken, and the first of them for the
/// reason given. The modes after that one are left out.
inline void expect_found(const testkit::CrashOperation& operation, const std::string& reason,
                         KillAt kill_at = KillAt::each_instruction) {
  for (const testkit::CrashMode mode : modes_of(operation)) {
    const testkit::CrashResult result = kill_everywhere(operation, mode, kill_at, 16);
    if (result.refused) GTEST_SKIP() << result.error;
    EXPECT_TRUE(result.completed) << result;
    if (result.broken == 0) continue;
    EXPECT_NE(result.reason.find(reason), std::string::npos) << result;
    return;
  }
  ADD_FAILURE() << "the harness does not see this bug: " << operation.name;
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_CRASH_KILL_TABLE_H_
