// SPDX-License-Identifier: Apache-2.0
//
// The format of the inputs of attach_fuzz.cc: which bytes a pipe's file gets, and what is then done
// with it. Shared by the target and by the maker of its corpus.
//
//   byte 0        how the file is made: Making, or-ed
//   byte 1        log2 of the ring's capacity, for kFixCapacity, modulo 8, plus 7
//   byte 2        number of steps
//   then          12 bytes per step: Step, where u16, what u8, value u64 (little-endian)
//   then          the bytes; the file ends with zeros up to a page

#ifndef SLUICE_FUZZ_ATTACH_INPUT_H_
#define SLUICE_FUZZ_ATTACH_INPUT_H_

#include <cstddef>
#include <cstdint>

namespace sluice::fuzz {

enum Making : std::uint8_t {
  kWholeFile = 0,    ///< the bytes are the file, the stamp included
  kObjectOnly = 1,   ///< the bytes are the object, behind a valid stamp
  kFixStamp = 2,     ///< whole file: size, registry and checksum of the stamp are put right
  kFixCapacity = 4,  ///< the ring's capacity is put right
  kFreeEnds = 8,     ///< both end words are vacant, so that the ends can be claimed
  kSendFirst = 16,   ///< the sender attaches before the receiver
};

/// What is done; the number is taken modulo kSteps.
enum class Step : std::uint8_t {
  scribble,       ///< writes `value` at `where` * 8 of the object
  scribble_near,  ///< the same in the ring, `where` modulo 64 words behind its head
  try_send,       ///< `value` modulo 8192 bytes
  try_send_value,
  try_recv,
  try_recv_value,
  recv_into,  ///< into `value` modulo 4096 bytes of room
  skip,
  poll,
  wait,  ///< recv and send with a deadline of a few microseconds
  ask,   ///< status, capacity, max_message, operator<<
  inspect,
  reopen,  ///< gives up an end and attaches anew
  close,
};
inline constexpr int kSteps = 14;

inline constexpr std::size_t kInputHeader = 3;
inline constexpr std::size_t kStepSize = 12;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_ATTACH_INPUT_H_
