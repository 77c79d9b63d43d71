// SPDX-License-Identifier: Apache-2.0
//
// Has my thread started? It sets an event, and main waits for that before it goes on.

#include <iostream>
#include <syncstream>
#include <thread>

#include "sluice/sync/event.h"

int main() {
  sluice::Event started;
  const std::jthread thread([&] {
    std::osyncstream(std::cout) << "thread: has started\n";
    started.set();
  });
  started.wait();
  std::osyncstream(std::cout) << "main: goes on\n";
}
