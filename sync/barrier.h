// SPDX-License-Identifier: Apache-2.0
//
// Barrier: a place where threads and processes wait until all of them have come, round after round,
// and are told if one of them dies. Not for a single round (Latch), nor for a number of parties
// that is not known beforehand. There is no split arrive() and wait().
//
//   struct Phases { Barrier<> barrier{3}; double grid[3][64]; };   // in shared memory
//
//   for (int phase = 0; phase < 100; ++phase) {
//     compute(mine);
//     BarrierResult all = phases.barrier.wait(5s, [&] { exchange_borders(); });
//     if (all.status != Status::ok) return give_up(all.status);   // broken: somebody died, ...
//   }
//   phases.barrier.leave();
//
// In memory (256 bytes for 28 seats, 64 for Barrier<4>; 64-aligned; all zero = a barrier for as
// many parties as there are seats, with the default options):
//
//    0 control u64     round:31 | acting:1 | tag:32   neither: open; acting: that process runs the
//                                                     action; a tag alone: broken, by that process
//    8 sleepers u32    event count: who waits asleep
//   12 incarnation u32 whose tags these are: set by the first party
//   16 timeout i64     of waits without a deadline, in ns; 0 = none
//   24 unused u32      how many of the seats are not for use: their number less the parties
//   28 on death u32    an OnDeath
//   32 seats u64[]     round:31 | arrived:1 | tag:32  whose process sits there, and to which round
//                                                     it came last; no tag: empty, or with arrived:
//                                                     removed, which counts as arrived
//
// Up to four parties share one line with everything that a waiter looks at.
//
// A party is a thread, but a seat belongs to its process: a process with k threads at the barrier
// has k seats, and which of its threads sits on which does not matter, since they die together. A
// process takes a seat by join(), or by its first wait(). Until all seats are taken the barrier
// can't know who is missing, or that somebody died on the way: then only the deadline helps. So
// join() early. A thread that ends, in a process that lives, is not noticed either: leave() first.
//
// A round is broken, for all who wait and all who come later, by abort(), by the first deadline
// that passes, by an action that throws, and by the death of a party (see OnDeath), which waiters
// notice at the end of their slice (sync/wait_policy.h: at most 80 ms) or when they go to sleep.
// Once all have come, only the death of the one who runs the action matters. A process that ends
// without leave() has died, also by exit(3). Broken lasts until reset(), which breaks the round
// that is under way: so let one party do it.
//
// Units: Deadline; the default is kept as a duration. Errors of wait(): timeout (and the barrier is
// broken), broken, full (all seats are taken by others who live), corrupt, foreign_registry (used
// under another registry: reset()). What the action throws passes through. arrive_and_wait() throws
// Error instead. More parties than seats: std::invalid_argument; leave() without a seat:
// std::logic_error.
//
// Threads and processes: all calls may overlap; reset() by one who waits or acts is broken to it,
// as to all. Signals do not end a wait; no call is a cancellation point.
//
// If a process dies here: an arrival is one compare-and-swap on the party's own seat (the commit).
// Killed before it: it has not come. Killed after it, before anybody is released: whoever else sees
// all seats arrived completes the round, waiters at the end of their slice. Killed with the action
// under way: the claim bears its tag; waiters find it dead and break the barrier, since nobody
// knows how far it came. Killed between releasing and waking: sleepers find out at the end of their
// slice. Killed on its way out, or in reset(): the next reset() does the rest. Every loop is
// bounded.
//
// Cost: a round costs each party a compare-and-swap, one party a second one (with an action a
// third). No system call unless somebody sleeps; then one by the party that completes the round.

#ifndef SLUICE_SYNC_BARRIER_H_
#define SLUICE_SYNC_BARRIER_H_

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string_view>

#include "sluice/sync/barrier_report.h"
#include "sluice/sync/barrier_seats.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What Barrier is over an environment, the machine or a test; kSeats is the most parties there can
/// be.
template <class Env, std::uint32_t kSeats>
class alignas(64) BasicBarrier {
  static_assert(kSeats != 0);

 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName = "sluice.Barrier";

  /// For as many parties as there are seats, with the default options.
  constexpr BasicBarrier() noexcept = default;

