// SPDX-License-Identifier: Apache-2.0
//
// What testkit/queue_crash.h can be told. Plain values.

#ifndef SLUICE_TESTKIT_QUEUE_CRASH_OPTIONS_H_
#define SLUICE_TESTKIT_QUEUE_CRASH_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string_view>

#include "sluice/testkit/crash.h"

namespace sluice::testkit {

/// How a verdict begins that is none: the machine lets nobody trace, or the calls take another path
/// each time. It counts neither for nor against the queue.
inline constexpr std::string_view kNoVerdict = "no verdict: ";

/// How thoroughly the users of a queue are killed, and how patient the survivors are.
struct QueueCrashOptions {
  /// quick: push and pop of a half full queue, and, in the plain mode, batches where there are
  /// such; a stress of half a second. full: of empty and full ones as well, with more second
  /// deaths, batches in all modes; two seconds.
  CrashProfile profile = CrashProfile::quick;
  /// Asked for by check_step_kill(); small, so that everything happens soon.
  std::size_t capacity = 5;
  /// So much room a death may cost for good. A queue that promises its whole capacity loses none.
  std::size_t room_lost_by_a_death = 0;
  /// For so long survivors repeat a call that must succeed, before it counts as refused for ever.
  std::chrono::milliseconds patience{1000};
  /// Of those who try beside a frozen victim, and wait for it: so long.
  std::chrono::milliseconds interference_limit{30};
  /// How often the second one to die makes a call that is in vain.
  unsigned recovery_tries = 2;
  /// Limits, and whether every instruction is a kill point. Mode, seed and second deaths are set
  /// by the check.
  CrashOptions step_kill = {.stop_after_broken = 1};
  /// For each kill point, besides the one at the end of the recovery; in full.
  std::uint64_t second_deaths = 2;
  /// Of each half of the stress: first producers die, then all. 0: as the profile says.
  std::chrono::milliseconds stress_time{0};
  /// How long a worker of the stress may stand still.
  std::chrono::milliseconds hang_after{6000};
  /// Chooses second deaths, and whom the stress kills.
  std::uint64_t seed = 1;
  /// Takes a row for each operation and mode, if there is one.
  std::ostream* log = nullptr;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_CRASH_OPTIONS_H_
