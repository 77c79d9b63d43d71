// SPDX-License-Identifier: Apache-2.0
//
// The command line of a benchmark program: our few flags, and all of Google Benchmark's.

#ifndef SLUICE_BENCH_HARNESS_OPTIONS_H_
#define SLUICE_BENCH_HARNESS_OPTIONS_H_

#include <optional>
#include <string>

namespace sluice::bench {

struct Options {
  std::string json;            ///< file to write, "" for none
  std::string html;            ///< the same
  std::string svg;             ///< directory to write pictures into, "" for none
  bool quick = false;          ///< few and short repetitions: a look, not a figure
  bool google_report = false;  ///< --benchmark_format was given: standard output is Google's
};

/// Takes our flags, hands the rest to Google Benchmark with our defaults in front. Nothing if there
/// was a flag that nobody knows; it has been named on standard error.
std::optional<Options> parse_options(int argc, char** argv);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_OPTIONS_H_
