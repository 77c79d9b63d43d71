// SPDX-License-Identifier: Apache-2.0
//
// Mutex and ConditionVariable between two processes, beside pthread's and Boost.Interprocess's.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:lock -- --json=lock.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/lock_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_lock_cases(suite);
  return suite.run(argc, argv);
}
