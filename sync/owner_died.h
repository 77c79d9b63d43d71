// SPDX-License-Identifier: Apache-2.0
//
// OwnerDied: thrown by the forms of locking that can't return a Status, when who held the lock died
// with it. What the lock protects may be half changed, and the caller does not hold the lock.
//
//   try {
//     std::scoped_lock hold(account.mutex);
//     ...
//   } catch (const OwnerDied& e) {           // "lock: the owner died holding it; ..."
//     account.mutex.lock([&] { account.repair(); });
//   }
//
// Threads, processes, death: a plain value, nothing shared.

#ifndef SLUICE_SYNC_OWNER_DIED_H_
#define SLUICE_SYNC_OWNER_DIED_H_

#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Who held the lock died with it. Its code() is Status::owner_died, and the caller does not hold
/// the lock.
class OwnerDied : public Error {
 public:
  /// `owner`: who died; participant::kNobody if that is not known any more.
  explicit OwnerDied(Tag owner);
  /// For an object that can say more of itself.
  OwnerDied(Tag owner, ErrorText text);

  /// Who died, for participant::describe(); kNobody if that is not known any more.
  [[nodiscard]] Tag owner() const noexcept { return owner_; }

 private:
  Tag owner_;
};

}  // namespace sluice

#endif  // SLUICE_SYNC_OWNER_DIED_H_
