// SPDX-License-Identifier: Apache-2.0
//
// Tasks from a process to a worker process and back (lockfree/task_board.h), beside two bare rings.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:task_board -- --json=task_board.json

#include "sluice/bench/harness/suite.h"
#include "sluice/bench/task_board_cases.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_task_board_cases(suite);
  return suite.run(argc, argv);
}
