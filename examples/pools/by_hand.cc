// SPDX-License-Identifier: Apache-2.0
//
// A hundred tasks, five at a time. By hand that is a queue of threads that are taken out and put
// back; here it is the pool's maximum.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <numeric>
#include <ranges>
#include <thread>

#include "sluice/pool/executor.h"
#include "sluice/pool/thread_pool.h"

int main() {
  sluice::ThreadPool pool(5);
  std::atomic<int> at_work = 0;
  std::atomic<int> most = 0;
  const auto task = [&](int number) {
    const int now = ++at_work;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    --at_work;
    return number;
  };
  int sum = 0;
  for (const int number : sluice::map(pool, task, std::views::iota(0, 100))) sum += number;
  std::cout << "all tasks: " << sum << '\n' << "at a time: " << most << '\n' << pool << '\n';
}
