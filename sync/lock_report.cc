// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/lock_report.h"

#include <ostream>
#include <stdexcept>
#include <string>

#include "sluice/sync/error.h"
#include "sluice/sync/owner_died.h"
#include "sluice/sync/thread_state.h"

namespace sluice {

std::ostream& operator<<(std::ostream& out, const LockReport& report) {
  switch (report.state) {
    case LockReport::State::free:
      out << "unlocked";
      break;
    case LockReport::State::held:
      out << "locked by " << participant::to_text(report.owner) << ", thread " << report.thread;
      if (report.marked) out << ", after an owner's death";
      break;
    case LockReport::State::owner_died:
      out << "its owner, " << participant::to_text(report.owner) << ", died";
      break;
    case LockReport::State::destroyed:
      out << "destroyed";
      break;
  }
  if (report.maybe_waiting) out << "; others may be waiting";
  return out;
}

namespace internal {

LockReport report_lock(std::uint64_t word, Tag died) noexcept {
  if (word == LockWord::kDestroyed) return {.state = LockReport::State::destroyed};
  LockReport report{.marked = (word & LockWord::kOwnerDied) != 0,
                    .maybe_waiting = (word & LockWord::kWaiters) != 0};
  if (LockWord::is_held(word)) {
    report.state = LockReport::State::held;
    report.owner = LockWord::tag_of(word);
    report.thread = LockWord::thread_of(word);
  } else if (report.marked) {
    report.state = LockReport::State::owner_died;
    report.owner = died;
  }
  return report;
}

void throw_not_locked(Status status, Tag died) {
  switch (status) {
    case Status::owner_died:
      throw OwnerDied(died);
    case Status::foreign_registry:
      throw Error(status, {.tried = "lock",
                           .expected = "a lock of this domain's registry",
                           .found = "one that was used under another",
                           .hint = "if nobody else uses it any more, reset() it"});
    case Status::closed:
      throw Error(status, {.tried = "lock", .found = "that destroy() was called"});
    default:
      throw Error(status, {.tried = "lock", .found = "bytes that are no lock"});
  }
}

void refuse_unlock() {
  throw std::logic_error("sluice: unlock of a lock that this thread does not hold");
}

void refuse_relock() {
  throw std::logic_error(
      "sluice: this thread holds the lock already, and would wait for itself: a RecursiveMutex can "
      "be locked again");
}

void refuse_upgrade() {
  throw std::logic_error(
      "sluice: this thread holds the lock for reading, and would wait for itself: give that back "
      "before locking for writing");
}

void refuse_downgrade() {
  throw std::logic_error(
      "sluice: this thread holds the lock for writing, and would wait for itself: give that back "
      "before locking for reading");
}

void refuse_marking() {
  throw std::logic_error(
      "sluice: mark_consistent by a thread that does not hold the lock, or of a lock whose owner "
      "did "
      "not die");
}

void refuse_wait() {
  throw std::logic_error("sluice: wait on a condition variable without holding the lock");
}

void refuse_notify() {
  throw std::logic_error("sluice: notify of a condition variable without holding its lock");
}

void refuse_other_lock() {
  throw std::logic_error("sluice: others wait on this condition variable with another lock");
}

void refuse_distant_lock() {
  throw std::logic_error(
      "sluice: a condition variable and its lock must lie in the same mapping, less than 2 GiB "
      "apart");
}

void refuse_overwritten() {
  throw Error(Status::corrupt, {.tried = "unlock",
                                .expected = "a lock that this thread holds",
                                .found = "that somebody has overwritten it"});
}

}  // namespace internal
}  // namespace sluice
