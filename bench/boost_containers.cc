// SPDX-License-Identifier: Apache-2.0
//
// A Boost map in a segment of sluice, beside one in Boost's managed_shared_memory.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:boost_containers -- --json=boost_containers.json

#include "sluice/bench/boost_containers_cases.h"
#include "sluice/bench/harness/suite.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_boost_containers_cases(suite);
  return suite.run(argc, argv);
}
