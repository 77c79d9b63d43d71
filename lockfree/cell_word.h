// SPDX-License-Identifier: Apache-2.0
//
// CellWord: the word of one cell of an MpmcRing, which says whose turn the cell is, what is in it,
// and who is at work on it. Internal, and public to tests that play the killed or hostile process.
//
//   63..34 lap, the low 30 bits | 33..32 state | 31..0 the tag of who claimed it, else 0
//
//   empty(l) -> writing(l, tag) -> full(l) -> reading(l, tag) -> empty(l + 1)
//
// The two states that name somebody are entered by compare-and-swap, and left by that process, or,
// once the kernel says that it is dead, by whoever meets the cell: writing becomes empty(l + 1), a
// hole; reading becomes full(l), the item offered again.
//
// If a process dies here: nothing is shared. Cost: some shifts.

#ifndef SLUICE_LOCKFREE_CELL_WORD_H_
#define SLUICE_LOCKFREE_CELL_WORD_H_

#include <cstdint>

namespace sluice::internal {

struct CellWord {
  enum class State : std::uint8_t { empty, writing, full, reading };

  /// Any lap; its low 30 bits count.
  static constexpr std::uint64_t make(std::uint32_t lap, State state,
                                      std::uint32_t tag = 0) noexcept {
    return std::uint64_t{lap} << kLapShift | std::uint64_t{static_cast<std::uint8_t>(state)} << 32 |
           tag;
  }
  static constexpr State state_of(std::uint64_t word) noexcept {
    return static_cast<State>(word >> 32 & 3);
  }
  static constexpr std::uint32_t tag_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }
  /// Whether somebody is at work on the cell.
  static constexpr bool is_claimed(std::uint64_t word) noexcept { return (word >> 32 & 1) != 0; }

  /// By how many laps the cell is ahead of `lap`; less than 0 if it is behind. Right as long as the
  /// two are less than 2^29 laps apart.
  static constexpr std::int32_t laps_ahead(std::uint64_t word, std::uint32_t lap) noexcept {
    const auto cell = static_cast<std::uint32_t>(word >> kLapShift);
    return static_cast<std::int32_t>((cell - lap) << kUnusedBits) >> kUnusedBits;
  }

  /// What becomes of a claimed cell whose claimer is dead.
  static constexpr std::uint64_t without_its_owner(std::uint64_t word) noexcept {
    const auto lap = static_cast<std::uint32_t>(word >> kLapShift);
    return state_of(word) == State::writing ? make(lap + 1, State::empty) : make(lap, State::full);
  }

 private:
  static constexpr int kLapShift = 34;
  static constexpr int kUnusedBits = 2;  // of 32: a lap has 30
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_CELL_WORD_H_
