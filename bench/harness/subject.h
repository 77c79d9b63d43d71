// SPDX-License-Identifier: Apache-2.0
//
// What a benchmark program registers: cases, and the subjects that are compared in them.
//
// Threads, processes, death: plain values of the supervising process.

#ifndef SLUICE_BENCH_HARNESS_SUBJECT_H_
#define SLUICE_BENCH_HARNESS_SUBJECT_H_

#include <functional>
#include <string>
#include <vector>

#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/yardsticks.h"

namespace sluice::bench {

enum class Better { higher, lower };

struct Case {
  std::string group;
  std::string name;  ///< in full, group included
  std::string unit;
  Better better;
  Yardstick limit;       ///< what the ratio is taken to
  double per_limit = 1;  ///< turns the yardstick's figure into `unit`
  /// What is appended to the name for each figure that a slice reports.
  std::vector<std::string> figures = {""};
};

struct Variant {
  std::string name;             ///< "" if there is only one
  std::function<Roles()> make;  ///< in the supervisor, before the fork; the roles keep it alive
};

struct Subject {
  std::string name;
  std::vector<Variant> variants;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_SUBJECT_H_
