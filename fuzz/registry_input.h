// SPDX-License-Identifier: Apache-2.0
//
// The format of the inputs of registry_fuzz.cc: what the registry's file of a domain has in it, and
// what is done with the domain. Shared by the target and by the maker of its corpus.
//
//   byte 0        how the file is made: RegistryMaking, or-ed
//   byte 1        number of steps, modulo 32
//   then          12 bytes per step: RegistryStep, where u16, what u8, value u64 (little-endian)
//   then          the bytes of the file (sync/domain.h has a drawing)

#ifndef SLUICE_FUZZ_REGISTRY_INPUT_H_
#define SLUICE_FUZZ_REGISTRY_INPUT_H_

#include <cstddef>
#include <cstdint>

namespace sluice::fuzz {

enum RegistryMaking : std::uint8_t {
  kRegistryFixHeader = 1,   ///< magic, version and size of the header are put right
  kRegistryFixFiles = 2,    ///< and device and inodes
  kRegistryFullLength = 4,  ///< zeros up to the end of the last record
};

/// What is done; the number is taken modulo kRegistrySteps.
enum class RegistryStep : std::uint8_t {
  scribble,         ///< the first `what` modulo 8 + 1 bytes of `value`, at `where` * 8 of the file
  cut,              ///< the file ends at `where` * 8, or is lengthened to there
  open,             ///< the domain anew; `what` odd: only looks
  ask,              ///< all that a domain is asked
  live_file,        ///< the one of number `what`
  probe,            ///< participant `value`
  describe,         ///< the same: who was it, has it left, and a text for people
  attach,           ///< ends as a participant, and is one anew
  leave,            ///< notes that this one has left
  inspect,          ///< lists the objects; one is held by participant `value`
  damage_live,      ///< liveness file `what` modulo 16 becomes FileDamage(`value`)
  damage_registry,  ///< the registry does
  other,            ///< somebody else is participant `value` from now on
};
inline constexpr int kRegistrySteps = 13;

/// What a file becomes; the number is taken modulo kFileDamages.
enum class FileDamage : std::uint8_t { missing, empty, directory, link, fifo };
inline constexpr int kFileDamages = 5;

inline constexpr std::size_t kRegistryInputHeader = 2;
inline constexpr std::size_t kRegistryStepSize = 12;

}  // namespace sluice::fuzz

#endif  // SLUICE_FUZZ_REGISTRY_INPUT_H_
