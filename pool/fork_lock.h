// SPDX-License-Identifier: Apache-2.0
//
// Internal: the lock of this folder's process-private tables (children, exit hooks, threads), and
// where such tables lie.
//
//   constinit Immortal<std::vector<Hook>> g_hooks;
//   { const ForkLock lock; g_hooks.value.push_back(hook); }
//
// Fork: the lock is taken by pthread_atfork(3) before a fork and given back after it on both sides,
// from the moment the library is loaded. So in a child it is free, and whatever it guards is whole:
// no other thread was in the middle of a change. That holds only because nobody keeps it for long:
// it is never held while user code runs, while somebody waits for a process or a thread, or by a
// thread that forks. One lock for all tables, so that there is no order to keep.
//
// A raw clone(2) runs no such handler; in its child nothing of this folder may be used.
//
// If a process dies here: its tables go with it.

#ifndef SLUICE_POOL_FORK_LOCK_H_
#define SLUICE_POOL_FORK_LOCK_H_

#include <mutex>

namespace sluice::internal {

/// Held for the lifetime of the object. Not in signal handlers.
class ForkLock {
 public:
  ForkLock();

 private:
  std::lock_guard<std::mutex> hold_;
};

/// A global whose value is there before the first constructor runs and after the last destructor
/// has: exit handlers use it.
template <class T>
union Immortal {
  constexpr Immortal() noexcept : value() {}
  // NOLINTNEXTLINE(modernize-use-equals-default): a union of such a member has none of its own
  constexpr ~Immortal() {}
  Immortal(const Immortal&) = delete;
  Immortal& operator=(const Immortal&) = delete;

  T value;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_FORK_LOCK_H_
