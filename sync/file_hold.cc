// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/file_hold.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <string>

#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

constexpr std::size_t kMapped = 4096;

struct flock one_byte(short type, off_t byte) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

}  // namespace

std::optional<FileHold> FileHold::take(UniqueFd description, off_t byte, Mode mode,
                                       OnFork on_fork) {
  struct flock lock = one_byte(mode == Mode::write ? F_WRLCK : F_RDLCK, byte);
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
    throw Error::from_errno(errno, {.tried = "keep a lock out of forked children"});
  }
  return hold;
}

bool FileHold::is_held(int fd, off_t byte) {
  struct flock lock = one_byte(F_WRLCK, byte);
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
  if (address_ != nullptr) munmap(address_, kMapped);
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
