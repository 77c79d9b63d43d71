// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a pipe, for the pipe itself and for the inspector. Internal.
//
//   object + 0    receiver: end word u64              whoever claims or closes that end
//            8    sender:   end word u64
//          128    data:  event count u32              receiver sleeps on it, sender notifies
//          132    space: event count u32              sender sleeps on it, receiver notifies
//          256    byte ring (lockfree/byte_ring.h)
//
//   end word: state u32 (high) | tag u32 (low)
//     vacant      nobody has come yet; somebody will, by name
//     offered     nobody has used this end yet; who inherited it may (tag: who made the pipe)
//     open        used by the process `tag`
//     closed      closed by the process `tag`
//
// If a process dies here: an end word changes by one compare-and-swap. `open` with a dead tag is a
// dead peer; the next to claim that end takes it over. A dead claimant of a moment ago left the
// word as it was.

#ifndef SLUICE_IPC_PIPE_LAYOUT_H_
#define SLUICE_IPC_PIPE_LAYOUT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

inline constexpr SegmentKind kPipeKind = {.name = "pipe", .version = 1, .fingerprint = 0};

/// Which end of a pipe; an index into PipeControl::ends.
enum class PipeSide : std::uint8_t { receiver = 0, sender = 1 };

constexpr std::size_t index_of(PipeSide side) { return static_cast<std::size_t>(side); }
constexpr PipeSide peer_of(PipeSide side) {
  return side == PipeSide::receiver ? PipeSide::sender : PipeSide::receiver;
}

enum class EndState : std::uint32_t { vacant = 0, offered = 1, open = 2, closed = 3 };

/// An end word, taken apart. A state outside the enumeration is hostile bytes.
struct EndWord {
  EndState state;
  Tag tag;

  [[nodiscard]] constexpr std::uint64_t packed() const {
    return std::uint64_t{static_cast<std::uint32_t>(state)} << 32 | tag;
  }
  [[nodiscard]] static constexpr EndWord unpack(std::uint64_t word) {
    return {static_cast<EndState>(word >> 32), static_cast<Tag>(word)};
  }
  [[nodiscard]] constexpr bool is_valid() const { return state <= EndState::closed; }
};

struct PipeControl {
  std::array<Word<std::uint64_t>, 2> ends;
  alignas(kNoSharing) EventCount data;
  EventCount space;
};
inline constexpr std::size_t kPipeRingOffset = 2 * kNoSharing;
static_assert(sizeof(PipeControl) == kPipeRingOffset && Mappable<PipeControl>);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_PIPE_LAYOUT_H_
