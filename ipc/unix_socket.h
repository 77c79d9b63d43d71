// SPDX-License-Identifier: Apache-2.0
//
// UnixSocket: messages with descriptors between two processes, and how they meet. Internal: what
// sealed connections (ipc/sealed_connection.h) and descriptor sockets (ipc/fd_socket.h) stand on.
//
//   auto [a, b] = UnixSocket::pair();                          // or a listener and connect()
//   a.send(bytes, {&fd, 1}, 1s);
//   std::vector<UniqueFd> fds; std::size_t size;
//   b.recv(room, size, fds, 1s);                               // the descriptors are close-on-exec
//
// A Unix socket of type SOCK_SEQPACKET. Addresses: a path that begins with '/', or '@' and an
// abstract name, which leaves no file but has no permissions either, and ends with its network
// namespace. A path whose listener was killed is taken over.
//
// Units: Deadline. Errors, as Status: timeout, closed (the peer is gone, or this end was shut
// down), too_large (cut short: the sender's message was not one of ours). Set-up throws Error; so
// does recv() if this process has no room for the descriptors, which are lost then.
//
// Threads: one may send while another receives; shut_down() by any, and it wakes them. Processes: a
// forked child has copies, and the socket lives until the last is closed. If a process dies here:
// the kernel closes its copies; what it had sent can still be received. Cost: one system call per
// message, two more per wait.

#ifndef SLUICE_IPC_UNIX_SOCKET_H_
#define SLUICE_IPC_UNIX_SOCKET_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// Who is at the other end of a socket, as the kernel noted it when the two were connected.
struct PeerCredentials {
  pid_t pid;  ///< 0 if this process's pid namespace does not know it
  uid_t uid;  ///< the effective one, at that time
  gid_t gid;  ///< the effective one, at that time
};

namespace internal {

class UnixSocket {
 public:
  /// The most descriptors that a message may have.
  static constexpr std::size_t kMostFds = 8;

  static std::pair<UnixSocket, UnixSocket> pair();
  static UnixSocket connect(const std::string& address, Deadline deadline);
  /// Throws Error unless it is a connected Unix socket of that type.
  explicit UnixSocket(UniqueFd fd);

  [[nodiscard]] int get() const noexcept { return fd_.get(); }
  /// Of the other end. Throws Error.
  [[nodiscard]] PeerCredentials credentials() const;

  Status send(std::span<const std::byte> message, std::span<const int> fds, Deadline deadline);
  /// `size` is what was received of the message; too_large if it was longer than `room`.
  Status recv(std::span<std::byte> room, std::size_t& size, std::vector<UniqueFd>& fds,
              Deadline deadline);

  /// One byte for who polls the other end; nothing if it has not taken the earlier ones yet.
  void ring() const noexcept;
  /// Takes what ring() left. At most some tens of bytes: the peer may send for ever.
  void silence() const noexcept;

  /// Ends it for both sides, whatever copies there are.
  void shut_down() const noexcept;
  /// Closes this process's copy alone.
  void close() noexcept { fd_.reset(); }

 private:
  UnixSocket() = default;

  UniqueFd fd_;
};

/// Whether one of the sockets has no other side any more.
[[nodiscard]] bool any_hung_up(std::span<const int> sockets) noexcept;

/// Sleeps until `fd` is ready for `events`, or `other` (unless it is -1) has no other side any
/// more; at most until `until`. Returns poll(2)'s word on `fd`.
short sleep_on(int fd, short events, int other, Deadline::TimePoint until) noexcept;

/// Where others connect().
class UnixListener {
 public:
  explicit UnixListener(std::string address);
  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) noexcept;
  ~UnixListener() { close(); }

  /// The next to connect; empty when the deadline passed, or after close().
  std::optional<UnixSocket> accept(Deadline deadline);

  /// Nobody connects from now on, and who waits in accept() is woken. Removes the path. All that by
  /// the process that made it: in a forked child this handle accepts no more, and nothing else.
  void close() noexcept;

  [[nodiscard]] int get() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& address() const noexcept { return address_; }

 private:
  std::string address_;
  UniqueFd fd_;
  std::uint64_t maker_ = 0;
  std::atomic<bool> open_ = false;
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_IPC_UNIX_SOCKET_H_
