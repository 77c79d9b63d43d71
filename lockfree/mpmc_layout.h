// SPDX-License-Identifier: Apache-2.0
//
// What an MpmcRing looks like in memory, and the ways to walk it: the control words, the cells, a
// cursor that goes round, and a view whose numbers were checked once. Internal; the diagram is in
// lockfree/mpmc_ring.h.
//
// Errors: attaching to what is no ring of T throws Error(Status::corrupt). If a process dies here:
// nothing is written but by format(), before anyone else sees the memory. Cost: a walk one load a
// cell.

#ifndef SLUICE_LOCKFREE_MPMC_LAYOUT_H_
#define SLUICE_LOCKFREE_MPMC_LAYOUT_H_

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "sluice/lockfree/cell_word.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

struct MpmcControl {
  Word<std::uint64_t> capacity;
  Word<std::uint64_t> cell_size;
  /// Of the registry whose tags the cells hold; 0 before the first handle.
  Word<std::uint32_t> incarnation;
  alignas(kNoSharing) Word<std::uint64_t> tail;
  alignas(kNoSharing) Word<std::uint64_t> head;
};
static_assert(sizeof(MpmcControl) == 3 * kNoSharing);

template <class T>
struct MpmcCell {
  Word<std::uint64_t> word;
  // As in SpscRing: an item of two lines or more begins on a line of its own.
  alignas(sizeof(T) >= 2 * kCacheLine ? std::max(kCacheLine, alignof(T)) : alignof(T)) T value;
};

/// A place on the way round the ring, which has no end.
class MpmcCursor {
 public:
  MpmcCursor(std::uint64_t position, std::uint32_t capacity) noexcept
      : position_(position),
        index_(static_cast<std::uint32_t>(position % capacity)),
        lap_(static_cast<std::uint32_t>(position / capacity)) {}

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] std::uint32_t lap() const noexcept { return lap_; }

  /// By some cells of one lap.
  void advance(std::uint32_t capacity, std::uint32_t cells = 1) noexcept {
    position_ += cells;
    index_ += cells;
    if (index_ >= capacity) {
      index_ = 0;
      ++lap_;
    }
  }

 private:
  std::uint64_t position_;
  std::uint32_t index_;
  std::uint32_t lap_;
};

/// What is known of a ring, checked once and kept in private memory.
template <class T, class Env>
class MpmcView {
 public:
  using Cell = MpmcCell<T>;
  using State = CellWord::State;

  static constexpr std::size_t kMaxCapacity = std::size_t{1} << 30;

  static std::size_t bytes_for(std::size_t capacity) {
    if (capacity == 0 || capacity > kMaxCapacity) {
      throw Error::from_errno(EINVAL, {.tried = "size a ring",
                                       .expected = "a capacity of 1 to 2^30 items",
                                       .found = std::to_string(capacity)});
    }
    return sizeof(MpmcControl) + capacity * sizeof(Cell);
  }

  static void format(std::span<std::byte> memory, std::size_t capacity) {
    check(memory, capacity);
    // All zero: each cell is empty in lap 0.
    std::memset(memory.data(), 0, bytes_for(capacity));
    format_zeroes(memory, capacity);
  }
  /// The same, of bytes that are zero: the cells are not touched.
  static void format_zeroes(std::span<std::byte> memory, std::size_t capacity) {
    MpmcControl& control = check(memory, capacity);
    // Relaxed, both: publishing the memory is the caller's step and carries the order.
    Env::store(control.capacity, std::uint64_t{capacity}, std::memory_order_relaxed);
    Env::store(control.cell_size, std::uint64_t{sizeof(Cell)}, std::memory_order_relaxed);
  }

