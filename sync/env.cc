// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/env.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::internal {

bool RealEnv::heavy_barrier() noexcept {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

void register_barriers() noexcept {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0) {
    // Relaxed: a thread that still reads 0 uses a full fence, which is always right.
    g_process_state.barrier_registered.store(1, std::memory_order_relaxed);
  }
}

}  // namespace sluice::internal
