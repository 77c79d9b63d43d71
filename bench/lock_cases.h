// SPDX-License-Identifier: Apache-2.0
//
// Locks and condition variables between processes: taken by one alone, by two at once, and handed
// to and fro.

#ifndef SLUICE_BENCH_LOCK_CASES_H_
#define SLUICE_BENCH_LOCK_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_lock_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOCK_CASES_H_
