// SPDX-License-Identifier: Apache-2.0
//
// SealedConnection: one of the two ends of a two-way stream of whole messages between processes
// that do not trust each other: of different users, domains or containers. Not for processes that
// do, where ipc/connection.h is a little faster and survives more; and messages are all that
// passes: locks, queues and values need memory that both sides write.
//
//   SealedListener listener("@acme.ticks");                         // or a path: "/run/acme/ticks"
//   auto client = SealedConnection::connect("@acme.ticks", 5s);     // in another process
//   if (auto server = listener.accept(5s); server && server->credentials().uid == 1000) {
//     while (auto order = server->recv<Order>()) handle(*order);    // ends when it closes or dies
//   }
//   auto [a, b] = SealedConnection::pair();                         // anonymous; for fork()
//   a.send_fd(file);  b.recv_fd(fd);                                // plain descriptors
//
// In memory: ipc/sealed_memory.h, one memfd per direction, which only its sender can write. The two
// meet over a Unix socket, by which they exchange these; it says who the peer is, that it lives,
// and carries descriptors. No registry and no domain takes part.
//
// What a hostile peer can do: send anything, or nothing, and end. It can't make a call of this
// process crash, hang beyond its deadline, or use more memory than SealedOptions say. A message is
// copied, then checked, then decoded: peek() does not exist here. What the bytes of a valid message
// say is for the caller to judge: list the members of a class (ipc/codec.h) that has flags or
// enumerators.
//
// Units: bytes; Deadline. Errors, as Status: those of ipc/connection.h, but
//   corrupt       the peer's memory makes no sense, or it sent something else than a descriptor
//   busy          another process has used this end: it has one user, for good
//   peer_died     the peer's socket is closed, and it had not said that it would close
// A message above the peer's max_message is too_large for send(). Set-up throws Error: timeout,
// mismatch or corrupt (a peer that does not shake hands as it should), closed, peer_died, or an
// errno. Misuse throws std::logic_error.
//
// Threads and processes: at each end one thread may send while another receives; close() by any. An
// anonymous end belongs to the process that first uses it. A process that was forked drops its copy
// of the other end by that; the one that made the pair closes the copy of the end that it left to a
// child, as with pipe(2). Copies of an end that is in use do not count: fork(3) leaves none, and
// exec neither. What no process has used is closed, not dead.
//
// If a process dies here: sending is committed by one store, as in ipc/connection.h: what was
// committed is received, the rest does not exist. The kernel closes its socket, which wakes the
// peer at once. Nobody takes an end over. During the handshake: the other side's call throws.
//
// Cost: as a connection, and one copy more per message; who wakes a sleeper writes a byte to a
// socket. Set-up: as of a connection, once more half of it, and three descriptors per end.

#ifndef SLUICE_IPC_SEALED_CONNECTION_H_
#define SLUICE_IPC_SEALED_CONNECTION_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sluice/ipc/pipe_calls.h"
#include "sluice/ipc/sealed_end.h"
#include "sluice/ipc/unix_socket.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

struct SealedPair;

/// One of the two ends, for sending to and receiving from a peer that need not be trusted.
class SealedConnection : public internal::Receiving<internal::Sending<internal::SealedEnd>> {
 public:
  /// Both ends of an anonymous connection.
  static SealedPair pair(const SealedOptions& options = {});

  /// To a SealedListener at `address`: a path that begins with '/', or '@' and an abstract name.
  static SealedConnection connect(const std::string& address, Deadline deadline,
                                  const SealedOptions& options = {});

  /// Over a connected Unix socket of type SOCK_SEQPACKET that both sides have got somehow: by exec,
  /// from a service manager. Both sides call this.
  static SealedConnection from_socket(UniqueFd socket, Deadline deadline,
                                      const SealedOptions& options = {});

  /// The message would stay in memory that the peer writes while it is read: use recv().
  void peek(Deadline deadline = Deadline::never()) = delete;
  /// Not across this border: use send() with a deadline.
  void space_handle(std::size_t size = 0) = delete;

  /// Does not compile: what both sides must be able to write can't cross this border.
  template <class Object>
  Status send_object(const Object& object, Deadline deadline = Deadline::never());

 private:
  friend class SealedListener;
  explicit SealedConnection(std::shared_ptr<internal::SealedChannel> channel)
      : Receiving(std::move(channel)) {}
};

/// For structured bindings.
struct SealedPair {
  SealedConnection first;   ///< one end, for one process
  SealedConnection second;  ///< the other end, for the other
};

/// Where sealed connections are accepted. A path is a file with permissions, removed by close() and
/// taken over from a listener that was killed; an abstract name can be used by every user of the
/// network namespace: look at credentials().
class SealedListener {
 public:
  /// Listens at `address`; each connection that it accepts gets these options. Throws Error, also
  /// if somebody listens there.
  explicit SealedListener(const std::string& address, const SealedOptions& options = {})
      : listener_(address), options_(options) {}

  /// The next peer; empty when the deadline passed, or close() was called. Throws Error if a peer
  /// came that did not shake hands within kPatience, or not as it should: call it again.
  std::optional<SealedConnection> accept(Deadline deadline = Deadline::never());

  /// How long accept() waits for the handshake of a peer that has come, if need be beyond its own
  /// deadline: a peer that says nothing must not keep the others waiting for long.
  static constexpr std::chrono::seconds kPatience{1};

  /// Nobody can connect any more, and accept() returns; removes a path. In a forked child it
  /// concerns that child's copy alone.
  void close() noexcept { listener_.close(); }

  /// As the caller gave it, a path or '@' and a name.
  [[nodiscard]] const std::string& address() const noexcept { return listener_.address(); }
  /// For poll(2), epoll(7) and wait_any(): readable when somebody has come.
  [[nodiscard]] int descriptor() const noexcept { return listener_.get(); }
  /// Of descriptor(), for wait_any().
  [[nodiscard]] WaitHandle wait_handle() const { return WaitHandle(descriptor()); }

 private:
  internal::UnixListener listener_;
  SealedOptions options_;
};

namespace internal {
template <class>
inline constexpr bool kCrossesASealedBorder = false;
}  // namespace internal

template <class Object>
Status SealedConnection::send_object(const Object& /*object*/, Deadline /*deadline*/) {
  static_assert(internal::kCrossesASealedBorder<Object>,
                "sluice: an object that both sides write can't be sent to a process that is not "
                "trusted: send its value with send(), or use a cooperative Connection and an "
                "FdSocket (ipc/fd_socket.h) within one domain");
  return Status::mismatch;
}

}  // namespace sluice

#endif  // SLUICE_IPC_SEALED_CONNECTION_H_
