// SPDX-License-Identifier: Apache-2.0
//
// Semaphore between two processes, beside POSIX's and Boost.Interprocess's. docs/benchmarking.md
// has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:semaphore -- --json=semaphore.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/semaphore_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_semaphore_cases(suite);
  return suite.run(argc, argv);
}
