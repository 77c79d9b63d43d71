// SPDX-License-Identifier: Apache-2.0
//
// Thirty tasks on five threads, and a callback that gets how each one ended, and its result. The
// callbacks run one at a time, so they need no lock. Threads are made as they are needed.

#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "sluice/pool/future.h"
#include "sluice/pool/thread_pool.h"

namespace {
int square(int n) {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  if (n % 10 == 7) throw std::domain_error("an unlucky number");
  return n * n;
}
}  // namespace

int main() {
  sluice::ThreadPool pool(5);
  int succeeded = 0;
  int failed = 0;
  int sum = 0;
  const auto callback = [&](bool status, int result) {
    ++(status ? succeeded : failed);
    sum += result;
  };
  std::cout << "threads made: " << pool.threads() << '\n';
  for (int n = 0; n < 30; ++n) {
    const sluice::Future<int> task = pool.submit(square, n);
    task.on_success([&](int result) { callback(true, result); });
    task.on_error([&](const std::exception_ptr&) { callback(false, 0); });
  }
  std::cout << "threads made: " << pool.threads() << '\n';
  pool.shutdown();  // waits for the callbacks as well
  std::cout << "succeeded: " << succeeded << ", failed: " << failed << ", sum: " << sum << '\n';
  std::cout << "threads idle: " << pool.idle() << " of " << pool.threads() << '\n';
}
