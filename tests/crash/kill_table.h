// SPDX-License-Identifier: Apache-2.0
//
// What a test in this folder says about an operation: that it is intact wherever it is killed, or
// that it is a mutant, which the harness must find. Each says it with a row of the kill table.

#ifndef SLUICE_TESTS_CRASH_KILL_TABLE_H_
#define SLUICE_TESTS_CRASH_KILL_TABLE_H_

#include <gtest/gtest.h>

#include <iostream>
#include <string>

#include "sluice/testkit/crash.h"

namespace sluice::tests {

/// Kills at every point, however many are broken, and prints the row.
inline testkit::CrashResult kill_everywhere(const testkit::CrashOperation& operation,
                                            testkit::KillAt kill_at) {
  testkit::CrashOptions options{.kill_at = kill_at};
  options.stop_after_broken = options.max_kill_points;
  const testkit::CrashResult result = step_kill(operation, options);
  std::cout << "[    KILLS ] " << result << std::endl;
  return result;
}

inline void expect_intact(const testkit::CrashOperation& operation,
                          testkit::KillAt kill_at = testkit::KillAt::each_instruction) {
  const testkit::CrashResult result = kill_everywhere(operation, kill_at);
  if (result.refused) GTEST_SKIP() << result.error;
  EXPECT_TRUE(result.intact()) << result;
}

/// A mutant: some kill point must be broken, and the first of them for the reason given.
inline void expect_found(const testkit::CrashOperation& operation, const std::string& reason,
                         testkit::KillAt kill_at = testkit::KillAt::each_instruction) {
  const testkit::CrashResult result = kill_everywhere(operation, kill_at);
  if (result.refused) GTEST_SKIP() << result.error;
  EXPECT_TRUE(result.completed) << result;
  EXPECT_GT(result.broken, 0u) << "the harness does not see this bug: " << result;
  EXPECT_NE(result.reason.find(reason), std::string::npos) << result;
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_CRASH_KILL_TABLE_H_
