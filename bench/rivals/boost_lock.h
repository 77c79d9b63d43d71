// SPDX-License-Identifier: Apache-2.0
//
// Boost.Interprocess's mutex and condition, as subjects of the lock benchmarks.

#ifndef SLUICE_BENCH_RIVALS_BOOST_LOCK_H_
#define SLUICE_BENCH_RIVALS_BOOST_LOCK_H_

#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_recursive_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

namespace sluice::bench {

using BoostMutex = boost::interprocess::interprocess_mutex;
using BoostRecursiveMutex = boost::interprocess::interprocess_recursive_mutex;

class BoostCondition {
 public:
  template <class Predicate>
  void wait(BoostMutex& mutex, Predicate predicate) {
    // A lock that was taken already, and is left to the caller.
    boost::interprocess::scoped_lock hold(mutex, boost::interprocess::accept_ownership);
    condition_.wait(hold, predicate);
    hold.release();
  }
  void notify_one() { condition_.notify_one(); }

 private:
  boost::interprocess::interprocess_condition condition_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_BOOST_LOCK_H_
