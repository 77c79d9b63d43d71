// SPDX-License-Identifier: Apache-2.0
//
// Barrier between two processes, beside pthread's and others. docs/benchmarking.md has the method
// and says how to read the table.
//
//   ./bazelw run -c opt //bench:barrier -- --json=barrier.json

#include "sluice/bench/barrier_cases.h"
#include "sluice/bench/harness/suite.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_barrier_cases(suite);
  return suite.run(argc, argv);
}
