// SPDX-License-Identifier: Apache-2.0
//
// What Python programs do with a queue first: an item of several types, a word there and another
// one back on the same queue, and ten processes that put their number into it and say how many
// there are.

#include <iostream>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <tuple>

#include "sluice/ipc/queue.h"
#include "sluice/ipc/shared.h"
#include "sluice/pool/process.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"

int main() {
  using sluice::Status;
  sluice::Queue<std::tuple<int, std::string, bool>> mixed(3);
  sluice::Process putter([&] { static_cast<void>(mixed.emplace(11, "hello", true)); });
  putter.join();
  std::cout << "size " << mixed.size() << ": ";
  const auto [number, word, truth] = mixed.pop().value();
  std::cout << '[' << number << ", '" << word << "', " << std::boolalpha << truth << "]\n";

  sluice::Queue<std::string> words(1);
  if (words.push("yangyang") != Status::ok) return 1;
  sluice::Process friendly([&] {
    std::cout << "there: " << words.pop().value_or("") << '\n' << std::flush;
    static_cast<void>(words.push("shiyi"));
  });
  friendly.join();
  std::cout << "back: " << words.pop().value_or("") << '\n' << std::flush;

  sluice::Queue<int> numbers(20);
  const sluice::Shared<sluice::Mutex> one_by_one;
  std::list<sluice::Process> processes;
  for (int i = 0; i < 10; ++i) {
    processes.emplace_back([&, i] {
      const std::scoped_lock held(*one_by_one);
      if (numbers.push(i) == Status::ok) std::cout << numbers.size() << '\n' << std::flush;
    });
  }
  for (sluice::Process& process : processes) process.join();
  std::set<int> all;
  while (!numbers.empty()) all.insert(numbers.pop().value());
  for (const int i : all) std::cout << i << (i == *all.rbegin() ? "\n" : " ");
}
