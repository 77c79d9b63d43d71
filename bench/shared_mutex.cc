// SPDX-License-Identifier: Apache-2.0
//
// SharedMutex between processes, beside pthread's and Boost.Interprocess's reader/writer locks.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:shared_mutex -- --json=shared_mutex.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/shared_mutex_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_shared_mutex_cases(suite);
  return suite.run(argc, argv);
}
