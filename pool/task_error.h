// SPDX-License-Identifier: Apache-2.0
//
// What a task in another process can fail with, and how its exception travels. RemoteError,
// RemoteTrace and WorkerDied are caught where the result is asked for. Not for
// errors of the pool itself, which are Error (sync/error.h).
//
//   try {
//     pool.submit(parse, text).get();
//   } catch (const std::invalid_argument& e) {       // what parse() threw, with its text
//     try { std::rethrow_if_nested(e); } catch (const RemoteTrace& t) { std::cerr << t.what(); }
//   } catch (const WorkerDied& e) { std::cerr << e.what() << ", signal " << e.signal(); }
//
// The exceptions of <stdexcept>, std::bad_alloc, std::bad_cast, std::system_error and Error arrive
// as the same type with the same text, and carry a RemoteTrace nested in them: which worker, which
// type, which text, and the worker's stack. Any other arrives as RemoteError, with its type's name.
// A value that was thrown and is no std::exception arrives as RemoteError without a text.
//
// In memory: kind u8, mangled type, text, error code i32 and its category's name, worker, the four
// parts of an Error's text, and the trace, each as ipc/codec.h writes it.
//
// Units: none. Errors: bytes that encode_current_exception() did not write give a RemoteError that
// says so. Threads: pure functions. If a process dies here: nothing is shared. Cost: an exception
// thrown and caught; of its stack, pool/task_trace.h.

#ifndef SLUICE_POOL_TASK_ERROR_H_
#define SLUICE_POOL_TASK_ERROR_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace sluice {

/// A task's exception of a type that can't be made again here.
class RemoteError : public std::runtime_error {
 public:
  /// Of a type of that name; its what() is the name and, if there is one, the text.
  RemoteError(std::string type, const std::string& text)
      : std::runtime_error(type + (text.empty() ? "" : ": " + text)), type_(std::move(type)) {}

  /// As the compiler spells it.
  [[nodiscard]] const std::string& type() const noexcept { return type_; }

 private:
  std::string type_;
};

/// Where a task's exception comes from: nested in each of them. what(): worker, type and text, and
/// the trace in lines of its own.
class RemoteTrace : public std::runtime_error {
 public:
  /// `origin`: worker, type and text; `trace` may be empty.
  RemoteTrace(const std::string& origin, std::string trace)
      : std::runtime_error(origin + (trace.empty() ? "" : "\n" + trace)),
        trace_(std::move(trace)) {}

  /// The worker's stack where the exception was thrown, or thrown again by the task; innermost
  /// first, up to the task's own function or the pool's that calls it. One line a frame,
  /// "  #0 MODULE+0xOFFSET NAME", without the name where the module does not export one: then
  /// `addr2line -Cfie MODULE 0xOFFSET` has it; in a program that is linked statically an address
  /// alone. Of more than 64 frames, or 16 KiB, the last line says how many are left out. Empty
  /// where the C++ library is not libstdc++.
  [[nodiscard]] const std::string& trace() const noexcept { return trace_; }

 private:
  std::string trace_;
};

/// The worker that ran a task has ended under it, as often as the task was to be tried.
class WorkerDied : public std::runtime_error {
 public:
  /// `exit_code` as Process::exit_code(): minus the signal, if it was one.
  WorkerDied(pid_t pid, int exit_code, unsigned attempts, const std::string& task);

  /// Of the worker that was the last to run the task; it is not there any more.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// 0 if it was none.
  [[nodiscard]] int signal() const noexcept { return exit_code_ < 0 ? -exit_code_ : 0; }
  /// As Process::exit_code(): minus the signal that killed it, or 0 to 255.
  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }
  /// How often the task was started, with the last time.
  [[nodiscard]] unsigned attempts() const noexcept { return attempts_; }

 private:
  pid_t pid_;
  int exit_code_;
  unsigned attempts_;
};

/// Its time limit had passed, and so its worker was killed.
class TaskTimedOut : public WorkerDied {
 public:
  using WorkerDied::WorkerDied;
};

namespace internal {

/// In a catch block: what was caught, as bytes. `worker` and `trace` for the RemoteTrace.
std::vector<std::byte> encode_current_exception(const std::string& worker, std::string trace = {});

/// What encode_current_exception() wrote, ready to be thrown.
std::exception_ptr decode_exception(std::span<const std::byte> bytes);

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_POOL_TASK_ERROR_H_
