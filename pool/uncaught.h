// SPDX-License-Identifier: Apache-2.0
//
// What becomes of an exception that nobody can catch: one thrown by a callback of a future, by a
// timer, by a thread's body. It is told to one hook per process, and what threw it goes on with the
// next. Not for the exceptions of tasks: those are delivered by the task's future.
//
//   set_uncaught_hook([](std::string_view where, const std::exception_ptr& what) {
//     count_it(where);                           // "a callback of a future"
//     default_uncaught_hook(where, what);        // [ERROR/MainProcess] uncaught exception in ...
//   });
//
// Units, memory: none. Errors: what the hook throws is dropped.
//
// Threads: all calls may overlap; the hook is called in the thread in which the exception was
// thrown, by several threads at once. Processes and death: private to the process; a forked child
// has its parent's hook. No lock is held.
//
// Cost: the default hook makes one write(2).

#ifndef SLUICE_POOL_UNCAUGHT_H_
#define SLUICE_POOL_UNCAUGHT_H_

#include <exception>
#include <string>
#include <string_view>

namespace sluice {

/// `where`: what was being run, such as "a callback of a future".
using UncaughtHook = void (*)(std::string_view where, const std::exception_ptr& what);

/// Sets the hook, and returns the one from before; nullptr stands for the default.
UncaughtHook set_uncaught_hook(UncaughtHook hook) noexcept;

/// Logs where, and the exception's type and text, as the library's error, whatever its level
/// (pool/log.h): so unless something else was chosen, a line on stderr.
void default_uncaught_hook(std::string_view where, const std::exception_ptr& what);

namespace internal {

void report_uncaught(std::string_view where, const std::exception_ptr& what) noexcept;

/// "std::runtime_error: the text", or the type alone where there is no text.
[[nodiscard]] std::string describe(const std::exception_ptr& what);

/// Runs `body`; what it throws is reported.
template <class Body>
void run_reporting(std::string_view where, Body&& body) noexcept {
  try {
    body();
  } catch (...) {
    report_uncaught(where, std::current_exception());
  }
}

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_POOL_UNCAUGHT_H_
