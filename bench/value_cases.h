// SPDX-License-Identifier: Apache-2.0
//
// The group "value": one value that processes share: loaded, stored and changed by one alone, and
// by two at once.

#ifndef SLUICE_BENCH_VALUE_CASES_H_
#define SLUICE_BENCH_VALUE_CASES_H_

#include "sluice/bench/harness/suite.h"

namespace sluice::bench {

void add_value_cases(Suite& suite);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_VALUE_CASES_H_
