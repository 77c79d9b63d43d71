// SPDX-License-Identifier: Apache-2.0
//
// Entry: one subject in one case, its variants, and what has been measured of them. Internal to the
// harness.
//
// Threads, processes, death: plain values of the supervising process.

#ifndef SLUICE_BENCH_HARNESS_ENTRY_H_
#define SLUICE_BENCH_HARNESS_ENTRY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "sluice/bench/harness/report.h"
#include "sluice/bench/harness/stats.h"
#include "sluice/bench/harness/subject.h"

namespace sluice::bench {

class Entry {
 public:
  /// A variant, and a series for each figure of the case.
  struct Trial {
    Variant variant;
    std::vector<Series> figures;
  };

  Entry(Case what, const Subject& subject);

  [[nodiscard]] const Case& what() const { return what_; }
  [[nodiscard]] std::vector<Trial>& trials() { return trials_; }
  [[nodiscard]] std::string name_of(const Trial& trial) const;

  [[nodiscard]] const std::string& subject() const { return subject_; }

  /// The variant that counts; nullptr if nothing was tried.
  [[nodiscard]] const Trial* best_trial() const;

  /// Adds a row for each figure of the best variant. `ours` is sluice's best in the same case, or
  /// nullptr.
  void report(const Trial* ours, std::vector<Row>& rows) const;

  /// Adds the yardstick, in the case's unit, of all repetitions that were kept.
  void collect_limits(std::vector<double>& limits, std::size_t& dropped) const;

 private:
  [[nodiscard]] Row row_of(const Trial& trial, std::size_t figure) const;
  [[nodiscard]] double goodness(double quotient) const {
    return what_.better == Better::higher ? quotient : 1 / quotient;
  }

  Case what_;
  std::string subject_;
  std::vector<Trial> trials_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_ENTRY_H_
