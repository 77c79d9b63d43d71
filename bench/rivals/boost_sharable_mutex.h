// SPDX-License-Identifier: Apache-2.0
//
// Boost.Interprocess's interprocess_sharable_mutex, as a subject of the lock benchmarks.

#ifndef SLUICE_BENCH_RIVALS_BOOST_SHARABLE_MUTEX_H_
#define SLUICE_BENCH_RIVALS_BOOST_SHARABLE_MUTEX_H_

#include <boost/interprocess/sync/interprocess_sharable_mutex.hpp>

namespace sluice::bench {

class BoostSharableMutex {
 public:
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }
  void lock_shared() { mutex_.lock_sharable(); }
  void unlock_shared() { mutex_.unlock_sharable(); }

 private:
  boost::interprocess::interprocess_sharable_mutex mutex_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_BOOST_SHARABLE_MUTEX_H_
