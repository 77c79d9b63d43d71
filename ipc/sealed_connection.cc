// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/sealed_connection.h"

#include <algorithm>
#include <utility>

namespace sluice {

SealedPair SealedConnection::pair(const SealedOptions& options) {
  auto [first, second] = make_pair(options);
  return {SealedConnection(std::move(first)), SealedConnection(std::move(second))};
}

SealedConnection SealedConnection::connect(const std::string& address, Deadline deadline,
                                           const SealedOptions& options) {
  return SealedConnection(
      shake_hands(internal::UnixSocket::connect(address, deadline), options, deadline));
}

SealedConnection SealedConnection::from_socket(UniqueFd socket, Deadline deadline,
                                               const SealedOptions& options) {
  return SealedConnection(shake_hands(internal::UnixSocket(std::move(socket)), options, deadline));
}

std::optional<SealedConnection> SealedListener::accept(Deadline deadline) {
  auto socket = listener_.accept(deadline);
  if (!socket) return std::nullopt;
  return SealedConnection(SealedConnection::shake_hands(std::move(*socket), options_, kPatience));
}

}  // namespace sluice
