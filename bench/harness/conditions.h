// SPDX-License-Identifier: Apache-2.0
//
// Conditions: what a figure depends on besides the code, recorded with every row.

#ifndef SLUICE_BENCH_HARNESS_CONDITIONS_H_
#define SLUICE_BENCH_HARNESS_CONDITIONS_H_

#include <string>
#include <utility>
#include <vector>

#include "sluice/bench/harness/team.h"

namespace sluice::bench {

/// Names and values, in the order in which they are printed.
using Conditions = std::vector<std::pair<std::string, std::string>>;

/// CPU model, placement, kernel, compiler, flags, load average at this moment, date.
Conditions conditions_now(const Placement& placement);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_CONDITIONS_H_
