// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/incident_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <chrono>
#include <cstring>

#include "sluice/sync/unique_fd.h"

namespace sluice::internal {
namespace {

/// Of a line "first-end rights offset device inode path": the path, if `address` lies there.
std::string_view path_at(std::string_view line, std::uintptr_t address) noexcept {
  constexpr int kHex = 16;
  std::uintptr_t first = 0;
  std::uintptr_t end = 0;
  const char* const line_begin = line.begin();
  const char* const line_end = line.end();
  const char* const dash = std::from_chars(line_begin, line_end, first, kHex).ptr;
  if (dash == line_end) return {};
  std::from_chars(dash + 1, line_end, end, kHex);
  const std::size_t path = line.find('/');
  const bool is_there = first <= address && address < end && path != std::string_view::npos;
  return is_there ? line.substr(path) : std::string_view();
}

}  // namespace

void IncidentLine::add(std::string_view text) noexcept {
  // One byte is the line's end.
  const std::size_t size = std::min(text.size(), bytes_.size() - 1 - size_);
  std::ranges::copy(text.substr(0, size), bytes_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += size;
}

void IncidentLine::add_number(std::uint64_t number, int base, std::size_t digits) noexcept {
  std::array<char, 64> text;
  const char* const end = std::to_chars(text.data(), text.data() + text.size(), number, base).ptr;
  const std::string_view written(text.data(), static_cast<std::size_t>(end - text.data()));
  for (std::size_t n = written.size(); n < digits; ++n) add("0");
  add(written);
}

void IncidentLine::add_time(std::int64_t wall_ns) noexcept {
  using std::chrono::floor;
  const std::chrono::sys_time<std::chrono::nanoseconds> now{std::chrono::nanoseconds(wall_ns)};
  const auto today = floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(today);
  const std::chrono::hh_mm_ss time(floor<std::chrono::microseconds>(now - today));
  const auto part = [this](auto number, std::size_t digits, std::string_view next) {
    add_number(static_cast<std::uint64_t>(number), 10, digits);
    add(next);
  };
  part(static_cast<int>(date.year()), 4, "-");
  part(static_cast<unsigned>(date.month()), 2, "-");
  part(static_cast<unsigned>(date.day()), 2, " ");
  part(time.hours().count(), 2, ":");
  part(time.minutes().count(), 2, ":");
  part(time.seconds().count(), 2, ".");
  part(time.subseconds().count(), 6, " ");
}

void IncidentLine::add_mapping_of(const void* address) noexcept {
  const auto wanted = std::bit_cast<std::uintptr_t>(address);
  const UniqueFd maps(open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  std::array<char, std::size_t{2} * PATH_MAX> bytes;
  std::size_t kept = 0;  // of a line that was read in part
  while (maps) {
    const ssize_t size = read(maps.get(), bytes.data() + kept, bytes.size() - kept);
    if (size <= 0) return;
    std::string_view unread(bytes.data(), kept + static_cast<std::size_t>(size));
    for (std::size_t end = 0; (end = unread.find('\n')) != std::string_view::npos;
         unread.remove_prefix(end + 1)) {
      const std::string_view path = path_at(unread.substr(0, end), wanted);
      if (path.empty()) continue;
      add(" in ");
      add(path);
      return;
    }
    kept = unread.size();
    std::memmove(bytes.data(), unread.data(), kept);
  }
}

std::string_view IncidentLine::text() noexcept {
  bytes_[size_] = '\n';
  return {bytes_.data(), size_ + 1};
}

}  // namespace sluice::internal
