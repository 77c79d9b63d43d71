// SPDX-License-Identifier: Apache-2.0
//
// A counter with a lock: ten threads take one from it and print what is left, in order.

#include <array>
#include <iostream>
#include <mutex>
#include <thread>

#include "sluice/sync/mutex.h"

int main() {
  sluice::Mutex mutex;
  int left = 10;
  std::array<std::jthread, 10> threads;
  for (std::jthread& thread : threads) {
    thread = std::jthread([&] {
      const std::scoped_lock hold(mutex);
      std::cout << --left << '\n';
    });
  }
}