  /// Throws std::invalid_argument if there are more parties than seats, or none.
  explicit BasicBarrier(std::uint32_t parties, BarrierOptions options = {}) {
    if (parties == 0 || parties > kSeats) internal::refuse_parties(parties, kSeats);
    // Relaxed, three times: nobody else sees it yet.
    Env::store(unused_, kSeats - parties, std::memory_order_relaxed);
    Env::store(on_death_, static_cast<std::uint32_t>(options.on_death), std::memory_order_relaxed);
    Env::store(timeout_, internal::to_stored(options.timeout), std::memory_order_relaxed);
  }

  /// The most parties that this type has seats for.
  static constexpr std::ptrdiff_t max() noexcept { return kSeats; }

  /// Waits for all parties, at most as long as the options say.
  BarrierResult wait() { return wait(default_deadline()); }

  /// As above; the party that comes last runs its `action` before anybody is let go. All should
  /// give the same: if the last one dies before it has begun, another party runs its own.
  template <std::invocable Action>
  BarrierResult wait(Action action) {
    return take_part(default_deadline(), action);
  }
  /// As above, but if the deadline passes first the barrier is broken for all: timeout here, broken
  /// to the others.
  template <std::invocable Action = internal::NoAction>
  BarrierResult wait(Deadline deadline, Action action = {}) {
    return take_part(deadline, action);
  }

  /// wait(), but throws Error if the round does not come about. Returns the party's number.
  std::uint32_t arrive_and_wait() {
    const BarrierResult all = wait();
    if (!all) internal::throw_not_passed(all.status);
    return all.index;
  }

  /// Takes one more seat for this process, whose death counts from now on: once per thread, before
  /// its first wait. ok, full, corrupt, foreign_registry.
  Status join() { return take_seat(Arrival::none).status; }

  /// Gives up a seat of this process, for others to take: the number of parties stays. By a thread
  /// that will not come again. Throws std::logic_error if there is no seat that nobody waits on.
  void leave() {
    const internal::ThreadState& self = Env::self();
    // Relaxed: as in take_seat().
    const bool ours = Env::load(incarnation_, std::memory_order_relaxed) == self.incarnation;
    const std::uint32_t seats = ours ? seats_in_use() : 0;
    // Acquire: the seats are no older than the round.
    const std::uint32_t round = control(std::memory_order_acquire).round;
    if (!seats_.leave({.parties = seats, .round = round, .tag = tag_of(self)})) {
      internal::refuse_leave();
    }
  }

  /// Leaves, and makes this round and all others until reset() go without this party. If it was the
  /// last that was waited for, runs the action and lets the others go. Throws Error (full, corrupt,
  /// foreign_registry) if it has no seat and there is none for it.
  template <std::invocable Action = internal::NoAction>
  void arrive_and_drop(Action action = {}) {
    const Seat seat = take_seat(Arrival::for_good);
    if (seat.status != Status::ok) internal::throw_not_passed(seat.status);
    if (seats_.all_have_come(seat)) complete(seat, action);
  }

