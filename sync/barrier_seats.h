// SPDX-License-Identifier: Apache-2.0
//
// BasicBarrierSeats: who the parties of a Barrier (sync/barrier.h) are, and which of them have
// come. Internal: each step is one on a single seat, and the barrier's control word says what it
// means.
//
//   seat.index = seats.choose(seat, Arrival::once);
//   if (seat.index != BarrierSeat::kNone && seats.sit_down(seat, Arrival::once)) ...
//   if (seats.all_have_come(seat)) complete(seat);
//
// In memory: a word per seat, `round:31 | arrived:1 | tag:32`; see sync/barrier.h.
//
// If a process dies here: each call changes at most one word, in one step.
// Cost: loads, and one compare-and-swap; no system call but those that ask who lives.

#ifndef SLUICE_SYNC_BARRIER_SEATS_H_
#define SLUICE_SYNC_BARRIER_SEATS_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// The control word and the seats: `round:31 | flag:1 | tag:32`.
struct BarrierWord {
  static constexpr std::uint32_t kRounds = 0x7fffffff;  ///< counted modulo kRounds + 1

  std::uint32_t round = 0;
  bool flag = false;  ///< control: acting; seat: arrived
  Tag tag = participant::kNobody;

  static constexpr BarrierWord of(std::uint64_t bits) noexcept {
    return {static_cast<std::uint32_t>(bits >> 33), (bits >> 32 & 1) != 0, static_cast<Tag>(bits)};
  }
  [[nodiscard]] constexpr std::uint64_t bits() const noexcept {
    return std::uint64_t{round & kRounds} << 33 | std::uint64_t{flag} << 32 | tag;
  }

  [[nodiscard]] constexpr bool is_broken() const noexcept { return !flag && tag != 0; }
  [[nodiscard]] constexpr bool is_removed() const noexcept { return flag && tag == 0; }
  [[nodiscard]] constexpr bool is_empty() const noexcept { return !flag && tag == 0; }

  /// Later than round `now`.
  [[nodiscard]] constexpr bool is_ahead_of(std::uint32_t now) const noexcept {
    return ((round - now) & kRounds) - 1 < kRounds / 2;
  }
  /// Of a seat, while `now` is the round: the one who sat on it has been let go. A round that was
  /// completed is followed by the next one, one that was broken by the next but one; and while a
  /// seat stands at a broken round no other round is completed.
  [[nodiscard]] constexpr bool is_usable(std::uint32_t now) const noexcept {
    return !is_ahead_of(now) && (!flag || ((now - round) & 1) != 0);
  }
  /// Of a seat: completes round `now` as far as it goes.
  [[nodiscard]] constexpr bool has_come(std::uint32_t now) const noexcept {
    return flag && (tag == 0 || round == now);
  }
};

/// Of those who give none.
struct NoAction {
  void operator()() const noexcept {}
};

enum class Arrival : std::uint8_t {
  none,      ///< takes a seat only
  once,      ///< comes to this round
  for_good,  ///< comes to this round and all later ones, and leaves
};

/// Where a call has taken a seat, or why it has not.
struct BarrierSeat {
  static constexpr std::uint32_t kNone = UINT32_MAX;

  Status status = Status::corrupt;
  std::uint32_t parties = 0;  ///< checked: all loops over seats go by it
  std::uint32_t index = kNone;
  std::uint32_t round = 0;
  Tag tag = participant::kNobody;  ///< the caller's
};

/// What a look for the dead has found.
struct BarrierMourned {
  bool removed = false;         ///< parties that nobody has to wait for any more
  bool somebody_lives = false;  ///< of the parties, as far as is known
};

struct SeatCounts {
  std::uint32_t removed = 0;
  std::uint32_t come = 0;  ///< of the others
};

template <class Env, std::uint32_t kSeats>
struct BasicBarrierSeats {
  /// One that this process has and nobody waits on, otherwise an empty one.
  [[nodiscard]] std::uint32_t choose(const BarrierSeat& seat, Arrival arrival) const noexcept {
    std::uint32_t empty = BarrierSeat::kNone;
    for (std::uint32_t i = 0; i < seat.parties; ++i) {
      // Acquire: who finds a seat ahead of its round sees that round, and tries again.
      const BarrierWord word = BarrierWord::of(Env::load(words[i], std::memory_order_acquire));
      if (arrival != Arrival::none && is_mine(word, seat)) return i;
      if (word.is_empty() && empty == BarrierSeat::kNone) empty = i;
    }
    return empty;
  }

