// SPDX-License-Identifier: Apache-2.0
//
// Three workers set themselves up, each in its own time, and begin together. The one who waits for
// the end of it all has a deadline: a worker that is killed never comes.

#include "sluice/sync/latch.h"

#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <new>
#include <vector>

#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

using namespace std::chrono_literals;

struct Race {
  sluice::Latch ready{3};
  sluice::Latch finished{3};
  bool set_up[3];
};

int main() {
  void* memory =
      mmap(nullptr, sizeof(Race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return EXIT_FAILURE;
  Race& race = *new (memory) Race{};
  std::vector<sluice::Process> runners;
  runners.reserve(3);
  for (bool& set_up : race.set_up) {
    runners.emplace_back("runner", [&race, &set_up] {
      set_up = true;
      race.ready.arrive_and_wait();
      for (const bool other : race.set_up) {
        if (!other) std::abort();
      }
      race.finished.count_down();
    });
  }
  race.ready.wait();
  std::cout << "all are ready\n";
  std::cout << (race.finished.wait(60s) == sluice::Status::ok ? "all have finished\n" : "late\n");
  for (sluice::Process& runner : runners) runner.join();
  std::cout << race.finished << '\n';
}
