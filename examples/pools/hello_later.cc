// SPDX-License-Identifier: Apache-2.0
//
// One second later: hello, world. Until then another timer ticks.

#include <chrono>
#include <iostream>

#include "sluice/pool/timer.h"

using namespace std::chrono_literals;

int main() {
  int ticks = 0;
  sluice::Timer tick = sluice::Timer::every(100ms, [&] { ++ticks; });
  sluice::Timer hello(1s, [&] {
    tick.cancel();
    std::cout << "hello, world\n";
  });
  hello.join();
  std::cout << (ticks >= 9 && ticks <= 10 ? "nine or ten ticks" : "a busy machine") << '\n';
}
