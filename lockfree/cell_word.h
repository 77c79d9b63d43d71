// SPDX-License-Identifier: Apache-2.0
//
// CellWord: the word of one cell of an MpmcRing, which says whose turn the cell is, what is in it,
// and who is at work on it. Internal, and public to tests that play the killed or hostile process.
//
//   idle     63..34 lap, the low 30 bits                    | 33..32 state | 0, or offered again: 1
//   claimed  63..58 cells - 1 | 57..34 lap, the low 24 bits | 33..32 state | 31..0 the claimer's
//   tag
//
//   empty(l) -> writing(l, tag) -> full(l) -> reading(l, tag) -> empty(l + 1)
//
// The two states that name somebody are entered by compare-and-swap, and left by that process, or,
// once the kernel says that it is dead, by whoever meets the cell: writing becomes empty(l + 1), a
// hole; reading becomes full(l), the item offered again. A claim may be for a run of cells, up to
// 64 of one lap, of which the first speaks for all: who meets it steps over the whole run, and it
// is the last to be committed. A run that is read is first marked as done, so that all of it is
// acknowledged at once.
//
// If a process dies here: nothing is shared. Cost: some shifts.

#ifndef SLUICE_LOCKFREE_CELL_WORD_H_
#define SLUICE_LOCKFREE_CELL_WORD_H_

#include <cstdint>

namespace sluice::internal {

struct CellWord {
  enum class State : std::uint8_t { empty, writing, full, reading };

  static constexpr std::uint32_t kLongestRun = 64;

  /// An idle cell's. Any lap; its low 30 bits count.
  static constexpr std::uint64_t make(std::uint32_t lap, State state) noexcept {
    return std::uint64_t{lap} << kLapShift | bits(state);
  }
  /// That of a full cell whose item somebody had, and gave back or died with. Others may have
  /// passed it meanwhile, as nobody has passed a cell that is just full.
  static constexpr std::uint64_t offered_again(std::uint32_t lap) noexcept {
    return make(lap, State::full) | 1;
  }
  /// That of the first of `run` cells, 1 to 64, that `tag` has claimed.
  static constexpr std::uint64_t claimed(std::uint32_t lap, State state, std::uint32_t tag,
                                         std::uint32_t run = 1) noexcept {
    return std::uint64_t{run - 1} << kRunShift | std::uint64_t{lap & kClaimedLap} << kLapShift |
           bits(state) | tag;
  }

  /// What a claim to read becomes when all of it has been read.
  static constexpr std::uint64_t done(std::uint64_t claim) noexcept { return claim | kDone; }
  static constexpr bool is_done(std::uint64_t claim) noexcept { return (claim & kDone) != 0; }

  static constexpr State state_of(std::uint64_t word) noexcept {
    return static_cast<State>(word >> 32 & 3);
  }
  static constexpr std::uint32_t tag_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }
  /// Whether somebody is at work on the cell.
  static constexpr bool is_claimed(std::uint64_t word) noexcept { return (word >> 32 & 1) != 0; }
  /// For how many cells a claimed one speaks.
  static constexpr std::uint32_t run_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> kRunShift) + 1;
  }

  /// By how many laps the cell is ahead of `lap`; less than 0 if it is behind. Right as long as the
  /// two are less than 2^22 laps apart.
  static constexpr std::int32_t laps_ahead(std::uint64_t word, std::uint32_t lap) noexcept {
    const auto cell = static_cast<std::uint32_t>(word >> kLapShift);
    const int unused = is_claimed(word) ? kUnusedIfClaimed : kUnusedBits;
    return static_cast<std::int32_t>((cell - lap) << unused) >> unused;
  }

 private:
  static constexpr std::uint64_t bits(State state) noexcept {
    return std::uint64_t{static_cast<std::uint8_t>(state)} << 32;
  }

  static constexpr int kLapShift = 34;
  static constexpr int kDoneShift = 57;
  static constexpr int kRunShift = 58;
  static constexpr std::uint64_t kDone = std::uint64_t{1} << kDoneShift;
  static constexpr std::uint32_t kClaimedLap = (std::uint32_t{1} << (kDoneShift - kLapShift)) - 1;
  // Of 32.
  static constexpr int kUnusedBits = 2;
  static constexpr int kUnusedIfClaimed = 9;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_CELL_WORD_H_
