// SPDX-License-Identifier: Apache-2.0
//
// Twenty processes want to serve, five at a time may: a BoundedSemaphore in shared memory lets them
// in. Whoever gives back more than was taken is told so.

#include "sluice/sync/semaphore.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <list>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>

#include "sluice/pool/process.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/semaphore_guard.h"

struct Restaurant {
  sluice::BoundedSemaphore tables{5};
  sluice::Mutex mutex;
  int inside = 0, most = 0, served = 0;

  void come_and_go(int by) {
    const std::scoped_lock hold(mutex);
    inside += by;
    most = std::max(most, inside);
    if (by < 0) ++served;
  }
};

int main() {
  void* memory =
      mmap(nullptr, sizeof(Restaurant), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return EXIT_FAILURE;
  Restaurant& restaurant = *new (memory) Restaurant;

  std::list<sluice::Process> guests;
  for (int i = 0; i < 20; ++i) {
    guests.emplace_back([&] {
      const sluice::SemaphoreGuard table(restaurant.tables);
      restaurant.come_and_go(1);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      restaurant.come_and_go(-1);
    });
  }
  for (sluice::Process& guest : guests) guest.join();
  std::cout << restaurant.served << " served, at most " << restaurant.most << " at once\n";
  try {
    restaurant.tables.release();
  } catch (const std::logic_error& e) {
    std::cout << e.what() << '\n' << restaurant.tables << '\n';
  }
}
