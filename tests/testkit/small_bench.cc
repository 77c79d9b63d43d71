// SPDX-License-Identifier: Apache-2.0
//
// Queues between processes and one between threads, in one run, for queue_bench_test.cc; and, if
// SLUICE_SMALL_BENCH_LOSES is set, one that loses an item now and then.

#include <condition_variable>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <mutex>

#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_bench.h"
#include "sluice/tests/testkit/small_kinds.h"
#include "sluice/tests/testkit/small_queues.h"

namespace {

/// What everybody has.
template <class T>
struct Locked {
  using value_type = T;
  static constexpr sluice::testkit::QueueTraits kTraits{};

  explicit Locked(std::size_t most) : capacity(most) {}
  bool try_push(const T& item) {
    const std::lock_guard lock(mutex);
    if (items.size() == capacity) return false;
    items.push_back(item);
    changed.notify_all();
    return true;
  }
  bool try_pop(T& item) {
    const std::lock_guard lock(mutex);
    if (items.empty()) return false;
    item = items.front();
    items.pop_front();
    changed.notify_all();
    return true;
  }
  bool push(const T& item) {
    while (!try_push(item)) wait([&] { return items.size() < capacity; });
    return true;
  }
  bool pop(T& item) {
    while (!try_pop(item)) wait([&] { return !items.empty(); });
    return true;
  }
  template <class Ready>
  void wait(Ready ready) {
    std::unique_lock lock(mutex);
    changed.wait(lock, ready);
  }

  std::size_t capacity;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<T> items;
};

template <class T>
struct Loses : Locked<T> {
  using Locked<T>::Locked;
  bool try_push(const T& item) { return ++count % 1000 == 0 || Locked<T>::try_push(item); }

  std::size_t count = 0;
};

}  // namespace

int main(int argc, char** argv) {
  sluice::testkit::QueueBench bench;
  bench.add<sluice::tests::RingAdapter>("ring");
  bench.add<sluice::tests::Locked>("robust_lock");
  bench.add<Locked>("std_deque");
  bench.add<sluice::tests::SpscAdapter>("spsc");
  bench.add<sluice::tests::Stack>("stack");
  if (std::getenv("SLUICE_SMALL_BENCH_LOSES") != nullptr) bench.add<Loses>("loses");
  return bench.run(argc, argv);
}
