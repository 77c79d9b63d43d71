// SPDX-License-Identifier: Apache-2.0
//
// The group "queue": sluice's Queue<T> beside the ring that does less (lockfree/mpmc_ring.h), what
// the system, Boost and Python have, from one producer and one consumer to sixteen of each.

#ifndef SLUICE_BENCH_QUEUE_CASES_H_
#define SLUICE_BENCH_QUEUE_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_queue_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_QUEUE_CASES_H_
