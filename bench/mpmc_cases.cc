// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/mpmc_cases.h"

#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

#include "sluice/bench/harness/in_threads.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/many_sides.h"
#include "sluice/bench/rivals/atomic_queues.h"
#include "sluice/bench/rivals/mpmc_queues.h"
#include "sluice/bench/rivals/thread_queues.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {
namespace {

Case case_of(const std::string& group, std::size_t sides, std::size_t size) {
  const std::string many = std::to_string(sides);
  return {.group = "mpmc",
          .name = group + "/" + many + "x" + many + "/" + std::to_string(size),
          .unit = "Mitem/s",
          .better = Better::higher,
          .limit = Yardstick::reference_ring};
}

/// Between threads of one process: who knows no others.
template <class Queue, class Item, bool kBatches = false>
Variant of_threads(std::size_t sides) {
  const Variant processes = many_sides<Queue, Item, kBatches>("threads", sides);
  return {processes.name, [make = processes.make] { return in_threads(make()); }};
}

template <std::size_t kSize>
void add_case(Suite& suite, std::size_t sides) {
  using Item = Message<kSize>;
  std::vector<Subject> subjects = {
      {"sluice", {many_sides<SluiceMpmc<Item>, Item>("", sides)}},
      {"vyukov_unsafe",
       {many_sides<VyukovQueue<Item, 8>, Item>("packed", sides),
        many_sides<VyukovQueue<Item, kCacheLine>, Item>("line", sides)}},
      {"turn_ring_unsafe", {many_sides<TurnRing<Item>, Item>("", sides)}},
      {"boost_lockfree", {many_sides<BoostQueue<Item>, Item>("", sides)}},
      {"moodycamel", {of_threads<Moodycamel<Item>, Item>(sides)}}};
#ifdef SLUICE_BENCH_HAS_ATOMIC_QUEUE
  if constexpr (kSize == 8) {
    using Numbers = AtomicQueueOf<AtomicNumbers<Sides::many>, Item>;
    subjects.push_back({"atomic_queue", {many_sides<Numbers, Item>("", sides)}});
  }
  using Items = AtomicQueueOf<AtomicItems<Item, kMpmcCapacity, Sides::many>, Item>;
  subjects.push_back({"atomic_queue2", {many_sides<Items, Item>("", sides)}});
#endif
  suite.add(case_of("mpmc", sides, kSize), subjects);
}

}  // namespace

void add_mpmc_cases(Suite& suite) {
#ifndef SLUICE_BENCH_HAS_ATOMIC_QUEUE
  std::cerr << "SKIPPED: atomic_queue and atomic_queue2: no <atomic_queue/atomic_queue.h>\n";
#endif
  add_case<8>(suite, 1);
  add_case<8>(suite, 2);
  add_case<8>(suite, 4);
  add_case<8>(suite, 8);
  add_case<8>(suite, 16);
  add_case<64>(suite, 1);
  add_case<64>(suite, 2);
  add_case<64>(suite, 4);
  add_case<1024>(suite, 1);
  add_case<1024>(suite, 2);
  add_case<1024>(suite, 4);
  add_case<64>(suite, 16);
  add_case<1024>(suite, 16);
  suite.add(case_of("mpmc_batch", 2, 8),
            {{"sluice", {many_sides<SluiceMpmc<Message<8>>, Message<8>, true>("", 2)}},
             {"moodycamel", {of_threads<Moodycamel<Message<8>>, Message<8>, true>(2)}}});
}

}  // namespace sluice::bench
