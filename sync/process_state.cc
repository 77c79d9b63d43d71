// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/process_state.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace sluice::internal {

ProcessState g_process_state;

namespace {

void forget_in_child() {
  // Relaxed, all: the child of fork(3) has one thread, and no other process sees this page.
  for (auto* field : {&g_process_state.tag, &g_process_state.incarnation,
                      &g_process_state.home_pid_namespace, &g_process_state.barrier_registered}) {
    field->store(0, std::memory_order_relaxed);  // as above
  }
  g_process_state.mark.store(0, std::memory_order_relaxed);  // as above
}

bool wipe_or_forget() {
  if (madvise(&g_process_state, sizeof g_process_state, MADV_WIPEONFORK) != 0) {
    pthread_atfork(nullptr, nullptr, forget_in_child);
  }
  return true;
}

}  // namespace

std::uint64_t make_process_mark() {
  wipe_process_state_on_fork();
  std::uint64_t mark = 0;
  if (getrandom(&mark, sizeof mark, GRND_NONBLOCK) != sizeof mark || mark == 0) {
    // Before the kernel has random numbers: no two processes have both of these.
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    mark = static_cast<std::uint64_t>(now) << 16 ^ static_cast<std::uint64_t>(getpid());
  }
  std::uint64_t none = 0;
  // Relaxed: the number is all that there is to see; of two threads the first decides.
  g_process_state.mark.compare_exchange_strong(none, mark, std::memory_order_relaxed);
  return none == 0 ? mark : none;
}

void wipe_process_state_on_fork() {
  static const bool done = wipe_or_forget();
  static_cast<void>(done);
}

}  // namespace sluice::internal
