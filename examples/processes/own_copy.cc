// SPDX-License-Identifier: Apache-2.0
//
// Ten processes put something into one vector, as it seems: each has a copy of its own, with its
// own one element, and the parent's stays empty.

#include <iostream>
#include <list>
#include <vector>

#include "sluice/pool/process.h"

namespace {

void print(const std::vector<int>& numbers) {
  std::cout << '[';
  for (const int number : numbers) std::cout << number;
  std::cout << "]\n" << std::flush;
}

}  // namespace

int main() {
  std::vector<int> numbers;
  std::list<sluice::Process> processes;
  for (int i = 0; i < 10; ++i) {
    processes.emplace_back([&numbers, i] {
      numbers.push_back(i);
      print(numbers);
    });
  }
  for (sluice::Process& process : processes) process.join();
  print(numbers);
}
