// SPDX-License-Identifier: Apache-2.0
//
// FdSocket: sends descriptors, and with them whole objects of sluice's, to another process of the
// domain. For anonymous objects and for plain files, sockets, pipes: what has a name is opened by
// name. Not for messages (ipc/connection.h), and not for a process that is not trusted
// (ipc/sealed_connection.h has send_fd(), and refuses objects).
//
//   auto [mine, childs] = FdSocket::pair();                 // then fork; or by address:
//   FdListener listener("@acme.fds");  auto socket = FdSocket::connect("@acme.fds", 5s);
//   mine.send_fd(log_file);                                 // any descriptor
//   mine.send_object(queue);                                // Shared, Value, Array, Sender, ...
//   UniqueFd fd;
//   childs.recv_fd(fd, 1s);
//   auto queue = childs.recv_object<Value<long>>();         // in the order in which they were sent
//
// In memory: nothing; a Unix socket (ipc/unix_socket.h). A connection is memory alone and has none,
// so this stands beside it. Nothing else moves a descriptor between processes everywhere:
// pidfd_getfd(2) wants the rights of a debugger, which containers and Yama refuse.
//
// send_object(end) of a pipe or an anonymous connection hands that end on to who receives it, who
// is its user from then on. While it is under way it counts as one that somebody may still use, so
// the sender may close its copy at once. An end that was used stays with its user: Status::busy.
//
// Units: Deadline. Errors, as Status: timeout; closed (the peer is gone, or this end was closed);
// mismatch (what came is a plain descriptor, or an object: it is dropped); corrupt (no descriptor
// came with the message). Error: set-up; what an object's from_fd() says of what came, which is
// then lost; no descriptor left (std::errc::too_many_files_open): it is lost.
//
// Threads and processes: one thread may send while another receives; close() by any. A forked child
// has copies, and the peer learns of the end when the last one is closed: close what is not yours.
//
// If a process dies here: what it had sent is received. An object lives on as long as it is under
// way. Cost: two system calls per descriptor, and more to attach.

#ifndef SLUICE_IPC_FD_SOCKET_H_
#define SLUICE_IPC_FD_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "sluice/ipc/connection.h"
#include "sluice/ipc/pipe_end.h"
#include "sluice/ipc/unix_socket.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

struct FdSocketPair;

/// One end of a Unix socket that carries descriptors and objects, in order, both ways.
class FdSocket {
 public:
  /// Both ends of a new one, for this process and its children. Throws Error.
  static FdSocketPair pair();
  /// To an FdListener. Throws Error.
  static FdSocket connect(const std::string& address, Deadline deadline) {
    return FdSocket(internal::UnixSocket::connect(address, deadline));
  }
  /// A connected Unix socket of type SOCK_SEQPACKET.
  static FdSocket from_socket(UniqueFd socket) {
    return FdSocket(internal::UnixSocket(std::move(socket)));
  }

  /// Sends a copy of the descriptor; the caller's stays open. Waits for room in the socket until
  /// the deadline. Throws Error if `fd` is none.
  Status send_fd(int fd, Deadline deadline = Deadline::never()) {
    return send(Load::plain, fd, deadline);
  }
  /// The next, which is close-on-exec.
  Status recv_fd(UniqueFd& fd, Deadline deadline = Deadline::never()) {
    Load load{};
    return recv(load, fd, deadline, [](Load found) { return found == Load::plain; });
  }

  /// Anything with an fd() that has a from_fd().
  template <class Object>
  Status send_object(const Object& object, Deadline deadline = Deadline::never()) {
    if constexpr (std::is_base_of_v<internal::PipeEnd, Object>) {
      return send(load_of(object), object.fd_to_hand_on().get(), deadline);
    } else {
      return send(Load::object, object.fd().get(), deadline);
    }
  }

  /// Receives and attaches.
  template <class Object>
  Status recv_object(std::optional<Object>& object, Deadline deadline = Deadline::never()) {
    object.reset();
    Load load{};
    UniqueFd fd;
    const Status status = recv(load, fd, deadline, [](Load found) { return found != Load::plain; });
    if (status != Status::ok) return status;
    if constexpr (std::is_same_v<Object, Connection>) {
      object.emplace(Connection::from_fd(
          std::move(fd), load == Load::first_end ? ConnectionEnd::first : ConnectionEnd::second));
    } else {
      object.emplace(Object::from_fd(std::move(fd)));
    }
    return Status::ok;
  }
  /// The next object, or nothing when the peer is gone. Anything else throws Error.
  template <class Object>
  [[nodiscard]] std::optional<Object> recv_object() {
    std::optional<Object> object;
    const Status status = recv_object(object, Deadline::never());
    if (status != Status::ok) internal::throw_unless_ended(status);
    return object;
  }

  /// Who was at the other end when the two were connected; of a pair, who made it. Throws Error.
  [[nodiscard]] PeerCredentials credentials() const { return socket_.credentials(); }

  /// Wakes who waits here, and ends the stream for the peer. In a process that has only inherited
  /// the socket, use the destructor, which closes this process's copy.
  void close() noexcept { socket_.shut_down(); }

  /// For poll(2), epoll(7) and wait_any(): readable when something has come, or the peer is gone.
  [[nodiscard]] int descriptor() const noexcept { return socket_.get(); }
  /// Of descriptor(), for wait_any().
  [[nodiscard]] WaitHandle wait_handle() const { return WaitHandle(descriptor()); }

 private:
  friend class FdListener;

  /// The one byte of a message.
  enum class Load : std::uint8_t { plain = 'F', object = 'O', first_end = '1', second_end = '2' };

  explicit FdSocket(internal::UnixSocket socket) : socket_(std::move(socket)) {}

  template <class Object>
  static Load load_of(const Object& object) {
    if constexpr (std::is_same_v<Object, Connection>) {
      return object.which() == ConnectionEnd::first ? Load::first_end : Load::second_end;
    } else {
      return Load::object;
    }
  }

  Status send(Load load, int fd, Deadline deadline);
  Status recv(Load& load, UniqueFd& fd, Deadline deadline, bool (*wanted)(Load));

  internal::UnixSocket socket_;
};

/// For structured bindings.
struct FdSocketPair {
  FdSocket first;   ///< one end, for one process
  FdSocket second;  ///< the other end, for the other
};

/// Where FdSocket::connect() arrives: addresses as in ipc/sealed_connection.h.
class FdListener {
 public:
  /// Listens at `address`, also in the place of a listener whose process was killed. Throws Error.
  explicit FdListener(const std::string& address) : listener_(address) {}

  /// The next to connect; empty when the deadline passed, or close() was called.
  std::optional<FdSocket> accept(Deadline deadline = Deadline::never());
  /// Nobody can connect any more, and accept() returns; removes a path. In a forked child it
  /// concerns that child's copy alone.
  void close() noexcept { listener_.close(); }

  /// As the caller gave it, a path or '@' and a name.
  [[nodiscard]] const std::string& address() const noexcept { return listener_.address(); }
  /// For poll(2) and epoll(7): readable when somebody has come.
  [[nodiscard]] int descriptor() const noexcept { return listener_.get(); }
  /// Of descriptor(), for wait_any().
  [[nodiscard]] WaitHandle wait_handle() const { return WaitHandle(descriptor()); }

 private:
  internal::UnixListener listener_;
};

}  // namespace sluice

#endif  // SLUICE_IPC_FD_SOCKET_H_
