// SPDX-License-Identifier: Apache-2.0
//
// The format of the inputs of sealed_fuzz.cc: what the peer of a sealed connection hands over, and
// what the two then do. Shared by the target and by the maker of its corpus.
//
//   byte 0        how the peer's memory is made: SealedMaking, or-ed
//   byte 1        number of steps
//   then          12 bytes per step: SealedStep, where u16, what u8, value u64 (little-endian)
//   then          the bytes, of the whole file or of its object

#ifndef SLUICE_FUZZ_SEALED_INPUT_H_
#define SLUICE_FUZZ_SEALED_INPUT_H_

#include <cstddef>
#include <cstdint>

namespace sluice::fuzz {

enum SealedMaking : std::uint8_t {
  kSealedFile = 0,      ///< the bytes are the whole file, the stamp included
  kSealedObject = 1,    ///< the bytes are the object, behind an honest stamp, from the ring's on
  kSealedFixStamp = 2,  ///< whole file: size and checksum of the stamp are put right
};

/// What is done; the number is taken modulo kSealedSteps.
enum class SealedStep : std::uint8_t {
  scribble,   ///< the peer writes `value` at `where` * 8 of its object
  put,        ///< the peer sends a record of type `value`, with `what` bytes
  ring,       ///< the peer rings, closes bells (what 1), or the connection (what 2)
  send_fd,    ///< the peer sends a descriptor, `what` modulo 4 of them
  try_send,   ///< `value` modulo 8192 bytes
  send,       ///< the same, with a deadline of some microseconds
  try_recv,   ///< bytes, or values
  recv_into,  ///< into `value` modulo 4096 bytes of room
  recv,       ///< with a deadline of some microseconds
  skip,
  ask,  ///< status, peer, operator<<, poll
  recv_fd,
  descriptor,  ///< for event loops
};
inline constexpr int kSealedSteps = 13;

inline constexpr std::size_t kSealedHeader = 2;
inline constexpr std::size_t kSealedStepSize = 12;
inline constexpr std::size_t kSealedCapacity = 512;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_SEALED_INPUT_H_
