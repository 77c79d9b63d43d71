// SPDX-License-Identifier: Apache-2.0
//
// allocate_file: gives a new file in memory all its pages now, so that no later access can fail for
// want of them (SIGBUS, or the out-of-memory killer). Internal.
//
//   allocate_file(fd, 1 << 20, "pipe \"orders\"");   // throws Error: what was asked, what was left
//
// Asked first, each with an error of its own, before a single page is taken: RLIMIT_FSIZE, since
// exceeding it raises SIGXFSZ, which kills; the file system's free space; what the process's memory
// cgroups and the machine have left, since exceeding that has somebody killed. Of a cgroup's usage,
// page cache that the kernel can drop counts as left. What can't be read is skipped.
//
// Errors: std::errc::file_too_large, not_enough_memory, no_space_on_device. Threads: as the file.
// Processes: what others take meanwhile may make a request fail that had been found to fit. If a
// process dies here: the file keeps what it has got. Cost: the pages are zeroed, 0.3 to 1 ms per
// MiB, and some files are read.

#ifndef SLUICE_IPC_ALLOCATE_H_
#define SLUICE_IPC_ALLOCATE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace sluice::internal {

/// `what` names the object in errors. Signals do not end it, however often they come.
void allocate_file(int fd, std::size_t size, const std::string& what);

/// The same, with memory for the first `backed` bytes alone; the others are holes.
void allocate_file(int fd, std::size_t size, std::size_t backed, const std::string& what);

/// Gives such holes their memory.
void allocate_range(int fd, std::size_t from, std::size_t to, const std::string& what);

/// A memory cgroup, and how much of its limit is left.
struct CgroupRoom {
  std::string path;
  std::uint64_t bytes;
};

/// The tightest of the memory cgroups that the process is in, in version 2 or 1, with their
/// parents; empty if none has a limit, or can be read. `membership` is /proc/self/cgroup, `root`
/// /sys/fs/cgroup. Where `enough` bytes are left anyway, droppable page cache is not counted.
std::optional<CgroupRoom> cgroup_room(const std::string& membership, const std::string& root,
                                      std::uint64_t enough = UINT64_MAX);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ALLOCATE_H_
