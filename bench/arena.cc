// SPDX-License-Identifier: Apache-2.0
//
// Chunks of sluice's arena, beside blocks of Boost's managed_shared_memory.
// docs/benchmarking.md has the method and says how to read the table.
//
//   ./bazelw run -c opt //bench:arena -- --json=arena.json

#include "sluice/bench/arena_cases.h"
#include "sluice/bench/harness/suite.h"

int main(int argc, char** argv) {
  sluice::bench::Suite suite;
  sluice::bench::add_arena_cases(suite);
  return suite.run(argc, argv);
}
