// SPDX-License-Identifier: Apache-2.0
//
// Everything that is measured, side by side with what else there is, in one run. README.md and
// docs/benchmarking.md say how to run, read and distrust it.
//
//   ./bazelw run -c opt //bench:compare -- --json=all.json --html=all.html
//   ./bazelw run -c opt //bench:compare -- --quick --only='pipe/rtt/8'

#include "sluice/bench/array_cases.h"
#include "sluice/bench/event_cases.h"
#include "sluice/bench/harness/suite.h"
#include "sluice/bench/in_place_cases.h"
#include "sluice/bench/lock_cases.h"
#include "sluice/bench/mpmc_cases.h"
#include "sluice/bench/pipe_cases.h"
#include "sluice/bench/pool_cases.h"
#include "sluice/bench/queue_cases.h"
#include "sluice/bench/semaphore_cases.h"
#include "sluice/bench/shared_mutex_cases.h"
#include "sluice/bench/spsc_cases.h"
#include "sluice/bench/value_cases.h"

int main(int argc, char** argv) {
  using namespace sluice::bench;
  Suite suite;
  add_spsc_cases(suite);
  add_pipe_cases(suite);
  add_in_place_cases(suite);
  add_mpmc_cases(suite);
  add_queue_cases(suite);
  add_lock_cases(suite);
  add_shared_mutex_cases(suite);
  add_semaphore_cases(suite);
  add_event_cases(suite);
  add_value_cases(suite);
  add_array_cases(suite);
  add_pool_cases(suite);
  return suite.run(argc, argv);
}
