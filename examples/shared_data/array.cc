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

void in_a_child(auto body) { sluice::Process(body).join(); }

void count_down(const sluice::Array<int>& counter) {
  std::list<sluice::Process> crowd;
  for (int i = 0; i < 10; ++i) {
    crowd.emplace_back([&] {
      const auto held = counter.lock();
      std::cout << "say hi " << --held[0] << '\n' << std::flush;
    });
  }
  for (sluice::Process& one : crowd) one.join();
}

}  // namespace

int main() {
  std::vector<int> own;
  for (int i = 0; i < 3; ++i)
    in_a_child([&] {
      own.push_back(i);
      std::cout << "own copy: " << own.size() << " element, " << own.front() << '\n' << std::flush;
    });
  std::cout << "the parent's: " << own.size() << " elements\n" << std::flush;
  const sluice::Array<int> shared({11, 22, 33, 44});
  for (int i = 0; i < 2; ++i)
    in_a_child([&] {
      shared.lock()[0] += 100;
      for (const int one : shared.lock()) std::cout << one << ' ';
      std::cout << '\n' << std::flush;
    });
  count_down(sluice::Array<int>({10}));
  in_a_child([&] {
    const auto held = shared.lock();
    held[1] = 0;
    raise(SIGKILL);  // between two elements
  });
  try {
    std::cout << shared.lock()[1] << '\n';
  } catch (const sluice::OwnerDied&) {
    const auto held = shared.lock([](auto all) { all[1] = 22; });
    std::cout << "repaired: " << std::accumulate(held.begin(), held.end(), 0) << '\n';
  }
}
