// SPDX-License-Identifier: Apache-2.0
//
// Process: runs a callable in a forked child, and knows how it ended. Not for another program
// (exec.h), and not for many small tasks.
//
//   auto [rx, tx] = Pipe::create();
//   Process worker("worker", [&] { parse_all(rx); });      // starts at once
//   Process watcher({.name = "watcher", .daemon = true}, watch, "/var/log");
//   send_all(tx);
//   if (!worker.join(5s)) worker.kill();
//   worker.join();
//   std::cout << worker << '\n';                           // worker (pid 4711): exited with 0
//
// Or with a class of one's own, which is started when all of it is there:
//
//   class Worker : public Process { void run() override { ... } };
//   Worker worker;
//   worker.start();
//
// The child starts with no signal blocked and every handler that the host had installed reset to
// its default (ignored signals stay ignored), standard output and error flushed by the parent
// before the fork. It runs the callable, then what exit.h lists, flushes standard output and leaves
// by _exit: static destructors and atexit handlers, which belong to the parent, do not run. What
// the callable returns is not the exit code: a child that returns ends with 0, or as it said by
// sluice::exit(). An uncaught exception is printed with the process's name, its type and text, and
// ends the child with 1. A std::thread that it has detached does not keep it from ending.
//
// The arguments are copied or moved into the Process, as std::thread does it, and destroyed in the
// parent as soon as the child runs. Of the library's descriptors a child has its own alone: none of
// its siblings'.
//
// A daemon ends with the process that started it, whatever ended that one, also SIGKILL, and
// whichever thread had started it: the kernel sends it SIGKILL (lifeline.h). A parent that ends in
// good order ends its daemons with SIGTERM first and, if that does not help within a second, with
// SIGKILL; and waits for its other children. Unlike Python's a daemon may start processes: they are
// daemons by default, and so end with it.
//
// Units: exit codes as in Python and the shell's tradition turned round: 0 to 255 as exited, minus
// the signal number if killed. Errors: starting throws Error (no more processes or memory), and may
// be tried again. Misuse throws std::logic_error: starting twice, or in another process than the
// one that made the object; join, signals and close of a process that is not a child of this one,
// or not started; close of one that runs; most of it of one that was closed or moved from.
//
// Threads: processes may be started from any number of threads at once. join, alive, exit_code and
// signals of one object may overlap; starting, closing, moving and destroying it may not. In a
// program with threads the child may do only what is safe after fork(2): locks that other threads
// held stay locked there. No lock of sluice is among them.
//
// If a process dies here: the child waits, before it runs anything, until the parent has opened its
// pidfd, if it can; if the parent dies first the child ends. A parent killed later leaves a child
// that is no daemon running. A child killed at any time is reported by its signal.
//
// Cost: one fork, about ten further system calls, six more for a daemon; join() two. While a child
// is not closed: one descriptor, two for a daemon.

#ifndef SLUICE_POOL_PROCESS_H_
#define SLUICE_POOL_PROCESS_H_

#include <sys/types.h>

#include <concepts>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/wait_handle.h"
#include "sluice/pool/bound_call.h"
#include "sluice/pool/start_options.h"
#include "sluice/sync/deadline.h"

namespace sluice {

namespace internal {
struct ChildRecord;
}  // namespace internal

/// A child process that runs a callable, or a derived class's run(), and how it ended.
class Process {
 public:
  /// Starts `f(args...)` in a child.
  template <class F, class... Args>
    requires internal::RunnableWith<F, Args...>
  explicit Process(F&& f, Args&&... args)
      : Process(StartOptions{}, std::forward<F>(f), std::forward<Args>(args)...) {}

  /// A template, so that no braces mean a name.
  template <std::convertible_to<std::string> Name, class F, class... Args>
    requires internal::RunnableWith<F, Args...>
  Process(Name&& name, F&& f, Args&&... args)
      : Process(StartOptions{.name = std::forward<Name>(name)}, std::forward<F>(f),
                std::forward<Args>(args)...) {}

  /// As the options say: with a name, as a daemon or not, now or by start().
  template <class F, class... Args>
    requires internal::RunnableWith<F, Args...>
  Process(StartOptions options, F&& f, Args&&... args) : Process(std::move(options)) {
    task_ = internal::bind_call(std::forward<F>(f), std::forward<Args>(args)...);
    if (start_ == Start::now) start();
  }

