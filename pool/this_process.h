// SPDX-License-Identifier: Apache-2.0
//
// this_process: what a process knows of itself, and of the one that started it.
//
//   Process child({.name = "watcher"}, [] {
//     std::cout << this_process::name() << '\n';               // watcher
//     if (this_process::parent()->join(10s)) clean_up();       // the parent has ended
//   });
//
// A parent is watched by a pidfd that was opened before the fork returned, in the parent. So it is
// that very process, also if the child has been re-parented, to init or to a subreaper, or the
// number has passed to another process.
//
// Units: as Process. Errors: join() throws Error if poll(2) fails.
//
// Threads and processes: all calls may overlap. After a fork(2) that is no Process's, the child has
// its parent's name, and no parent that it knows.
//
// If a process dies here: a parent is dead once the kernel says so, zombie or not.
//
// Cost: name(), daemon(), parent() no system call; alive() one.

#ifndef SLUICE_POOL_THIS_PROCESS_H_
#define SLUICE_POOL_THIS_PROCESS_H_

#include <sys/types.h>

#include <iosfwd>
#include <string>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// The process that started this one. There is one such object, which lives as long as the process.
class ParentProcess {
 public:
  /// Internal: a child that a Process starts makes its own.
  ParentProcess(std::string name, pid_t pid, UniqueFd pidfd) noexcept
      : name_(std::move(name)), pid_(pid), pidfd_(std::move(pidfd)) {}

  /// What it was called when it started this one: "MainProcess", or by its Process.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Its number; when it has ended, another process may have that.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// Whether it has not ended, by the kernel's word; a zombie has. Throws as join().
  [[nodiscard]] bool alive() const { return !join(Deadline::now()); }

  /// Waits until it has ended; false if the deadline passed first.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  bool join(Deadline deadline = Deadline::never()) const;

  /// A pidfd, readable when it has ended; -1 where the kernel refuses pidfd_open(2). There join()
  /// asks getppid(2) every 5 ms.
  [[nodiscard]] int sentinel() const noexcept { return pidfd_.get(); }

  friend std::ostream& operator<<(std::ostream& out, const ParentProcess& parent);

 private:
  std::string name_;
  pid_t pid_;
  UniqueFd pidfd_;
};

namespace this_process {

/// "MainProcess" in a process that no Process started.
[[nodiscard]] const std::string& name() noexcept;
/// As getpid(2): after a fork the child's own.
[[nodiscard]] pid_t pid() noexcept;
/// Whether a Process started it as a daemon, which ends with its parent.
[[nodiscard]] bool daemon() noexcept;

/// Null in a process that no Process started.
[[nodiscard]] const ParentProcess* parent() noexcept;

/// The processors that are online; at least 1.
[[nodiscard]] int cpu_count() noexcept;
/// Those that the calling thread may run on (its affinity mask); at least 1.
[[nodiscard]] int usable_cpu_count() noexcept;

}  // namespace this_process

/// this_process::parent(), by the name that it has in Python.
[[nodiscard]] inline const ParentProcess* parent_process() noexcept {
  return this_process::parent();
}

namespace internal {

/// In a child that a Process has started, once, before anything else runs there.
void become_child(std::string name, bool daemon, std::string number, ParentProcess parent);

/// In a worker that was forked before it was known which one it becomes; while it has one thread.
void rename_process(std::string name);

/// The number of the next process that this one starts: "3", and "1:3" in the first child.
std::string next_child_number();

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_POOL_THIS_PROCESS_H_
