// SPDX-License-Identifier: Apache-2.0
//
// Logger: messages with a level, as lines "[INFO/ProcessName] message" on stderr. What the library
// does (processes that start and end, workers that are replaced, locks whose owner died, stale
// objects that are removed, exceptions that nobody caught) is told here. Silent, until one call or
// the environment turns it on: SLUICE_LOG=debug, info, warning, error; with ",times" each line
// begins with the time of day. Not a logging framework: rotation, patterns and the like are the
// business of a LogSink of yours. (Not spdlog: its sinks and registry hold locks that a forked
// child may find locked.)
//
//   log_to_stderr();                                        // from level info on
//   get_logger().info("child process ", pid, " started");   // [INFO/MainProcess] child process ...
//   Logger& mine = get_logger("prices");                    // level: as the library's, or its own
//   mine.set_level(LogLevel::debug);
//   void complain(LogText text) { mine.warning(text); }     // a helper: knows its caller's line
//
// In memory: one level word per logger; loggers are never destroyed.
//
// "owner died: pid 4711 (participant 7) held the Mutex at 0x7f.. in /dev/shm/sluice-0/obj-bank" is
// told in the midst of a call, perhaps in a signal handler: as a line, whatever the sink, and with
// no allocation. Of each death that a call on a lock reports, of a Once that is begun again, and of
// an OwnedSemaphore's permit that comes back. What follows "in" is what the kernel calls the
// memory: the process that made an object may have it under the file's number alone. It is read
// from /proc/self/maps: a seccomp filter must let the process open that, or the line be off.
//
// Units: none. Errors: none: a line that can't be written is lost. What an operator<< throws passes
// through.
//
// Threads: all calls may overlap; a logger's level and the sink may be changed at any time. Each
// line is one write(2), of at most PIPE_BUF (4096) bytes, what is longer is cut: so lines of
// several processes don't mix, in pipes, terminals, and files that are opened to append. Processes:
// a child that is forked has the parent's levels and sink. No lock of ours is taken at all, so none
// can be left locked in a child that is forked while other threads log.
//
// If a process dies here: a line was written or not.
//
// Cost: of a level that is off, two loads. Of a line, its formatting, and one write(2).

#ifndef SLUICE_POOL_LOG_H_
#define SLUICE_POOL_LOG_H_

#include <concepts>
#include <cstdint>
#include <ostream>
#include <source_location>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "sluice/pool/log_record.h"
#include "sluice/sync/env.h"
#include "sluice/sync/word.h"

namespace sluice {

/// The beginning of a message, and the line of the program that it stands in.
struct LogText {
  /// Refers to `t`, and takes the place of the call that it is made in.
  template <class Text>
    requires std::convertible_to<const Text&, std::string_view>
  // NOLINTNEXTLINE(google-explicit-constructor): so that a literal brings its place with it
  constexpr LogText(const Text& t,
                    std::source_location w = std::source_location::current()) noexcept
      : text(t), where(w) {}

  std::string_view text;       ///< not copied: it must live as long as the call
  std::source_location where;  ///< goes into LogRecord
};

/// A named source of messages, with a level of its own. get_logger() makes it; it lives as long as
/// the process.
class Logger {
 public:
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  /// What get_logger() was asked for. It is in the records, not in the lines.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// From which level on; LogLevel::off for none.
  void set_level(LogLevel level) noexcept {
    // Relaxed: a number on its own; who logs meanwhile may see it a moment later.
    internal::RealEnv::store(level_, static_cast<std::uint8_t>(level), std::memory_order_relaxed);
  }
  /// From which level on it writes: its own, or the library's until it has one.
  [[nodiscard]] LogLevel level() const noexcept {
    // Relaxed, as above.
    const std::uint8_t own = internal::RealEnv::load(level_, std::memory_order_relaxed);
    if (own != kAsParent || parent_ == nullptr) return static_cast<LogLevel>(own);
    return parent_->level();
  }
  /// Whether a message of this level would be written: to be asked before it costs much to make
  /// one.
  [[nodiscard]] bool enabled(LogLevel level) const noexcept {
    return level >= this->level() && level != LogLevel::off;
  }

