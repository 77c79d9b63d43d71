// SPDX-License-Identifier: Apache-2.0
//
// SupervisorProcess: the supervisor of a pool as its owner holds it, and from where it is forked:
// from the owner itself, or, after prepare_supervisors(), from a process that was forked then and
// has had one thread ever since. Internal: users call Pool::prepare().
//
//   prepare_supervisors();                                       // in main(), before any thread
//   SupervisorProcess supervisor(memory, options);               // later, from wherever
//   supervisor.command({.verb = SupervisorCommand::Verb::stop});
//   supervisor.join(5s);
//
// The prepared process gets, over a socket, the pool's memory, the channel for commands, a pidfd of
// the owner, and the options; it forks a supervisor, which attaches, and answers with its pidfd.
//
// Units: Deadline. Errors: Error: no more processes; an initializer or a finalizer that
// can't travel to the prepared process; peer_died if that has ended. Threads: one at a time, but
// for command() and is_alive(). A forked child has nothing prepared. If a process dies here: with
// the owner the kernel ends the prepared process, and with that its supervisors; the prepared
// process's own death ends its supervisors. Cost: about 1 ms more than a fork of one's own.

#ifndef SLUICE_POOL_SUPERVISOR_PROCESS_H_
#define SLUICE_POOL_SUPERVISOR_PROCESS_H_

#include <optional>

#include "sluice/ipc/pool_memory.h"
#include "sluice/pool/pool_options.h"
#include "sluice/pool/process.h"
#include "sluice/pool/supervisor.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

/// Forks the process that later supervisors come from, if this process has none.
void prepare_supervisors();

class SupervisorProcess {
 public:
  SupervisorProcess(PoolMemory& memory, const PoolOptions& options);

  void command(const SupervisorCommand& command) const noexcept;
  [[nodiscard]] bool is_alive() const noexcept;
  /// False if the deadline passed first.
  bool join(Deadline deadline);
  void kill() noexcept;

 private:
  UniqueFd commands_;
  std::optional<Process> own_;  ///< forked here
  UniqueFd prepared_;           ///< a pidfd: forked there
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_SUPERVISOR_PROCESS_H_
