// SPDX-License-Identifier: Apache-2.0
//
// A class of processes: what they do is its run(). They are called after it.

#include <array>
#include <iostream>

#include "sluice/pool/process.h"

class Worker : public sluice::Process {
  void run() override { std::cout << "In " << name() << '\n'; }
};

int main() {
  std::array<Worker, 5> workers;
  for (Worker& worker : workers) worker.start();
  for (Worker& worker : workers) worker.join();
}