  /// The parts of the message, one after the other, as operator<< writes them.
  template <class... Parts>
  void debug(LogText first, const Parts&... parts) const {
    log(LogLevel::debug, first, parts...);
  }
  /// The same, at level info.
  template <class... Parts>
  void info(LogText first, const Parts&... parts) const {
    log(LogLevel::info, first, parts...);
  }
  /// The same, at level warning.
  template <class... Parts>
  void warning(LogText first, const Parts&... parts) const {
    log(LogLevel::warning, first, parts...);
  }
  /// The same, at level error.
  template <class... Parts>
  void error(LogText first, const Parts&... parts) const {
    log(LogLevel::error, first, parts...);
  }
  /// The same, at a level that is known at run time only.
  template <class... Parts>
  void log(LogLevel level, LogText first, const Parts&... parts) const {
    if (!enabled(level)) [[likely]]
      return;
    std::string text(first.text);
    (append(text, parts), ...);
    emit(level, std::move(text), first.where);
  }

  /// Whatever the level: for what must not be lost.
  void emit(LogLevel level, std::string text, std::source_location where) const;

  friend std::ostream& operator<<(std::ostream& out, const Logger& logger) {
    return out << "Logger " << logger.name_ << ": from level " << logger.level() << " on";
  }

 private:
  friend Logger& get_logger(std::string_view name);

  static constexpr std::uint8_t kAsParent = 0xff;

  Logger(std::string name, const Logger* parent, LogLevel level) noexcept;

  template <class Part>
  static void append(std::string& text, const Part& part) {
    if constexpr (std::convertible_to<const Part&, std::string_view>) {
      text.append(std::string_view(part));
    } else if constexpr (std::integral<Part> && !std::same_as<Part, bool> && sizeof(Part) > 1) {
      text.append(std::to_string(part));
    } else {
      std::ostringstream out;
      out << part;
      text.append(out.view());
    }
  }

  const std::string name_;
  const Logger* const parent_;
  internal::Word<std::uint8_t> level_;
  Logger* next_ = nullptr;  ///< in the list of all; set before it is in there
};

/// The logger of that name; the library's own by default. The same one each time, for good. A new
/// one has the level of the library's until it is given one.
Logger& get_logger(std::string_view name = "sluice");

/// How the library's logger is turned on.
struct LogOptions {
  LogLevel level = LogLevel::info;  ///< messages below it are not written
  bool times = false;               ///< each line begins with the time (UTC)
};

/// Turns the library's logger on, with lines on stderr; returns it.
Logger& log_to_stderr(LogOptions options = {});
/// The same, with lines on `descriptor`, which stays the caller's: it must be open as long as
/// anybody may be logging.
Logger& log_to(int descriptor, LogOptions options = {});

/// Takes records, instead of the lines on a descriptor. Called by many threads at once, and in
/// forked children.
class LogSink {
 public:
  /// Not in use until it is given to set_log_sink().
  LogSink() = default;
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;
  /// When nobody may log to it any more: does not take itself out.
  virtual ~LogSink();
  /// Gets one record, in the thread that logs, which waits for it. What it throws comes out of the
  /// call that logs.
  virtual void take(const LogRecord& record) = 0;
};

/// From now on; nullptr for lines again. Returns the one from before. The sink must live as long as
/// anybody may be logging.
LogSink* set_log_sink(LogSink* sink) noexcept;
/// The one that is set; nullptr while records become lines.
[[nodiscard]] LogSink* log_sink() noexcept;

/// Writes the record as a line where lines go, whatever the sink.
void write_log_line(const LogRecord& record);

/// What this process is called in its records: "MainProcess", unless it was given a name. A forked
/// child has its parent's until then.
[[nodiscard]] std::string_view log_process_name() noexcept;
/// Gives this process that name, for the records of all its threads from now on.
void set_log_process_name(std::string_view name);

}  // namespace sluice

#endif  // SLUICE_POOL_LOG_H_
