// SPDX-License-Identifier: Apache-2.0
//
// Queues between processes: what locks, encoding and waiting cost over a bare ring, and what others
// take. docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:queue -- --json=queue.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/queue_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_queue_cases(suite);
  return suite.run(argc, argv);
}
