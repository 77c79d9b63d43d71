// SPDX-License-Identifier: Apache-2.0
//
// What a process knows of itself and its forked child must not believe. Internal.
//
// One page of private memory that the kernel zeroes in every child (MADV_WIPEONFORK): also after a
// raw clone(2), which runs no fork handlers. Where the kernel refuses, a pthread_atfork handler
// zeroes it, which covers fork(3) alone. Zero means "not attached": the child attaches anew, under
// a tag of its own, at its first use.
//
// If a process dies here: nothing here is shared with another process.

#ifndef SLUICE_SYNC_PROCESS_STATE_H_
#define SLUICE_SYNC_PROCESS_STATE_H_

#include <atomic>
#include <cstdint>

namespace sluice::internal {

struct alignas(4096) ProcessState {
  /// This process's participant tag; 0 until it has attached. Written once, under the attach mutex,
  /// after the fields that describe the registry: who has loaded it (acquire) sees those.
  std::atomic<std::uint32_t> tag;
  /// The low half of the registry's incarnation, 1 where that would be 0: for words in shared
  /// memory that must not be judged by another registry. 0 until attached.
  std::atomic<std::uint32_t> incarnation;
  /// 1 if this process is in the pid namespace in which the registry was created, so that thread
  /// ids mean the same to both; 0 if not, or if that can't be known.
  std::atomic<std::uint32_t> home_pid_namespace;
  /// 1 once membarrier(2) knows this process, so that its wakers need no fence (sync/env.h).
  std::atomic<std::uint32_t> barrier_registered;
  /// This process's process_mark(); 0 until asked for.
  std::atomic<std::uint64_t> mark;
};

extern ProcessState g_process_state;

/// Has the kernel wipe g_process_state in children from now on; idempotent.
void wipe_process_state_on_fork();

std::uint64_t make_process_mark();

/// A random number that tells this process from those it was forked from and those it forks, for
/// what knows no registry. Never 0. One load.
inline std::uint64_t process_mark() {
  // Relaxed: the number is all that there is to see.
  const std::uint64_t mark = g_process_state.mark.load(std::memory_order_relaxed);
  return mark != 0 ? mark : make_process_mark();
}

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_PROCESS_STATE_H_
