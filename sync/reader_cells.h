// SPDX-License-Identifier: Apache-2.0
//
// BasicReaderCells: a line of memory for each of so many threads that read, in which each says who
// it is. Internal: the readers of SharedMutex.
//
//   Word* const cell = cells.enter(self);       // nullptr: all are taken
//   ...
//   cells.leave(self, *cell);
//
// In memory (128 bytes per cell, all zero = free): see sync/shared_mutex.h. A cell is written by
// its reader, and by others once that is dead.
//
// Threads and processes: all calls may overlap, but for clear().
//
// If a process dies here: a cell with a dead tag, which free_if_dead() and take() make free again.
//
// Cost: enter() one compare-and-swap on the cell that the thread had last; leave() a load and a
// store; take() a load per cell, and a probe for each participant that it meets.

#ifndef SLUICE_SYNC_READER_CELLS_H_
#define SLUICE_SYNC_READER_CELLS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "sluice/sync/lock_report.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class Env, std::size_t kCells>
class BasicReaderCells {
 public:
  using Cell = Word<std::uint64_t>;
  enum class Search : std::uint8_t { free, dead };

  /// Puts the calling thread into the cell that it had last, or into another free one.
  [[gnu::always_inline]] Cell* enter(ThreadState& self) {
    Cell& cell = lines_[self.reader_cell % kCells].reader;
    std::uint64_t found = LockWord::kFree;
    // Sequentially consistent: the announcement of SharedMutex::try_enter().
    if (Env::cas(cell, found, self.me, std::memory_order_seq_cst)) [[likely]]
      return &cell;
    return take(self, Search::free);
  }

  /// The same, with a look at all cells; for `dead` also at those whose readers died.
  [[gnu::noinline]] Cell* take(ThreadState& self, Search search) {
    Tag probed = LockWord::tag_of(self.me);  // and found alive
    for (std::size_t i = 0; i < kCells; ++i) {
      const std::size_t index = (self.reader_cell + i) % kCells;
      Cell& cell = lines_[index].reader;
      // Relaxed: the swap decides.
      std::uint64_t word = Env::load(cell, std::memory_order_relaxed);
      if (LockWord::is_held(word)) {
        const Tag tag = LockWord::tag_of(word);
        if (search == Search::free || tag == probed) continue;
        if (Env::probe(tag) != Liveness::dead) {
          probed = tag;
          continue;
        }
      }
      // Sequentially consistent: as in enter().
      if (!Env::cas(cell, word, self.me, std::memory_order_seq_cst)) continue;
      self.reader_cell = static_cast<std::uint32_t>(index);
      return &cell;
    }
    return nullptr;
  }

  /// Throws std::logic_error if the cell is not the calling thread's any more.
  [[gnu::always_inline]] static void leave(const ThreadState& self, Cell& cell) {
    // Relaxed: this thread's own word.
    if (Env::load(cell, std::memory_order_relaxed) != self.me) refuse_overwritten();
    // Release: pairs with the acquire in is_left().
    Env::store(cell, LockWord::kFree, std::memory_order_release);
  }

  /// Whether nobody is in the cell `index`.
  bool is_left(std::size_t index) noexcept {
    Cell& cell = lines_[index].reader;
    // Acquire: pairs with the release in leave(): the reader has read.
    std::uint64_t word = Env::load(cell, std::memory_order_acquire);
    if (LockWord::is_held(word)) return false;
    // Relaxed: a mark that its reader's end has left; who ends leaves nothing to be seen.
    return word == LockWord::kFree ||
           Env::cas(cell, word, LockWord::kFree, std::memory_order_relaxed);
  }

  void free_if_dead(std::size_t index) noexcept {
    Cell& cell = lines_[index].reader;
    // Relaxed: the swap decides.
    std::uint64_t word = Env::load(cell, std::memory_order_relaxed);
    if (!LockWord::is_held(word) || !is_owner_dead<Env>(word)) return;
    // Acquire-release: the probe came after the kernel had dropped the dead reader's file lock, and
    // with it all that it had read.
    Env::cas(cell, word, LockWord::kFree, std::memory_order_acq_rel);
  }

  /// How many are taken, by readers who live or died. A snapshot, for people.
  [[nodiscard]] std::size_t taken() const noexcept {
    std::size_t count = 0;
    for (const Line& line : lines_) {
      // Relaxed: for people.
      count += LockWord::is_held(Env::load(line.reader, std::memory_order_relaxed)) ? 1 : 0;
    }
    return count;
  }

  void clear() noexcept {
    // Relaxed: the caller vouches that nobody else looks.
    for (Line& line : lines_) Env::store(line.reader, LockWord::kFree, std::memory_order_relaxed);
  }

 private:
  struct alignas(kNoSharing) Line {
    Cell reader;
  };

  std::array<Line, kCells> lines_;
};

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_READER_CELLS_H_
