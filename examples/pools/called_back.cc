// SPDX-License-Identifier: Apache-2.0
//
// Results come to a callback, in the process that submitted, one at a time,
// while main goes on.

#include <iostream>
#include <vector>

#include "sluice/pool/future.h"
#include "sluice/pool/pool.h"

namespace {
int plus_hundred(int i) { return i + 100; }
}  // namespace

int main() {
  sluice::Pool pool(5);
  std::vector<int> sums;
  std::vector<sluice::Future<int>> futures;
  for (int i = 0; i < 10; ++i) {
    futures.push_back(pool.submit(plus_hundred, i));
    futures.back().on_success([&sums](int sum) { sums.push_back(sum); });
  }
  std::cout << "end\n";
  for (const auto &future : futures) future.wait();  // its callback has run then
  int total = 0;
  for (const int sum : sums) total += sum;
  std::cout << sums.size() << " called back, " << total << " in all\n";
}
