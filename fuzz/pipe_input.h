// SPDX-License-Identifier: Apache-2.0
//
// The format of the inputs of pipe_fuzz.cc: what is done with a pipe or a connection, and what a
// peer without rules writes into its memory meanwhile. Shared by the target and by the maker of its
// corpus.
//
//   byte 0        bit 0: a connection, not a pipe; bits 1 and 2: log2 of the capacity, less 7
//   then          12 bytes per step: Step, where u16, what u8, value u64 (little-endian)
//
// Bit 7 of `what` chooses the direction, of a connection.

#ifndef SLUICE_FUZZ_PIPE_INPUT_H_
#define SLUICE_FUZZ_PIPE_INPUT_H_

#include <cstddef>
#include <cstdint>

namespace sluice::fuzz {

/// What is done; the number is taken modulo kPipeSteps.
enum class PipeStep : std::uint8_t {
  scribble,  ///< writes the first `what` modulo 8 + 1 bytes of `value` at `where` of the object
  scribble_near,  ///< writes `value` in the ring, `where` modulo 64 words behind its head
  send,           ///< `value` modulo twice the longest message, which may time out
  try_send,       ///< the same, which may be full
  send_value,
  send_each,  ///< three of `value` modulo 64 bytes
  reserve,    ///< `value` modulo the capacity; stays open
  commit,     ///< of what was reserved, `value` modulo its size
  abandon,    ///< what was reserved
  recv,
  recv_value,
  recv_into,     ///< into `value` modulo 4096 bytes of room
  recv_at_most,  ///< `value` modulo 512
  recv_each,     ///< four at most
  peek,          ///< stays open
  release,       ///< what was peeked at
  let_be,        ///< what was peeked at
  skip,
  poll,
  wait,  ///< receives with a deadline of some microseconds
  ask,   ///< status, peer, operator<<
  close_out,
  close_in,
  attach_out,  ///< gives up the end that sends, and attaches anew
  attach_in,
};
inline constexpr int kPipeSteps = 25;
inline constexpr std::uint8_t kOtherDirection = 128;

inline constexpr std::size_t kPipeInputHeader = 1;
inline constexpr std::size_t kPipeStepSize = 12;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_PIPE_INPUT_H_
