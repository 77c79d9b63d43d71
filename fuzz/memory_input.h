// SPDX-License-Identifier: Apache-2.0
//
// The format of the inputs of memory_fuzz.cc: which structure, what is done with it, and what a
// peer without rules writes into its memory meanwhile. Shared by the target and by the maker of its
// corpus.
//
//   byte 0        which: Structure, modulo kStructures
//   byte 1        its size, where it has one: modulo 16 + 1 items, or log2 of bytes
//   then          12 bytes per step: action u8, where u16, what u8, value u64 (little-endian)
//
//   action, modulo 8: 0 writes the first `what` modulo 8 + 1 bytes of `value` at `where`
//                     1 the same, inside the next call that can be interrupted
//                     others: the structure's own, in memory_fuzz.cc

#ifndef SLUICE_FUZZ_MEMORY_INPUT_H_
#define SLUICE_FUZZ_MEMORY_INPUT_H_

#include <cstddef>
#include <cstdint>

namespace sluice::fuzz {

enum class Structure : std::uint8_t {
  spsc_small,   ///< SpscRing of 8 bytes
  spsc_large,   ///< SpscRing of 160 bytes
  byte_ring,    ///< ByteRing
  latest_word,  ///< Latest of 4 bytes
  latest,       ///< Latest of 40 bytes
  value,        ///< Value of 40 bytes
  list,         ///< ShareableList
  arena,        ///< ChunkArena
};
inline constexpr int kStructures = 8;
inline constexpr int kActions = 8;

inline constexpr std::size_t kMemoryHeader = 2;
inline constexpr std::size_t kMemoryStep = 12;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_MEMORY_INPUT_H_
