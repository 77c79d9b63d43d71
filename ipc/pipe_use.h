// SPDX-License-Identifier: Apache-2.0
//
// PipeUse: what one process notes, in memory of its own, of its use of an end of a pipe or
// connection. Threads that send and receive at the same time touch no line together but to read it.
// Internal.
//
// If a process dies here: these notes go with it. Who owns an end is in shared memory, in its end
// word (ipc/pipe_layout.h).

#ifndef SLUICE_IPC_PIPE_USE_H_
#define SLUICE_IPC_PIPE_USE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// A direction, as seen from an end.
enum class Way : std::uint8_t { in = 0, out = 1 };

struct PipeUse {
  struct alignas(kNoSharing) Flag {
    std::atomic<bool> is_set = false;
  };

  /// Who has claimed the end through this channel object, and whether its handle was closed. Both
  /// sequentially consistent where they meet: claim() writes one and reads the other, close() the
  /// other way round, and one of the two must notice.
  alignas(kNoSharing) std::atomic<Tag> owner = participant::kNobody;
  std::atomic<bool> closed = false;
  /// The peer's end word.
  const Word<std::uint64_t>* peer = nullptr;
  /// Whether a call is under way, by Way; PipeEnd::Call and close().
  std::array<Flag, 2> in_call = {};

  [[nodiscard]] std::atomic<bool>& in_call_of(Way way) noexcept {
    return in_call[static_cast<std::size_t>(way)].is_set;
  }
  [[nodiscard]] bool calls_under_way() const noexcept {
    // Acquire, both: pairs with the release in ~Call().
    return in_call[0].is_set.load(std::memory_order_acquire) ||
           in_call[1].is_set.load(std::memory_order_acquire);  // acquire: as said
  }
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_PIPE_USE_H_
