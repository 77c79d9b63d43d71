// SPDX-License-Identifier: Apache-2.0
//
// PoolOptions and TaskOptions: what a pool (pool/pool.h) and a task of it can be told, and
// PoolCounters, what it tells.
//
//   Pool pool({.workers = 4, .max_tasks_per_worker = 1000, .initializer = open_database});
//   pool.submit(TaskOptions{.max_attempts = 3, .time_limit = 2s}, fetch, url);
//
// Units: std::chrono. Errors, threads, processes, death: as the pool. Cost: none.

#ifndef SLUICE_POOL_POOL_OPTIONS_H_
#define SLUICE_POOL_POOL_OPTIONS_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "sluice/pool/worker_function.h"

namespace sluice {

/// What a pool is made with. An Error of the constructor says which of them does not fit.
struct PoolOptions {
  /// 0: as many as CPUs that this process may use. At most 1024.
  unsigned workers = 0;
  /// More are started while tasks wait and none is idle, each time twice as many, and end when they
  /// have been idle for `idle_time`. 0: as `workers`.
  unsigned max_workers = 0;
  /// So long a worker above `workers` waits in vain before it ends. At least 1 ms.
  std::chrono::milliseconds idle_time{1000};
  /// The rule of prefork servers, looked at once each `idle_time`: with fewer than min_spare
  /// workers idle, one more is started, then two, four, up to 32 each time; with more than
  /// max_spare idle, one ends. Between `workers` and max_workers. 0, both: no such rule.
  unsigned min_spare = 0;
  /// The upper bound of that rule, not below min_spare. 0: none.
  unsigned max_spare = 0;
  /// Tasks that are queued, run, or are done and not yet fetched, at a time. Whoever submits one
  /// more waits. At most 65536.
  unsigned max_tasks = 4096;
  /// A worker ends after so many, and is replaced. 0: never.
  std::uint64_t max_tasks_per_worker = 0;
  /// Runs first in each worker. A worker has the memory that the process had when the pool was
  /// made: anything may be captured. If it throws, the pool is useless: who made it, or waits for a
  /// result, gets Error with its text. After Pool::prepare() this and the finalizer travel as tasks
  /// do: functions, and lambdas whose captures are trivially copyable and hold no pointer,
  /// reference or view; up to 64 KiB. What a worker has in memory, the functions among it, is then
  /// what there was when prepare() was called.
  internal::WorkerFunction initializer = {};
  /// Runs last in each worker that ends by itself, as after close(); not in one that is killed.
  internal::WorkerFunction finalizer = {};
  /// `ps` shows workers as "NAME-1" and so on, and who minds them as NAME.
  std::string name = "pool";
  /// How long tasks that run may go on after Ctrl-C (pool/interrupt.h).
  std::chrono::milliseconds grace{1000};
  /// The pool's shared memory gets this name, under which `//ipc:inspect` finds it. Empty: none.
  std::string inspected_as = {};
  /// Where callbacks run; empty: on a thread of the pool's own.
  std::function<void(std::function<void()>)> run_callbacks = {};
};

/// What a pool is to do if the worker of a task dies, or the task takes too long.
struct TaskOptions {
  /// How often the task is started at most, if the worker that runs it dies: 1 to 60,000, to which
  /// other numbers are rounded.
  unsigned max_attempts = 1;
  /// After which the worker is killed and replaced, and the task has failed. 0: none.
  std::chrono::nanoseconds time_limit{0};
};

/// What one worker, in its place among the others, and those before it have done.
struct WorkerCounters {
  pid_t pid = 0;                     ///< 0: there is none
  std::uint64_t done = 0;            ///< tasks that came to their end
  std::uint64_t failed = 0;          ///< of these, by an exception
  unsigned restarts = 0;             ///< how often one that ended, or died, was replaced
  std::chrono::nanoseconds busy{0};  ///< of the present one; an estimate
};

/// What a pool has done and has to do, in tasks, of which a chunk of a map is one; a snapshot.
struct PoolCounters {
  std::size_t queued = 0;               ///< waiting for a worker
  std::size_t running = 0;              ///< in a worker's hands
  std::uint64_t submitted = 0;          ///< since the beginning, as the next ones
  std::uint64_t done = 0;               ///< came to their end in a worker
  std::uint64_t failed = 0;             ///< of these, by an exception
  unsigned restarts = 0;                ///< of workers, whether they had died or done their share
  std::vector<WorkerCounters> workers;  ///< by their places, up to the most that there may be
};

/// One line for the pool, and one for each worker.
std::ostream& operator<<(std::ostream& out, const PoolCounters& counters);

}  // namespace sluice

#endif  // SLUICE_POOL_POOL_OPTIONS_H_
