// SPDX-License-Identifier: Apache-2.0
//
// Tasks to a worker process and back: all calls of one by a process alone, there and back with the
// worker awake and asleep, and a stream of them; beside two bare rings, which know of no leases.

#ifndef SLUICE_BENCH_TASK_BOARD_CASES_H_
#define SLUICE_BENCH_TASK_BOARD_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_task_board_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_TASK_BOARD_CASES_H_
