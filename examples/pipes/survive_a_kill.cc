// SPDX-License-Identifier: Apache-2.0
//
// A producer is killed, with SIGKILL, in the middle of its stream. The consumer gets everything
// whose sending had returned, and is told that there will be no more, and why.

#include <cstdint>
#include <cstdlib>
#include <iostream>

#include "sluice/ipc/pipe.h"
#include "sluice/pool/process.h"

int main() {
  using sluice::Status;
  auto [numbers, numbers_in] = sluice::Pipe::create(1 << 20);
  auto [sent, sent_in] = sluice::Pipe::create(1 << 21);  // the producer's log of what it has sent

  sluice::Process producer("producer", [&] {
    for (std::uint64_t n = 1; numbers_in.send(n) == Status::ok; ++n) {
      if (sent_in.send(n) != Status::ok) return;
    }
  });

  // In order, without a gap, and nothing twice: so the last number says it all.
  std::uint64_t received = 0;
  std::uint64_t number = 0;
  Status status = Status::ok;
  while ((status = numbers.recv(number)) == Status::ok && number == received + 1) {
    if (++received == 1000) producer.kill();
  }
  producer.join();

  std::uint64_t logged = 0;
  while (sent.recv(number) == Status::ok) logged = number;

  std::cout << producer.name() << " ended with " << producer.exit_code().value_or(0) << '\n'
            << "sent     " << logged << '\n'
            << "received " << received << '\n'
            << "and then " << status << '\n';
  // It may have been killed between sending a number and logging it.
  const bool all = received == logged || received == logged + 1;
  std::cout << (all ? "nothing that was sent is missing\n" : "something is wrong\n");
  return all && status == Status::peer_died ? EXIT_SUCCESS : EXIT_FAILURE;
}
