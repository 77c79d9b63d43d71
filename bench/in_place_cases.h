// SPDX-License-Identifier: Apache-2.0
//
// 64 KiB that are written and read where they lie, and 64 KiB that nobody touches.

#ifndef SLUICE_BENCH_IN_PLACE_CASES_H_
#define SLUICE_BENCH_IN_PLACE_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_in_place_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_IN_PLACE_CASES_H_
