// SPDX-License-Identifier: Apache-2.0
//
// What a worker process of a pool does from its first instruction to its last. Internal.
//
//   const WorkerEnd end = run_worker(memory, place, options);     // in a process of its own
//
// It ignores SIGINT, as the supervisor does that has forked it: a terminal sends it to everybody,
// and the pool decides what Ctrl-C means.
//
// Units: none. Errors: none come out; an initializer that throws is written to the worker's record.
// Threads: one. If a process dies here: the supervisor takes its task over (pool/supervisor.h).
// Cost: per task two copies of its bytes and what lockfree/task_board.h says; a look at the clock
// only where it finds nothing to do.

#ifndef SLUICE_POOL_WORKER_H_
#define SLUICE_POOL_WORKER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "sluice/ipc/pool_memory.h"
#include "sluice/pool/pool_options.h"

namespace sluice::internal {

/// Steady clock, as workers and supervisor compare it.
[[nodiscard]] std::uint64_t steady_ns() noexcept;

/// Works as the worker with that record until the board is closed, or it has done its share. Gives
/// the exit code.
int run_worker(PoolMemory& memory, std::size_t place, const PoolOptions& options);

}  // namespace sluice::internal

#endif  // SLUICE_POOL_WORKER_H_
