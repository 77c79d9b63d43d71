// SPDX-License-Identifier: Apache-2.0
//
// SpareWorker: a process of a pool that has been forked already, and waits to be told whose place
// it takes. A fork takes as long as the parent has memory to copy the tables of (25 ms and more for
// a gigabyte); so where that is long, a pool's supervisor keeps one, and a worker that dies has its
// successor as soon as that one wakes. Internal.
//
//   SpareWorker spare("pool-spare", [](std::size_t place) { return run_worker(memory, place, ...);
//   }); places[3].worker = spare.assign(3, "pool-4");
//
// Units: memory in bytes. Errors: what a fork throws. Threads: one, the supervisor's.
//
// If a process dies here: the supervisor's death kills the spare as it kills workers; a spare that
// dies is seen by its sentinel(), or, if that comes too late, by the worker's that it has become.
// Cost: one process asleep in read(2), which shares its memory with the supervisor.

#ifndef SLUICE_POOL_SPARE_WORKER_H_
#define SLUICE_POOL_SPARE_WORKER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "sluice/pool/process.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

class SpareWorker {
 public:
  /// `work` runs in the process, once it is told a place, and gives its exit code.
  SpareWorker(const std::string& name, std::function<int(std::size_t place)> work);

  SpareWorker(const SpareWorker&) = delete;
  SpareWorker& operator=(const SpareWorker&) = delete;
  /// Kills and joins it, unless it was assigned.
  ~SpareWorker();

  /// Readable once the process has ended.
  [[nodiscard]] int sentinel() const { return process_->sentinel(); }
  [[nodiscard]] pid_t pid() const { return process_->pid(); }

  /// The process, which goes by that name from now on. Nothing is left here.
  std::unique_ptr<Process> assign(std::size_t place, const std::string& name);

  /// Whether a fork of this process takes long: more than 32 MiB are its own.
  [[nodiscard]] static bool pays();

 private:
  struct Order;

  UniqueFd read_end_, write_end_;
  std::unique_ptr<Process> process_;
};

/// Forks a process that does `work()`, ends with the code that this gives, and is killed if the
/// calling one, which has one thread, dies.
std::unique_ptr<Process> fork_worker(const std::string& name, std::function<int()> work);

}  // namespace sluice::internal

#endif  // SLUICE_POOL_SPARE_WORKER_H_
