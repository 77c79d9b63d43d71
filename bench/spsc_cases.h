// SPDX-License-Identifier: Apache-2.0
//
// The group "spsc": items of a fixed size between two processes through sluice's typed ring and
// boost::lockfree::spsc_queue, both in shared memory.

#ifndef SLUICE_BENCH_SPSC_CASES_H_
#define SLUICE_BENCH_SPSC_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_spsc_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_SPSC_CASES_H_
