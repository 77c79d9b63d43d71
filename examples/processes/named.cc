// SPDX-License-Identifier: Apache-2.0
//
// Processes with names, one of them by default: each says when it begins and ends.

#include <chrono>
#include <iostream>
#include <thread>

#include "sluice/pool/process.h"
#include "sluice/pool/this_process.h"

namespace {

using namespace std::chrono_literals;

void work(std::chrono::milliseconds time) {
  std::cout << sluice::this_process::name() << " Starting\n" << std::flush;
  std::this_thread::sleep_for(time);
  std::cout << sluice::this_process::name() << " Exiting\n" << std::flush;
}

}  // namespace

int main() {
  const sluice::Process service("my_service", work, 900ms);
  const sluice::Process worker("worker 1", work, 300ms);
  const sluice::Process unnamed(work, 300ms);
}
