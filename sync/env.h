// SPDX-License-Identifier: Apache-2.0
//
// RealEnv: the seam between sluice's algorithms and the machine: atomic words, barriers, futex,
// clock, yield. Every algorithm on shared words is a template over its environment
// (BasicSpscRing<T, Env>, BasicEventCount<Env>); what ships is the instance over RealEnv, and a
// test drives the very same code through an environment of its own, which may count, delay or
// interleave each step. A parameter, not a macro: both live in one binary.
//
// An environment has the static members of RealEnv. Internal, but public to those who write one.
//
// Barriers. light_barrier() and heavy_barrier() are the two halves of an announce-then-look pair
// (Dekker): one side runs often and pays a compiler barrier, the other is about to sleep and pays
// a membarrier(2) that makes every running thread of every registered process pass a full barrier.
// If the fast side's process is not registered, its light_barrier() is a full fence.
//
// If a process dies here: each call changes at most one word, in one step.
// Cost: loads, stores and light_barrier() no system call; heavy_barrier() one.

#ifndef SLUICE_SYNC_ENV_H_
#define SLUICE_SYNC_ENV_H_

#include <sched.h>

#include <atomic>
#include <cstdint>

#include "sluice/sync/deadline.h"
#include "sluice/sync/futex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/process_state.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

struct RealEnv {
  // The orders of the operations on words are the callers': each is argued where it is given.

  template <class T>
  static T load(const Word<T>& word, std::memory_order order) noexcept {
    return ref(word).load(order);
  }

  template <class T>
  static void store(Word<T>& word, T value, std::memory_order order) noexcept {
    ref(word).store(value, order);
  }

  /// Compare-and-swap, strong. On failure `expected` holds what was found, read with relaxed order.
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, std::memory_order success) noexcept {
    // Relaxed on failure: every caller either gives up or tries again with what was found.
    return ref(word).compare_exchange_strong(expected, desired, success, std::memory_order_relaxed);
  }

  template <class T>
  static T fetch_add(Word<T>& word, T value, std::memory_order order) noexcept {
    return ref(word).fetch_add(value, order);
  }

  template <class T>
  static T fetch_or(Word<T>& word, T bits, std::memory_order order) noexcept {
    return ref(word).fetch_or(bits, order);
  }

  static void fence() noexcept {
    // Sequentially consistent: the only order that keeps a store before a later load.
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

  static void light_barrier() noexcept {
    // Relaxed: the flag is set before this process's first shared object exists and never cleared.
    if (g_process_state.barrier_registered.load(std::memory_order_relaxed) != 0) [[likely]] {
      // A compiler barrier; the hardware half is the other side's membarrier.
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      fence();
    }
  }

  /// False if the kernel refuses: then the other side must be told to use a full fence.
  static bool heavy_barrier() noexcept;

  /// heavy_barrier() for a pair whose fast side is another thread of this process: where the
  /// process is not registered, that side's light_barrier() is a fence, and so is this one.
  static bool heavy_barrier_within_process() noexcept {
    // Relaxed: as in light_barrier().
    if (g_process_state.barrier_registered.load(std::memory_order_relaxed) != 0) {
      return heavy_barrier();
    }
    fence();
    return true;
  }

  /// On a 64-bit word: on its low half.
  template <class T>
  static FutexWait futex_wait(Word<T>& word, std::uint32_t expected,
                              Deadline::TimePoint until) noexcept {
    return internal::futex_wait(word, expected, until);
  }

  template <class T>
  static int futex_wake(Word<T>& word, int count) noexcept {
    return internal::futex_wake(word, count);
  }

  static Deadline::TimePoint now() noexcept { return Deadline::Clock::now(); }
  static void pause() noexcept { cpu_pause(); }
  static void yield() noexcept { sched_yield(); }

 private:
  template <class T>
  static std::atomic_ref<T> ref(const Word<T>& word) noexcept {
    // C++20 has no atomic_ref to const; loads through it do not write.
    return std::atomic_ref<T>(const_cast<T&>(word.raw));
  }
};

/// Makes this process one whose wakers may rely on heavy_barrier() of the waiters. Called when the
/// process becomes a participant; idempotent; a refusal is remembered as "use fences".
void register_barriers() noexcept;

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_ENV_H_
