// SPDX-License-Identifier: Apache-2.0
//
// What a Barrier (sync/barrier.h) is told, tells, and looks like to people: its options, how a wait
// ended, a snapshot; and how its forms without a Status say what went wrong.
//
//   std::cout << barrier.report();    // 2 of 3 wait
//
// If a process dies here: nothing is shared. Cost: printing one reads the domain's registry.

#ifndef SLUICE_SYNC_BARRIER_REPORT_H_
#define SLUICE_SYNC_BARRIER_REPORT_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iosfwd>

#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice {

/// What becomes of a round when a party's process dies. Whatever is said here, a party that dies
/// while it runs the action breaks the barrier.
enum class OnDeath : std::uint8_t {
  breaks,             ///< `broken` for all, whether it had arrived or not
  counts_if_arrived,  ///< if it had arrived, the round goes on with it; else as `breaks`
  shrink,             ///< the party is removed: this round and all others go on with fewer
  replace,  ///< as counts_if_arrived, but its seat is free: the round waits for a newcomer
};

/// What a barrier is made with; it keeps them in its own memory, for all processes.
struct BarrierOptions {
  /// How long a wait without a deadline of its own may take.
  std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max();
  OnDeath on_death = OnDeath::breaks;  ///< what the death of a party does
};

/// How a wait ended.
struct [[nodiscard]] BarrierResult {
  Status status = Status::ok;  ///< ok, or why the round did not come about
  std::uint32_t index = 0;  ///< after ok: this party's number, another for each party of the round
  bool last = false;        ///< after ok: in one party per round, the one that completed it

  /// True if the round came about.
  explicit operator bool() const noexcept { return status == Status::ok; }
};

/// A barrier as it was a moment ago, for people: nobody may conclude from it what comes next.
struct BarrierReport {
  /// What the control word of a barrier can say.
  enum class State : std::uint8_t {
    open,    ///< some are still to come
    acting,  ///< all have come, and one of them runs its action
    broken   ///< until reset()
  };

  State state = State::open;      ///< which of these it was
  std::uint32_t waiting = 0;      ///< how many have come, in this round; 0 if broken
  std::uint32_t parties = 0;      ///< how many a round takes, without those that were removed
  Tag by = participant::kNobody;  ///< who runs the action, or who broke it or died
};

/// In words, such as "2 of 3 wait"; names the process that acts, or that broke it. Reads the
/// registry.
std::ostream& operator<<(std::ostream& out, const BarrierReport& report);

namespace internal {

/// A timeout as it lies in shared memory: in ns, 0 for none.
constexpr std::int64_t to_stored(std::chrono::nanoseconds timeout) noexcept {
  const bool never = timeout == std::chrono::nanoseconds::max();
  return never ? 0 : std::max<std::int64_t>(timeout.count(), 1);
}

/// Throws Error with the Status.
[[noreturn]] void throw_not_passed(Status status);

// Misuse: std::invalid_argument, std::logic_error.
[[noreturn]] void refuse_parties(std::uint32_t parties, std::uint32_t seats);
[[noreturn]] void refuse_leave();

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_SYNC_BARRIER_REPORT_H_
