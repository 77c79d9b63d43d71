// SPDX-License-Identifier: Apache-2.0
//
// MpmcProducer: a writing side of an MpmcRing, to users MpmcRing<T>::Producer. The contract is in
// lockfree/mpmc_ring.h.
//
// If a process dies here: up to the store of full, of a run that of its first cell, the claim is
// undone by whoever meets it (MpmcSide::repair), and a hole is left. After it, the items are in.
//
// Cost: one compare-and-swap and one store an item, in a batch one compare-and-swap a run.

#ifndef SLUICE_LOCKFREE_MPMC_PRODUCER_H_
#define SLUICE_LOCKFREE_MPMC_PRODUCER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "sluice/lockfree/cell_word.h"
#include "sluice/lockfree/mpmc_layout.h"
#include "sluice/lockfree/mpmc_side.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// A writing side; private to its process, and to one thread at a time.
template <class T, class Env>
class MpmcProducer : public MpmcSide<T, Env> {
  using Cursor = MpmcCursor;
  using Side = MpmcSide<T, Env>;
  using typename Side::Cell, typename Side::State, typename Side::View;

 public:
  /// Throws Error if `memory` holds no ring of T, or one of another registry.
  explicit MpmcProducer(std::span<std::byte> memory) : MpmcProducer(View(memory)) {}
  /// Of a ring whose bytes were checked before.
  explicit MpmcProducer(const View& view)
      : Side(view), tail_(view_.furthest(Cursor(0, view_.capacity()), view_.control().tail)) {}
  ~MpmcProducer() { abort(); }

  /// A slot to fill in place, or nullptr: status() tells why. Others wait behind it until commit()
  /// or abort(). The slot's old contents are of no meaning. Called again, it returns the same.
  [[nodiscard]] T* try_claim() {
    if (claimed_ == nullptr) {
      claimed_ = claim(std::memory_order_acquire);  // acquire: as in try_push_if()
      if (claimed_ == nullptr) [[unlikely]]
        return nullptr;
    }
    return &claimed_->value;
  }

  /// Publishes what was filled in since try_claim().
  void commit() noexcept {
    commit(*claimed_, lap_);
    claimed_ = nullptr;
    went_on();
  }

  /// Gives the slot up: it becomes a hole, which consumers pass over.
  void abort() noexcept {
    if (claimed_ == nullptr) return;
    this->leave_claim(CellWord::make(lap_ + 1, State::empty));
    went_on();
  }

  /// ok, full, corrupt or foreign_registry.
  Status try_push(const T& value) { return try_push_if(Always(), value); }

  /// As try_push(), but closed, and nothing pushed, if `open()` says so once the place in the ring
  /// is claimed. Who sets by a sequentially consistent store what `open()` loads likewise, and then
  /// finds is_drained(), knows that no push can follow.
  template <class Open>
  Status try_push_if(Open open, const T& value) {
    return push_at_once(open, value) ? Status::ok : push_slowly(open, value);
  }

  /// As try_push_if(), if nobody is in the way: true. Else false, and nothing was pushed. In the
  /// caller's code, for whom all that is not so simple is far away.
  template <class Open>
  [[gnu::always_inline]] bool push_at_once(Open open, const T& value) {
    const Tag me = this->sign();
    Cell& cell = view_.cell(tail_);
    const std::uint32_t lap = tail_.lap();
    const std::uint64_t mine = CellWord::claimed(lap, State::writing, me);
    // Acquire: pairs with the release in MpmcConsumer::release(); the payload has been read.
    std::uint64_t word = Env::load(cell.word, std::memory_order_acquire);
    if (word != CellWord::make(lap, State::empty) || claimed_ != nullptr ||
        me == participant::kNobody) [[unlikely]]
      return false;
    // Acquire: as above.
    if (!Env::cas(cell.word, word, mine, kClaim<Open>)) [[unlikely]]
      return false;
    if (!open()) [[unlikely]] {
      give_up(cell, lap, mine);
      return false;
    }
    fill(cell, value);
    commit(cell, lap);
    tail_.advance(view_.capacity());
    went_on();
    return true;
  }

  /// Pushes as many of `values` as there is room for, in order; returns how many. They go in runs
  /// of up to 64: each whole or, if its producer dies, not at all. Others may come between.
  std::size_t try_push_n(std::span<const T> values) { return try_push_n_if(Always(), values); }

  /// As try_push_if() for each run.
  template <class Open>
  std::size_t try_push_n_if(Open open, std::span<const T> values) {
    std::size_t done = 0;
    while (done < values.size()) {
      const std::size_t run = push_run(open, values.subspan(done));
      if (run == 0 && try_push_if(open, values[done]) != Status::ok) break;
      done += run == 0 ? 1 : run;
    }
    return done;
  }

 private:
  using Side::claim_, Side::claimed_, Side::status_, Side::view_;

  struct Always {
    constexpr bool operator()() const { return true; }
  };
  /// Acquire: see try_push_if(). Seq_cst: and the claim comes before what open() loads, as
  /// MpmcView::is_drained() has it.
  template <class Open>
  static constexpr std::memory_order kClaim =
      std::is_same_v<Open, Always> ? std::memory_order_acquire : std::memory_order_seq_cst;

