// SPDX-License-Identifier: Apache-2.0
//
// Barriers for two, as subjects of the barrier benchmarks: pthread's and, between threads only, the
// standard library's; one made of Boost.Interprocess's mutex and condition, which has none of its
// own; and the textbook's, which spins and knows nothing of deadlines or deaths.

#ifndef SLUICE_BENCH_RIVALS_BARRIERS_H_
#define SLUICE_BENCH_RIVALS_BARRIERS_H_

#include <pthread.h>

#include <atomic>
#include <barrier>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <cstdint>
#include <stdexcept>

#include "sluice/bench/harness/spin.h"

namespace sluice::bench {

class PthreadBarrier {
 public:
  PthreadBarrier() {
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (pthread_barrier_init(&barrier_, &attributes, 2) != 0) {
      throw std::runtime_error("pthread_barrier_init");
    }
    pthread_barrierattr_destroy(&attributes);
  }
  PthreadBarrier(const PthreadBarrier&) = delete;
  PthreadBarrier& operator=(const PthreadBarrier&) = delete;

  void wait() { pthread_barrier_wait(&barrier_); }

 private:
  pthread_barrier_t barrier_;
};

/// Keeps its state on the heap: for threads only.
class StdBarrier {
 public:
  void wait() { barrier_.arrive_and_wait(); }

 private:
  std::barrier<> barrier_{2};
};

class BoostConditionBarrier {
 public:
  void wait() {
    boost::interprocess::scoped_lock hold(mutex_);
    const std::uint32_t round = round_;
    if (++come_ == 2) {
      come_ = 0;
      ++round_;
      condition_.notify_all();
      return;
    }
    while (round_ == round) condition_.wait(hold);
  }

 private:
  boost::interprocess::interprocess_mutex mutex_;
  boost::interprocess::interprocess_condition condition_;
  std::uint32_t round_ = 0, come_ = 0;
};

/// Sense-reversing and centralised (Mellor-Crummey and Scott 1991), all in one line.
class TextbookBarrier {
 public:
  void wait() {
    // Relaxed: this party came to the last round, so it has seen it.
    const std::uint32_t round = round_.load(std::memory_order_relaxed);
    // Acquire-release: the last to come has seen what all wrote before they came.
    if (come_.fetch_add(1, std::memory_order_acq_rel) == 1) {
      come_.store(0, std::memory_order_relaxed);  // relaxed: the round publishes it
      // Release: pairs with the acquire of those who are let go.
      round_.store(round + 1, std::memory_order_release);
    } else {
      // Acquire: as said.
      spin_until<Spin::pause>([&] { return round_.load(std::memory_order_acquire) != round; });
    }
  }

 private:
  std::atomic<std::uint32_t> round_ = 0, come_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_BARRIERS_H_
