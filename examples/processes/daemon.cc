// SPDX-License-Identifier: Apache-2.0
//
// A daemon that would take long, and another process that does not: the program ends without
// waiting for the daemon, which ends with it. "Exiting: daemon" never appears.

#include <chrono>
#include <iostream>
#include <thread>

#include "sluice/pool/process.h"
#include "sluice/pool/this_process.h"

namespace {

using namespace std::chrono_literals;

void work(std::chrono::milliseconds time) {
  std::cout << "Starting: " << sluice::this_process::name() << '\n' << std::flush;
  std::this_thread::sleep_for(time);
  std::cout << "Exiting: " << sluice::this_process::name() << '\n' << std::flush;
}

}  // namespace

int main() {
  sluice::Process daemon({.name = "daemon", .daemon = true}, work, 1h);
  sluice::Process other("non-daemon", work, 0ms);
  other.join();
  daemon.join(200ms);
  std::cout << std::boolalpha << "daemon.alive() " << daemon.alive() << '\n';
}
