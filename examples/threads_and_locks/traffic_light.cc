// SPDX-License-Identifier: Apache-2.0
//
// Ten threads come to a red light and wait. It turns green when "1" is typed (or given as an
// argument), for all of them at once.

#include <array>
#include <iostream>
#include <string>
#include <syncstream>
#include <thread>

#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"

int main(int argc, char** argv) {
  sluice::Event green;
  sluice::Latch here(10);
  std::array<std::jthread, 10> cars;
  for (int i = 0; i < 10; ++i) {
    cars.at(static_cast<std::size_t>(i)) = std::jthread([&, i] {
      std::osyncstream(std::cout) << i << '\n';
      here.count_down();
      green.wait();
      std::osyncstream(std::cout) << i + 100 << '\n';
    });
  }
  here.wait();
  std::osyncstream(std::cout) << "red" << '\n' << std::flush;
  std::string typed = argc > 1 ? argv[1] : "";
  while (typed != "1" && std::cin >> typed) continue;
  green.set();
}
