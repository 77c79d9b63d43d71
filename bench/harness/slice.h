// SPDX-License-Identifier: Apache-2.0
//
// Slice: the few milliseconds for which a role runs; it keeps the time and takes the figures.
//
//   Role lock_and_unlock = [mutex](Slice& slice) {
//     slice.report(0, 1e9 * slice.seconds_per_call([&] { mutex->lock(); mutex->unlock(); }));
//   };
//
// A subject is a list of roles, one per process. All start together (after a barrier) and run
// concurrently; how the others learn that the slice is over is the subject's affair (traffic.h:
// the last message says so).
//
// Reading the clock costs some 30 ns, so calls are made in blocks that take at least kBlock.
//
// Threads, processes, death: each process has a Slice of its own; its figures lie in memory shared
// with the supervisor, which reads them after this process has ended.

#ifndef SLUICE_BENCH_HARNESS_SLICE_H_
#define SLUICE_BENCH_HARNESS_SLICE_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

#include "sluice/bench/harness/stats.h"

namespace sluice::bench {

using Clock = std::chrono::steady_clock;

/// What a slice measured: figure 0 is the subject's value, others are for instance percentiles.
/// One that was not reported is NaN.
inline constexpr std::size_t kMaxFigures = 6;
using Figures = std::array<double, kMaxFigures>;
inline constexpr double kNotReported = std::numeric_limits<double>::quiet_NaN();

struct SliceTimes {
  Clock::duration warm_up;
  Clock::duration measured;
};

class Slice {
 public:
  Slice(SliceTimes times, Figures& figures) : times_(times), figures_(figures) {}

  [[nodiscard]] SliceTimes times() const { return times_; }
  void report(std::size_t figure, double value) { figures_.at(figure) = value; }

  /// Calls `call` for at least `time`; returns how many calls fill a block.
  template <class Call>
  static std::size_t run_for(Clock::duration time, Call&& call) {
    std::size_t block = 1;
    Clock::time_point begin = Clock::now();
    const Clock::time_point end = begin + time;
    while (begin < end) {
      for (std::size_t i = 0; i < block; ++i) call();
      const Clock::time_point now = Clock::now();
      if (now - begin < kBlock) block *= 2;
      begin = now;
    }
    return block;
  }

  /// Seconds per call in the median block of the measured time, after the warm-up.
  template <class Call>
  double seconds_per_call(Call&& call) const {
    return seconds_per_call(times_, call);
  }

  template <class Call>
  static double seconds_per_call(SliceTimes times, Call&& call) {
    const std::size_t block = run_for(times.warm_up, call);
    std::vector<double> seconds;
    seconds.reserve(2 * static_cast<std::size_t>(times.measured / kBlock) + 1);
    Clock::time_point begin = Clock::now();
    const Clock::time_point end = begin + times.measured;
    while (begin < end) {
      for (std::size_t i = 0; i < block; ++i) call();
      const Clock::time_point now = Clock::now();
      seconds.push_back(std::chrono::duration<double>(now - begin).count());
      begin = now;
    }
    return summarize(std::move(seconds)).median / static_cast<double>(block);
  }

 private:
  static constexpr Clock::duration kBlock = std::chrono::microseconds(10);

  SliceTimes times_;
  Figures& figures_;
};

/// What one process does during a slice. Runs in that process; a failure is thrown.
using Role = std::function<void(Slice&)>;
using Roles = std::vector<Role>;

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_SLICE_H_
