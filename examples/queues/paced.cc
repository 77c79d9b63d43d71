// SPDX-License-Identifier: Apache-2.0
//
// A producer with a rate: one order each 10 ms, however fast they are taken. It counts from the
// beginning, not from the last push, so that one late push does not delay all that follow.

#include <chrono>
#include <iostream>
#include <thread>

#include "sluice/ipc/queue.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

int main() {
  using Clock = std::chrono::steady_clock;
  using namespace std::chrono_literals;
  constexpr auto kInterval = 10ms;
  constexpr int kOrders = 20;
  sluice::Queue<int> orders(4);

  const auto begin = Clock::now();
  sluice::Process producer([&] {
    for (int i = 0; i < kOrders; ++i) {
      std::this_thread::sleep_until(begin + i * kInterval);
      if (orders.push(i) != sluice::Status::ok) return;
    }
    orders.close();
  });

  int taken = 0;
  int early = 0;
  for (const int order : orders.items()) {
    if (Clock::now() < begin + order * kInterval) ++early;
    ++taken;
  }
  producer.join();
  const bool slow_enough = Clock::now() - begin >= (kOrders - 1) * kInterval;
  std::cout << taken << " orders, " << early << " of them early; in all "
            << (slow_enough ? "190 ms or more" : "too fast") << '\n';
}
