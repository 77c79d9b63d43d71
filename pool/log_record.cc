// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/log_record.h"

#include <limits.h>
#include <time.h>

#include <array>
#include <cstddef>
#include <cstdio>

namespace sluice {
namespace {

/// As "2026-11-22 07:30:00.123456 ", in UTC: local time would take a lock of the C library.
void append_time(std::string& line, std::int64_t wall_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const time_t seconds = wall_ns / kSecond;
  struct tm parts = {};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text = {};
  std::size_t n = strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
  line.append(text.data(), n);
  n = static_cast<std::size_t>(std::snprintf(text.data(), text.size(), ".%06d ",
                                             static_cast<int>(wall_ns % kSecond / 1000)));
  line.append(text.data(), n);
}

std::string_view in_capitals(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug:
      return "DEBUG";
    case LogLevel::info:
      return "INFO";
    case LogLevel::warning:
      return "WARNING";
    case LogLevel::error:
      return "ERROR";
    case LogLevel::off:
      return "OFF";
  }
  return "UNKNOWN";
}

}  // namespace

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
    case LogLevel::off:
      return "off";
  }
  return "unknown";
}

std::ostream& operator<<(std::ostream& out, LogLevel level) { return out << to_string(level); }

std::string to_line(const LogRecord& record, bool times) {
  std::string line;
  if (times) append_time(line, record.wall_ns);
  line.append("[").append(in_capitals(record.level)).append("/").append(record.process);
  line.append("] ").append(record.text);
  constexpr std::string_view kCut = "...";
  if (line.size() >= PIPE_BUF) line.replace(PIPE_BUF - 1 - kCut.size(), std::string::npos, kCut);
  line.push_back('\n');
  return line;
}

}  // namespace sluice
