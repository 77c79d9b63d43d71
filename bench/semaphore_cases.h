// SPDX-License-Identifier: Apache-2.0
//
// Semaphores between processes: taken and given back by one alone, and handed to and fro by two.

#ifndef SLUICE_BENCH_SEMAPHORE_CASES_H_
#define SLUICE_BENCH_SEMAPHORE_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_semaphore_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_SEMAPHORE_CASES_H_