  explicit MpmcView(std::span<std::byte> memory) : control_(attach_object<MpmcControl>(memory)) {
    // Relaxed: written before the memory was published, and copied here once.
    const std::uint64_t capacity =
        control_ == nullptr ? 0 : Env::load(control_->capacity, std::memory_order_relaxed);
    const bool fits = capacity > 0 && capacity <= kMaxCapacity &&
                      // Relaxed, as above.
                      Env::load(control_->cell_size, std::memory_order_relaxed) == sizeof(Cell) &&
                      bytes_for(capacity) <= memory.size();
    if (!fits) {
      throw Error(Status::corrupt,
                  {.tried = "attach to a ring in " + std::to_string(memory.size()) + " bytes",
                   .expected = "cells of " + std::to_string(sizeof(Cell)) + " bytes",
                   .found = "capacity " + std::to_string(capacity) + ", or another cell size"});
    }
    cells_ = attach_object<Cell>(memory.subspan(sizeof(MpmcControl)), capacity);
    capacity_ = static_cast<std::uint32_t>(capacity);
  }

  /// The most cells that one call looks at: many rounds, since hints may be old.
  [[nodiscard]] std::uint64_t looks() const noexcept {
    return 64 * std::uint64_t{capacity_} + 65536;
  }
  /// Whether to look at the hint, before that look: at first, and now and then. Who was stopped for
  /// a moment in the midst of a walk finds the others more laps ahead than looks() lead.
  [[nodiscard]] static constexpr bool catches_up(std::uint64_t look) noexcept {
    return look % 64 == 0;
  }

  [[nodiscard]] MpmcControl& control() const noexcept { return *control_; }
  [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] Cell& cell(const MpmcCursor& at) const noexcept { return cells_[at.index()]; }
  /// That `further` cells on, which must be in the same lap.
  [[nodiscard]] Cell& cell(const MpmcCursor& at, std::uint32_t further) const noexcept {
    return cells_[at.index() + further];
  }
  /// How many cells there are from `at` to the end of its lap.
  [[nodiscard]] std::uint32_t rest_of_lap(const MpmcCursor& at) const noexcept {
    return capacity_ - at.index();
  }

  /// Has the CPU fetch a cell that comes soon after `at`, to be written: a compare-and-swap waits
  /// for its line, as a store would not.
  void fetch_ahead(const MpmcCursor& at) const noexcept {
    const std::uint32_t index = at.index() + kFetchAhead;
    if (index < capacity_) prefetch_to_write(&cells_[index]);
  }

  /// `at`, or where `hint` says that others have been, if that is further. Acquire: pairs with the
  /// release in MpmcSide::publish(), so that the cells are seen at least as its writer saw them.
  [[nodiscard]] MpmcCursor furthest(const MpmcCursor& at, const Word<std::uint64_t>& hint) const {
    const std::uint64_t there = Env::load(hint, std::memory_order_acquire);
    const bool further = static_cast<std::int64_t>(there - at.position()) > 0;
    return further ? MpmcCursor(there, capacity_) : at;
  }

  /// Whether there is an item that nobody has, before which no push is under way.
  [[nodiscard]] bool has_item() const {
    const MpmcCursor at =
        walk(head(), control_->head, looks(), [](std::uint64_t word, std::int32_t ahead) {
          if (ahead > 0) return 1U;
          const bool is_taken = ahead == 0 && CellWord::state_of(word) == State::reading;
          return is_taken ? CellWord::run_of(word) : 0U;
        });
    return is_at(at, State::full);
  }

  /// Whether a push would find room.
  [[nodiscard]] bool has_room() const { return is_at(walk_to_tail(head()), State::empty); }

  /// Whether all that was ever pushed or claimed is consumed; if so, and if a word that producers
  /// ask (MpmcProducer::try_push_if) was found closed before, for good. Places are claimed in their
  /// order: where one is free, nobody has claimed a later one. And who claims this one later than
  /// we have looked at it, finds the queue closed: his claim comes after our look, which comes
  /// after the word was closed, in the one order of all that is sequentially consistent.
  [[nodiscard]] bool is_drained() const {
    MpmcCursor at(0, capacity_);
    for (std::uint64_t i = 0; i < looks(); ++i) {
      if (catches_up(i)) at = furthest(at, control_->head);
      // Seq_cst: as said above; pairs with the claims in MpmcProducer.
      const std::uint64_t word = Env::load(cell(at).word, std::memory_order_seq_cst);
      const std::int32_t ahead = CellWord::laps_ahead(word, at.lap());
      if (ahead <= 0) return ahead == 0 && CellWord::state_of(word) == State::empty;
      at.advance(capacity_);
    }
    return false;
  }

