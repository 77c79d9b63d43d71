// SPDX-License-Identifier: Apache-2.0
//
// Thread: runs a callable in a thread of this process, with the face of a Process: one program text
// runs as threads or as processes. Not a pool; and where only a joining std::thread is wanted,
// std::jthread is simpler.
//
//   Thread worker("worker", [&] { parse_all(rx); });       // starts at once
//   if (!worker.join(5s)) std::cout << worker << '\n';     // worker (thread 4712): started
//
//   template <class Worker>                                // Process or Thread
//   void serve(Sender& tx) {
//     Worker feed({.name = "feed", .daemon = true}, [&] { send_all(tx); });
//   }
//
// A thread ends when its callable returns, throws or calls sluice::exit(). An uncaught exception is
// printed with the thread's name, its type and text, and ends the thread alone, with 1. The
// arguments are copied or moved into the Thread and destroyed by the thread at its end.
//
// At a normal end of the process (exit.h) threads are waited for, those that are daemons are not:
// the process ends under them. A Thread that is destroyed is joined, a daemon let go.
//
// What a Process has and this has not: signals, a sentinel. In a derived class that overrides run()
// the thread uses the object: it must be joined before the object is moved or destroyed, and so
// before the end of the derived class's destructor; else the program is terminated.
//
// Units: codes as sluice::exit(). Errors: start() throws Error (no more threads or memory, a stack
// size that the system refuses). Misuse throws std::logic_error: as with Process, and the join of a
// thread by itself.
//
// Threads and processes: join, alive and exit_code of one object may overlap, also with the
// thread's end. In a forked process no thread of the parent runs: there alive() is false and join()
// returns at once; who forked is the main thread. pthread_exit and pthread_cancel in a Thread end
// the program (std::terminate).
//
// If a process dies here: its threads go with it.
//
// Cost: start() one thread, two waits of a microsecond's size, three uses of a mutex. It is
// content with a stack of 64 KiB.

#ifndef SLUICE_POOL_THREAD_H_
#define SLUICE_POOL_THREAD_H_

#include <sys/types.h>

#include <concepts>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sluice/pool/bound_call.h"
#include "sluice/pool/start_options.h"
#include "sluice/sync/deadline.h"

namespace sluice {

namespace internal {
struct ThreadRecord;
}  // namespace internal

/// A thread of this process that runs a callable, or a derived class's run(), with the face of a
/// Process.
class Thread {
 public:
  /// Starts `f(args...)` in a thread.
  template <class F, class... Args>
    requires internal::RunnableWith<F, Args...>
  explicit Thread(F&& f, Args&&... args)
      : Thread(StartOptions{}, std::forward<F>(f), std::forward<Args>(args)...) {}

  /// A template, so that no braces mean a name.
  template <std::convertible_to<std::string> Name, class F, class... Args>
    requires internal::RunnableWith<F, Args...>
  Thread(Name&& name, F&& f, Args&&... args)
      : Thread(StartOptions{.name = std::forward<Name>(name)}, std::forward<F>(f),
               std::forward<Args>(args)...) {}

  /// As the options say: with a name, a stack size, as a daemon or not, now or by start().
  template <class F, class... Args>
    requires internal::RunnableWith<F, Args...>
  Thread(StartOptions options, F&& f, Args&&... args) : Thread(std::move(options)) {
    task_ = internal::bind_call(std::forward<F>(f), std::forward<Args>(args)...);
    if (start_ == Start::now) start();
  }

  Thread(Thread&& other) noexcept;
  /// Not by assignment: there may be a thread already.
  Thread& operator=(Thread&& other) = delete;
  /// Waits for the thread, however long it takes; a daemon is let go. Ends the program
  /// (std::terminate) if the thread still runs a run() of a derived class.
  virtual ~Thread();

  /// Returns when the thread runs. Throws Error, after which it may be tried again;
  /// std::logic_error if it was started before.
  void start();

  /// Waits until the thread has ended; false if the deadline passed first.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  bool join(Deadline deadline = Deadline::never());

  /// Whether it has been started and has not ended yet.
  [[nodiscard]] bool alive() const;

  /// 0 if it returned, what it gave to sluice::exit(), 1 if by an exception; empty before its end.
  [[nodiscard]] std::optional<int> exit_code() const;

  /// Gives back what it holds, of a thread that has been joined, or not started.
  void close();

  /// What `ps -T` shows as SPID, and gettid(2) returns; -1 if it has not been started, or was
  /// closed.
  [[nodiscard]] pid_t id() const noexcept;
  /// As it was given, or its class and a number, such as "Thread-2"; empty if it was closed.
  [[nodiscard]] std::string name() const;
  /// Whether the end of the process does not wait for it. Throws std::logic_error if it was closed.
  [[nodiscard]] bool daemon() const;

  /// Before it is started; throws std::logic_error afterwards.
  void set_name(std::string name);
  /// The same: whether the end of the process does not wait for it.
  void set_daemon(bool daemon);

  friend std::ostream& operator<<(std::ostream& out, const Thread& thread);

 protected:
  /// For a derived class that has a run() of its own; see above.
  explicit Thread(StartOptions options = {});

  /// What the thread does.
  virtual void run();

 private:
  /// The state, if it is what the name says; else they throw std::logic_error: not closed; not, or
  /// already, started.
  [[nodiscard]] const std::shared_ptr<internal::ThreadRecord>& open(const char* what) const;
  [[nodiscard]] const std::shared_ptr<internal::ThreadRecord>& unstarted(const char* what) const;
  [[nodiscard]] const std::shared_ptr<internal::ThreadRecord>& started(const char* what) const;

  std::shared_ptr<internal::ThreadRecord> state_;  ///< null if closed or moved from
  std::unique_ptr<internal::BoundCall> task_;      ///< until it is started
  Start start_;
};

/// A Thread of this process that runs.
struct ActiveThread {
  std::string name;  ///< as Thread::name()
  pid_t id;          ///< as Thread::id()
  bool daemon;       ///< not waited for at the end of the process
};

/// This process's Threads that have been started and have not ended, in the order of their start.
std::vector<ActiveThread> active_threads();

/// The calling thread, whoever made it.
namespace this_thread {

/// A Thread's name; "MainThread"; else what the system calls it.
[[nodiscard]] std::string name();
/// The kernel's number of it, as gettid(2) gives it: one system call.
[[nodiscard]] pid_t id() noexcept;
/// Whether it is a Thread that the end of the process does not wait for.
[[nodiscard]] bool daemon() noexcept;

/// Whether it is the one that the process began with, also one that a fork made from another.
[[nodiscard]] bool is_main() noexcept;

}  // namespace this_thread
}  // namespace sluice

#endif  // SLUICE_POOL_THREAD_H_
