// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/entry.h"

#include <utility>

namespace sluice::bench {

Entry::Entry(Case what, const Subject& subject) : what_(std::move(what)), subject_(subject.name) {
  for (const Variant& variant : subject.variants) {
    trials_.push_back({variant, std::vector<Series>(what_.figures.size())});
  }
}

std::string Entry::name_of(const Trial& trial) const {
  const std::string& variant = trial.variant.name;
  return what_.name + "/" + subject_ + (variant.empty() ? "" : "/" + variant);
}

const Entry::Trial* Entry::best_trial() const {
  const Trial* best = nullptr;
  for (const Trial& trial : trials_) {
    const Series& series = trial.figures[0];
    if (series.samples().empty() && series.dropped() == 0) continue;
    if (best == nullptr || best->figures[0].samples().empty()) {
      best = &trial;
      continue;
    }
    const Summary times = quotient(series, best->figures[0]);
    if (times.runs > 0 && goodness(times.median) > 1) best = &trial;
  }
  return best;
}

Row Entry::row_of(const Trial& trial, std::size_t figure) const {
  const Series& series = trial.figures[figure];
  Row row{.group = what_.group,
          .name = what_.name + what_.figures[figure],
          .subject = subject_,
          .unit = what_.unit,
          .better = what_.better,
          .value = series.value(),
          .ratio = series.ratio(),
          .yardstick = std::string(text_of(what_.limit).name),
          .dropped = series.dropped(),
          .sluice_is = {},
          .variant = trial.variant.name,
          .variants = {}};
  if (trials_.size() == 1) return row;
  for (const Trial& other : trials_) {
    const Summary value = other.figures[figure].value();
    if (value.runs > 0) row.variants.emplace_back(other.variant.name, value.median);
  }
  return row;
}

void Entry::report(const Trial* ours, std::vector<Row>& rows) const {
  const Trial* const best = best_trial();
  if (best == nullptr) return;
  for (std::size_t figure = 0; figure < what_.figures.size(); ++figure) {
    Row row = row_of(*best, figure);
    if (ours != nullptr && ours != best) {
      const Summary times = quotient(ours->figures[figure], best->figures[figure]);
      if (times.runs > 0) row.sluice_is = goodness(times.median);
    }
    // A percentile that no slice had enough trips for is no row.
    if (figure == 0 || row.value.runs > 0) rows.push_back(std::move(row));
  }
}

void Entry::collect_limits(std::vector<double>& limits, std::size_t& dropped) const {
  for (const Trial& trial : trials_) {
    for (const Sample& sample : trial.figures[0].samples()) limits.push_back(sample.limit);
    dropped += trial.figures[0].dropped();
  }
}

}  // namespace sluice::bench
