// SPDX-License-Identifier: Apache-2.0
//
// What a run says: a table for people, rows of JSON for programs.

#ifndef SLUICE_BENCH_HARNESS_REPORT_H_
#define SLUICE_BENCH_HARNESS_REPORT_H_

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/bench/harness/conditions.h"
#include "sluice/bench/harness/stats.h"
#include "sluice/bench/harness/subject.h"

namespace sluice::bench {

/// One subject in one case. A row with value.runs == 0 says that no repetition could be kept.
struct Row {
  std::string group;
  std::string name;  ///< the case's
  std::string subject;
  std::string unit;
  Better better = Better::higher;
  Summary value;
  Summary ratio;          ///< value divided by the yardstick's, repetition by repetition
  std::string yardstick;  ///< which one
  std::size_t dropped = 0;
  std::optional<double> sluice_is;  ///< for rivals: ours is so many times as good (stats.h)
  std::string variant;              ///< the subject's best
  /// All its variants with their medians, if there are several.
  std::vector<std::pair<std::string, double>> variants;
};

/// A list of objects, one to a line. `ours` is the subject that the others are compared with.
void write_json(std::ostream& out, std::span<const Row> rows, const Conditions& conditions,
                const std::string& ours = "sluice");

/// A block per group, a line per case, a column per subject.
void print_table(std::ostream& out, std::span<const Row> rows, const Conditions& conditions,
                 const std::string& ours = "sluice");

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_REPORT_H_
