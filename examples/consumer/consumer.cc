// SPDX-License-Identifier: Apache-2.0
//
// Sends a Pipe of its own through a Pipe of sluice's, and waits under a lock of sluice's.

#include <iostream>
#include <mutex>
#include <thread>

#include "ipc/pipe.h"
#include "sluice/ipc/pipe.h"
#include "sluice/sync/condition_variable.h"
#include "sluice/sync/mutex.h"

struct Workshop {
  sluice::Mutex mutex;
  sluice::ConditionVariable changed;
  int pipes;
};

/// Whether a pipe that another thread makes is seen.
bool wait_for_a_pipe(Workshop& workshop) {
  std::unique_lock hold(workshop.mutex);
  const std::jthread maker([&] {
    const std::scoped_lock hold_there(workshop.mutex);
    ++workshop.pipes;
    workshop.changed.notify_one();
  });
  return workshop.changed.wait(hold, [&] { return workshop.pipes == 1; }) == sluice::Status::ok;
}

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
  Workshop workshop{};
  if (!wait_for_a_pipe(workshop)) return 1;
  std::cout << "a pipe of " << received.length_m << " m came out of a pipe\n";
  return received.length_m == 2.5 && received.diameter_mm == 15 ? 0 : 1;
}
