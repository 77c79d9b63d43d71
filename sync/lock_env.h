// SPDX-License-Identifier: Apache-2.0
//
// RealLockEnv: what a lock needs of the machine beyond words and waiting (sync/env.h): who takes
// it, and whether another still lives. Internal, but public to those who write an environment: a
// scheduled one has threads and deaths of its own making.
//
// If a process dies here: nothing is shared. Cost: self() as this_thread(), probe() a system call.

#ifndef SLUICE_SYNC_LOCK_ENV_H_
#define SLUICE_SYNC_LOCK_ENV_H_

#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
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

  /// Whether the kernel knows no such thread of this process. Where it refuses to say: false.
  static bool has_ended(std::uint32_t thread) noexcept {
    const int before = errno;
    const bool ended = tgkill(getpid(), static_cast<pid_t>(thread), 0) != 0 &&
                       (errno == ESRCH || errno == EINVAL);  // EINVAL: 0, which is nobody's
    errno = before;
    return ended;
  }
};

/// Whether the owner that a held lock's word names is dead: its process, or, if that is this very
/// process, its thread. So nobody waits for ever for what a thread took that ended without the C
/// library's knowledge, nor for a word that somebody made up.
template <class Env>
bool is_owner_dead(std::uint64_t word) noexcept {
  const std::uint32_t tag = LockWord::tag_of(word);
  if (Env::probe(tag) == Liveness::dead) return true;
  return tag == LockWord::tag_of(Env::me()) && Env::has_ended(LockWord::thread_of(word));
}

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_LOCK_ENV_H_
