// SPDX-License-Identifier: Apache-2.0
//
// The supervisor of a pool: a process with one thread, forked before anything else, that forks the
// workers, learns from their pidfds when one ends, gives their tasks to others or up, and replaces
// them. So a worker is never forked from a process with threads, however many the user's has.
// Internal.
//
//   const int code = run_supervisor(memory, options, commands, parent, parent_pidfd);
//
// It ends when the pool is stopped, or closed and done, or its parent has ended however that
// happened; no worker outlives it, since each asks the kernel to be killed with it.
//
// What a worker's end means: exit code 0 after it has said `leaving`: its share is done; a
// successor if there is work for one. `failed`: its initializer threw: the pool is broken, all end.
// Anything else is a death: its task is started again or fails, as its submitter said; the
// successor of one that had not done a single task waits, 1 ms at first, twice as long each time,
// at most 1 s.
//
// Where forks take long, a spare worker is kept (pool/spare_worker.h), and takes the next free
// place.
//
// Units: none. Errors: none come out; a worker that can't be forked is tried again with the same
// patience; where not even the first can be, the pool is broken. Threads: one. If a process dies
// here: the supervisor's own death kills the workers, and its parent says so (pool/pool_core.h).
// Cost: asleep in poll(2) but when something happens.

#ifndef SLUICE_POOL_SUPERVISOR_H_
#define SLUICE_POOL_SUPERVISOR_H_

#include <sys/types.h>

#include <cstdint>

#include "sluice/ipc/pool_memory.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/pool/pool_options.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

/// What the pool's owner tells the supervisor: one datagram each.
struct SupervisorCommand {
  enum class Verb : std::uint32_t {
    stop,       ///< kill all workers and end
    kill_task,  ///< kill the worker that runs `task`, if one does
    grow,       ///< tasks wait and no worker is idle
    resize,     ///< to `workers`
  };
  Verb verb;
  std::uint32_t workers = 0;
  Task task = {};
};

int run_supervisor(PoolMemory& memory, const PoolOptions& options, const UniqueFd& commands,
                   const UniqueFd& parent_pidfd);

}  // namespace sluice::internal

#endif  // SLUICE_POOL_SUPERVISOR_H_
