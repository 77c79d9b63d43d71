// SPDX-License-Identifier: Apache-2.0
//
// What the user sees: a table at the end, and meanwhile, on a terminal, a line of progress.

#ifndef SLUICE_EXAMPLES_QUICKSTART_REPORT_H_
#define SLUICE_EXAMPLES_QUICKSTART_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "sluice/examples/quickstart/check.h"
#include "sluice/examples/quickstart/input.h"
#include "sluice/examples/quickstart/service.h"

namespace quickstart {

/// 1234567 as 1,234,567.
std::string with_commas(std::uint64_t number);

/// 1234567 ns as 1.23 ms.
std::string as_time(std::int64_t ns);

/// The value below or at which a share of `sorted` lies; nothing if there are too few to tell: at
/// least 1 / (1 - share) are needed.
std::optional<std::int64_t> percentile(const std::vector<std::int64_t>& sorted, double share);

/// One line, rewritten in place, on standard error if that is a terminal; wiped when destroyed.
class ProgressLine {
 public:
  ProgressLine(std::string what, std::uint64_t bytes_in_all);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();

  void show(const Progress& progress);

 private:
  std::string what_;
  std::uint64_t bytes_in_all_;
  bool is_terminal_;
};

/// The totals, the most frequent words, and whether they are right.
void print_totals(std::ostream& out, const Outcome& outcome, const PlainCounter& plain);

/// Lines and bytes per second.
void print_throughput(std::ostream& out, const Outcome& outcome);

/// One latency: p50, p99 and p99.9 of the outcome's waits, and `what` it is.
void print_latency(std::ostream& out, const std::string& name, const Outcome& outcome,
                   const std::string& what);

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_REPORT_H_