  void fill(Cell& cell, const T& value) {
    this->copy(cell.value, value);
    if constexpr (kMayHavePadding<T>) clear_padding(cell.value);
  }

  static void commit(Cell& cell, std::uint32_t lap) noexcept {
    // Release: the commit; pairs with the acquire of the word in the consumers, so that the payload
    // is whole.
    Env::store(cell.word, CellWord::make(lap, State::full), std::memory_order_release);
  }

  [[gnu::always_inline]] void went_on() noexcept {
    if (this->is_due(tail_)) [[unlikely]]
      tell();
  }

  [[gnu::noinline]] void tell() noexcept {
    this->publish(view_.control().tail, tail_.position());
    // What the one before had is consumed: holes need no consumer to make room.
    if (tail_.position() > view_.capacity()) {
      this->publish(view_.control().head, tail_.position() - view_.capacity());
    }
  }

  /// Notes a claim at tail_ as try_claim() would, and gives it up.
  [[gnu::noinline, gnu::cold]] void give_up(Cell& cell, std::uint32_t lap, std::uint64_t mine) {
    claimed_ = &cell;
    claim_ = mine;
    lap_ = lap;
    tail_.advance(view_.capacity());
    abort();
  }

  template <class Open>
  [[gnu::noinline]] Status push_slowly(Open open, const T& value) {
    if (claimed_ == nullptr) claimed_ = claim(kClaim<Open>);
    if (claimed_ == nullptr) return status_;
    if (!open()) {
      abort();
      return status_ = Status::closed;
    }
    fill(*claimed_, value);
    commit();
    return Status::ok;
  }

  /// 0 if it is not that simple.
  template <class Open>
  std::size_t push_run(Open open, std::span<const T> values) {
    const std::uint32_t lap = tail_.lap();
    std::uint64_t word = CellWord::make(lap, State::empty);
    const Tag me = this->sign();
    const std::uint32_t run = this->run_of(tail_, word, values.size());
    if (run == 0 || claimed_ != nullptr || me == participant::kNobody) return 0;
    Cell& first = view_.cell(tail_);
    // Acquire: as in try_push_if(). The others of the run are ours as well: who is to claim one
    // comes by the first, which nobody has claimed in this lap until now.
    if (!Env::cas(first.word, word, CellWord::claimed(lap, State::writing, me, run),
                  kClaim<Open>)) {
      return 0;
    }
    if (!open()) [[unlikely]]
      return leave_holes(lap, run);
    for (std::uint32_t i = 1; i < run; ++i) {
      Cell& cell = view_.cell(tail_, i);
      fill(cell, values[i]);
      commit(cell, lap);
    }
    fill(first, values[0]);
    commit(first, lap);
    tail_.advance(view_.capacity(), run);
    went_on();
    return run;
  }

  /// Gives up the run at tail_, the first cell last, as it was claimed.
  std::size_t leave_holes(std::uint32_t lap, std::uint32_t run) noexcept {
    for (std::uint32_t i = run; i-- > 0;) {
      // Release: nothing was written; as in leave_claim().
      Env::store(view_.cell(tail_, i).word, CellWord::make(lap + 1, State::empty),
                 std::memory_order_release);
    }
    tail_.advance(view_.capacity(), run);
    went_on();
    status_ = Status::closed;
    return 0;
  }

  /// `order` is that of the claiming swap: its callers say why it suffices.
  Cell* claim(std::memory_order order) {
    const Tag me = this->sign();
    if (me == participant::kNobody) [[unlikely]]
      return this->refuse(Status::foreign_registry);
    const bool asks = this->begins_to_ask();
    for (std::uint64_t look = 0; look < view_.looks(); ++look) {
      if (View::catches_up(look)) tail_ = view_.furthest(tail_, view_.control().tail);
      Cell& cell = view_.cell(tail_);
      const std::uint32_t lap = tail_.lap();
      // Acquire: pairs with the release of who made the cell empty, or full: see size().
      std::uint64_t word = Env::load(cell.word, std::memory_order_acquire);
      const std::int32_t ahead = CellWord::laps_ahead(word, lap);
      const State state = CellWord::state_of(word);
      if (ahead == 0 && state == State::empty) {
        claim_ = CellWord::claimed(lap, State::writing, me);
        // Acquire, at least: as in try_push_if().
        if (!Env::cas(cell.word, word, claim_, order)) continue;
        lap_ = lap;
        tail_.advance(view_.capacity());
        return &cell;
      }
      if (ahead >= 0) {  // another was here
        const bool is_run = ahead == 0 && state == State::writing;
        tail_.advance(view_.capacity(),
                      is_run ? std::min(CellWord::run_of(word), view_.rest_of_lap(tail_)) : 1);
        continue;
      }
      if (ahead != -1 || state == State::empty) return this->refuse(Status::corrupt);
      if (!asks || !CellWord::is_claimed(word) || !this->repair(tail_, word, lap - 1)) {
        return this->refuse_for_now(Status::full, tail_, CellWord::is_claimed(word));
      }
    }
    return this->refuse(Status::corrupt);
  }

  Cursor tail_;            ///< every position below has been claimed
  std::uint32_t lap_ = 0;  ///< of the claimed cell
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_MPMC_PRODUCER_H_
