// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/allocate.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>
#include <utility>

#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

/// What the two versions of cgroups call the same things.
struct CgroupFiles {
  std::string_view limit;
  std::string_view usage;
  std::string_view inactive_cache;
  std::string_view active_cache;
};
constexpr CgroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file", "active_file"};
constexpr CgroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_inactive_file", "total_active_file"};

/// The number that a file holds; empty if it holds none ("max").
std::optional<std::uint64_t> number_in(const std::string& file) {
  std::ifstream in(file);
  std::uint64_t number = 0;
  if (!(in >> number)) return std::nullopt;
  return number;
}

/// Page cache of files: dropped when memory is needed. Shared memory is not among it.
std::uint64_t droppable(const std::string& directory, const CgroupFiles& files) {
  std::ifstream in(directory + "/memory.stat");
  std::uint64_t bytes = 0;
  std::string key;
  for (std::uint64_t value = 0; in >> key >> value;) {
    if (key == files.inactive_cache || key == files.active_cache) bytes += value;
  }
  return bytes;
}

std::optional<CgroupRoom> room_in(const std::string& directory, const CgroupFiles& files,
                                  std::uint64_t enough) {
  const auto limit = number_in(directory + "/" + std::string(files.limit));
  const auto usage = number_in(directory + "/" + std::string(files.usage));
  // Without a limit version 1 says so by a number of that size.
  if (!limit || !usage || *limit >= std::numeric_limits<std::int64_t>::max() / 2) {
    return std::nullopt;
  }
  const std::uint64_t left = *limit - std::min(*limit, *usage);
  if (left >= enough) return CgroupRoom{directory, left};
  const std::uint64_t used = *usage - std::min(*usage, droppable(directory, files));
  return CgroupRoom{directory, *limit - std::min(*limit, used)};
}

/// In `path` below `root`, and in all above it.
std::optional<CgroupRoom> tightest(const std::string& root, std::string path,
                                   const CgroupFiles& files, std::uint64_t enough) {
  std::optional<CgroupRoom> least;
  for (;;) {
    const auto room = room_in(root + path, files, enough);
    if (room && (!least || room->bytes < least->bytes)) least = room;
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return least;
    path.resize(slash);
  }
}

bool names_memory(const std::string& controllers) {
  std::istringstream in(controllers);
  for (std::string one; std::getline(in, one, ',');) {
    if (one == "memory") return true;
  }
  return false;
}

/// Smaller requests are not what brings a machine down, and /proc/meminfo is slow to read.
constexpr std::size_t kNoticeable = std::size_t{1} << 20;

/// What the machine has left without killing anybody; empty if it doesn't say.
std::optional<std::uint64_t> memory_available() {
  std::ifstream in("/proc/meminfo");
  std::optional<std::uint64_t> available;
  std::uint64_t swap = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string key;
    std::uint64_t kilobytes = 0;
    words >> key >> kilobytes;
    if (key == "MemAvailable:") available = kilobytes << 10;
    if (key == "SwapFree:") swap = kilobytes << 10;
  }
  if (available) *available += swap;
  return available;
}

void refuse(int error, std::size_t size, const std::string& what, std::string found,
            std::string hint) {
  throw Error::from_errno(error, {.tried = "create " + what,
                                  .expected = std::to_string(size) + " bytes of shared memory",
                                  .found = std::move(found),
                                  .hint = std::move(hint)});
}

void refuse_as_full(int error, int fd, std::size_t size, const std::string& what) {
  struct statvfs fs = {};
  const bool known = fstatvfs(fd, &fs) == 0 && fs.f_blocks > 0;
  refuse(error, size, what,
         known ? std::to_string(fs.f_bavail * fs.f_frsize) + " bytes free" : "less",
         "ask for less, or enlarge /dev/shm (or the container's memory)");
}

/// All that can be known to be too little before a single page is taken.
void check_limits(int fd, std::size_t end, std::size_t taken, const std::string& what) {
  struct rlimit limit = {};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < end) {
    refuse(EFBIG, end, what, "RLIMIT_FSIZE of " + std::to_string(limit.rlim_cur),
           "raise the limit (ulimit -f)");
  }
  struct statvfs fs = {};
  if (fstatvfs(fd, &fs) == 0 && fs.f_blocks > 0 && fs.f_bavail * fs.f_frsize < taken) {
    refuse_as_full(ENOSPC, fd, taken, what);
  }
  const auto room = cgroup_room("/proc/self/cgroup", "/sys/fs/cgroup", taken);
  if (room && room->bytes < taken) {
    refuse(ENOMEM, taken, what, std::to_string(room->bytes) + " bytes left in cgroup " + room->path,
           "ask for less, or raise the container's memory limit");
  }
  if (taken < kNoticeable) return;
  const auto available = memory_available();
  if (available && *available < taken) {
    refuse(ENOMEM, taken, what, std::to_string(*available) + " bytes left in this machine",
           "ask for less");
  }
}

/// posix_fallocate(3), in ever smaller pieces once a signal has interrupted it: an interrupted call
/// loses what it has done, so a timer that ticks faster than a large request is done would keep it
/// from ever ending.
int allocate_in_pieces(int fd, std::size_t from, std::size_t to) {
  constexpr std::size_t kLeast = 4096;
  std::size_t piece = to - from;
  for (std::size_t done = from; done < to;) {
    const std::size_t length = std::min(piece, to - done);
    const int error = posix_fallocate(fd, static_cast<off_t>(done), static_cast<off_t>(length));
    if (error == EINTR) {
      piece = std::max(length / 2, kLeast);
    } else if (error != 0) {
      return error;
    } else {
      done += length;
    }
  }
  return 0;
}

/// Of a range that check_limits() has nothing against.
void allocate_checked(int fd, std::size_t from, std::size_t to, const std::string& what) {
  if (const int error = allocate_in_pieces(fd, from, to); error != 0) {
    refuse_as_full(error, fd, to - from, what);
  }
}

}  // namespace

std::optional<CgroupRoom> cgroup_room(const std::string& membership, const std::string& root,
                                      std::uint64_t enough) {
  std::ifstream in(membership);
  std::optional<CgroupRoom> least;
  // Lines as "4:memory:/a/b" (version 1) and "0::/a/b" (version 2).
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    std::optional<CgroupRoom> room;
    if (controllers.empty()) room = tightest(root, path, kVersion2, enough);
    if (names_memory(controllers)) room = tightest(root + "/memory", path, kVersion1, enough);
    if (room && (!least || room->bytes < least->bytes)) least = room;
  }
  return least;
}

void allocate_file(int fd, std::size_t size, const std::string& what) {
  allocate_range(fd, 0, size, what);
}

void allocate_file(int fd, std::size_t size, std::size_t backed, const std::string& what) {
  check_limits(fd, size, backed, what);
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) refuse_as_full(errno, fd, size, what);
  allocate_checked(fd, 0, backed, what);
}

void allocate_range(int fd, std::size_t from, std::size_t to, const std::string& what) {
  check_limits(fd, to, to - from, what);
  allocate_checked(fd, from, to, what);
}

}  // namespace sluice::internal
