// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/segment_options.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <ostream>
#include <sstream>
#include <string_view>
#include <system_error>

#include "sluice/sync/error.h"

namespace sluice {
namespace {

constexpr std::size_t kPopulateUpTo = std::size_t{64} << 20;
// Of Linux 5.14 and 6.1, which the C library's headers may not know.
constexpr int kMadvPopulateRead = 22;
constexpr int kMadvCollapse = 25;

std::string reason(int error) { return std::generic_category().message(error); }

/// Populating would give holes memory.
bool has_holes(int fd, std::size_t size) {
  struct stat s = {};
  return fstat(fd, &s) == 0 && static_cast<std::uint64_t>(s.st_blocks) * 512 < size;
}

bool wants_populate(int fd, std::size_t size, internal::MappedBy who,
                    const SegmentOptions& options) {
  return options.populate == Populate::yes ||
         (options.populate == Populate::automatic && who == internal::MappedBy::creator &&
          size <= kPopulateUpTo && !has_holes(fd, size));
}

std::span<std::byte> map(int fd, std::size_t size, int flags) {
  void* const address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, fd, 0);
  if (address == MAP_FAILED) {
    throw Error::from_errno(errno, {.tried = "map " + std::to_string(size) + " bytes",
                                    .hint = "the address space or a memory limit is used up"});
  }
  return {static_cast<std::byte*>(address), size};
}

/// As map(), with all pages there at once.
std::span<std::byte> map_populated(int fd, std::size_t size, SegmentReport& report) {
  const std::span<std::byte> memory = map(fd, size, 0);
  report.populated = madvise(memory.data(), size, kMadvPopulateRead) == 0;
  if (report.populated) return memory;
  const int error = errno;
  if (error == EFAULT || error == ENOMEM || error == EHWPOISON) {
    report.shortfalls.push_back("populate: " + reason(error));
    return memory;
  }
  // An older kernel, or one that refuses the call: the other way, which says nothing of how far it
  // came.
  munmap(memory.data(), size);
  const std::span<std::byte> again = map(fd, size, MAP_POPULATE);
  report.populated = true;
  return again;
}

/// Reads the number in a line as "ShmemPmdMapped:     2048 kB"; 0 for any other line.
std::size_t bytes_in_line(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return 0;
  line.remove_prefix(key.size());
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  std::size_t kilobytes = 0;
  std::from_chars(line.data(), line.data() + line.size(), kilobytes);
  return kilobytes << 10;
}

/// Whether the line begins the description of a mapping, and if so of which.
bool begins_mapping(std::string_view line, std::uintptr_t& first, std::uintptr_t& end) {
  const char* const last = line.data() + line.size();
  const auto [dash, error] = std::from_chars(line.data(), line.data() + line.size(), first, 16);
  if (error != std::errc() || dash == last || *dash != '-') return false;
  return std::from_chars(dash + 1, last, end, 16).ec == std::errc();
}

std::size_t huge_bytes_of(std::span<const std::byte> memory) {
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  std::ifstream smaps("/proc/self/smaps");
  std::size_t bytes = 0;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t first = 0;
    std::uintptr_t end = 0;
    if (begins_mapping(line, first, end)) inside = begin <= first && end <= begin + memory.size();
    if (inside) bytes += bytes_in_line(line, "ShmemPmdMapped:");
  }
  return bytes;
}

void use_huge_pages(std::span<std::byte> memory, SegmentReport& report) {
  const bool advised = madvise(memory.data(), memory.size(), MADV_HUGEPAGE) == 0;
  int error = errno;
  // The pages are there already, as small ones: MADV_HUGEPAGE alone concerns the future.
  if (advised && madvise(memory.data(), memory.size(), kMadvCollapse) != 0) error = errno;
  report.huge_bytes = huge_bytes_of(memory);
  if (report.huge_bytes == 0) {
    report.shortfalls.push_back("huge_pages: " + reason(error) +
                                "; see /sys/kernel/mm/transparent_hugepage/shmem_enabled");
  }
}

std::optional<int> node_of(const std::byte* page) {
  int node = -1;
  if (syscall(SYS_get_mempolicy, &node, nullptr, 0UL, page, MPOL_F_NODE | MPOL_F_ADDR) != 0) {
    return std::nullopt;
  }
  return node;
}

void prefer_node(std::span<std::byte> memory, int node, SegmentReport& report) {
  constexpr std::size_t kBits = CHAR_BIT * sizeof(unsigned long);
  std::array<unsigned long, 16> nodes = {};
  const auto number = static_cast<std::size_t>(node);
  int error = EINVAL;
  if (node >= 0 && number < nodes.size() * kBits) {
    nodes[number / kBits] = 1UL << number % kBits;
    // The kernel counts one bit less than it is told.
    const long result = syscall(SYS_mbind, memory.data(), memory.size(), MPOL_PREFERRED,
                                nodes.data(), nodes.size() * kBits + 1, MPOL_MF_MOVE);
    error = result == 0 ? 0 : errno;
  }
  report.numa_node = node_of(memory.data());
  if (report.numa_node != node_of(&memory.back())) report.numa_node.reset();
  if (report.numa_node == node) return;
  report.shortfalls.push_back("numa_node " + std::to_string(node) + ": " +
                              (error != 0 ? reason(error) : "the pages did not go there"));
}

void lock(std::span<std::byte> memory, SegmentReport& report) {
  report.locked = mlock(memory.data(), memory.size()) == 0;
  if (report.locked) return;
  const int error = errno;
  struct rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  report.shortfalls.push_back("lock: " + reason(error) + "; RLIMIT_MEMLOCK is " +
                              std::to_string(limit.rlim_cur) + " bytes");
}

}  // namespace

namespace internal {

std::span<std::byte> map_segment(int fd, std::size_t size, MappedBy who,
                                 const SegmentOptions& options, SegmentReport& report) {
  const std::span<std::byte> memory =
      wants_populate(fd, size, who, options) ? map_populated(fd, size, report) : map(fd, size, 0);
  if (options.numa_node) prefer_node(memory, *options.numa_node, report);
  if (options.huge_pages) use_huge_pages(memory, report);
  if (options.lock) lock(memory, report);
  // A refusal only makes core dumps larger.
  static_cast<void>(madvise(memory.data(), size, MADV_DONTDUMP));
  return memory;
}

}  // namespace internal

std::ostream& operator<<(std::ostream& out, const SegmentReport& report) {
  std::ostringstream line;
  line << (report.populated ? "populated" : "not populated")
       << (report.locked ? ", locked" : ", not locked") << ", " << report.huge_bytes
       << " bytes in huge pages";
  if (report.numa_node) line << ", on node " << *report.numa_node;
  for (const std::string& shortfall : report.shortfalls) line << "; not granted: " << shortfall;
  return out << line.str();
}

}  // namespace sluice
