// SPDX-License-Identifier: Apache-2.0
//
// sluice's connections (ipc/connection.h, ipc/sealed_connection.h), from the first end to the
// second, as a channel (harness/traffic.h): messages as values, in the blocking form, which spins a
// little before it sleeps, and in the try_ form.

#ifndef SLUICE_BENCH_RIVALS_SLUICE_CONNECTION_H_
#define SLUICE_BENCH_RIVALS_SLUICE_CONNECTION_H_

#include <cstddef>
#include <utility>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/ipc/connection.h"
#include "sluice/ipc/sealed_connection.h"

namespace sluice::bench {

template <std::size_t kSize, class End, class Ends>
class EitherConnection {
 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      if (wait == Wait::block) return require(end.send(message) == Status::ok, "send failed");
      spin_until<Spin::pause>([&] { return end.try_send(message) == Status::ok; });
    }
    End& end;
    Wait wait;
  };

  struct Receiver {
    void receive(Message<kSize>& message) {
      if (wait == Wait::block) return require(end.recv(message) == Status::ok, "recv failed");
      spin_until<Spin::pause>([&] { return end.try_recv(message) == Status::ok; });
    }
    End& end;
    Wait wait;
  };

  explicit EitherConnection(Wait wait, Ends ends) : ends_(std::move(ends)), wait_(wait) {}

  [[nodiscard]] Sender sender() { return {ends_.first, wait_}; }
  [[nodiscard]] Receiver receiver() { return {ends_.second, wait_}; }

 private:
  Ends ends_;
  Wait wait_;
};

template <std::size_t kSize>
struct SluiceConnection : EitherConnection<kSize, Connection, ConnectionPair> {
  explicit SluiceConnection(Wait wait)
      : SluiceConnection::EitherConnection(wait, Connection::pair(room_for(kSize))) {}
};

template <std::size_t kSize>
struct SluiceSealed : EitherConnection<kSize, SealedConnection, SealedPair> {
  explicit SluiceSealed(Wait wait)
      : SluiceSealed::EitherConnection(wait,
                                       SealedConnection::pair({.capacity = room_for(kSize)})) {}
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_SLUICE_CONNECTION_H_
