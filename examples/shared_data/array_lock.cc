// SPDX-License-Identifier: Apache-2.0
//
// A lock of one's own around an element of an array: ten processes take one from it and say what is
// left. The lock is recursive: who holds it may take it again.

#include <iostream>
#include <list>
#include <mutex>

#include "sluice/ipc/array.h"
#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/mutex.h"

int main() {
  const sluice::Shared<sluice::RecursiveMutex> mutex;
  const sluice::RawArray<int> numbers({10});
  const auto take_one = [&] {
    const std::scoped_lock again(*mutex);
    return --numbers.at(0);
  };
  std::list<sluice::Process> processes;
  for (int i = 0; i < 10; ++i) {
    processes.emplace_back([&] {
      const std::scoped_lock hold(*mutex);
      std::cout << "say hi " << take_one() << '\n' << std::flush;
    });
  }
  for (sluice::Process& process : processes) process.join();
}