  /// The child of one that was started goes to the new object, and of one that was not what it is
  /// to run; but not what a derived class has made of run().
  Process(Process&& other) noexcept;
  /// Not by assignment: there may be a child already.
  Process& operator=(Process&& other) = delete;

  /// Joins a child that has not been joined: waits for it for as long as it takes; a daemon is
  /// ended as at the end of the parent. In a process that is not the parent, does nothing.
  virtual ~Process();

  /// Forks the child, and returns when its end can be waited for. Throws Error, after which it may
  /// be tried again; std::logic_error if it was started before.
  void start();

  /// Waits until the child has ended and collects it; false if the deadline passed first. True at
  /// once when it has been collected before.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  bool join(Deadline deadline = Deadline::never());

  /// Whether it has been started and has not ended yet. Collects nothing.
  [[nodiscard]] bool alive() const;

  /// How the child ended; empty while it has not been joined, or in a process that is not its
  /// parent, or if the host has collected the child itself (a SIGCHLD handler that reaps) on a
  /// Linux before 6.15, which does not tell then.
  [[nodiscard]] std::optional<int> exit_code() const;

  /// Gives back what it holds, of a child that has been joined, or not started. A second time it
  /// does nothing.
  void close();

  /// -1 if it has not been started, or was closed.
  [[nodiscard]] pid_t pid() const noexcept;
  /// As it was given, or its class and a number, such as "Process-2"; empty if it was closed.
  [[nodiscard]] std::string name() const;
  /// Whether it ends with this process. Throws std::logic_error if it was closed.
  [[nodiscard]] bool daemon() const;

  /// Before it is started; throws std::logic_error afterwards.
  void set_name(std::string name);
  /// The same: whether it ends with this process.
  void set_daemon(bool daemon);

  /// A pidfd: readable when the child has ended, for poll(2) and epoll(7). Stays this object's. -1
  /// where the kernel refuses pidfd_open(2); join() and alive() then look every 5 ms.
  [[nodiscard]] int sentinel() const;

  /// For wait_any(): ready when the child has ended. Throws Error where there is no sentinel.
  [[nodiscard]] WaitHandle wait_handle() const;

  /// SIGTERM, which the child may handle. Nothing happens if it has ended. Does not wait for it.
  void terminate();
  /// SIGKILL, which it can neither handle nor ignore; as terminate() else.
  void kill();
  /// Any signal, such as SIGSTOP; as terminate() else.
  void send_signal(int number);

  friend std::ostream& operator<<(std::ostream& out, const Process& process);

 protected:
  /// For a derived class that has a run() of its own. `options.start` says nothing here: a
  /// constructor of the base would run what is not there yet.
  explicit Process(StartOptions options = {});

  /// What the child does.
  virtual void run();

 private:
  friend class Program;

  /// join(); a Program reads on meanwhile.
  virtual bool wait(Deadline deadline);

  /// The child, if it is what the name says; else they throw std::logic_error: not closed; made by
  /// this process; and not, or already, started by it.
  [[nodiscard]] const std::shared_ptr<internal::ChildRecord>& open(const char* what) const;
  [[nodiscard]] const std::shared_ptr<internal::ChildRecord>& own(const char* what) const;
  [[nodiscard]] const std::shared_ptr<internal::ChildRecord>& unstarted(const char* what) const;
  [[nodiscard]] const std::shared_ptr<internal::ChildRecord>& started(const char* what) const;

  std::shared_ptr<internal::ChildRecord> child_;  ///< null if closed or moved from
  std::unique_ptr<internal::BoundCall> task_;     ///< until it is started
  Start start_;
};

/// A child of this process that runs.
struct ActiveChild {
  std::string name;  ///< as Process::name()
  pid_t pid;         ///< not to be joined by this: its Process does that
  bool daemon;       ///< ends with this process
};

/// All children that Processes have started and that have not ended, in the order of their start.
/// Those that have ended are reaped, so that none stays a zombie; their objects know the exit code.
std::vector<ActiveChild> active_children();

}  // namespace sluice

#endif  // SLUICE_POOL_PROCESS_H_
