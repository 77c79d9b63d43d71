// SPDX-License-Identifier: Apache-2.0
//
// UniqueFd: a file descriptor with one owner, closed at the end of its scope.
//
//   UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
//   if (!fd) throw Error::from_errno(errno, {...});
//
// Threads: as an int. Processes: a forked child has its own copy of the number, and its own
// UniqueFd object that closes it. If a process dies, the kernel closes the descriptor.

#ifndef SLUICE_SYNC_UNIQUE_FD_H_
#define SLUICE_SYNC_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace sluice {

/// A file descriptor with one owner, closed at the end of its scope; -1 is none.
class UniqueFd {
 public:
  /// None.
  UniqueFd() = default;
  /// Owns `fd` from now on; a negative number, as a failed open(2) gives, is none.
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  /// Takes the descriptor over; the other is left with none.
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  /// Closes the descriptor, if there is one.
  ~UniqueFd() { reset(); }

  /// The number, for calls that do not close it; -1 if there is none.
  [[nodiscard]] int get() const noexcept { return fd_; }
  /// True if there is a descriptor; does not ask the kernel whether it is open.
  explicit operator bool() const noexcept { return fd_ >= 0; }

  /// Gives up ownership without closing.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  /// Closes what it owns, and owns `fd` from now on.
  void reset(int fd = -1) noexcept {
    // close(2) is not repeated on EINTR: Linux has freed the number by then.
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace sluice

#endif  // SLUICE_SYNC_UNIQUE_FD_H_
