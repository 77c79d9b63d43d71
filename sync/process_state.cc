// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/process_state.h"

#include <pthread.h>
#include <sys/mman.h>

namespace sluice::internal {

ProcessState g_process_state;

namespace {

void forget_in_child() {
  // Relaxed, both: the child of fork(3) has one thread, and no other process sees this page.
  g_process_state.tag.store(0, std::memory_order_relaxed);
  g_process_state.barrier_registered.store(0, std::memory_order_relaxed);  // as above
}

bool wipe_or_forget() {
  if (madvise(&g_process_state, sizeof g_process_state, MADV_WIPEONFORK) != 0) {
    pthread_atfork(nullptr, nullptr, forget_in_child);
  }
  return true;
}

}  // namespace

void wipe_process_state_on_fork() {
  static const bool done = wipe_or_forget();
  static_cast<void>(done);
}

}  // namespace sluice::internal
