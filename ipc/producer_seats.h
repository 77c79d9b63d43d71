// SPDX-License-Identifier: Apache-2.0
//
// ProducerSeats: who of a queue's producers has come, and whether one of them is left: for queues
// whose stream ends with them. Internal.
//
//   seats.take(participant::self(), seat);            // who pushes
//   if (seats.look() != ProducerSeats::State::some) return Status::closed;    // who finds nothing
//   seats.leave(participant::self(), seat);
//
// In memory (1 KiB, all zero = nobody has come):
//
//   0 came u32, 4 died u32, 8 seats u32 x 254: the tag of who sits there, 0 if nobody
//   came: how often a seat was taken; died: 1 once a seat was found whose holder had died
//
// Threads and processes: all calls may overlap. A seat is of one handle; its index is private.
//
// If a process dies here: taking and leaving are one compare-and-swap each. `came` is counted up
// after the seat is taken: killed in between, the producer has come, as its seat says, and died. A
// seat whose tag is dead is as good as free; whoever finds it notes the death first.
//
// Cost: look() one load per seat, and one question to the kernel per seat taken by another process.

#ifndef SLUICE_IPC_PRODUCER_SEATS_H_
#define SLUICE_IPC_PRODUCER_SEATS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class Env>
class BasicProducerSeats {
 public:
  static constexpr std::size_t kSeats = 254;

  enum class State : std::uint8_t {
    nobody_yet,  ///< nobody has come
    some,        ///< somebody is there
    all_left,    ///< all who came have left
    all_gone,    ///< likewise, and some of them died
  };

  /// busy: all seats are taken by the living.
  Status take(std::uint32_t tag, std::size_t& seat) noexcept {
    for (seat = 0; seat < kSeats; ++seat) {
      // Acquire: pairs with the releases in leave() and take(): the items of who sat here are seen
      // before the seat is found without him.
      std::uint32_t holder = Env::load(seats_[seat], std::memory_order_acquire);
      if (holder != 0 && !is_dead(holder)) continue;
      if (holder != 0) note_death();
      // Acq_rel: as above.
      if (!Env::cas(seats_[seat], holder, tag, std::memory_order_acq_rel)) continue;
      // Release: after the seat, so that a look that has seen all of those before this one leave
      // finds the number changed.
      Env::fetch_add(came_, std::uint32_t{1}, std::memory_order_release);
      return Status::ok;
    }
    return Status::busy;
  }

  /// Gives up a seat, if `tag` has it.
  void leave(std::uint32_t tag, std::size_t seat) noexcept {
    // Release: pairs with the acquire in look(): who sees the seat free sees all that was pushed.
    Env::cas(seats_[seat], tag, std::uint32_t{0}, std::memory_order_release);
  }

  /// Who is there. After all_left and all_gone a last look at the queue finds all they had pushed.
  [[nodiscard]] State look() noexcept {
    // Acquire: pairs with the release in take().
    const std::uint32_t came = Env::load(came_, std::memory_order_acquire);
    bool died = false;
    for (auto& word : seats_) {
      // Acquire: pairs with leave(), and for a dead holder with what the kernel orders.
      const std::uint32_t holder = Env::load(word, std::memory_order_acquire);
      if (holder == 0) continue;
      if (!is_dead(holder)) return State::some;
      died = true;
    }
    if (died) note_death();
    // Relaxed: the seats above were loaded with acquire; who was seen to leave after another had
    // come brings that other's number along.
    if (Env::load(came_, std::memory_order_relaxed) != came) return State::some;
    if (came == 0 && !died) return State::nobody_yet;
    // Relaxed: it tells all_gone from all_left alone.
    return Env::load(died_, std::memory_order_relaxed) != 0 ? State::all_gone : State::all_left;
  }

  /// For people: who sits there.
  [[nodiscard]] std::uint32_t holder(std::size_t seat) const noexcept {
    // Relaxed: nothing is concluded from it.
    return Env::load(seats_[seat], std::memory_order_relaxed);
  }

 private:
  static bool is_dead(std::uint32_t tag) noexcept { return Env::probe(tag) == Liveness::dead; }

  void note_death() noexcept {
    // Relaxed: as in look().
    Env::store(died_, std::uint32_t{1}, std::memory_order_relaxed);
  }

  Word<std::uint32_t> came_, died_;
  std::array<Word<std::uint32_t>, kSeats> seats_;
};

using ProducerSeats = BasicProducerSeats<RealLockEnv>;
static_assert(sizeof(ProducerSeats) == 1024 && Mappable<ProducerSeats>);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_PRODUCER_SEATS_H_
