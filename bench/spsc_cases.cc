// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/spsc_cases.h"

#include <cstddef>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "sluice/bench/harness/channels.h"
#include "sluice/bench/harness/in_threads.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/rivals/atomic_queues.h"
#include "sluice/bench/rivals/boost_lockfree.h"
#include "sluice/bench/rivals/sluice_ring.h"
#include "sluice/bench/rivals/thread_queues.h"

namespace sluice::bench {
namespace {

template <class Traffic, template <std::size_t, Spin> class Channel>
Subject spinning_subject(const std::string& name) {
  return {name,
          {Traffic::variant(
               "pause", [] { return std::make_shared<Channel<Traffic::kSize, Spin::pause>>(); }),
           Traffic::variant(
               "bare", [] { return std::make_shared<Channel<Traffic::kSize, Spin::bare>>(); })}};
}

/// Between threads of one process: for who knows no others.
template <class Traffic, template <std::size_t, Spin> class Channel>
Subject threads_subject(const std::string& name) {
  Subject subject = spinning_subject<Traffic, Channel>(name);
  for (Variant& variant : subject.variants) {
    variant.make = [make = variant.make] { return in_threads(make()); };
  }
  return subject;
}

template <class Traffic>
std::vector<Subject> rings() {
  std::vector<Subject> subjects = {spinning_subject<Traffic, SluiceRing>("sluice"),
                                   spinning_subject<Traffic, BoostLockfree>("boost_lockfree"),
                                   threads_subject<Traffic, MoodycamelChannel>("moodycamel")};
#ifdef SLUICE_BENCH_HAS_READERWRITERQUEUE
  subjects.push_back(threads_subject<Traffic, ReaderWriterChannel>("readerwriterqueue"));
#endif
#ifdef SLUICE_BENCH_HAS_ATOMIC_QUEUE
  if constexpr (Traffic::kSize == 8) {
    subjects.push_back(spinning_subject<Traffic, AtomicQueueChannel>("atomic_queue"));
  }
  subjects.push_back(spinning_subject<Traffic, AtomicQueue2Channel>("atomic_queue2"));
#endif
  return subjects;
}

template <class... Traffics>
void add_rings(Suite& suite) {
  (suite.add(Traffics::in_group("spsc"), rings<Traffics>()), ...);
}

/// 64 items of 8 bytes at a time: a message of 512 bytes, in items.
void add_batches(Suite& suite) {
  using Traffic = OneWay<64 * 8>;
  suite.add({.group = "spsc",
             .name = "spsc/batch64/8",
             .unit = "Mbatch/s",
             .better = Better::higher,
             .limit = Yardstick::reference_ring,
             .per_limit = 1.0 / 64},
            {spinning_subject<Traffic, SluiceRingInBatches>("sluice"),
             spinning_subject<Traffic, BoostLockfreeInBatches>("boost_lockfree")});
}

}  // namespace

void add_spsc_cases(Suite& suite) {
#ifndef SLUICE_BENCH_HAS_READERWRITERQUEUE
  std::cerr << "SKIPPED: readerwriterqueue: no <readerwriterqueue/readerwriterqueue.h>\n";
#endif
  add_batches(suite);
  add_rings<OneWay<8>, OneWay<64>, OneWay<256>, OneWay<1024>, OneWay<4096>, OneWay<65536>>(suite);
  add_rings<SlowReader<8>, SlowReader<64>>(suite);
  add_rings<RoundTrip<8>, RoundTrip<64>, RoundTrip<1024>>(suite);
}

}  // namespace sluice::bench
