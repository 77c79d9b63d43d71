// SPDX-License-Identifier: Apache-2.0
//
// Internal: watching a process by its pidfd, and by its number where the kernel refuses pidfds.
//
// Nothing here waits for "any" child or handles SIGCHLD, and all of it holds where the host does:
// where it ignores SIGCHLD, or reaps children that are not its own.
//
// If a process dies here: a descriptor goes with it.

#ifndef SLUICE_POOL_PIDFD_H_
#define SLUICE_POOL_PIDFD_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "sluice/sync/deadline.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

/// How often somebody is looked after whom no descriptor watches.
inline constexpr std::chrono::milliseconds kLookAgain{5};

/// None where the kernel refuses (a seccomp filter). Else throws Error, which says `name`.
UniqueFd open_pidfd(pid_t pid, const std::string& name);

/// poll(2)'s way to say how long: rounded up, so that it never returns early.
int poll_timeout(Deadline deadline);

/// Whether `ended` holds before the deadline: looks when `pidfd` is readable, which is conclusive,
/// or, without one, every kLookAgain. Signals do not shorten it.
template <class Ended>
bool wait_until_ended(int pidfd, Deadline deadline, Ended ended);

/// The same for a child of this process, which stays unreaped.
bool wait_for_child(pid_t pid, int pidfd, Deadline deadline);

/// Reaps a child that has ended. Its exit status, or minus the signal that ended it; empty if
/// somebody else has reaped it on a Linux before 6.15, which does not tell then.
std::optional<int> collect_child(pid_t pid, int pidfd);

/// Waits for the end of a child, and reaps it.
void reap(pid_t pid);

/// Whether the signal was sent: false if the process is gone. Throws Error.
bool send_to(pid_t pid, int pidfd, int number, const std::string& name);

/// Waits for poll(2) on one descriptor (-1: only waits) up to the deadline; signals do not shorten
/// it. Throws Error.
bool wait_readable(int fd, Deadline deadline);

template <class Ended>
bool wait_until_ended(int pidfd, Deadline deadline, Ended ended) {
  if (pidfd >= 0) return wait_readable(pidfd, deadline);
  while (!ended()) {
    if (deadline.passed()) return false;
    wait_readable(-1, deadline < Deadline(kLookAgain) ? deadline : Deadline(kLookAgain));
  }
  return true;
}

}  // namespace sluice::internal

#endif  // SLUICE_POOL_PIDFD_H_
