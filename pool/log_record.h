// SPDX-License-Identifier: Apache-2.0
//
// LogRecord: one message of a logger (pool/log.h), with who wrote it, when, and where in the
// program. It travels (ipc/codec.h): Queue<LogRecord>.
//
//   std::cout << to_line(record, false);   // [INFO/Process-1] child process started
//
// Units: nanoseconds, of the steady clock and since 1970. Errors: none. Threads, processes, death:
// a plain value. Cost: five strings.

#ifndef SLUICE_POOL_LOG_RECORD_H_
#define SLUICE_POOL_LOG_RECORD_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <tuple>

namespace sluice {

/// How grave a message is, ascending; a logger writes those from its own level on.
enum class LogLevel : std::uint8_t {
  debug,    ///< for who looks for a mistake
  info,     ///< what goes as it should
  warning,  ///< what does not, and can be lived with
  error,    ///< what has failed
  off       ///< as the level of a logger: none of these
};

/// "debug" and so on; "unknown" for a number outside the enumeration.
[[nodiscard]] std::string_view to_string(LogLevel level) noexcept;
/// Writes what to_string() gives.
std::ostream& operator<<(std::ostream& out, LogLevel level);

/// One message, and where it comes from. Fit for a Queue, and for any other use of ipc/codec.h.
struct LogRecord {
  LogLevel level = LogLevel::off;  ///< that it was logged at
  std::int32_t pid = 0;            ///< of the process that logged it
  std::int32_t thread = 0;         ///< the kernel's number of it
  std::int64_t steady_ns = 0;      ///< when, by the steady clock: the same for all processes
  std::int64_t wall_ns = 0;        ///< when, since 1970, by a clock that may be set
  std::string process;             ///< what log_process_name() gave there
  std::string logger;              ///< its name: "sluice" is the library's
  std::string text;                ///< the message, its parts in one, without a newline at the end
  std::string file;                ///< the source file of the call, as the compiler spells it
  std::string function;            ///< that the call is in, as the compiler spells it
  std::uint32_t line = 0;          ///< of the file

  /// What travels, in this order: for ipc/codec.h.
  auto sluice_members() {
    return std::tie(level, pid, thread, steady_ns, wall_ns, process, logger, text, file, function,
                    line);
  }
};

/// "[LEVEL/Process] text" and a newline; with times, preceded by the date and time (UTC) to the
/// microsecond. At most PIPE_BUF bytes: what is longer ends in "...".
[[nodiscard]] std::string to_line(const LogRecord& record, bool times);

}  // namespace sluice

#endif  // SLUICE_POOL_LOG_RECORD_H_
