// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/log.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

namespace sluice {
namespace {

using internal::RealEnv;
using internal::Word;

constinit Word<std::uintptr_t> g_sink;
constinit Word<std::uintptr_t> g_loggers;  ///< the newest in the list of all but the library's
constinit Word<std::uintptr_t> g_process_name;
/// Where lines go, and whether with times. Plain words: each may be seen a moment later.
constinit Word<std::int32_t> g_descriptor;
constinit Word<std::uint8_t> g_times;

constexpr std::string_view kMainProcess = "MainProcess";

/// Never freed, since another thread may be reading it.
struct ProcessName {
  std::string text;
  const ProcessName* before;
};

template <class T>
T* at(std::uintptr_t address) noexcept {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): it was a pointer, a Word holds integers
  return reinterpret_cast<T*>(address);
}

/// Swaps a pointer in; what it points to is complete by then.
template <class T>
T* exchange(Word<std::uintptr_t>& word, T* next) noexcept {
  // Relaxed: the swap decides.
  std::uintptr_t before = RealEnv::load(word, std::memory_order_relaxed);
  // Release: pairs with the acquire of who follows the pointer. Acquire: who gets the old one may.
  while (!RealEnv::cas(word, before, reinterpret_cast<std::uintptr_t>(next),
                       std::memory_order_acq_rel)) {
  }
  return at<T>(before);
}

template <class T>
T* follow(const Word<std::uintptr_t>& word) noexcept {
  // Acquire: pairs with the release in exchange().
  return at<T>(RealEnv::load(word, std::memory_order_acquire));
}

void set_lines(int descriptor, bool times) noexcept {
  // Relaxed, both: numbers on their own.
  RealEnv::store(g_descriptor, static_cast<std::int32_t>(descriptor), std::memory_order_relaxed);
  RealEnv::store(g_times, static_cast<std::uint8_t>(times), std::memory_order_relaxed);  // as above
}

/// SLUICE_LOG, before main(): what is logged before this has run is not.
const bool g_read_environment = [] {
  set_lines(STDERR_FILENO, false);
  get_logger();  // made before there are threads: no other thread makes it during a fork
  const char* const value = secure_getenv("SLUICE_LOG");
  if (value == nullptr) return false;
  std::string_view wanted = value;
  constexpr std::string_view kTimes = ",times";
  const bool times = wanted.ends_with(kTimes);
  if (times) wanted.remove_suffix(kTimes.size());
  for (const LogLevel level :
       {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
    if (wanted == to_string(level)) log_to_stderr({.level = level, .times = times});
  }
  return true;
}();

template <class Clock>
std::int64_t nanoseconds_now() {
  const auto now = Clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace

LogSink::~LogSink() = default;

Logger::Logger(std::string name, const Logger* parent, LogLevel level) noexcept
    : name_(std::move(name)), parent_(parent) {
  level_.raw = parent != nullptr ? kAsParent : static_cast<std::uint8_t>(level);
}

Logger& get_logger(std::string_view name) {
  // Never destroyed: others log while static objects are being torn down.
  static Logger& library = *new Logger("sluice", nullptr, LogLevel::off);
  if (name == library.name()) return library;
  std::unique_ptr<Logger> made;
  for (Logger* newest = follow<Logger>(g_loggers);;) {
    for (Logger* logger = newest; logger != nullptr; logger = logger->next_) {
      if (logger->name() == name) return *logger;
    }
    if (made == nullptr) made.reset(new Logger(std::string(name), &library, LogLevel::off));
    made->next_ = newest;
    auto seen = reinterpret_cast<std::uintptr_t>(newest);
    // Release: pairs with the acquire of who finds it. Acquire: one that was added meanwhile is
    // looked at.
    if (RealEnv::cas(g_loggers, seen, reinterpret_cast<std::uintptr_t>(made.get()),
                     std::memory_order_acq_rel)) {
      return *made.release();
    }
    newest = follow<Logger>(g_loggers);
  }
}

void Logger::emit(LogLevel level, std::string text, std::source_location where) const {
  const LogRecord record = {
      .level = level,
      .pid = getpid(),
      .thread = static_cast<std::int32_t>(syscall(SYS_gettid)),
      .steady_ns = nanoseconds_now<std::chrono::steady_clock>(),
      .wall_ns = nanoseconds_now<std::chrono::system_clock>(),
      .process = std::string(log_process_name()),
      .logger = name_,
      .text = std::move(text),
      .file = where.file_name(),
      .function = where.function_name(),
      .line = where.line(),
  };
  if (LogSink* const sink = log_sink(); sink != nullptr) {
    sink->take(record);
  } else {
    write_log_line(record);
  }
}

LogSink* log_sink() noexcept { return follow<LogSink>(g_sink); }

LogSink* set_log_sink(LogSink* sink) noexcept { return exchange(g_sink, sink); }

void write_log_line(const LogRecord& record) {
  // Relaxed, both: numbers on their own.
  const int descriptor = RealEnv::load(g_descriptor, std::memory_order_relaxed);
  const bool times = RealEnv::load(g_times, std::memory_order_relaxed) != 0;  // as above
  const std::string line = to_line(record, times);
  const int error = errno;  // logging changes nothing for who logs
  // Not in a loop: the rest of a line that was written in part would be another line.
  [[maybe_unused]] const ssize_t written = write(descriptor, line.data(), line.size());
  errno = error;
}

Logger& log_to(int descriptor, LogOptions options) {
  set_lines(descriptor, options.times);
  Logger& library = get_logger();
  library.set_level(options.level);
  return library;
}

Logger& log_to_stderr(LogOptions options) { return log_to(STDERR_FILENO, options); }

std::string_view log_process_name() noexcept {
  const auto* const name = follow<const ProcessName>(g_process_name);
  return name != nullptr ? std::string_view(name->text) : kMainProcess;
}

void set_log_process_name(std::string_view name) {
  const auto* const before = follow<const ProcessName>(g_process_name);
  exchange<const ProcessName>(g_process_name, new ProcessName{std::string(name), before});
}

}  // namespace sluice
