// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/process_state.h"

#include <pthread.h>
#include <sys/mman.h>

namespace sluice::internal {

ProcessState g_process_state;

namespace {

void forget_in_child() {
  // Relaxed, all: the child of fork(3) has one thread, and no other process sees this page.
  for (auto* field : {&g_process_state.tag, &g_process_state.incarnation,
                      &g_process_state.home_pid_namespace, &g_process_state.barrier_registered}) {
    field->store(0, std::memory_order_relaxed);  // as above
  }
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
