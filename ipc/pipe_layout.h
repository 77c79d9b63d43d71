// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a pipe and of a connection, for themselves and for the inspector. Internal.
//
//   pipe:
//   object + 0    receiver: end word u64              whoever claims or closes that end
//            8    sender:   end word u64
//          128    data:  event count u32              receiver sleeps on it, sender notifies
//          132    space: event count u32              sender sleeps on it, receiver notifies
//          256    byte ring (lockfree/byte_ring.h)
//
//   connection:
//   object + 0    first:  end word u64
//            8    second: end word u64
//           16    longest message u64                 set when made
//          128    what the second end sends: data, space, as above
//          256    what the first end sends:  data, space
//          384    byte ring of what the second end sends
//        + size   byte ring of what the first end sends, of the same capacity
//
//   end word: state u32 (high) | tag u32 (low)
//     vacant      nobody has come yet; somebody will, by name
//     offered     nobody has used this end yet; who inherited it may (tag: who made it)
//     open        used by the process `tag`
//     closed      closed by the process `tag`
//
//   types of records: 0 bytes; odd a value (ipc/codec_traits.h); kFirstPart, kNextPart below
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
inline constexpr SegmentKind kConnectionKind = {
    .name = "connection", .version = 1, .fingerprint = 0};

/// Which end of a pipe or of a connection; an index into `ends`.
enum class PipeSide : std::uint8_t { receiver = 0, sender = 1, first = 0, second = 1 };

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

using EndWords = std::array<Word<std::uint64_t>, 2>;

/// Where the two sides of one direction sleep.
struct alignas(kNoSharing) Lane {
  EventCount data;
  EventCount space;
};

struct PipeControl {
  EndWords ends;
  alignas(kNoSharing) EventCount data;
  EventCount space;
};
inline constexpr std::size_t kPipeRingOffset = 2 * kNoSharing;
static_assert(sizeof(PipeControl) == kPipeRingOffset && Mappable<PipeControl>);

struct ConnectionControl {
  EndWords ends;
  Word<std::uint64_t> max_message;
  std::array<Lane, 2> lanes;  // by the side that receives
};
inline constexpr std::size_t kConnectionRingOffset = 3 * kNoSharing;
static_assert(sizeof(ConnectionControl) == kConnectionRingOffset && Mappable<ConnectionControl>);

/// A message that is longer than a record travels as one first part, whose payload begins with its
/// length u64 and its type u64, and next parts, which follow it in the ring without anything in
/// between. Whatever else follows ends it: its sender gave up, or died. Next parts without a first
/// one are the rest of a message whose receiver died.
inline constexpr std::uint32_t kFirstPart = 2;
inline constexpr std::uint32_t kNextPart = 4;
inline constexpr std::size_t kFirstPartHeader = 16;
constexpr bool is_part(std::uint32_t type) { return type == kFirstPart || type == kNextPart; }

/// A connection's longest message is at most this.
inline constexpr std::uint64_t kLargestMessage = 0xFFFF'FFFF;

}  // namespace sluice::internal

#endif  // SLUICE_IPC_PIPE_LAYOUT_H_
