// SPDX-License-Identifier: Apache-2.0
//
// Many producers and many consumers: what the claim that names its owner costs.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:mpmc -- --json=mpmc.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/mpmc_cases.h"
#include "sluice/bench/stack_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_mpmc_cases(suite);
  sluice::bench::add_stack_cases(suite);
  return suite.run(argc, argv);
}
