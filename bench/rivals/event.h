// SPDX-License-Identifier: Apache-2.0
//
// Auto-reset events as they are made without sluice, as subjects of the event benchmarks: a flag
// under a mutex and a condition variable (pthread's, Boost.Interprocess's), an eventfd, and a word
// with raw futex calls. None of them outlives a participant that is killed with the mutex held.

#ifndef SLUICE_BENCH_RIVALS_EVENT_H_
#define SLUICE_BENCH_RIVALS_EVENT_H_

#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/rivals/boost_lock.h"
#include "sluice/bench/rivals/pthread_lock.h"

namespace sluice::bench {

template <class Mutex, class Condition>
class FlagEvent {
 public:
  void set() {
    mutex_.lock();
    set_ = true;
    // With the lock held, as most do: glibc wakes who then waits for the lock all the same.
    condition_.notify_one();
    mutex_.unlock();
  }
  void wait() {
    mutex_.lock();
    condition_.wait(mutex_, [this] { return set_; });
    set_ = false;
    mutex_.unlock();
  }

 private:
  Mutex mutex_;
  Condition condition_;
  bool set_ = false;
};

using PthreadEvent = FlagEvent<PthreadMutex<Robust::no>, PthreadCondition>;
using BoostEvent = FlagEvent<BoostMutex, BoostCondition>;

/// Inherited by the processes that the harness forks.
class EventFd {
 public:
  EventFd() : fd_(eventfd(0, EFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("eventfd");
  }
  ~EventFd() { close(fd_); }
  EventFd(const EventFd&) = delete;
  EventFd& operator=(const EventFd&) = delete;

  void set() {
    if (eventfd_write(fd_, 1) != 0) throw std::runtime_error("eventfd_write");
  }
  void wait() {
    eventfd_t count = 0;
    if (eventfd_read(fd_, &count) != 0) throw std::runtime_error("eventfd_read");
  }

 private:
  int fd_;
};

/// The textbook's: 0 not set, 1 set, 2 not set and somebody sleeps. For one waiter, without slices,
/// deadlines, or a thought of death.
template <Wait kWait, Spin kSpin = Spin::pause>
class FutexEvent {
 public:
  void set() {
    // Release: pairs with the acquire of wait().
    if (word_.exchange(kSet, std::memory_order_release) == kAsleep) {
      ::syscall(SYS_futex, &word_, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
  }
  void wait() {
    if constexpr (kWait == Wait::spin) {
      // Relaxed: the swap orders.
      spin_until<kSpin>([&] { return word_.load(std::memory_order_relaxed) == kSet; });
    }
    for (;;) {
      std::uint32_t word = kSet;
      // Acquire: pairs with the release of set().
      if (word_.compare_exchange_strong(word, kNotSet, std::memory_order_acquire)) return;
      // Relaxed: a number for the setter's swap.
      if (word == kNotSet &&
          !word_.compare_exchange_strong(word, kAsleep, std::memory_order_relaxed)) {
        continue;
      }
      ::syscall(SYS_futex, &word_, FUTEX_WAIT, kAsleep, nullptr, nullptr, 0);
    }
  }

 private:
  static constexpr std::uint32_t kNotSet = 0, kSet = 1, kAsleep = 2;
  std::atomic<std::uint32_t> word_ = kNotSet;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_EVENT_H_
