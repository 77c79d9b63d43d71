// SPDX-License-Identifier: Apache-2.0
//
// Process: runs a callable in a forked child, and knows how it ended. Not for running another
// program, and not for many small tasks.
//
//   auto [rx, tx] = Pipe::create();
//   Process worker("worker", [&] { parse_all(rx); });      // starts at once
//   send_all(tx);
//   if (!worker.join(5s)) worker.kill();
//   worker.join();
//   std::cout << worker << '\n';                           // worker (pid 4711): exited with 0
//
// The child starts with no signal blocked and every handler that the host had installed reset to
// its default (ignored signals stay ignored), standard output and error flushed by the parent
// before the fork. It runs the callable, flushes standard output and leaves by _exit: static
// destructors and atexit handlers, which belong to the parent, do not run. What the callable
// returns is not the exit code: a child that returns ends with 0. An uncaught exception is printed
// with its type and text, and ends the child with 1.
//
// Units: exit codes as in Python and the shell's tradition turned round: 0 to 255 as exited, minus
// the signal number if killed. Errors: the constructor throws Error (no more processes or memory);
// join, kill and the rest throw std::logic_error in a process that is not the parent.
//
// Threads: one Process object is used by one thread at a time; processes may be started from any
// number of threads at once. In a program with threads the child may do only what is safe after
// fork(2): locks that other threads held stay locked there. No lock of sluice is among them.
//
// If a process dies here: the child waits, before it runs anything, until the parent has opened its
// pidfd, if it can; if the parent dies first the child ends. A parent killed later leaves the child
// running. A child killed at any time is reported by its signal.
//
// Cost: one fork, about six further system calls; join() two.

#ifndef SLUICE_POOL_PROCESS_H_
#define SLUICE_POOL_PROCESS_H_

#include <sys/types.h>

#include <concepts>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

class Process {
 public:
  /// Starts `body` in a child. `name` is what `ps` and `top` show, cut to 15 bytes.
  template <std::invocable Body>
  Process(std::string name, Body body) : name_(std::move(name)) {
    start([&body] { static_cast<void>(body()); });
  }
  template <std::invocable Body>
  explicit Process(Body body) : Process("sluice-child", std::move(body)) {}

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) = delete;

  /// Joins a child that has not been joined: waits for it for as long as it takes. In a process
  /// that is not the parent, does nothing.
  ~Process();

  /// Waits until the child has ended and collects it; false if the deadline passed first. True at
  /// once when it has been collected before.
  bool join(Deadline deadline = Deadline::never());

  /// Whether the child has not ended yet. Collects nothing.
  [[nodiscard]] bool alive() const;

  /// How the child ended; empty while it has not been joined, or if the host has collected the
  /// child itself (a SIGCHLD handler that reaps) on a Linux before 6.15, which does not tell then.
  [[nodiscard]] std::optional<int> exit_code() const noexcept { return exit_code_; }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// A pidfd: readable when the child has ended, for poll(2) and epoll(7). Stays this object's. -1
  /// where the kernel refuses pidfd_open(2); join() and alive() then look every 5 ms.
  [[nodiscard]] int sentinel() const noexcept { return pidfd_.get(); }

  /// For wait_any(): ready when the child has ended. Throws Error where there is no sentinel.
  [[nodiscard]] WaitHandle wait_handle() const;

  /// SIGTERM and SIGKILL. Nothing happens if the child has ended.
  void terminate();
  void kill();
  void send_signal(int number);

  friend std::ostream& operator<<(std::ostream& out, const Process& process);

 private:
  void start(const std::function<void()>& body);
  void check_parent(const char* what) const;
  bool wait_ended(Deadline deadline) const;
  void collect();

  std::string name_;
  pid_t pid_ = -1;
  pid_t parent_ = -1;
  UniqueFd pidfd_;
  bool joined_ = false;
  std::optional<int> exit_code_;
};

}  // namespace sluice

#endif  // SLUICE_POOL_PROCESS_H_
