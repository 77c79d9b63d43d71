// SPDX-License-Identifier: Apache-2.0
//
// A pill for each consumer ends it: an item that stands for the end. The pills come after the last
// number, and each consumer takes one and stops, so all numbers are taken first.

#include <cstdint>
#include <iostream>
#include <list>
#include <optional>

#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

int main() {
  constexpr int kConsumers = 3;
  using Item = std::optional<int>;  // none: the pill
  sluice::Queue<Item> numbers(8);
  sluice::Queue<std::int64_t> sums(kConsumers);

  std::list<sluice::Process> consumers;
  for (int i = 0; i < kConsumers; ++i) {
    consumers.emplace_back([&] {
      std::int64_t sum = 0;
      Item item;
      while (numbers.pop(item) == sluice::Status::ok && item) sum += *item;
      static_cast<void>(sums.push(sum));
    });
  }

  bool pushed = true;
  for (int number = 1; number <= 1000; ++number) {
    pushed = pushed && numbers.push(number) == sluice::Status::ok;
  }
  for (int i = 0; i < kConsumers; ++i) {
    pushed = pushed && numbers.push(std::nullopt) == sluice::Status::ok;
  }
  for (sluice::Process& consumer : consumers) consumer.join();

  std::int64_t total = 0;
  for (int i = 0; i < kConsumers; ++i) total += sums.pop().value();
  std::cout << (pushed ? "pushed all" : "refused") << ", the sum is " << total
            << ", left: " << numbers.size() << '\n';
}
