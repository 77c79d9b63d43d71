// SPDX-License-Identifier: Apache-2.0
//
// The other side of a sealed connection, which follows the rules only as far as a test wants: it
// shakes hands, and then has its memory and its sockets in its hands.
//
//   SealedPeer peer({.capacity = 512});
//   SealedConnection victim = peer.meet({});
//   peer.write(internal::kSealedRing, 77);          // anything, at any time

#ifndef SLUICE_TESTS_SUPPORT_SEALED_PEER_H_
#define SLUICE_TESTS_SUPPORT_SEALED_PEER_H_

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sluice/ipc/sealed_connection.h"
#include "sluice/ipc/sealed_end.h"
#include "sluice/ipc/sealed_memory.h"
#include "sluice/ipc/unix_socket.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::tests {

/// The first message of a side (ipc/sealed_end.cc), with these descriptors.
inline void send_hello(internal::UnixSocket& socket, const std::vector<int>& fds) {
  const std::array<std::uint64_t, 2> hello = {0x6f'6c'6c'65'48'53'53'53, 1};
  if (socket.send(std::as_bytes(std::span(hello)), fds, std::chrono::seconds(1)) != Status::ok) {
    throw std::runtime_error("the hello was not sent");
  }
}

/// A message with more descriptors than UnixSocket takes.
inline void send_many(const internal::UnixSocket& socket, int fd, std::size_t count) {
  std::byte byte{'F'};
  iovec part = {.iov_base = &byte, .iov_len = 1};
  std::vector<char> control(CMSG_SPACE(count * sizeof fd));
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(count * sizeof fd);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
  }
  static_cast<void>(sendmsg(socket.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) > 0);
}

class SealedPeer {
 public:
  explicit SealedPeer(const SealedOptions& options)
      : memory_(internal::SealedMemory::make(options.capacity, options.max_message)) {}

  /// Once.
  SealedConnection meet(const SealedOptions& victims) {
    auto [mine, theirs] = internal::UnixSocket::pair();
    auto [kept, sent] = internal::UnixSocket::pair();
    send_hello(mine, {memory_.fd().get(), sent.get()});
    auto victim = SealedConnection::from_socket(UniqueFd(dup(theirs.get())),
                                                std::chrono::seconds(1), victims);
    std::array<std::byte, 16> hello = {};
    std::size_t size = 0;
    std::vector<UniqueFd> fds;
    if (mine.recv(hello, size, fds, std::chrono::seconds(1)) != Status::ok || fds.size() != 2) {
      throw std::runtime_error("the victim did not shake hands");
    }
    theirs_.emplace(internal::SealedMemory::attach(std::move(fds[0]), SIZE_MAX));
    socket_.emplace(std::move(mine));
    out_bell_.emplace(std::move(kept));
    in_bell_.emplace(std::move(fds[1]));
    return victim;
  }

  internal::SealedMemory& memory() { return memory_; }
  /// How far the victim says that it has read.
  [[nodiscard]] std::span<std::byte> read_by_victim() const { return theirs_->progress(); }
  internal::UnixSocket& socket() { return *socket_; }
  internal::UnixSocket& out_bell() { return *out_bell_; }

  void write(std::size_t offset, std::uint64_t word) {
    const auto object = memory_.object();
    if (offset + sizeof word <= object.size()) std::memcpy(&object[offset], &word, sizeof word);
  }
  void ring_bells() const {
    out_bell_->ring();
    in_bell_->ring();
  }
  void close_bells() {
    out_bell_->close();
    in_bell_->close();
  }

 private:
  internal::SealedMemory memory_;
  std::optional<internal::SealedMemory> theirs_;
  std::optional<internal::UnixSocket> socket_;
  std::optional<internal::UnixSocket> out_bell_;
  std::optional<internal::UnixSocket> in_bell_;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_SEALED_PEER_H_
