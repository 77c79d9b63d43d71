// SPDX-License-Identifier: Apache-2.0
//
// Shared memory by name: attaching to it, and reaching what lies there. docs/benchmarking.md has
// the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:segment -- --json=segment.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/segment_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_segment_cases(suite);
  return suite.run(argc, argv);
}
