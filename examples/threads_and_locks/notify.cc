// SPDX-License-Identifier: Apache-2.0
//
// Ten threads wait under a condition; each number that is typed, or given as an argument, lets so
// many of them go on. "q" ends.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"

int main(int argc, char** argv) {
  std::stringstream given;
  for (int i = 1; i < argc; ++i) given << argv[i] << ' ';
  std::istream& words = argc > 1 ? given : std::cin;

  sluice::Mutex mutex;
  sluice::ConditionVariable condition;
  sluice::ConditionVariable changed;
  int waiting = 0;
  bool over = false;
  std::array<std::jthread, 10> threads;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    threads.at(i) = std::jthread([&, i] {
      std::unique_lock lock(mutex);
      std::cout << i << '\n' << std::flush;
      ++waiting;
      changed.notify_one();
      if (condition.wait(lock) != sluice::Status::ok) std::abort();  // returns only if notified
      if (!over) std::cout << i + 100 << '\n' << std::flush;
      --waiting;
      changed.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  const auto wait_for = [&](int left) {
    if (changed.wait(lock, [&] { return waiting == left; }) != sluice::Status::ok) std::abort();
  };
  wait_for(10);
  for (std::string word; words >> word && word != "q";) {
    const int n = std::clamp(std::atoi(word.c_str()), 0, waiting);
    std::cout << n << " may go on" << '\n' << std::flush;
    condition.notify(n);
    wait_for(waiting - n);
  }
  over = true;
  condition.notify_all();
}
