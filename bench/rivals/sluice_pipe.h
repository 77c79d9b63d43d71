// SPDX-License-Identifier: Apache-2.0
//
// sluice's pipe (ipc/pipe.h) as a channel (harness/traffic.h): messages as values, in the blocking
// form, which spins a little before it sleeps, and in the try_ form.

#ifndef SLUICE_BENCH_RIVALS_SLUICE_PIPE_H_
#define SLUICE_BENCH_RIVALS_SLUICE_PIPE_H_

#include <cstddef>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/ipc/pipe.h"

namespace sluice::bench {

template <std::size_t kSize>
class SluicePipe {
 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      if (wait == Wait::block) return require(end.send(message) == Status::ok, "send failed");
      spin_until<Spin::pause>([&] { return end.try_send(message) == Status::ok; });
    }
    sluice::Sender& end;
    Wait wait;
  };

  struct Receiver {
    void receive(Message<kSize>& message) {
      if (wait == Wait::block) return require(end.recv(message) == Status::ok, "recv failed");
      spin_until<Spin::pause>([&] { return end.try_recv(message) == Status::ok; });
    }
    sluice::Receiver& end;
    Wait wait;
  };

  explicit SluicePipe(Wait wait) : wait_(wait) {}

  [[nodiscard]] Sender sender() { return {ends_.sender, wait_}; }
  [[nodiscard]] Receiver receiver() { return {ends_.receiver, wait_}; }

 private:
  decltype(Pipe::create(1)) ends_ = Pipe::create(room_for(kSize));
  Wait wait_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_SLUICE_PIPE_H_
