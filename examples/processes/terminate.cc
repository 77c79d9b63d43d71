// SPDX-License-Identifier: Apache-2.0
//
// A slow worker is terminated: alive or not before its start, while it runs, when it has just been
// told to end, and when it has been joined.

#include <chrono>
#include <iostream>
#include <thread>

#include "sluice/pool/process.h"

namespace {

void tell(const char* when, const sluice::Process& process) {
  std::cout << when << ": " << (process.alive() ? "alive" : "not alive") << " | " << process << '\n'
            << std::flush;
}

}  // namespace

int main() {
  sluice::Process slow({.name = "slow", .start = sluice::Start::later}, [] {
    std::this_thread::sleep_for(std::chrono::seconds(100));
    std::cout << "Finished worker\n";
  });
  tell("BEFORE", slow);
  slow.start();
  tell("DURING", slow);
  slow.terminate();
  tell("TERMINATED", slow);
  slow.join();
  tell("JOINED", slow);
}
