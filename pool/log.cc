// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/log.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "sluice/pool/incident_line.h"
#include "sluice/sync/observer.h"
#include "sluice/sync/participant.h"

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

void write_line(std::string_view line) noexcept {
  // Relaxed: a number on its own.
  const int descriptor = RealEnv::load(g_descriptor, std::memory_order_relaxed);
  const int error = errno;  // logging changes nothing for who logs
  // Not in a loop: the rest of a line that was written in part would be another line.
  [[maybe_unused]] const ssize_t written = write(descriptor, line.data(), line.size());
  errno = error;
}

bool with_times() noexcept {
  // Relaxed: as in write_line().
  return RealEnv::load(g_times, std::memory_order_relaxed) != 0;
}

template <class Clock>
std::int64_t nanoseconds_now() {
  const auto now = Clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

/// By who has just taken a lock, perhaps one that a sink would have to take as well: so no sink.
void tell_owner_died(const internal::Incident& incident) noexcept {
  if (!get_logger().enabled(LogLevel::warning)) return;
  constexpr int kDecimal = 10;
  constexpr int kHex = 16;
  internal::IncidentLine line;
  if (with_times()) line.add_time(nanoseconds_now<std::chrono::system_clock>());
  line.add("[WARNING/");
  line.add(log_process_name());
  line.add("] owner died: pid ");
  if (const pid_t pid = participant::noted_pid(incident.owner); pid != 0) {
    line.add_number(static_cast<std::uint64_t>(pid), kDecimal);
  } else {
    line.add("unknown");
  }
  line.add(" (participant ");
  line.add_number(incident.owner, kDecimal);
  line.add(") held the ");
  line.add(incident.what);
  line.add(" at 0x");
  line.add_number(reinterpret_cast<std::uintptr_t>(incident.address), kHex);
  line.add_mapping_of(incident.address);
  write_line(line.text());
}

void tell_stale_removed(const internal::Incident& incident) noexcept {
  try {
    if (incident.maker != 0) {
      get_logger().info("stale object removed: \"", incident.what, "\", made by pid ",
                        incident.maker);
    } else {
      get_logger().info("stale object removed: \"", incident.what, '"');
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): the line is lost; what it tells of is done
  }
}

void tell(const internal::Incident& incident) {
  if (incident.kind == internal::Incident::Kind::owner_died) {
    tell_owner_died(incident);
  } else {
    tell_stale_removed(incident);
  }
}

/// SLUICE_LOG, before main(): what is logged before this has run is not.
const bool kReadEnvironment = [] {
  set_lines(STDERR_FILENO, false);
  get_logger();  // made before there are threads: no other thread makes it during a fork
  internal::set_observer(&tell);
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
  for (auto* newest = follow<Logger>(g_loggers);;) {
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

void write_log_line(const LogRecord& record) { write_line(to_line(record, with_times())); }

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
