// SPDX-License-Identifier: Apache-2.0
//
// Five workers say their number, in any order.

#include <iostream>
#include <list>

#include "sluice/pool/process.h"

int main() {
  std::list<sluice::Process> workers;
  for (int i = 0; i < 5; ++i) {
    workers.emplace_back([](int number) { std::cout << "Worker: " << number << '\n'; }, i);
  }
}  // who goes out of scope is joined
