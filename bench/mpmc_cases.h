// SPDX-License-Identifier: Apache-2.0
//
// The group "mpmc": items of a fixed size from some processes to some others through one bounded
// queue: sluice's MpmcRing, Vyukov's queue, which hangs when a process is killed, and
// boost::lockfree::queue.

#ifndef SLUICE_BENCH_MPMC_CASES_H_
#define SLUICE_BENCH_MPMC_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_mpmc_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_MPMC_CASES_H_
