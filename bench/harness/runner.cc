// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/runner.h"

#include <cmath>
#include <stdexcept>
#include <vector>

namespace sluice::bench {

using namespace std::chrono_literals;

namespace {

// No slice is longer than 50 ms. Warm-ups cover the first touch of a megabyte's pages.
struct Times {
  SliceTimes subject;
  SliceTimes limit;
  SliceTimes witness;
};
constexpr Times kTimes{{5ms, 20ms}, {2ms, 8ms}, {1ms, 3ms}};
constexpr Times kQuickTimes{{2ms, 4ms}, {1ms, 2ms}, {500us, 1ms}};

}  // namespace

double Runner::repeat(const Case& what, Entry::Trial& trial) {
  double value = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    try {
      if (measure(what, trial, value)) break;
    } catch (...) {
      // A yardstick that was interrupted is not as a new slice expects it.
      yardsticks_ = Yardsticks();
      throw;
    }
  }
  return value;
}

bool Runner::measure(const Case& what, Entry::Trial& trial, double& value) {
  const Times& times = quick_ ? kQuickTimes : kTimes;
  // The ratio's yardstick, then the witness of what the machine is like, on both CPUs.
  std::vector<Stage> yardsticks = {{&yardsticks_.roles(what.limit), times.limit}};
  if (what.limit != Yardstick::pingpong) {
    yardsticks.push_back({&yardsticks_.roles(Yardstick::pingpong), times.witness});
  }
  const std::size_t count = yardsticks.size();
  const Roles subject = trial.variant.make();
  std::vector<Stage> stages = yardsticks;
  stages.push_back({&subject, times.subject});
  stages.insert(stages.end(), yardsticks.begin(), yardsticks.end());

  const std::vector<Figures> figures = team_.run(stages);
  std::vector<Reading> readings;
  readings.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    readings.push_back({figures[i][0], figures[count + 1 + i][0]});
  }
  const Figures& found = figures[count];
  if (std::isnan(found[0])) throw std::logic_error("the subject reported nothing");
  value = found[0];
  bool kept = true;
  for (std::size_t i = 0; i < trial.figures.size(); ++i) {
    if (std::isnan(found[i])) continue;
    const Sample sample{.value = found[i],
                        .limit = readings.front().mean() * what.per_limit,
                        .witness = readings.back().mean()};
    kept = trial.figures[i].add(sample, readings);
  }
  return kept;
}

}  // namespace sluice::bench
