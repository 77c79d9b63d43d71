// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/file_hold.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <string>

#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

constexpr std::size_t kMapped = 4096;

struct flock bytes(short type, off_t byte, off_t count) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = count;
  return lock;
}

/// Mappings that children must not keep, where the kernel refuses to keep them out.
constinit std::array<std::atomic<void*>, 64> g_dropped_in_child = {};

void drop_in_child() {
  for (auto& slot : g_dropped_in_child) {
    // Relaxed: a child of fork(3) has one thread.
    void* const address = slot.exchange(nullptr, std::memory_order_relaxed);
    if (address != nullptr) munmap(address, kMapped);
  }
}

}  // namespace

std::optional<FileHold> FileHold::take(UniqueFd description, off_t byte, Mode mode,
                                       OnFork on_fork) {
  struct flock lock = bytes(mode == Mode::write ? F_WRLCK : F_RDLCK, byte, 1);
  if (fcntl(description.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES) return std::nullopt;
    throw Error::from_errno(errno, {.tried = "lock byte " + std::to_string(byte) + " of a file",
                                    .hint = "the file must lie on a local file system"});
  }
  void* const address = mmap(nullptr, kMapped, PROT_NONE, MAP_SHARED, description.get(), 0);
  if (address == MAP_FAILED) {
    throw Error::from_errno(errno, {.tried = "map a file to keep a lock on it"});
  }
  FileHold hold(address);
  if (on_fork == OnFork::drop && madvise(address, kMapped, MADV_DONTFORK) != 0) {
    hold.keep_from_children();
  }
  return hold;
}

void FileHold::keep_from_children() {
  static const bool handled = pthread_atfork(nullptr, nullptr, drop_in_child) == 0;
  for (auto& slot : g_dropped_in_child) {
    void* free = nullptr;
    // Relaxed: an address, and what is there no thread ever reads or writes.
    if (handled && slot.compare_exchange_strong(free, address_, std::memory_order_relaxed)) return;
  }
  throw Error::from_errno(ENOSYS, {.tried = "keep a lock out of forked children",
                                   .hint = "madvise(2) is refused; allow MADV_DONTFORK"});
}

bool FileHold::is_held(int fd, off_t byte, off_t count) {
  struct flock lock = bytes(F_WRLCK, byte, count);
  if (fcntl(fd, F_OFD_GETLK, &lock) != 0) {
    throw Error::from_errno(errno, {.tried = "ask who locks byte " + std::to_string(byte)});
  }
  return lock.l_type != F_UNLCK;
}

FileHold& FileHold::operator=(FileHold&& other) noexcept {
  std::swap(address_, other.address_);
  return *this;
}

FileHold::~FileHold() {
  if (address_ == nullptr) return;
  for (auto& slot : g_dropped_in_child) {
    void* mine = address_;
    // Relaxed: as where it was stored.
    slot.compare_exchange_strong(mine, nullptr, std::memory_order_relaxed);
  }
  munmap(address_, kMapped);
}

UniqueFd open_anew(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  UniqueFd anew(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!anew) {
    throw Error::from_errno(errno, {.tried = "open descriptor " + std::to_string(fd) + " anew",
                                    .hint = "/proc must be mounted"});
  }
  return anew;
}

}  // namespace sluice::internal
