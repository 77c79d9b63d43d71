// SPDX-License-Identifier: Apache-2.0
//
// LockReport: who holds a lock, for people; and how the forms of locking that return no Status say
// what went wrong. Internal, but for the report.
//
//   std::cout << account.mutex.report();   // held by participant 7 (pid 4711, parser), thread 4712
//
// If a process dies here: nothing is shared. Cost: printing one reads the domain's registry.

#ifndef SLUICE_SYNC_LOCK_REPORT_H_
#define SLUICE_SYNC_LOCK_REPORT_H_

#include <cstdint>
#include <iosfwd>

#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Who holds a lock, as of a moment ago, for people: nobody may conclude from it that the lock is
/// free.
struct LockReport {
  /// What the word of a lock can say.
  enum class State : std::uint8_t {
    free,        ///< nobody has it
    held,        ///< also by one that has died, until that is noticed
    owner_died,  ///< nobody has it, and it is to be repaired
    destroyed    ///< destroy() was called
  };

  State state = State::free;         ///< which of these it was
  Tag owner = participant::kNobody;  ///< who holds it, or died holding it
  std::uint32_t thread = 0;          ///< the owner's thread id, in its pid namespace
  bool marked = false;               ///< an earlier owner died, and nobody has repaired
  bool maybe_waiting = false;        ///< somebody may be asleep
};

/// One line that names the holder: "locked by participant 7 (pid 4711, parser), thread 4712". Reads
/// the registry.
std::ostream& operator<<(std::ostream& out, const LockReport& report);

namespace internal {

/// From a lock word, and who died before.
[[nodiscard]] LockReport report_lock(std::uint64_t word, Tag died) noexcept;

/// Throws OwnerDied if an owner died, Error with the Status else.
[[noreturn]] void throw_not_locked(Status status, Tag died);

// Misuse: std::logic_error.
[[noreturn]] void refuse_unlock();
[[noreturn]] void refuse_relock();
[[noreturn]] void refuse_upgrade();
[[noreturn]] void refuse_downgrade();
[[noreturn]] void refuse_marking();
[[noreturn]] void refuse_wait();
[[noreturn]] void refuse_notify();
[[noreturn]] void refuse_other_lock();
[[noreturn]] void refuse_distant_lock();

/// Error(Status::corrupt): a lock that this thread held says otherwise.
[[noreturn]] void refuse_overwritten();

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_SYNC_LOCK_REPORT_H_
