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

namespace sluice::internal {

/// The next tag to give out, u32. Written by whoever holds the lock on kCounterByte.
inline constexpr off_t kCounterOffset = 512;
/// The byte whose lock guards the counter and the records.
inline constexpr off_t kCounterByte = off_t{1} << 41;
/// The byte of tag t is kLiveBase + t, far above the file's size: locks need no file bytes.
inline constexpr off_t kLiveBase = off_t{1} << 40;

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
