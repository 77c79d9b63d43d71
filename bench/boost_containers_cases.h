// SPDX-License-Identifier: Apache-2.0
//
// The group "boost_containers": a map in shared memory, into which one or two processes insert, and
// erase again.

#ifndef SLUICE_BENCH_BOOST_CONTAINERS_CASES_H_
#define SLUICE_BENCH_BOOST_CONTAINERS_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_boost_containers_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_BOOST_CONTAINERS_CASES_H_
