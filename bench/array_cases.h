// SPDX-License-Identifier: Apache-2.0
//
// Arrays under a lock: 64 bytes written, by one process alone and by two at once.

#ifndef SLUICE_BENCH_ARRAY_CASES_H_
#define SLUICE_BENCH_ARRAY_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_array_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_ARRAY_CASES_H_
