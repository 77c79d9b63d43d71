// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of a benchmark: which repetitions count, and what is said of those that do.
//
// A repetition measures its yardsticks, then the subject, then the yardsticks again. If a yardstick
// differs by more than kSteady between before and after, the machine changed under the subject: the
// repetition is dropped, whatever its value, and counted. What remains is described by its median
// and quartiles; nothing is averaged over repetitions, and no value is dropped for being slow.
//
// Threads, processes, death: plain values, nothing shared.

#ifndef SLUICE_BENCH_HARNESS_STATS_H_
#define SLUICE_BENCH_HARNESS_STATS_H_

#include <cstddef>
#include <span>
#include <vector>

namespace sluice::bench {

/// The larger reading of a yardstick may exceed the smaller one by this factor.
inline constexpr double kSteady = 1.20;

/// One yardstick of a repetition, in its own unit.
struct Reading {
  double before = 0;
  double after = 0;

  [[nodiscard]] double mean() const { return (before + after) / 2; }
  [[nodiscard]] bool steady() const;
};

struct Summary {
  double median = 0;
  double q1 = 0;
  double q3 = 0;
  double min = 0;
  double max = 0;
  std::size_t runs = 0;  ///< 0: nothing was kept, and the figures mean nothing.
};

/// The q-quantile of ascending values, interpolated linearly between neighbours; not of an empty
/// span.
double quantile(std::span<const double> ascending, double q);

Summary summarize(std::vector<double> values);

/// What a kept repetition leaves of one figure.
struct Sample {
  double value = 0;
  double limit = 0;    ///< its yardstick, in the unit of the value
  double witness = 0;  ///< its cache-line ping-pong: tells which machine it met
};

/// All repetitions of one figure of one subject.
class Series {
 public:
  /// `yardsticks` are those of the repetition. Returns false if it was dropped.
  bool add(const Sample& sample, std::span<const Reading> yardsticks);

  [[nodiscard]] Summary value() const;
  [[nodiscard]] Summary ratio() const;  ///< of value to limit, repetition by repetition
  [[nodiscard]] std::span<const Sample> samples() const { return samples_; }
  [[nodiscard]] std::size_t dropped() const { return dropped_; }

 private:
  std::vector<Sample> samples_;
  std::size_t dropped_ = 0;
};

/// a's values as multiples of b's: of every pair of repetitions that met the same machine (whose
/// witnesses differ by no more than kSteady). Where a hypervisor moves the CPUs about, medians of
/// two subjects would compare places; these pairs compare subjects.
Summary quotient(const Series& a, const Series& b);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_STATS_H_
