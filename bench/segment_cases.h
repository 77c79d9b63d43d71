// SPDX-License-Identifier: Apache-2.0
//
// Shared memory by name: what it costs to attach to it, and to reach what lies there.

#ifndef SLUICE_BENCH_SEGMENT_CASES_H_
#define SLUICE_BENCH_SEGMENT_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_segment_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_SEGMENT_CASES_H_