  /// As size(), without the places in between that are consumed, or were never filled: a load for
  /// each place.
  [[nodiscard]] std::size_t count() const {
    const MpmcCursor from = head();
    const MpmcCursor to = walk_to_tail(from);
    std::size_t items = 0;
    const std::uint64_t most = std::min<std::uint64_t>(to.position() - from.position(), capacity_);
    for (MpmcCursor at = from; at.position() - from.position() < most; at.advance(capacity_)) {
      // Relaxed: a snapshot; walk_to_tail() has seen this word, or one before it.
      const std::uint64_t word = Env::load(cell(at).word, std::memory_order_relaxed);
      items += CellWord::laps_ahead(word, at.lap()) <= 0 ? 1 : 0;
    }
    return items;
  }

  /// A snapshot: from the oldest item that is not consumed to the newest that is claimed.
  [[nodiscard]] std::size_t size() const {
    std::uint64_t size = 0;
    for (int tries = 0; tries < 4; ++tries) {
      const MpmcCursor oldest = head();
      size = walk_to_tail(oldest).position() - oldest.position();
      // So many it may be, or the two ends are of different moments.
      if (size < capacity_ || head().position() == oldest.position()) break;
    }
    return static_cast<std::size_t>(std::min<std::uint64_t>(size, capacity_));
  }

  /// The oldest place that is not consumed.
  [[nodiscard]] MpmcCursor head() const {
    return walk(MpmcCursor(0, capacity_), control_->head, looks(),
                [](std::uint64_t /*word*/, std::int32_t ahead) { return ahead > 0 ? 1U : 0U; });
  }

 private:
  static MpmcControl& check(std::span<std::byte> memory, std::size_t capacity) {
    const std::size_t needed = bytes_for(capacity);
    auto* const control = attach_object<MpmcControl>(memory);
    if (control != nullptr && memory.size() >= needed) return *control;
    throw Error::from_errno(EINVAL,
                            {.tried = "make a ring of " + std::to_string(capacity) + " items",
                             .expected = std::to_string(needed) + " bytes, aligned to 128",
                             .found = std::to_string(memory.size()) + " bytes"});
  }

  /// From `at`, or where `hint` is, past the cells that `passes` says, and no more than `most`
  /// times.
  template <class Passes>
  MpmcCursor walk(MpmcCursor at, const Word<std::uint64_t>& hint, std::uint64_t most,
                  Passes passes) const {
    for (std::uint64_t i = 0; i < most; ++i) {
      if (catches_up(i)) at = furthest(at, hint);
      // Acquire: pairs with the releases of the word, so that what the next cell says is as new.
      const std::uint64_t word = Env::load(cell(at).word, std::memory_order_acquire);
      const std::uint32_t cells = passes(word, CellWord::laps_ahead(word, at.lap()));
      if (cells == 0) break;
      at.advance(capacity_, std::min(cells, rest_of_lap(at)));
    }
    return at;
  }

  /// From `head` past what is claimed or was.
  [[nodiscard]] MpmcCursor walk_to_tail(const MpmcCursor& head) const {
    return walk(head, control_->tail, capacity_, [](std::uint64_t word, std::int32_t ahead) {
      if (ahead == 0 && CellWord::state_of(word) == State::writing) {
        return CellWord::run_of(word);
      }
      const bool is_claimed = ahead > 0 || (ahead == 0 && CellWord::state_of(word) != State::empty);
      return is_claimed ? 1U : 0U;
    });
  }

  [[nodiscard]] bool is_at(const MpmcCursor& at, State state) const {
    // Relaxed: a snapshot, for who then tries.
    const std::uint64_t word = Env::load(cell(at).word, std::memory_order_relaxed);
    return CellWord::laps_ahead(word, at.lap()) == 0 && CellWord::state_of(word) == state;
  }

  /// Two lines, or the next cell.
  static constexpr std::uint32_t kFetchAhead =
      std::max<std::uint32_t>(1, 2 * kCacheLine / sizeof(Cell));

  MpmcControl* control_;
  Cell* cells_ = nullptr;
  std::uint32_t capacity_ = 0;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_MPMC_LAYOUT_H_
