// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/stats.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace sluice::bench {

bool Reading::steady() const {
  const auto [low, high] = std::minmax(before, after);
  return low > 0 && std::isfinite(high) && high <= low * kSteady;
}

double quantile(std::span<const double> ascending, double q) {
  const double position = q * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, ascending.size() - 1);
  const double part = position - static_cast<double>(below);
  return ascending[below] + part * (ascending[above] - ascending[below]);
}

Summary summarize(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {.median = quantile(values, 0.50),
          .q1 = quantile(values, 0.25),
          .q3 = quantile(values, 0.75),
          .min = values.front(),
          .max = values.back(),
          .runs = values.size()};
}

bool Series::add(const Sample& sample, std::span<const Reading> yardsticks) {
  if (!std::all_of(yardsticks.begin(), yardsticks.end(), std::mem_fn(&Reading::steady))) {
    ++dropped_;
    return false;
  }
  samples_.push_back(sample);
  return true;
}

Summary Series::value() const {
  std::vector<double> values;
  values.reserve(samples_.size());
  for (const Sample& sample : samples_) values.push_back(sample.value);
  return summarize(std::move(values));
}

Summary Series::ratio() const {
  std::vector<double> ratios;
  ratios.reserve(samples_.size());
  for (const Sample& sample : samples_) ratios.push_back(sample.value / sample.limit);
  return summarize(std::move(ratios));
}

Summary quotient(const Series& a, const Series& b) {
  std::vector<double> quotients;
  for (const Sample& x : a.samples()) {
    for (const Sample& y : b.samples()) {
      if (Reading{x.witness, y.witness}.steady()) quotients.push_back(x.value / y.value);
    }
  }
  return summarize(std::move(quotients));
}

}  // namespace sluice::bench
