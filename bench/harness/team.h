// SPDX-License-Identifier: Apache-2.0
//
// Team: the processes of one repetition. The caller forks one process per role, each pinned to a
// CPU of its own, sleeps until they have run all stages, and reads what they measured.
//
//   Team team(choose_cpus());
//   std::vector<Figures> figures = team.run({{&pingpong, times}, {&subject, times}, ...});
//
// The caller is not one of the measured processes: it sleeps meanwhile, so it can't disturb them,
// and it is always there to clean up. All processes of the team enter a stage together (a barrier
// that spins for a millisecond), so between yardstick and subject hardly any time passes. Who has
// no role in a stage sleeps.
//
// If a process dies here: when a member ends early, fails, or is not done in kPatienceOfSupervisor,
// the others are killed, all are reaped, and run() throws. When the caller dies, the kernel kills
// the members (PR_SET_PDEATHSIG). Each repetition has new processes, so none inherits trouble.

#ifndef SLUICE_BENCH_HARNESS_TEAM_H_
#define SLUICE_BENCH_HARNESS_TEAM_H_

#include <span>
#include <string>
#include <vector>

#include "sluice/bench/harness/slice.h"

namespace sluice::bench {

/// Where the processes run. Process i is pinned to cpus[i % cpus.size()].
struct Placement {
  std::vector<int> cpus;
  bool pinned = false;

  [[nodiscard]] std::string describe() const;
};

/// Two CPUs of those that the caller may use, on different cores if there are such; with one CPU,
/// that one, not pinned.
Placement choose_cpus();

struct Stage {
  const Roles* roles;  ///< processes beyond these wait in the barrier of the next stage
  SliceTimes times;
};

class Team {
 public:
  explicit Team(Placement placement) : placement_(std::move(placement)) {}

  [[nodiscard]] const Placement& placement() const { return placement_; }

  /// Runs the stages one after the other; returns the figures of each. Throws std::runtime_error
  /// with what went wrong in which process.
  [[nodiscard]] std::vector<Figures> run(std::span<const Stage> stages) const;

 private:
  Placement placement_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_TEAM_H_
