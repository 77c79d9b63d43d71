// SPDX-License-Identifier: Apache-2.0
//
// LockGuard: holds a lock to the end of the scope, in the thread that took it. As std::lock_guard,
// with two differences: it can be given a repair, for a lock whose owner died; and in a child that
// was forked inside the scope, where std::lock_guard would unlock what the child does not hold, it
// does nothing.
//
//   LockGuard hold(account.mutex, [&] { account.reserved = 0; });
//
// Errors: as the lock's lock(). Threads: lives and dies in one thread, which does not give the lock
// back by hand meanwhile. If a process dies here: as the lock. Cost: as the lock.

#ifndef SLUICE_SYNC_LOCK_GUARD_H_
#define SLUICE_SYNC_LOCK_GUARD_H_

#include <concepts>
#include <exception>
#include <utility>

namespace sluice {

/// Holds a Mutex, RecursiveMutex or SharedMutex (for writing) to the end of the scope.
template <class Lock>
class [[nodiscard]] LockGuard {
 public:
  /// Waits for as long as it takes. Throws OwnerDied and whatever else lock() throws.
  explicit LockGuard(Lock& lock) : lock_(lock) { lock_.lock(); }

  /// As above, but if the owner died, calls `repair` with the lock held. What that throws passes,
  /// and the lock stays marked.
  template <std::invocable Repair>
  LockGuard(Lock& lock, Repair repair) : lock_(lock) {
    lock_.lock(std::move(repair));
  }

  /// Gives the lock back, if this thread still has it: not in a child that was forked meanwhile.
  ~LockGuard() {
    try {
      lock_.unlock();
    } catch (const std::exception&) {
      // Not this thread's any more: a forked child's, or overwritten, which who locks next is told.
      return;
    }
  }

  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  Lock& lock_;
};

}  // namespace sluice

#endif  // SLUICE_SYNC_LOCK_GUARD_H_
