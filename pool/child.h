// SPDX-License-Identifier: Apache-2.0
//
// Internal: a child process as its parent keeps it, whatever runs in it, and the table of all of
// them. What Process and Program are made of.
//
// Descriptors. What belongs to a child (its pidfd, its lifeline, the gate it waits at) is opened
// and closed under the fork lock, and the child stands in the table as long as any is open. So
// every fork finds them all: the new process closes those that are not its own, and no child keeps
// a sibling's descriptors, or a sibling, alive.
//
// In a forked process the table is empty, and a ChildRecord that was inherited through it has
// `parent` of another process and no descriptor.
//
// If a process dies here: a parent killed before the child was let go leaves a child that sees it
// and ends; later, one that runs on, or, if it is a daemon, is killed by the kernel.

#ifndef SLUICE_POOL_CHILD_H_
#define SLUICE_POOL_CHILD_H_

#include <signal.h>
#include <sys/types.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/pool/fork_lock.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

struct ChildRecord : std::enable_shared_from_this<ChildRecord> {
  ChildRecord() = default;
  /// Takes it out of the table.
  ~ChildRecord();
  ChildRecord(const ChildRecord&) = delete;
  ChildRecord& operator=(const ChildRecord&) = delete;

  std::string name;
  std::string number;
  bool daemon = false;
  pid_t parent = -1;  ///< who made this object
  pid_t pid = -1;     ///< set when it has been started

  UniqueFd pidfd;
  std::array<UniqueFd, 2> lifeline;  ///< of a daemon: the reading end until it has been started
  std::array<UniqueFd, 2> gate;      ///< while it is being started
  UniqueFd parent_pidfd;             ///< as above

  /// Of a program: per standard stream our end, if it is captured, and, while it is being started,
  /// its end.
  std::array<std::array<UniqueFd, 2>, 3> streams;
  int new_pidfd = -1;  ///< of a program: where clone(2) writes it, before it is ours

  bool ended = false;  ///< and reaped; under the fork lock, as the code
  std::optional<int> code;
};
using ChildPtr = std::shared_ptr<ChildRecord>;

/// Forks; the child runs `body`, and what is to be done at its end. Throws Error, after which it
/// may be tried again.
void start_child(const ChildPtr& child, const std::function<void()>& body);

/// For a child that is not started by start_child: enters it in the table, with a lifeline if it is
/// a daemon; then notes that it runs as `pid`, watched by new_pidfd; or takes it back.
void enter(ChildRecord& child);
void entered_child_runs(ChildRecord& child, pid_t pid);
void take_back(ChildRecord& child) noexcept;

/// Opens what a ChildRecord holds by `open()`, or closes it, with the lock held, so that no fork
/// comes in between.
template <class Open>
void keep(UniqueFd& held, Open open) {
  const ForkLock lock;
  held = open();
}
void drop(UniqueFd& held) noexcept;
void keep_pipe(UniqueFd& reading, UniqueFd& writing, const char* purpose);

/// All signals blocked for the lifetime of the object: a handler of the host must not run in the
/// child before its handlers are reset.
class BlockSignals {
 public:
  BlockSignals();
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;
  ~BlockSignals();

 private:
  sigset_t before_ = {};
};

/// Signals as after exec: every handler to its default, nothing blocked; what is ignored stays so.
/// Async-signal-safe.
void reset_signals() noexcept;

/// Waits for its end and reaps it; false if the deadline was first.
bool join(const ChildPtr& child, Deadline deadline);
[[nodiscard]] bool is_alive(const ChildRecord& child);
[[nodiscard]] bool has_been_joined(const ChildRecord& child);
[[nodiscard]] std::optional<int> code_of(const ChildRecord& child);
void send_signal(const ChildRecord& child, int number);

/// Joins it; a daemon is asked to end (SIGTERM), and killed if it has not within a second.
void end(const ChildPtr& child);

/// This process's children that have been started and have not ended. Reaps those that have.
std::vector<ChildPtr> living_children();

}  // namespace sluice::internal

#endif  // SLUICE_POOL_CHILD_H_
