// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/fd_socket.h"

#include <utility>
#include <vector>

namespace sluice {

FdSocketPair FdSocket::pair() {
  auto [first, second] = internal::UnixSocket::pair();
  return {FdSocket(std::move(first)), FdSocket(std::move(second))};
}

Status FdSocket::send(Load load, int fd, Deadline deadline) {
  const auto byte = static_cast<std::byte>(load);
  return socket_.send({&byte, 1}, {&fd, 1}, deadline);
}

Status FdSocket::recv(Load& load, UniqueFd& fd, Deadline deadline, bool (*wanted)(Load)) {
  std::byte byte{};
  std::size_t size = 0;
  std::vector<UniqueFd> fds;
  const Status status = socket_.recv({&byte, 1}, size, fds, deadline);
  if (status == Status::closed || status == Status::timeout) return status;
  if (status != Status::ok || fds.size() != 1) return Status::corrupt;
  load = static_cast<Load>(byte);
  if (!wanted(load)) return Status::mismatch;
  fd = std::move(fds[0]);
  return Status::ok;
}

std::optional<FdSocket> FdListener::accept(Deadline deadline) {
  auto socket = listener_.accept(deadline);
  if (!socket) return std::nullopt;
  return FdSocket(std::move(*socket));
}

}  // namespace sluice
