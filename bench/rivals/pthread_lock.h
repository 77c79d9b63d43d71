// SPDX-License-Identifier: Apache-2.0
//
// Process-shared pthread mutexes and condition variables, as subjects of the lock benchmarks.

#ifndef SLUICE_BENCH_RIVALS_PTHREAD_LOCK_H_
#define SLUICE_BENCH_RIVALS_PTHREAD_LOCK_H_

#include <pthread.h>

#include <stdexcept>

namespace sluice::bench {

enum class Robust { no, yes };

template <Robust kRobust, int kType = PTHREAD_MUTEX_DEFAULT>
class PthreadMutex {
 public:
  PthreadMutex() {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_settype(&attributes, kType);
    if (kRobust == Robust::yes) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (pthread_mutex_init(&mutex_, &attributes) != 0) throw std::runtime_error("mutex_init");
    pthread_mutexattr_destroy(&attributes);
  }
  PthreadMutex(const PthreadMutex&) = delete;
  PthreadMutex& operator=(const PthreadMutex&) = delete;

  void lock() {
    if (pthread_mutex_lock(&mutex_) != 0) [[unlikely]]
      throw std::runtime_error("mutex_lock");
  }
  void unlock() { pthread_mutex_unlock(&mutex_); }

  pthread_mutex_t* native() { return &mutex_; }

 private:
  pthread_mutex_t mutex_;
};

class PthreadCondition {
 public:
  PthreadCondition() {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (pthread_cond_init(&condition_, &attributes) != 0) throw std::runtime_error("cond_init");
    pthread_condattr_destroy(&attributes);
  }
  PthreadCondition(const PthreadCondition&) = delete;
  PthreadCondition& operator=(const PthreadCondition&) = delete;

  template <class Mutex, class Predicate>
  void wait(Mutex& mutex, Predicate predicate) {
    while (!predicate()) pthread_cond_wait(&condition_, mutex.native());
  }
  void notify_one() { pthread_cond_signal(&condition_); }

 private:
  pthread_cond_t condition_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_PTHREAD_LOCK_H_
