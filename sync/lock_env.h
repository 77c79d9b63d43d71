// SPDX-License-Identifier: Apache-2.0
//
// RealLockEnv: what a lock needs of the machine beyond words and waiting (sync/env.h): who takes
// it, and whether another still lives. Internal, but public to those who write an environment: a
// scheduled one has threads and deaths of its own making.
//
// If a process dies here: nothing is shared. Cost: self() as this_thread(), probe() a system call.

#ifndef SLUICE_SYNC_LOCK_ENV_H_
#define SLUICE_SYNC_LOCK_ENV_H_

#include <cstdint>

#include "sluice/sync/env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/thread_state.h"

namespace sluice::internal {

struct RealLockEnv : RealEnv {
  /// The calling thread. Attaches at first use; throws Error if that fails.
  static ThreadState& self() { return this_thread(); }

  /// How the calling thread signs; 0, which nobody does, if it has not attached yet. In a forked
  /// child that is so until its first use.
  static std::uint64_t me() noexcept { return this_thread_if_attached(); }

  static Liveness probe(std::uint32_t tag) noexcept { return participant::probe(tag); }
};

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_LOCK_ENV_H_
