// SPDX-License-Identifier: Apache-2.0
//
// The pool of processes, beside Python's. docs/benchmarking.md has the method and says how to read
// the table.
//
//   ./bazelw run -c opt //bench:pool -- --json=pool.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/pool_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_pool_cases(suite);
  return suite.run(argc, argv);
}
