// SPDX-License-Identifier: Apache-2.0
//
// SemaphoreGuard: holds a permit of a Semaphore, BoundedSemaphore or OwnedSemaphore to the end of
// the scope. Not for permits that another thread or process is to give back: call acquire() and
// release().
//
//   SemaphoreGuard hold(slots);                       // waits
//   if (SemaphoreGuard hold(slots, 5ms); hold) ...    // or gives up
//   if (SemaphoreGuard hold(slots, Deadline::now()); !hold) return busy();
//
// Units: Deadline. Errors: as the semaphore's acquire(); status() says why there is no permit.
// Giving back throws from release(); from the destructor that ends the process (std::terminate),
// since it means that somebody else has given back a permit too many.
// Threads: used by one at a time; it may be moved to, and end in, another thread of the process.
//
// If a process dies here: as the semaphore says. In a child that was forked inside the scope the
// guard holds nothing: its parent gives the permit back.
//
// Cost: as the semaphore, and two loads. Attaches at first use (sync/participant.h).

#ifndef SLUICE_SYNC_SEMAPHORE_GUARD_H_
#define SLUICE_SYNC_SEMAPHORE_GUARD_H_

#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Holds a permit of a semaphore of type S to the end of the scope, in the process that took it.
template <class S>
class [[nodiscard]] SemaphoreGuard {
 public:
  /// Waits for a permit for as long as it takes. Throws what acquire() throws.
  explicit SemaphoreGuard(S& semaphore) : SemaphoreGuard(&semaphore, participant::self()) {
    semaphore.acquire();
    status_ = Status::ok;
  }
  /// Waits until the deadline at most; then the guard holds nothing, and status() says why.
  SemaphoreGuard(S& semaphore, Deadline deadline)
      : SemaphoreGuard(&semaphore, participant::self()) {
    status_ = semaphore.acquire(deadline);
  }

  SemaphoreGuard(SemaphoreGuard&& other) noexcept
      : semaphore_(other.semaphore_),
        owner_(other.owner_),
        status_(std::exchange(other.status_, Status::empty)) {}
  SemaphoreGuard& operator=(SemaphoreGuard&&) = delete;

  /// release(): what that throws ends the process.
  ~SemaphoreGuard() { release(); }

  /// Gives the permit back now, if it is held.
  void release() {
    if (holds()) {
      status_ = Status::empty;
      semaphore_->release();
    }
  }

  /// Whether a permit is held.
  [[nodiscard]] explicit operator bool() const noexcept { return holds(); }

  /// How the acquiring ended; empty once the permit was given back, or moved away.
  [[nodiscard]] Status status() const noexcept { return status_; }

 private:
  SemaphoreGuard(S* semaphore, Tag owner) noexcept : semaphore_(semaphore), owner_(owner) {}

  [[nodiscard]] bool holds() const noexcept {
    return status_ == Status::ok && owner_ == participant::self_if_attached();
  }

  S* semaphore_;
  Tag owner_;  ///< the process that took it
  Status status_ = Status::empty;
};

}  // namespace sluice

#endif  // SLUICE_SYNC_SEMAPHORE_GUARD_H_
