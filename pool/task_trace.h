// SPDX-License-Identifier: Apache-2.0
//
// TaskTrace: the stack of a task's exception as it was where it was thrown, which is gone by the
// time that somebody has caught it. Internal: users meet RemoteTrace (pool/task_error.h).
//
//   start_tracing();                                        // once, before the first task
//   try {
//     task();
//   } catch (const TraceProbe&) {                           // never entered
//     throw;
//   } catch (...) {
//     std::cerr << take_trace(__builtin_frame_address(0), TraceEnd::before_handler);
//   }
//
// A throw first looks for a handler, with the whole stack still there, and has each handler on the
// way say whether it catches that type. TraceProbe's handler writes the stack down, and says no. So
// an exception that the task catches itself is never looked at; and one that it catches and throws
// again has the stack of the second throw. Both handlers belong to one try block: the second look
// at a handler, on the way there, is spared where that same block catches.
//
// Units: none. Errors: none; the trace is empty where the C++ library is not libstdc++.
// Threads: what is written down is the thread's own. If a process dies here: nothing is shared.
// Cost: nothing until something is thrown; then two walks over the stack, and a search among a
// module's names for each frame that the thread has not described before.

#ifndef SLUICE_POOL_TASK_TRACE_H_
#define SLUICE_POOL_TASK_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice::internal {

/// There is none of it, and its destructor is nowhere defined, which has the compiler refer to its
/// type_info as to one that lies elsewhere: in task_trace.cc, and of our making.
class [[gnu::visibility("default")]] TraceProbe {
 public:
  TraceProbe() = delete;
  TraceProbe(const TraceProbe&) = delete;
  TraceProbe& operator=(const TraceProbe&) = delete;
  virtual ~TraceProbe();
};

/// Before a handler names TraceProbe in a thread of this process, and something is thrown there.
void start_tracing() noexcept;

enum class TraceEnd : std::uint8_t {
  before_handler,  ///< the function that has the handler is not part of the task
  with_handler,    ///< it may be: the task may be inlined there
};

/// No text is longer.
inline constexpr std::size_t kMostTraceBytes = 16384;

/// In the handler behind TraceProbe's: the stack of what it has caught, once; one line a frame,
/// innermost first. `handler`: the address of its function's frame; that one's callers are left
/// out.
[[nodiscard]] std::string take_trace(const void* handler, TraceEnd end);

}  // namespace sluice::internal

#endif  // SLUICE_POOL_TASK_TRACE_H_
