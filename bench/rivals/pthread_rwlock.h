// SPDX-License-Identifier: Apache-2.0
//
// The process-shared pthread_rwlock_t, as a subject of the lock benchmarks.

#ifndef SLUICE_BENCH_RIVALS_PTHREAD_RWLOCK_H_
#define SLUICE_BENCH_RIVALS_PTHREAD_RWLOCK_H_

#include <pthread.h>

#include <stdexcept>

namespace sluice::bench {

class PthreadRwlock {
 public:
  PthreadRwlock() {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (pthread_rwlock_init(&lock_, &attributes) != 0) throw std::runtime_error("rwlock_init");
    pthread_rwlockattr_destroy(&attributes);
  }
  PthreadRwlock(const PthreadRwlock&) = delete;
  PthreadRwlock& operator=(const PthreadRwlock&) = delete;

  void lock() {
    if (pthread_rwlock_wrlock(&lock_) != 0) [[unlikely]]
      throw std::runtime_error("rwlock_wrlock");
  }
  void unlock() { pthread_rwlock_unlock(&lock_); }
  void lock_shared() {
    if (pthread_rwlock_rdlock(&lock_) != 0) [[unlikely]]
      throw std::runtime_error("rwlock_rdlock");
  }
  void unlock_shared() { pthread_rwlock_unlock(&lock_); }

 private:
  pthread_rwlock_t lock_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_PTHREAD_RWLOCK_H_
