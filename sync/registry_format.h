// SPDX-License-Identifier: Apache-2.0
//
// Offsets in the registry file and whole reads and writes at an offset. Internal to domain.cc and
// participant.cc; the diagram is in sync/domain.h.
//
// If a process dies here: pwrite(2) of a few bytes on tmpfs is not divided by a signal that kills.

#ifndef SLUICE_SYNC_REGISTRY_FORMAT_H_
#define SLUICE_SYNC_REGISTRY_FORMAT_H_

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace sluice::internal {

/// The next tag to give out, u32. Taken and raised in one atomic step, through a mapping.
inline constexpr off_t kCounterOffset = 512;
/// The byte of the registry whose lock is held by who replaces it.
inline constexpr off_t kReplaceByte = off_t{1} << 41;
/// The byte of tag t is kLiveBase + t, far above the file's size: locks need no file bytes.
inline constexpr off_t kLiveBase = off_t{1} << 40;
/// How many such bytes there are: one for each tag.
inline constexpr off_t kLiveBytes = off_t{1} << 32;

/// Whether a counter of this value has no number left to give.
constexpr bool is_used_up(std::uint32_t next) noexcept { return next == 0 || next == 0xffffffff; }

inline constexpr off_t kRecordsOffset = 4096;
inline constexpr off_t kRecords = 4096;

inline bool write_at(int fd, const void* data, std::size_t size, off_t offset) noexcept {
  ssize_t n = 0;
  do {
    n = pwrite(fd, data, size, offset);
  } while (n < 0 && errno == EINTR);
  if (n >= 0 && n != static_cast<ssize_t>(size)) errno = ENOSPC;
  return n == static_cast<ssize_t>(size);
}

inline bool read_at(int fd, void* data, std::size_t size, off_t offset) noexcept {
  ssize_t n = 0;
  do {
    n = pread(fd, data, size, offset);
  } while (n < 0 && errno == EINTR);
  if (n >= 0 && n != static_cast<ssize_t>(size)) errno = ENODATA;
  return n == static_cast<ssize_t>(size);
}

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_REGISTRY_FORMAT_H_
