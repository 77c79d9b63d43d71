// SPDX-License-Identifier: Apache-2.0
//
// Two processes, one after the other, add 100 to the first element of an array that all share.

#include <iostream>

#include "sluice/ipc/array.h"
#include "sluice/pool/process.h"

int main() {
  const sluice::Array<int> numbers({11, 22, 33, 44});
  for (int i = 0; i < 2; ++i) {
    sluice::Process process([&] {
      const auto held = numbers.lock();
      held[0] += 100;
      for (const int number : held) std::cout << number << '\n';
      std::cout << std::flush;
    });
    process.join();
  }
}
