// SPDX-License-Identifier: Apache-2.0
//
// Pipes between two processes, and the typed ring that lies below them, beside what else there is.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:pipe -- --json=pipe.json
//   ./bazelw run -c opt //bench:pipe -- --quick --benchmark_filter=/64/

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/in_place_cases.h"
#include "sluice/bench/pipe_cases.h"
#include "sluice/bench/spsc_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_pipe_cases(suite);
  sluice::bench::add_in_place_cases(suite);
  sluice::bench::add_spsc_cases(suite);
  return suite.run(argc, argv);
}
