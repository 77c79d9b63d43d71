// SPDX-License-Identifier: Apache-2.0
//
// Which queues are made as a ring (ipc/ring_parts.h), and which as records (ipc/queue_parts.h).
// Internal.
//
// Errors: none. Threads: constants. If a process dies here: nothing is shared.

#ifndef SLUICE_IPC_RING_CHOICE_H_
#define SLUICE_IPC_RING_CHOICE_H_

#include <type_traits>

#include "sluice/ipc/codec_plain.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/platform.h"

namespace sluice::internal {

/// Whether items of that type may lie in a ring: the same answer by every compiler, so that who
/// opens a queue can use what another has made.
template <class T>
constexpr bool may_be_in_ring() {
  if constexpr (shape_of<T>() != Shape::plain || !std::is_trivially_copyable_v<T> ||
                !std::is_trivially_copy_assignable_v<T> ||
                !std::is_trivially_default_constructible_v<std::remove_cv_t<T>>) {
    return false;
  } else {
    // Padding is left behind in the process: clang finds it in small classes only.
    return sizeof(T) <= 4096 && alignof(T) <= kCacheLine &&
           (!kMayHavePadding<T> || (sizeof(T) <= 256 && !kSaysItIsBytes<T>));
  }
}

/// Whether a queue of so many items of that kind is made as a ring: one that has room for them all
/// from the beginning, and drops none.
inline bool is_for_ring(const Capacity& capacity, const QueueRules& rules) {
  return capacity.items != Capacity::kNoLimit && capacity.bytes == Capacity::kNoLimit &&
         (rules.overflow == Overflow::block || rules.overflow == Overflow::fail);
}

}  // namespace sluice::internal

#endif  // SLUICE_IPC_RING_CHOICE_H_
