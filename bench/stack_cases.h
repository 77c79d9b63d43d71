// SPDX-License-Identifier: Apache-2.0
//
// Stacks of indices between processes: one popped and pushed back, by one process alone and by one
// beside another that does the same.

#ifndef SLUICE_BENCH_STACK_CASES_H_
#define SLUICE_BENCH_STACK_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_stack_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_STACK_CASES_H_
