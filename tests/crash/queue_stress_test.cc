// SPDX-License-Identifier: Apache-2.0
//
// A queue between producers and consumers, which are killed at random and replaced. Each item whose
// push had returned is popped exactly once, unless its taker died with it; items of one producer
// come in their order; none is torn.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <type_traits>

#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/stress_item.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::KillStress;
using testkit::KillStressResult;
using testkit::SharedArea;

/// One that travels as its bytes: a queue of these is a ring.
struct PlainItem {
  static constexpr std::string_view kTypeName = "test.PlainItem";
  std::uint64_t producer = 0, number = 0;
  std::array<std::uint64_t, 6> fill = {};

  [[nodiscard]] static PlainItem of(std::uint64_t producer, std::uint64_t n) {
    PlainItem item = {.producer = producer, .number = n};
    item.fill.fill(~n);
    return item;
  }
  [[nodiscard]] bool is_sound() const {
    return producer < kProducers && number < kMost && *this == of(producer, number);
  }
  bool operator==(const PlainItem&) const = default;
};

/// What a killed consumer had comes back in its old place: to others, who have passed it, late.
template <class Item>
inline constexpr bool kAlwaysInOrder = !std::is_same_v<Item, PlainItem>;

/// What is known outside of the queue.
struct Shared {
  std::array<std::atomic<std::uint64_t>, kProducers> attempted, acknowledged;
  std::array<std::array<std::atomic<std::uint8_t>, kMost>, kProducers> seen;
  std::array<std::atomic<std::uint64_t>, kWorkers> rounds, lives;
};

template <class Item>
void produce(Queue<Item>& queue, Shared& shared, unsigned producer, unsigned worker) {
  for (;;) {
    // A predecessor may have pushed the number that it had attempted: it is not used again.
    const std::uint64_t n = shared.attempted[producer];
    if (n >= kMost) {
      ++shared.rounds[worker];
      continue;
    }
    shared.attempted[producer] = n + 1;
    Status status = Status::timeout;
    while (status == Status::timeout || status == Status::full) {
      status = queue.push(Item::of(producer, n), 1s);
      ++shared.rounds[worker];
    }
    if (status != Status::ok) std::abort();
    // Numbers in between that nobody acknowledged are those that died in flight.
    shared.seen[producer][n].fetch_or(0x80);
    shared.acknowledged[producer] = n + 1;
  }
}

template <class Item>
void consume(Queue<Item>& queue, Shared& shared, unsigned worker) {
  std::array<std::uint64_t, kProducers> next = {};
  for (;;) {
    Item item;
    const Status status = queue.pop(item, 1s);
    ++shared.rounds[worker];
    if (status == Status::timeout) continue;
    if (status != Status::ok || !item.is_sound()) std::abort();
    const bool is_late = item.number < next[item.producer];
    if (is_late && kAlwaysInOrder<Item>) std::abort();  // out of order
    next[item.producer] = item.number + 1;
    if ((shared.seen[item.producer][item.number].fetch_or(1) & 1) != 0) std::abort();  // twice
  }
}

/// What is there at the end, and what of the acknowledged nobody has seen.
template <class Item>
std::string missing(Queue<Item>& queue, Shared& shared, std::uint64_t deaths) {
  Item item;
  Status status = Status::ok;
  while ((status = queue.try_pop(item)) == Status::ok) {
    if (!item.is_sound()) return "torn";
    if ((shared.seen[item.producer][item.number].fetch_or(1) & 1) != 0) return "twice";
  }
  if (status != Status::empty) return "try_pop: " + std::string(to_string(status));
  std::uint64_t lost = 0;
  for (unsigned p = 0; p < kProducers; ++p) {
    if (shared.acknowledged[p] < 10) return "hardly anything was pushed";
    for (std::uint64_t n = 0; n < shared.attempted[p]; ++n)
      lost += shared.seen[p][n] == 0x80 ? 1 : 0;
  }
  // A consumer takes one at a time: each death loses one at most.
  return lost <= deaths ? "" : std::to_string(lost) + " lost by " + std::to_string(deaths);
}

template <class Item>
void run(const char* name, Queue<Item>& queue) {
  SharedArea<Shared> area;
  KillStress stress{.name = name};
  stress.workers = kWorkers;
  stress.work = [&](unsigned worker) {
    ++area->lives[worker];
    if (worker < kProducers) produce(queue, *area, worker, worker);
    consume(queue, *area, worker);
  };
  stress.progress = [&](unsigned worker) { return area->rounds[worker].load(); };
  stress.verdict = [&] { return missing(queue, *area, area->lives[2] + area->lives[3]); };
  const KillStressResult result = kill_stress(stress, stress_options());
  std::cout << "[   STRESS ] " << result << "; pushed " << area->acknowledged[0] << " and "
            << area->acknowledged[1] << std::endl;
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_LT(result.longest_pause, 10s);
}

TEST(QueueStress, BoundedNothingIsLostButWithTheDead) {
  Queue<StressItem> queue(Capacity(20, 4000));
  run("a bounded queue", queue);
}

TEST(QueueStress, RingNothingIsLostButWithTheDead) {
  Queue<PlainItem> queue(20);
  run("a queue that is a ring", queue);
}

TEST(QueueStress, GrowingNothingIsLostButWithTheDead) {
  Queue<StressItem> queue(Capacity::unlimited(1 << 20), {.overflow = Overflow::block});
  run("a growing queue", queue);
}

}  // namespace
}  // namespace sluice::tests
