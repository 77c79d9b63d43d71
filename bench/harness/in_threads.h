// SPDX-License-Identifier: Apache-2.0
//
// in_threads: the roles of a subject as threads of one process, each pinned to the CPU that it
// would have had as a process: for queues that know no other processes.
//
//   suite.add(what, {{"moodycamel", {{"", [] { return in_threads(one_way<8>(make())); }}}}});
//
// Threads, processes, death: the process of the first role runs them all, and the others none. What
// a role throws comes out once all have ended; so one that waits for a role that has thrown hangs,
// until the supervisor ends the repetition (team.h).

#ifndef SLUICE_BENCH_HARNESS_IN_THREADS_H_
#define SLUICE_BENCH_HARNESS_IN_THREADS_H_

#include "sluice/bench/harness/slice.h"

namespace sluice::bench {

/// Called in the supervisor, as a Variant's make() is.
Roles in_threads(Roles roles);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_IN_THREADS_H_
