// SPDX-License-Identifier: Apache-2.0
//
// A worker that is killed fails its own task, or has it started again; the
// others do not notice.

#include <signal.h>

#include <iostream>
#include <numeric>
#include <vector>

#include "sluice/ipc/value.h"
#include "sluice/pool/future.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/shared_ref.h"
#include "sluice/pool/task_error.h"

int main() {
  sluice::Value<int> tries(0);
  sluice::Pool pool(2);
  const auto dies_first = [t = sluice::shared_ref(tries)](int n) {
    if (t->fetch_add(1) == 0) raise(SIGKILL);
    return n * n;
  };
  const auto once = pool.submit(dies_first, 7);
  try {
    once.get();
  } catch (const sluice::WorkerDied &e) {
    std::cout << "killed by signal " << e.signal() << '\n';
  }
  tries.store(0);
  std::cout << "tried again: " << pool.apply(sluice::TaskOptions{.max_attempts = 2}, dies_first, 7)
            << '\n';
  std::vector<int> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0);
  const std::vector<int> same = pool.map([](int n) { return n; }, numbers);
  std::cout << "and the pool goes on: " << (same == numbers) << '\n';
}
