// SPDX-License-Identifier: Apache-2.0
//
// Four processes push what they measure into one ring in shared memory; this one pops. One of them
// is killed with its hands in the ring, and nothing of the others is held up or lost.

#include <sys/mman.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <list>
#include <span>
#include <string>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/pool/process.h"
#include "sluice/sync/status.h"

struct Sample {
  std::uint32_t sensor, value;
};
using Ring = sluice::MpmcRing<Sample>;

int main() {
  constexpr std::size_t kCapacity = 16;
  const std::size_t size = Ring::bytes_for(kCapacity);
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return EXIT_FAILURE;
  const std::span<std::byte> memory(static_cast<std::byte*>(at), size);
  Ring::format(memory, kCapacity);

  sluice::Process unlucky("unlucky", [&] {
    Ring::Producer producer(memory);
    Sample* const slot = producer.try_claim();
    if (slot != nullptr) raise(SIGKILL);  // between claim and commit
  });
  unlucky.join();

  std::list<sluice::Process> sensors;
  for (std::uint32_t sensor = 1; sensor <= 3; ++sensor) {
    sensors.emplace_back("sensor " + std::to_string(sensor), [&memory, sensor] {
      Ring::Producer producer(memory);
      for (std::uint32_t value = 1; value <= 1000;) {
        if (producer.try_push({sensor, value}) == sluice::Status::ok) ++value;
      }
    });
  }
  Ring::Consumer consumer(memory);
  std::uint64_t sum = 0;
  for (int count = 0; count < 3000;) {
    Sample sample{};
    if (consumer.try_pop(sample) != sluice::Status::ok) continue;
    sum += sample.value;
    ++count;
  }
  for (sluice::Process& sensor : sensors) sensor.join();
  std::cout << "3000 samples, sum " << sum << ", left: " << consumer.size() << '\n';
}
