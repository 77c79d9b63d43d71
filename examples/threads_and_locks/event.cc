// SPDX-License-Identifier: Apache-2.0
//
// Two processes wait for an event: one for as long as it takes, the other for a fifth of a second,
// which is not long enough.

#include "sluice/sync/event.h"

#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <new>

#include "sluice/pool/process.h"

using namespace std::chrono_literals;

int main() {
  void* memory = mmap(nullptr, sizeof(sluice::Event), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return EXIT_FAILURE;
  sluice::Event& event = *new (memory) sluice::Event;
  std::cout << std::boolalpha << "main: starts them" << '\n' << std::flush;

  sluice::Process block("block", [&] {
    event.wait();
    std::cout << "block: is_set " << event.is_set() << '\n' << std::flush;
  });
  sluice::Process nonblock("nonblock", [&] {
    const bool came = event.wait_for(200ms);
    std::cout << "nonblock: waited in vain " << !came << ", is_set " << event.is_set() << '\n'
              << std::flush;
  });

  nonblock.join();
  std::cout << "main: sets the event" << '\n' << std::flush;
  event.set();
  block.join();
  return EXIT_SUCCESS;
}
