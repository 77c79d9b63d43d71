// SPDX-License-Identifier: Apache-2.0
//
// FileHold: a lock on one byte of a file, kept by a mapping instead of a descriptor. Internal: it
// is how sluice says "this process lives", "this object is in use", "this end may still be taken".
//
//   auto hold = FileHold::take(open_anew(fd), kByte, FileHold::Mode::write,
//   FileHold::OnFork::drop); FileHold::is_held(probe_fd, kByte)       // asked by others, through a
//   description of their own
//
// An open-file-description lock (fcntl(2), F_OFD_SETLK) lives as long as the open file description.
// A mapping keeps the description alive without a descriptor, so a host that closes all
// descriptors (closefrom(3)) does not end the lock. The byte may lie beyond the file's end; the
// mapping is never touched, so the file may be empty.
//
// Threads: as an int. Processes: with OnFork::drop a child does not inherit the mapping, so the
// lock ends with this process (MADV_DONTFORK; where the kernel refuses that, the child of fork(3)
// drops it in a handler, and only a raw clone(2) inherits it); with OnFork::keep the lock lasts
// until the last process that inherited it has unmapped it or died. If a process dies here: the
// kernel drops the mapping, and with its last holder the lock. Cost: take() five system calls;
// is_held() one.

#ifndef SLUICE_SYNC_FILE_HOLD_H_
#define SLUICE_SYNC_FILE_HOLD_H_

#include <sys/types.h>

#include <optional>
#include <utility>

#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

class FileHold {
 public:
  enum class Mode { read, write };
  enum class OnFork { keep, drop };

  /// Locks `byte` through `description`, which must be an open file description that nobody else
  /// uses, open for writing (or reading, for Mode::read). Empty if another description holds a
  /// conflicting lock. Throws Error for anything else.
  static std::optional<FileHold> take(UniqueFd description, off_t byte, Mode mode, OnFork on_fork);

  /// Whether any description other than `fd`'s own holds a lock on one of `count` bytes from `byte`
  /// on. Throws Error if the kernel can't say.
  static bool is_held(int fd, off_t byte, off_t count = 1);

  FileHold(FileHold&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
  FileHold& operator=(FileHold&& other) noexcept;
  ~FileHold();

  /// Keeps the lock until the process ends.
  void keep_for_ever() noexcept { address_ = nullptr; }

 private:
  explicit FileHold(void* address) : address_(address) {}

  void keep_from_children();

  void* address_;
};

/// Opens the file behind `fd` anew, for reading and writing: a description of the caller's own.
UniqueFd open_anew(int fd);

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_FILE_HOLD_H_
