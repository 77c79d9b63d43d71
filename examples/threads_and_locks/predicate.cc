// SPDX-License-Identifier: Apache-2.0
//
// Ten threads wait under a condition whose predicate reads a word: each "yes" lets one go on. The
// words are typed, or given as arguments.

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
  sluice::ConditionVariable ask;
  sluice::ConditionVariable told;
  int asked = 0;
  int left = 10;
  const auto says_yes = [&] {  // with the lock held
    std::string word;
    const bool yes = !(words >> word) || word == "yes";
    if (!yes) std::cout << word << ": somebody waits on" << '\n' << std::flush;
    ++asked;
    told.notify_one();
    return yes;
  };
  std::array<std::jthread, 10> threads;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    threads.at(i) = std::jthread([&, i] {
      std::unique_lock lock(mutex);
      if (ask.wait(lock, says_yes) != sluice::Status::ok) std::abort();
      std::cout << i + 100 << '\n' << std::flush;
      --left;
    });
  }
  std::unique_lock lock(mutex);
  while (left != 0) {
    const int before = asked;
    ask.notify_one();
    if (told.wait(lock, [&] { return asked != before; }) != sluice::Status::ok) std::abort();
  }
}
