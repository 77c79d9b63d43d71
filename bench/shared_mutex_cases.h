// SPDX-License-Identifier: Apache-2.0
//
// Reader/writer locks between processes: read by one alone, by two at once, and written.

#ifndef SLUICE_BENCH_SHARED_MUTEX_CASES_H_
#define SLUICE_BENCH_SHARED_MUTEX_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_shared_mutex_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_SHARED_MUTEX_CASES_H_