  /// False if somebody else was quicker.
  bool sit_down(const BarrierSeat& seat, Arrival arrival) noexcept {
    // Acquire: with a seat that was left comes the round in which it was.
    std::uint64_t found = Env::load(words[seat.index], std::memory_order_acquire);
    const BarrierWord word = BarrierWord::of(found);
    if (word.is_ahead_of(seat.round) || !(word.is_empty() || is_mine(word, seat))) return false;
    BarrierWord mine{seat.round, true, seat.tag};
    if (arrival == Arrival::none) mine = BarrierWord{word.round, false, seat.tag};
    if (arrival == Arrival::for_good) mine.tag = participant::kNobody;
    // Sequentially consistent, like the loads in all_have_come(): of all who come, the last in that
    // order sees all others. It also releases what the party wrote before it came.
    return Env::cas(words[seat.index], found, mine.bits(), std::memory_order_seq_cst);
  }

  static constexpr bool is_mine(const BarrierWord& word, const BarrierSeat& seat) noexcept {
    return word.tag == seat.tag && word.is_usable(seat.round);
  }

  [[nodiscard]] bool all_have_come(const BarrierSeat& of) const noexcept {
    for (std::uint32_t i = 0; i < of.parties; ++i) {
      // Sequentially consistent: see sit_down(). As an acquire it brings what the party wrote.
      const std::uint64_t seat = Env::load(words[i], std::memory_order_seq_cst);
      if (!BarrierWord::of(seat).has_come(of.round)) return false;
    }
    return true;
  }

  /// After a round that was broken: the next one to come may have the seat.
  void stand_up(const BarrierSeat& seat) noexcept {
    std::uint64_t mine = BarrierWord{seat.round, true, seat.tag}.bits();
    // Relaxed: the seat says nothing but that it may be used.
    Env::cas(words[seat.index], mine, BarrierWord{seat.round, false, seat.tag}.bits(),
             std::memory_order_relaxed);
  }

  /// Of `seat`, to whose round the caller came, when the round is `now`: whether it was completed.
  [[nodiscard]] bool was_let_go(const BarrierSeat& seat, std::uint32_t now) const noexcept {
    // Relaxed: only who sits there has written it, or has used it since.
    const BarrierWord found =
        BarrierWord::of(Env::load(words[seat.index], std::memory_order_relaxed));
    const bool untouched = found.flag && found.tag == seat.tag && found.round == seat.round;
    return !untouched || found.is_usable(now);
  }

  /// Empties a seat of the caller's. False if it has none that nobody waits on.
  bool leave(const BarrierSeat& caller) noexcept {
    for (std::uint32_t i = 0; i < caller.parties; ++i) {
      // Acquire: what is seen of a seat is judged by a round that is as new.
      std::uint64_t found = Env::load(words[i], std::memory_order_acquire);
      if (!is_mine(BarrierWord::of(found), caller)) continue;
      // Release: who takes the seat after this sees the round of this one.
      if (Env::cas(words[i], found, BarrierWord{caller.round}.bits(), std::memory_order_release)) {
        return true;
      }
    }
    return false;
  }

  [[nodiscard]] SeatCounts count(std::uint32_t parties, std::uint32_t round) const noexcept {
    SeatCounts counts;
    for (std::uint32_t i = 0; i < parties; ++i) {
      // Relaxed: for people.
      const auto seat = BarrierWord::of(Env::load(words[i], std::memory_order_relaxed));
      if (seat.is_removed()) {
        ++counts.removed;
      } else if (seat.has_come(round)) {
        ++counts.come;
      }
    }
    return counts;
  }

  /// A seat whose party was removed, or has died.
  static bool has_gone(const BarrierWord& seat) noexcept {
    return seat.is_removed() ||
           (seat.tag != participant::kNobody && Env::probe(seat.tag) == Liveness::dead);
  }
  [[nodiscard]] bool somebody_has_gone() const noexcept {
    return std::any_of(words.begin(), words.end(), [](const auto& seat) {
      // Relaxed: whom this overlooks would have been overlooked a moment earlier.
      return has_gone(BarrierWord::of(Env::load(seat, std::memory_order_relaxed)));
    });
  }

  void empty_all(std::uint32_t round) noexcept {
    for (Word<std::uint64_t>& seat : words) {
      // Relaxed: for a caller who vouches that nobody else looks.
      Env::store(seat, BarrierWord{round}.bits(), std::memory_order_relaxed);
    }
  }

  std::array<Word<std::uint64_t>, kSeats> words;
};

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_BARRIER_SEATS_H_
