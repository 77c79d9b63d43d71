// SPDX-License-Identifier: Apache-2.0
//
// Events between two processes, handed to and fro asleep and awake; and a Once that is done.

#ifndef SLUICE_BENCH_EVENT_CASES_H_
#define SLUICE_BENCH_EVENT_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_event_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_EVENT_CASES_H_
