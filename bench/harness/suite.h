// SPDX-License-Identifier: Apache-2.0
//
// Suite: the cases of a benchmark program and their subjects, run by Google Benchmark.
//
//   int main(int argc, char** argv) {
//     Suite suite;
//     suite.add({.group = "mutex", .name = "mutex/uncontended", .unit = "ns",
//                .better = Better::lower, .limit = Yardstick::pingpong},
//               {{"sluice", {{"", [] { return Roles{...}; }}}},
//                {"pthread", {{"", [] { return Roles{...}; }}}}});
//     return suite.run(argc, argv);
//   }
//
// How it is measured. Each variant of each subject is one Google Benchmark, of one iteration and
// manual time; its repetitions are ours, and Google Benchmark interleaves those of all benchmarks
// in random order, so that a slow minute of the machine falls on all alike. One repetition makes
// the subject anew, forks its processes, and lets them measure yardsticks, subject, yardsticks
// (team.h, yardsticks.h). It is dropped and counted if a yardstick moved (stats.h), and tried
// again, a few times at most.
//
// A subject may have variants, for instance spinning with and without pause: all are measured, and
// the best counts, for us as for rivals. Which one it was is part of the report.

#ifndef SLUICE_BENCH_HARNESS_SUITE_H_
#define SLUICE_BENCH_HARNESS_SUITE_H_

#include <memory>
#include <string>
#include <vector>

#include "sluice/bench/harness/report.h"
#include "sluice/bench/harness/subject.h"

namespace sluice::bench {

class Entry;

class Suite {
 public:
  /// `ours`: the subject that the others are compared with.
  explicit Suite(std::string ours = "sluice");
  Suite(const Suite&) = delete;
  Suite& operator=(const Suite&) = delete;
  ~Suite();

  /// Adds a case. The group "limit" is there from the start.
  void add(const Case& what, const std::vector<Subject>& subjects);

  /// Measures what the command line asks for, prints the table; returns main's result: 0, or 1 if
  /// something was wrong with the command line or a subject failed.
  int run(int argc, char** argv);

 private:
  class Session;

  void register_all(Session& session);
  [[nodiscard]] std::vector<Row> rows() const;

  std::string ours_;
  std::vector<std::unique_ptr<Entry>> entries_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_SUITE_H_
