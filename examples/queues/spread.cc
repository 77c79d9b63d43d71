// SPDX-License-Identifier: Apache-2.0
//
// Fan-out: one process pushes, four pop; each item goes to one of them. close() ends all four, when
// the queue is drained: no pills to count.

#include <iostream>
#include <list>
#include <numeric>
#include <vector>

#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

int main() {
  constexpr int kConsumers = 4;
  constexpr int kItems = 2000;
  sluice::Queue<int> numbers(32);
  sluice::Queue<std::vector<int>> reports;

  std::list<sluice::Process> consumers;
  for (int i = 0; i < kConsumers; ++i) {
    consumers.emplace_back([&] {
      std::vector<int> mine;
      for (const int number : numbers.items()) mine.push_back(number);
      static_cast<void>(reports.push(mine));
    });
  }

  std::vector<int> all(kItems);
  std::iota(all.begin(), all.end(), 0);
  const auto [status, pushed] = numbers.push_each(all);
  numbers.close();
  for (sluice::Process& consumer : consumers) consumer.join();

  std::vector<int> times(kItems);
  bool in_order = true;
  for (int i = 0; i < kConsumers; ++i) {
    int last = -1;
    const auto report = reports.pop();
    for (const int number : report.value()) {
      ++times.at(static_cast<std::size_t>(number));
      in_order = in_order && number > last;
      last = number;
    }
  }
  bool once = true;
  for (const int n : times) once = once && n == 1;
  std::cout << pushed << " items pushed: " << status << ", "
            << (once ? "each taken once" : "some lost or taken twice") << ", "
            << (in_order ? "in order" : "out of order") << '\n';
}
