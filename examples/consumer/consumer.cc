// SPDX-License-Identifier: Apache-2.0
//
// Sends a Pipe of its own through a Pipe of sluice's.

#include <iostream>

#include "ipc/pipe.h"
#include "sluice/ipc/pipe.h"

int main() {
  auto [receiver, sender] = sluice::Pipe::create(1 << 16);
  if (const auto status = sender.send(Pipe{.length_m = 2.5, .diameter_mm = 15});
      status != sluice::Status::ok) {
    std::cerr << "not sent: " << status << '\n';
    return 1;
  }
  Pipe received{};
  if (const auto status = receiver.recv(received); status != sluice::Status::ok) {
    std::cerr << "not received: " << status << '\n';
    return 1;
  }
  std::cout << "a pipe of " << received.length_m << " m came out of a pipe\n";
  return received.length_m == 2.5 && received.diameter_mm == 15 ? 0 : 1;
}
