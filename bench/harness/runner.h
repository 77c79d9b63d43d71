// SPDX-License-Identifier: Apache-2.0
//
// Runner: measures one variant of one subject, once. Internal to the harness.
//
//   Runner runner({.quick = false});
//   double value = runner.repeat(case, trial);   // and adds to the trial's series
//
// A repetition is: yardsticks, subject, yardsticks, each a slice, in new processes.
//
// If a process dies here: repeat() throws (team.h), and the next call begins afresh.

#ifndef SLUICE_BENCH_HARNESS_RUNNER_H_
#define SLUICE_BENCH_HARNESS_RUNNER_H_

#include "sluice/bench/harness/entry.h"
#include "sluice/bench/harness/team.h"
#include "sluice/bench/harness/yardsticks.h"

namespace sluice::bench {

class Runner {
 public:
  explicit Runner(bool quick) : team_(choose_cpus()), quick_(quick) {}

  [[nodiscard]] const Placement& placement() const { return team_.placement(); }

  /// Repetitions until one is kept, at most kAttempts. Returns the last one's first figure.
  double repeat(const Case& what, Entry::Trial& trial);

 private:
  static constexpr int kAttempts = 4;

  /// Returns false if the repetition was dropped.
  bool measure(const Case& what, Entry::Trial& trial, double& value);

  Team team_;
  Yardsticks yardsticks_;
  bool quick_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_RUNNER_H_
