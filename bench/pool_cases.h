// SPDX-License-Identifier: Apache-2.0
//
// The benchmarks of the group "pool": a task there and back, streams of tasks, large arguments and
// the start of workers, beside Python's pool.

#ifndef SLUICE_BENCH_POOL_CASES_H_
#define SLUICE_BENCH_POOL_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_pool_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_POOL_CASES_H_
