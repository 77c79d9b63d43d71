// SPDX-License-Identifier: Apache-2.0
//
// The group "arena": a chunk allocated and freed by one alone, by one beside another, and handed
// over.

#ifndef SLUICE_BENCH_ARENA_CASES_H_
#define SLUICE_BENCH_ARENA_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_arena_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_ARENA_CASES_H_
