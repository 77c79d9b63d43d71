// SPDX-License-Identifier: Apache-2.0
//
// SealedEnd: an end of a sealed connection: what is below the calls of ipc/pipe_calls.h, as
// ipc/pipe_end.h is for pipes. Internal; ipc/sealed_connection.h says what it promises.
//
// If a process dies here: see there.

#ifndef SLUICE_IPC_SEALED_END_H_
#define SLUICE_IPC_SEALED_END_H_

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/pipe_end.h"
#include "sluice/ipc/unix_socket.h"
#include "sluice/ipc/wait_handle.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// What is chosen for this side of a sealed connection.
struct SealedOptions {
  std::size_t capacity = std::size_t{1} << 16;           ///< of what this side sends, in bytes
  std::size_t max_message = std::size_t{1} << 26;        ///< that it takes; at most 2^32-1
  std::size_t max_peer_capacity = std::size_t{1} << 26;  ///< that the peer may have chosen
};

namespace internal {

class SealedChannel;

/// An end of a sealed connection: its life, its peer, its messages and descriptors.
class SealedEnd {
 public:
  SealedEnd(SealedEnd&&) noexcept = default;
  SealedEnd& operator=(SealedEnd&& other) noexcept;

  /// Ends this process's part, and the connection if this process uses this end. Idempotent; wakes
  /// who waits there.
  void close() noexcept;
  /// Whether this process has closed this end, or moved it away.
  [[nodiscard]] bool closed() const noexcept;

  /// How the connection stands for this end: ok, or closed, peer_died, corrupt; ok as long as
  /// messages are left. One system call.
  [[nodiscard]] Status status() noexcept;
  /// What the other end is, whatever is left to receive. Costs as status().
  [[nodiscard]] PeerState peer() const noexcept;

  /// Who was at the other end when the socket was connected, as the kernel noted it: of an
  /// anonymous connection, who made it.
  [[nodiscard]] PeerCredentials credentials() const;

  /// Bytes of storage of what this side sends.
  [[nodiscard]] std::size_t capacity() const;
  /// The longest message that this side may send, in bytes, as the peer has chosen.
  [[nodiscard]] std::size_t max_message() const;
  /// The longest message that this side sends in one piece, in bytes.
  [[nodiscard]] std::size_t max_in_place() const;

  /// Sends a copy of a plain descriptor: of a file, a socket, a pipe(2), read-only memory. Throws
  /// Error, with Status::mismatch, for an object of sluice's that the peer could then write.
  Status send_fd(int fd, Deadline deadline = Deadline::never());
  /// Receives the next, which is close-on-exec. Descriptors have an order of their own, beside the
  /// messages. corrupt if what came was none: it is dropped. Throws Error if this process has no
  /// descriptor left: then it is lost.
  Status recv_fd(UniqueFd& fd, Deadline deadline = Deadline::never());

  /// For people: kind, peer, state.
  friend std::ostream& operator<<(std::ostream& out, const SealedEnd& end);

 protected:
  explicit SealedEnd(std::shared_ptr<SealedChannel> channel) : channel_(std::move(channel)) {}
  ~SealedEnd() { close(); }

  /// Both sides in this process.
  static std::pair<std::shared_ptr<SealedChannel>, std::shared_ptr<SealedChannel>> make_pair(
      const SealedOptions& options);
  /// This process's side of a connected socket. Throws Error.
  static std::shared_ptr<SealedChannel> shake_hands(UnixSocket socket, const SealedOptions& options,
                                                    Deadline deadline);

  // What ipc/pipe_calls.h calls; see ipc/pipe_end.h.

  struct Call {
    Call(SealedEnd& /*end*/, Way /*way*/) noexcept {}
  };
  /// The payload is private memory, never the peer's.
  struct Message {
    std::span<const std::byte> payload;
    std::uint32_t type = 0;
  };

  Status claim_room(std::size_t size, std::span<std::byte>& room, Deadline deadline);
  Status try_claim_room(std::size_t size, std::span<std::byte>& room);
  void commit_record(std::uint32_t type, std::size_t size) noexcept;
  Status send_record(std::uint32_t type, std::span<const std::byte> payload, Deadline deadline);
  Status try_send_record(std::uint32_t type, std::span<const std::byte> payload);
  std::vector<std::byte>& scratch();

  Status wait_for_message(Message& message, Deadline deadline, std::size_t most = SIZE_MAX);
  Status try_for_message(Message& message, std::size_t most = SIZE_MAX);
  [[nodiscard]] std::size_t announced() const noexcept;
  void release() noexcept;
  void copy_out(const Message& message, std::vector<std::byte>& bytes);
  static void copy_out(const Message& message, std::string& text);
  bool wait_for_anything(Deadline deadline);
  Status skip_message();

  WaitHandle receiving_handle();
  int receiving_descriptor();

  bool& held(Way way);

 private:
  friend class SealedChannel;

  std::shared_ptr<SealedChannel> channel_;
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_IPC_SEALED_END_H_
