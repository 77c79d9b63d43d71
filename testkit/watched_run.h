// SPDX-License-Identifier: Apache-2.0
//
// Internal: many cases in a child that is watched, so that one which crashes or hangs is a finding
// with a number and no stuck test.
//
//   const WatchedRun run = run_watched(1000, 5s, [](std::uint64_t n) { return wrong_in_case(n); });
//
// Units: cases from 0. Errors: std::system_error if the machine gives no process or memory.
// Threads: run_watched() forks, so other threads must not hold locks that a case needs. If a
// process dies here: the child ends with its parent. Cost: one fork, and one store a case.

#ifndef SLUICE_TESTKIT_WATCHED_RUN_H_
#define SLUICE_TESTKIT_WATCHED_RUN_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace sluice::internal {

struct WatchedRun {
  std::string wrong;       ///< what the case returned or threw, or how it died; empty if nothing
  bool has_said = false;   ///< the case itself has said so
  std::uint64_t last = 0;  ///< the case in which that was
};

/// Runs the cases 0, 1, ... until one is wrong, or takes longer than `limit`.
WatchedRun run_watched(std::uint64_t cases, std::chrono::milliseconds limit,
                       const std::function<std::string(std::uint64_t)>& check);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_WATCHED_RUN_H_
