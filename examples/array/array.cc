// SPDX-License-Identifier: Apache-2.0
//
// What a process changes in a vector of its own is its own; what it changes in an Array is
// everybody's, one at a time under the array's lock, which outlives who holds it.

#include "sluice/ipc/array.h"

#include <csignal>
#include <iostream>
#include <list>
#include <numeric>
#include <vector>

#include "sluice/pool/process.h"
#include "sluice/sync/owner_died.h"

namespace {

void what_is_ones_own() {
  std::vector<int> own;
  for (int i = 0; i < 3; ++i) {
    sluice::Process child([&] {
      own.push_back(i);
      std::cout << "own copy: " << own.size() << " element, " << own.front() << '\n' << std::flush;
    });
    child.join();
  }
  std::cout << "the parent's: " << own.size() << " elements" << '\n' << std::flush;
}

void what_is_everybodys(const sluice::Array<int>& shared) {
  for (int i = 0; i < 2; ++i) {
    sluice::Process child([&] {
      shared.lock()[0] += 100;
      for (const int one : shared.lock()) std::cout << one << ' ';
      std::cout << '\n' << std::flush;
    });
    child.join();
  }
}

void one_at_a_time(const sluice::Array<int>& counter) {
  std::list<sluice::Process> crowd;
  for (int i = 0; i < 10; ++i) {
    crowd.emplace_back([&] {
      const auto held = counter.lock();
      std::cout << "say hi " << --held[0] << '\n' << std::flush;
    });
  }
  for (sluice::Process& one : crowd) one.join();
}

void killed_between_two_elements(const sluice::Array<int>& shared) {
  sluice::Process victim([&] {
    const auto held = shared.lock();
    held[1] = 0;
    raise(SIGKILL);
  });
  victim.join();
  try {
    std::cout << shared.lock()[1] << '\n' << std::flush;
  } catch (const sluice::OwnerDied&) {
    const auto held = shared.lock([](auto all) { all[1] = 22; });
    std::cout << "repaired: " << std::accumulate(held.begin(), held.end(), 0) << '\n' << std::flush;
  }
}

}  // namespace

int main() {
  what_is_ones_own();
  const sluice::Array<int> shared({11, 22, 33, 44});
  what_is_everybodys(shared);
  one_at_a_time(sluice::Array<int>({10}));
  killed_between_two_elements(shared);
}
