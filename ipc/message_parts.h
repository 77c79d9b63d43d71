// SPDX-License-Identifier: Apache-2.0
//
// A message that is longer than a record of its ring: how it is cut into parts (ipc/pipe_layout.h
// has their bytes) and put together again. Internal; what the ends of pipes and connections and
// those of sealed ones have in common.
//
// Whoever receives may be lied to: no length is believed, and memory is taken as bytes arrive.
//
// If a process dies here: the sender leaves a message without its last parts, which its receiver
// drops when another one begins; the receiver takes what it had put together with it, and its
// successor drops the rest.

#ifndef SLUICE_IPC_MESSAGE_PARTS_H_
#define SLUICE_IPC_MESSAGE_PARTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/ipc/codec_stream.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// Scratch memory beyond this is given back.
inline constexpr std::size_t kScratchKept = std::size_t{1} << 20;

/// Bytes that a part of a long message holds in a ring of that capacity whose records hold
/// `max_in_place`: several are under way at a time, so that sender and receiver work at the same
/// time.
constexpr std::size_t part_size(std::size_t capacity, std::size_t max_in_place) {
  return std::min(max_in_place, std::max<std::size_t>(capacity / 8 - 8, 48));
}

/// Sends `payload` in parts of `most` bytes. `claim(size, room)` waits for room and says what came
/// of it; `commit(type, size)` sends what was written there. Stops at the first claim that fails:
/// what was sent by then is no message.
template <class Claim, class Commit>
Status send_in_parts(std::uint32_t type, std::span<const std::byte> payload, std::size_t most,
                     Claim claim, Commit commit) {
  if (most <= kFirstPartHeader) return Status::too_large;
  std::size_t header = kFirstPartHeader;
  while (header != 0 || !payload.empty()) {
    const std::size_t size = std::min(payload.size(), most - header);
    std::span<std::byte> room;
    const Status status = claim(header + size, room);
    if (status != Status::ok) return status;
    if (header != 0) {
      Encoder out(room);
      out.number(std::uint64_t{payload.size()});
      out.number(std::uint64_t{type});
    }
    std::copy_n(payload.begin(), size, room.subspan(header).begin());
    commit(header != 0 ? kFirstPart : kNextPart, header + size);
    payload = payload.subspan(size);
    header = 0;
  }
  return Status::ok;
}

/// The message that is arriving in parts, if one is.
class MessageParts {
 public:
  /// How long a message the receiver takes: one that says that it is longer than `longest` is
  /// corrupt, one that is longer than `most` stays where it is.
  struct Limits {
    std::uint64_t longest;
    std::size_t most;
  };

  /// Reserves memory for a message when it begins, but at most so many bytes.
  explicit MessageParts(std::size_t reserved_at_once) : reserved_at_once_(reserved_at_once) {}

  [[nodiscard]] bool begun() const { return total_ != 0; }
  [[nodiscard]] bool whole() const { return total_ != 0 && bytes_.size() == total_; }
  [[nodiscard]] std::uint32_t type() const { return type_; }
  /// What has arrived. For other memory: of a whole message.
  [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }

  /// Drops what has arrived.
  void forget() noexcept;

  /// Takes a part: ok, then its record is to be released (also if it belonged to a message whose
  /// beginning nobody has, and was dropped); too_large, and `announced` says the message's length;
  /// corrupt.
  Status take(std::uint32_t type, std::span<const std::byte> payload, Limits limits,
              std::size_t& announced);

 private:
  Status begin(std::span<const std::byte>& payload, Limits limits, std::size_t& announced);

  std::size_t reserved_at_once_;
  std::vector<std::byte> bytes_;
  std::uint64_t total_ = 0;  ///< the message's length; 0 if none is arriving
  std::uint32_t type_ = 0;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_MESSAGE_PARTS_H_
