// SPDX-License-Identifier: Apache-2.0
//
// Histogram: counts of durations in nanoseconds, exact below 256 and to one part in 128 above, for
// percentiles. Adding costs a few instructions and no allocation.
//
//   Histogram trips;
//   trips.add(105);
//   if (trips.knows(0.999)) use(trips.quantile(0.999));
//
// Threads, processes, death: as a plain value of one thread.

#ifndef SLUICE_BENCH_HARNESS_HISTOGRAM_H_
#define SLUICE_BENCH_HARNESS_HISTOGRAM_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::bench {

class Histogram {
 public:
  void add(std::uint64_t value) {
    ++counts_[cell_of(value)];
    ++total_;
  }

  [[nodiscard]] std::uint64_t total() const { return total_; }

  /// True if at least one of the values lies beyond the quantile.
  [[nodiscard]] bool knows(double q) const { return static_cast<double>(total_) * (1 - q) >= 1; }

  /// The smallest recorded value, to the histogram's precision, that at least a part q of all
  /// values doesn't exceed. Not of an empty histogram.
  [[nodiscard]] double quantile(double q) const {
    const double wanted = q * static_cast<double>(total_);
    std::uint64_t seen = 0;
    std::size_t cell = 0;
    while (cell + 1 < counts_.size()) {
      seen += counts_[cell];
      if (seen > 0 && static_cast<double>(seen) >= wanted) break;
      ++cell;
    }
    return static_cast<double>(value_of(cell));
  }

 private:
  static constexpr unsigned kBits = 7;  // 128 cells per power of two

  // A value keeps its highest kBits + 1 bits; its cell is those bits after one block of cells per
  // bit that was cut off.
  static constexpr std::size_t cell_of(std::uint64_t value) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    const unsigned cut = width > kBits + 1 ? width - kBits - 1 : 0;
    return (static_cast<std::size_t>(cut) << kBits) + static_cast<std::size_t>(value >> cut);
  }
  static constexpr std::uint64_t value_of(std::size_t cell) {
    const std::size_t cut = cell < (2u << kBits) ? 0 : (cell >> kBits) - 1;
    return static_cast<std::uint64_t>(cell - (cut << kBits)) << cut;
  }
  // 64-bit values lose at most 56 bits: that many blocks, after the two that lose none.
  static constexpr std::size_t kCells = (64 - (kBits + 1) + 2) << kBits;

  std::vector<std::uint32_t> counts_ = std::vector<std::uint32_t>(kCells);
  std::uint64_t total_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_HISTOGRAM_H_
