// SPDX-License-Identifier: Apache-2.0
//
// Event, AutoResetEvent and Once between two processes, beside what is used in their place.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:event -- --json=event.json

#include "sluice/bench/event_cases.h"
#include "sluice/bench/harness/suite.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_event_cases(suite);
  return suite.run(argc, argv);
}
