// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/connection.h"

#include <cerrno>
#include <string>
#include <utility>

#include "sluice/ipc/pipe_layout.h"
#include "sluice/sync/error.h"

namespace sluice {

using internal::PipeChannel;
using internal::PipePlan;
using internal::PipeSide;

namespace {

PipePlan plan(const ConnectionOptions& options) {
  if (options.max_message == 0 || options.max_message > internal::kLargestMessage) {
    throw Error::from_errno(EINVAL, {.tried = "make a connection",
                                     .expected = "a longest message of 1 to 2^32-1 bytes",
                                     .found = std::to_string(options.max_message)});
  }
  return {.duplex = true, .capacity = options.capacity, .max_message = options.max_message};
}

PipeSide side_of(ConnectionEnd end) {
  return end == ConnectionEnd::first ? PipeSide::first : PipeSide::second;
}

}  // namespace

Connection::Connection(std::shared_ptr<PipeChannel> channel, ConnectionEnd end)
    : Receiving(std::move(channel), side_of(end)) {}

Connection Connection::claimed(std::shared_ptr<PipeChannel> channel, ConnectionEnd end) {
  Connection connection(std::move(channel), end);
  connection.claim_or_throw();
  return connection;
}

ConnectionPair Connection::pair(const ConnectionOptions& options) {
  auto channel = make_anonymous(plan(options));
  return {Connection(channel, ConnectionEnd::first), Connection(channel, ConnectionEnd::second)};
}

ConnectionPair Connection::pair(std::size_t capacity) {
  return pair(ConnectionOptions{.capacity = capacity});
}

Connection Connection::create(std::string_view name, const ConnectionOptions& options) {
  return claimed(make(name, plan(options), options.lifetime), ConnectionEnd::first);
}

Connection Connection::open_or_create(std::string_view name, const ConnectionOptions& options) {
  return claimed(open_or_make(name, plan(options), options.lifetime), ConnectionEnd::first);
}

Connection Connection::open(std::string_view name, ConnectionEnd end) {
  return claimed(PipeEnd::open(name, true), end);
}

Connection Connection::from_fd(UniqueFd fd, ConnectionEnd end) {
  return claimed(attach(std::move(fd), true), end);
}

ConnectionEnd Connection::which() const noexcept {
  return side() == PipeSide::first ? ConnectionEnd::first : ConnectionEnd::second;
}

}  // namespace sluice
