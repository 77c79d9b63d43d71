// SPDX-License-Identifier: Apache-2.0
//
// POSIX's process-shared semaphore and Boost.Interprocess's, as subjects of the semaphore
// benchmarks.

#ifndef SLUICE_BENCH_RIVALS_POSIX_SEMAPHORE_H_
#define SLUICE_BENCH_RIVALS_POSIX_SEMAPHORE_H_

#include <semaphore.h>

#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <cerrno>
#include <cstdint>
#include <stdexcept>

namespace sluice::bench {

class PosixSemaphore {
 public:
  explicit PosixSemaphore(std::uint32_t value) {
    constexpr int kShared = 1;
    if (sem_init(&semaphore_, kShared, value) != 0) throw std::runtime_error("sem_init");
  }
  PosixSemaphore(const PosixSemaphore&) = delete;
  PosixSemaphore& operator=(const PosixSemaphore&) = delete;

  void acquire() {
    while (sem_wait(&semaphore_) != 0) {
      if (errno != EINTR) throw std::runtime_error("sem_wait");
    }
  }
  bool try_acquire() { return sem_trywait(&semaphore_) == 0; }
  void release() { sem_post(&semaphore_); }

 private:
  sem_t semaphore_;
};

class BoostSemaphore {
 public:
  explicit BoostSemaphore(std::uint32_t value) : semaphore_(value) {}

  void acquire() { semaphore_.wait(); }
  bool try_acquire() { return semaphore_.try_wait(); }
  void release() { semaphore_.post(); }

 private:
  boost::interprocess::interprocess_semaphore semaphore_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_POSIX_SEMAPHORE_H_
