// SPDX-License-Identifier: Apache-2.0
//
// Observer: who is told when a death or its remains are found: how pool/log.h, which lies above,
// hears of it. Internal.
//
//   set_observer(&write_a_line);                             // pool/log.cc, before main()
//   tell_owner_died("Mutex", this, tag);                     // sync/mutex.h, on its slow path
//
// The teller's words are in order by then: a lock that was taken over is held by the caller, whose
// own death in the observer is one as any other. The observer may be called in a signal handler, of
// a try_lock(), and must not lock what the teller might have locked.
//
// Units: none. Errors: none come out; errno stays as it was. Threads: all calls may overlap. A
// forked child has its parent's observer. If a process dies here: nothing is shared. Cost: a load
// where there is no observer; and all of it on paths that have found a death.

#ifndef SLUICE_SYNC_OBSERVER_H_
#define SLUICE_SYNC_OBSERVER_H_

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "sluice/sync/participant.h"

namespace sluice::internal {

struct Incident {
  enum class Kind : std::uint8_t {
    owner_died,     ///< who held what is at `address`
    stale_removed,  ///< the name of an object that nobody uses
  };
  Kind kind;
  std::string_view what;          ///< the kind of lock; the name of the object
  const void* address = nullptr;  ///< of the lock
  Tag owner = participant::kNobody;
  pid_t maker = 0;  ///< of the object; 0: not known
};

/// Does not throw.
using Observer = void (*)(const Incident&);

/// From now on; nullptr for none.
void set_observer(Observer observer) noexcept;

void tell_owner_died(std::string_view what, const void* address, Tag owner) noexcept;

void tell_stale_removed(std::string_view what, pid_t maker) noexcept;

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_OBSERVER_H_
