// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/owner_died.h"

#include <utility>

namespace sluice {

OwnerDied::OwnerDied(Tag owner)
    : Error(Status::owner_died,
            {.tried = "lock",
             .found = "that " + participant::to_text(owner) + " died holding it",
             .hint = "what it protects may be half changed: lock with a repair, or acquire() and "
                     "mark_consistent()"}),
      owner_(owner) {}

OwnerDied::OwnerDied(Tag owner, ErrorText text)
    : Error(Status::owner_died, std::move(text)), owner_(owner) {}

}  // namespace sluice
