// SPDX-License-Identifier: Apache-2.0
//
// The group "pipe": messages between two processes through sluice's pipe, pipe(2), Unix socket
// pairs and boost::interprocess::message_queue.

#ifndef SLUICE_BENCH_PIPE_CASES_H_
#define SLUICE_BENCH_PIPE_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_pipe_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_PIPE_CASES_H_
