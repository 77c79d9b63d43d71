// SPDX-License-Identifier: Apache-2.0
//
// The format of the inputs of queue_fuzz.cc: which queue, what is done with it, and what a peer
// without rules writes into its memory meanwhile. Shared by the target and by the maker of its
// corpus.
//
//   byte 0        which: bit 0 grows (a ring: has room for one), bits 1 and 2 the Overflow (a ring:
//                 bit 1 fails), bit 3 ends with its producers, bits 6 and 7, if 1: a ring
//   then          12 bytes per step: action u8, where u16, what u8, value u64 (little-endian)
//
//   action, modulo kQueueSteps: QueueStep

#ifndef SLUICE_FUZZ_QUEUE_INPUT_H_
#define SLUICE_FUZZ_QUEUE_INPUT_H_

#include <cstddef>
#include <cstdint>

namespace sluice::fuzz {

enum class QueueStep : std::uint8_t {
  scribble,   ///< the first `what` modulo 8 + 1 bytes of `value`, at `where` of the object
  push,       ///< `value` modulo 600 bytes; `what` even: does not wait
  push_each,  ///< `what` modulo 8 items of `value` modulo 40 bytes
  pop,        ///< `what` even: does not wait
  pop_each,   ///< at most `what` modulo 8 + 1
  skip,
  ask,        ///< all that asks
  close,      ///< `what` odd: drops what is there
  reattach,   ///< another handle
  interrupt,  ///< as scribble, but inside the next push, while it copies; of a ring, at once
};
inline constexpr int kQueueSteps = 10;

inline constexpr std::uint8_t kQueueGrows = 1;
inline constexpr std::uint8_t kQueueEngineBits = 0xc0;
inline constexpr std::uint8_t kQueueIsRing = 0x40;

inline constexpr std::size_t kQueueHeader = 1;
inline constexpr std::size_t kQueueStepSize = 12;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_QUEUE_INPUT_H_