  /// Breaks the barrier: all who wait, and all who come before reset(), are told.
  void abort() {
    const Tag me = tag_of(Env::self());
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      // Relaxed: the compare-and-swap decides.
      const std::uint64_t found = Env::load(control_, std::memory_order_relaxed);
      if (Word::of(found).is_broken() || break_round(found, me)) return;
    }
    internal::throw_not_passed(Status::corrupt);
  }

  /// Makes it whole again, with as many parties as at the beginning: those that live keep their
  /// seats. Whoever waits now is told broken, and may come again at once. ok, corrupt.
  Status reset() {
    internal::ThreadState& self = Env::self();
    if (!adopt(self.incarnation)) return begin_anew(self.incarnation);
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      // Acquire: with the round come the seats as they were when it was opened.
      std::uint64_t found = Env::load(control_, std::memory_order_acquire);
      const Word now = Word::of(found);
      const std::uint32_t next = now.round + 2;  // see BarrierWord::is_usable()
      if (now.is_broken()) {
        for (internal::Word<std::uint64_t>& seat : seats_.words) clear_if_left(seat, found, next);
      } else if (seats_.somebody_has_gone()) {
        break_round(found, tag_of(self));  // first: its death must not be forgotten if we die
        continue;
      }
      // Release: who sees the new round sees the seats that were cleared for it.
      const bool done = Env::cas(control_, found, Word{next}.bits(), std::memory_order_release);
      if (done) sleepers_.notify_all();
      if (done || now.is_broken()) return Status::ok;  // by this call or by another
    }
    return Status::corrupt;
  }

  // Snapshots: nobody may conclude from them what the barrier will do.

  /// Whether every wait fails until reset(); one load.
  [[nodiscard]] bool broken() const noexcept {
    return control(std::memory_order_relaxed).is_broken();  // relaxed: as said
  }
  /// How many wait, in this round.
  [[nodiscard]] std::uint32_t n_waiting() const noexcept { return report().waiting; }
  /// How many it takes: less than at the beginning if some were dropped or have shrunk away.
  [[nodiscard]] std::uint32_t parties() const noexcept { return report().parties; }

  /// Looks at all seats, one after another, while others come and go.
  [[nodiscard]] BarrierReport report() const noexcept {
    const Word now = control(std::memory_order_relaxed);  // relaxed: a snapshot
    BarrierReport report{.by = now.tag};
    if (now.flag) report.state = BarrierReport::State::acting;
    if (now.is_broken()) report.state = BarrierReport::State::broken;
    report.parties = seats_in_use();
    const internal::SeatCounts seats = seats_.count(report.parties, now.round);
    report.parties -= seats.removed;
    if (!now.is_broken()) report.waiting = seats.come;
    return report;
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicBarrier& barrier) {
    return out << "Barrier: " << barrier.report();
  }

 private:
  using Word = internal::BarrierWord;
  using Arrival = internal::Arrival;
  using Seat = internal::BarrierSeat;
  using Mourned = internal::BarrierMourned;

  /// In a row, against words that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 16;

  // -----------------------------------------------------------------------------------------------
  // A wait

  template <class Action>
  BarrierResult take_part(Deadline deadline, Action& action) {
    const Seat seat = take_seat(Arrival::once);
    if (seat.status != Status::ok) return {seat.status};
    bool last = false;
    if (seats_.all_have_come(seat)) last = complete(seat, action);
    const Status waited = sleepers_.await(
        deadline, [&] { return is_over(seat.round); },
        [&] {
          last = look_after(seat, action) || last;
          return Status::ok;
        });
    const Status s = conclude(seat, waited);
    if (s != Status::ok) return {s};
    return {Status::ok, seat.index, last};
  }

  [[nodiscard]] bool is_over(std::uint32_t round) const noexcept {
    // Acquire: pairs with the release of who completed the round, which has seen all arrivals.
    const Word now = control(std::memory_order_acquire);
    return now.round != round || now.is_broken();
  }

  /// After the wait: how the round ended for the one who came to it on `seat`.
  Status conclude(const Seat& seat, Status waited) noexcept {
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      // Acquire: as in is_over().
      const std::uint64_t found = Env::load(control_, std::memory_order_acquire);
      const Word now = Word::of(found);
      if (now.round == seat.round) {
        if (!now.is_broken()) {
          if (!break_round(found, seat.tag)) continue;
          seats_.stand_up(seat);
          return waited == Status::ok ? Status::corrupt : waited;
        }
      } else if (seats_.was_let_go(seat, now.round)) {
        return Status::ok;
      }
      seats_.stand_up(seat);
      return Status::broken;
    }
    return Status::corrupt;
  }

  // -----------------------------------------------------------------------------------------------
  // Seats

  Seat take_seat(Arrival arrival) {
    internal::ThreadState& self = Env::self();
    Seat seat{.parties = seats_in_use(), .tag = tag_of(self)};
    // Relaxed: only compared; adopt() decides.
    if (Env::load(incarnation_, std::memory_order_relaxed) != self.incarnation) [[unlikely]] {
      if (!adopt(self.incarnation)) return {Status::foreign_registry};
    }
    bool dead_looked_for = false;
    for (int attempt = 0; seat.parties != 0 && attempt < kMostAttempts; ++attempt) {
      // Acquire: the seats are no older than the round.
      const std::uint64_t found = Env::load(control_, std::memory_order_acquire);
      seat.round = Word::of(found).round;
      if (Word::of(found).is_broken() && arrival == Arrival::once) return {Status::broken};
      seat.index = seats_.choose(seat, arrival);
      if (seat.index != Seat::kNone) {
        if (!seats_.sit_down(seat, arrival)) continue;
        seat.status = Status::ok;
        return seat;
      }
      // Acquire: as above. In a later round there may be one.
      if (Env::load(control_, std::memory_order_acquire) != found) continue;
      if (dead_looked_for) return {Status::full};
      if (!tend_the_dead(seat, found).somebody_lives) break_round(found, seat.tag);
      dead_looked_for = true;
    }
    return {Status::corrupt};
  }

  // -----------------------------------------------------------------------------------------------
  // The end of a round

  /// When all have come. True if this call let the others go.
  bool complete(const Seat& seat, internal::NoAction& /*none*/) noexcept {
    return open_next(Word{seat.round}.bits(), seat.round);
  }
  template <class Action>
  bool complete(const Seat& seat, Action& action) {
    std::uint64_t open = Word{seat.round}.bits();
    const std::uint64_t mine = Word{seat.round, true, seat.tag}.bits();
    // Relaxed: all_have_come() has acquired what the parties wrote.
    if (!Env::cas(control_, open, mine, std::memory_order_relaxed)) return false;
    try {
      action();
    } catch (...) {
      break_round(mine, seat.tag);
      seats_.stand_up(seat);
      throw;
    }
    return open_next(mine, seat.round);
  }

  bool open_next(std::uint64_t from, std::uint32_t round) noexcept {
    // Release: pairs with the acquire of those who are let go.
    if (!Env::cas(control_, from, Word{round + 1}.bits(), std::memory_order_release)) return false;
    sleepers_.notify_all();
    return true;
  }

  /// From exactly `from`. `by` is for people, but must not be nobody.
  bool break_round(std::uint64_t from, Tag by) noexcept {
    const Word broken{Word::of(from).round, false, std::max<Tag>(by, 1)};
    // Release: whoever is told may want to know what was written before.
    if (!Env::cas(control_, from, broken.bits(), std::memory_order_release)) return false;
    sleepers_.notify_all();
    return true;
  }

  // -----------------------------------------------------------------------------------------------
  // Deaths

  /// By a waiter, once per slice. True if it has completed the round.
  template <class Action>
  bool look_after(const Seat& seat, Action& action) {
    // Acquire: as in take_seat().
    const std::uint64_t found = Env::load(control_, std::memory_order_acquire);
    const Word now = Word::of(found);
    if (now.round != seat.round || now.is_broken()) return false;
    if (!now.flag && seats_.all_have_come(seat)) return complete(seat, action);
    if (!tend_the_dead(seat, found).removed) return false;
    return seats_.all_have_come(seat) && complete(seat, action);
  }

  /// Does as OnDeath says with those who died, while the control word is `found`. Once all have
  /// come and the action is under way, with the one who runs it only.
  Mourned tend_the_dead(const Seat& seat, std::uint64_t found) noexcept {
    const Word now = Word::of(found);
    if (now.flag && Env::probe(now.tag) == Liveness::dead) break_round(found, now.tag);
    Mourned mourned;
    for (std::uint32_t i = 0; i < seat.parties; ++i) {
      // Relaxed: what is concluded is concluded from the word as it is after its owner's death.
      std::uint64_t word = Env::load(seats_.words[i], std::memory_order_relaxed);
      const Tag tag = Word::of(word).tag;
      if (tag == participant::kNobody) continue;
      if (tag == seat.tag || Env::probe(tag) != Liveness::dead) {
        mourned.somebody_lives = true;
        continue;
      }
      if (now.flag) continue;
      // Acquire: what the dead one did last, which may have been to come or to leave.
      const bool as_seen = Env::cas(seats_.words[i], word, word, std::memory_order_acquire);
      if (!as_seen && Word::of(word).tag != tag) continue;
      mourned.removed = bury(seats_.words[i], word, found) || mourned.removed;
    }
    return mourned;
  }

  /// True if a party was removed.
  bool bury(internal::Word<std::uint64_t>& seat, std::uint64_t word, std::uint64_t found) noexcept {
    const std::uint32_t round = Word::of(found).round;
    const bool has_come = Word::of(word).has_come(round);
    // Relaxed: written once, before anybody else sees it.
    const auto on_death = static_cast<OnDeath>(Env::load(on_death_, std::memory_order_relaxed));
    if (on_death == OnDeath::shrink) {
      const Word removed{round, true, participant::kNobody};
      // Sequentially consistent: as an arrival, see sit_down().
      return Env::cas(seat, word, removed.bits(), std::memory_order_seq_cst);
    }
    if (has_come && on_death != OnDeath::breaks) return false;
    if (on_death == OnDeath::replace) {
      // Release: as in leave().
      Env::cas(seat, word, Word{round}.bits(), std::memory_order_release);
    } else if (!Word::of(found).is_broken()) {
      break_round(found, Word::of(word).tag);
    }
    return false;
  }

  /// In reset(), of the round whose control word is `broken`.
  void clear_if_left(internal::Word<std::uint64_t>& seat, std::uint64_t broken,
                     std::uint32_t next) noexcept {
    // Acquire: a seat that is later than the round is none of this call's business.
    std::uint64_t word = Env::load(seat, std::memory_order_acquire);
    if (!seats_.has_gone(Word::of(word))) return;
    // Acquire-release, and a read-modify-write, which sees the latest: after the verdict nobody had
    // opened the next round, whose dead are not for this call to clear.
    if (!Env::cas(control_, broken, broken, std::memory_order_acq_rel)) return;
    Env::cas(seat, word, Word{next}.bits(), std::memory_order_release);  // release: as in leave()
  }

  // -----------------------------------------------------------------------------------------------
  // The rest

  [[nodiscard]] Word control(std::memory_order order) const noexcept {
    return Word::of(Env::load(control_, order));  // as the caller says
  }

  static Tag tag_of(const internal::ThreadState& self) noexcept {
    return internal::LockWord::tag_of(self.me);
  }

  /// 0 if the bytes are no barrier's.
  [[nodiscard]] std::uint32_t seats_in_use() const noexcept {
    // Relaxed: written once, before anybody else sees it.
    const std::uint32_t unused = Env::load(unused_, std::memory_order_relaxed);
    return unused < kSeats ? kSeats - unused : 0;
  }

  [[nodiscard]] Deadline default_deadline() const {
    // Relaxed: as above.
    const std::int64_t ns = Env::load(timeout_, std::memory_order_relaxed);
    return ns <= 0 ? Deadline::never() : Deadline(std::chrono::nanoseconds(ns));
  }

  /// Makes the barrier this registry's, unless it is another's.
  bool adopt(std::uint32_t mine) noexcept {
    std::uint32_t found = 0;
    // Relaxed: whoever finds another number, or none, comes here, and a read-modify-write sees the
    // latest.
    return Env::cas(incarnation_, found, mine, std::memory_order_relaxed) || found == mine;
  }

  /// For whoever finds another registry's barrier: none of its parties can be known.
  Status begin_anew(std::uint32_t incarnation) noexcept {
    const std::uint32_t next = control(std::memory_order_relaxed).round + 2;  // relaxed: as below
    // Relaxed, here and in what follows: the caller vouches that nobody else looks. A barrier of
    // another registry is refused, and so can be reset again.
    seats_.empty_all(next);
    Env::store(control_, Word{next}.bits(), std::memory_order_relaxed);  // as above
    Env::store(incarnation_, incarnation, std::memory_order_relaxed);    // as above
    sleepers_.notify_all();
    return Status::ok;
  }

  internal::Word<std::uint64_t> control_;
  BasicEventCount<Env> sleepers_;
  internal::Word<std::uint32_t> incarnation_;
  internal::Word<std::int64_t> timeout_;
  internal::Word<std::uint32_t> unused_;
  internal::Word<std::uint32_t> on_death_;
  internal::BasicBarrierSeats<Env, kSeats> seats_;
};

/// The barrier to use: 256 bytes as it comes, 64 with up to four seats.
template <std::uint32_t kSeats = 28>
using Barrier = BasicBarrier<internal::RealLockEnv, kSeats>;

static_assert(sizeof(Barrier<>) == 256 && sizeof(Barrier<4>) == 64 && alignof(Barrier<>) == 64);
static_assert(internal::Mappable<Barrier<>>);

}  // namespace sluice

#endif  // SLUICE_SYNC_BARRIER_H_
