// SPDX-License-Identifier: Apache-2.0
//
// 47 tasks on 5 workers: with apply() one after the other, with submit() five
// at a time.

#include <chrono>
#include <iostream>
#include <thread>

#include "sluice/pool/pool.h"

using Clock = std::chrono::steady_clock;

namespace {
constexpr std::chrono::milliseconds kWork{10};

int work(int n) {
  std::this_thread::sleep_for(kWork);
  return n;
}
}  // namespace

int main() {
  sluice::Pool pool(5);
  auto begin = Clock::now();
  for (int i = 0; i < 47; ++i) pool.apply(work, i);
  std::cout << "apply: as long as 47 in a row: " << (Clock::now() - begin >= 47 * kWork) << '\n';

  begin = Clock::now();
  for (int i = 0; i < 47; ++i) pool.submit(work, i);
  pool.close();
  pool.join();
  const auto took = Clock::now() - begin;
  std::cout << "submit: as long as 10 in a row, and not 47: "
            << (took >= 9 * kWork && took < 47 * kWork) << '\n';
  std::cout << "ending\n";
}
