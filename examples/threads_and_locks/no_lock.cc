// SPDX-License-Identifier: Apache-2.0
//
// A counter without a lock: five threads add one, wait until all have, and print it. All print 5;
// what each has made of it itself is stale by then.

#include <array>
#include <atomic>
#include <iostream>
#include <syncstream>
#include <thread>

#include "sluice/sync/latch.h"

int main() {
  std::atomic<int> counter = 0;
  sluice::Latch all_have(5);
  std::array<std::jthread, 5> threads;
  for (std::jthread& thread : threads) {
    thread = std::jthread([&] {
      ++counter;
      all_have.arrive_and_wait();
      std::osyncstream(std::cout) << counter << '\n';
    });
  }
}
