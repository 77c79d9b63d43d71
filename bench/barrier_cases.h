// SPDX-License-Identifier: Apache-2.0
//
// Barriers for two processes (and for two threads where a rival knows no others): rounds in which
// both are awake, and in which the one that comes first sleeps.

#ifndef SLUICE_BENCH_BARRIER_CASES_H_
#define SLUICE_BENCH_BARRIER_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_barrier_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_BARRIER_CASES_H_
