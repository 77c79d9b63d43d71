// SPDX-License-Identifier: Apache-2.0
//
// What lies before the ring of a queue that is one: whether it is open, and who waits. Internal;
// the diagram is in ipc/ring_parts.h.
//
// If a process dies here: nothing needs repair. Cost: none.

#ifndef SLUICE_IPC_RING_LAYOUT_H_
#define SLUICE_IPC_RING_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "sluice/sync/event_count.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

struct RingControl {
  Word<std::uint32_t> state;
  EventCount pushed;
  alignas(kNoSharing) EventCount popped;
};
inline constexpr std::size_t kRingOffset = 256;
static_assert(sizeof(RingControl) == kRingOffset && Mappable<RingControl>);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_RING_LAYOUT_H_
