// SPDX-License-Identifier: Apache-2.0
//
// The newest value of Latest, beside std::atomic, a struct under a lock, a seqlock and plain
// memory. docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:value -- --json=value.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/value_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_value_cases(suite);
  return suite.run(argc, argv);
}
