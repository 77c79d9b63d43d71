// SPDX-License-Identifier: Apache-2.0
//
// pipe(2) and Unix socket pairs as channels (harness/traffic.h).
//
// Each is given as much room as the system allows an ordinary user, up to the mebibyte that the
// other subjects have. A stream (pipe, SOCK_STREAM) is cut into messages by their fixed size, the
// least framing there is; SOCK_SEQPACKET keeps messages apart by itself. Blocking calls sleep in
// the kernel; spinning ones repeat a call that would have slept.

#ifndef SLUICE_BENCH_RIVALS_DESCRIPTORS_H_
#define SLUICE_BENCH_RIVALS_DESCRIPTORS_H_

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::bench {

/// A descriptor to read and one to write.
struct Descriptors {
  UniqueFd in;
  UniqueFd out;
};

inline constexpr int kDescriptorRoom = 1 << 20;

inline Descriptors make_pipe(Wait wait) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | (wait == Wait::spin ? O_NONBLOCK : 0)) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe2");
  }
  // A refusal leaves the default of 64 KiB, which is then the most that is allowed.
  ::fcntl(fds[1], F_SETPIPE_SZ, kDescriptorRoom);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// `type`: SOCK_STREAM or SOCK_SEQPACKET.
inline Descriptors make_socket_pair(int type, Wait wait) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC | (wait == Wait::spin ? SOCK_NONBLOCK : 0), 0,
                   fds) != 0) {
    throw std::system_error(errno, std::generic_category(), "socketpair");
  }
  // The kernel cuts it to net.core.wmem_max. The receiving side of a Unix socket has no limit.
  const int room = kDescriptorRoom;
  ::setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

template <std::size_t kSize>
class DescriptorChannel {
 public:
  class Sender {
   public:
    explicit Sender(int fd) : fd_(fd) {}
    void send(const Message<kSize>& message) {
      transfer(
          [&](std::size_t done) { return ::write(fd_, message.bytes() + done, kSize - done); });
    }

   private:
    int fd_;
  };

  class Receiver {
   public:
    explicit Receiver(int fd) : fd_(fd) {}
    void receive(Message<kSize>& message) {
      transfer([&](std::size_t done) { return ::read(fd_, message.bytes() + done, kSize - done); });
    }

   private:
    int fd_;
  };

  explicit DescriptorChannel(Descriptors descriptors) : descriptors_(std::move(descriptors)) {}

  [[nodiscard]] Sender sender() { return Sender(descriptors_.out.get()); }
  [[nodiscard]] Receiver receiver() { return Receiver(descriptors_.in.get()); }

 private:
  /// Calls until a whole message has passed: streams may take or give a part of it.
  template <class Call>
  static void transfer(Call&& call) {
    std::size_t done = 0;
    spin_until<Spin::bare>([&] {
      const ssize_t n = call(done);
      if (n > 0) {
        done += static_cast<std::size_t>(n);
      } else {
        require(n < 0 && errno == EAGAIN, "read or write failed");
      }
      return done == kSize;
    });
  }

  Descriptors descriptors_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_DESCRIPTORS_H_
