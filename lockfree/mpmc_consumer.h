// SPDX-License-Identifier: Apache-2.0
//
// MpmcConsumer: a reading side of an MpmcRing, to users MpmcRing<T>::Consumer. The contract is in
// lockfree/mpmc_ring.h.
//
// If a process dies here: up to the store of empty the claim is undone by whoever meets it
// (MpmcSide::repair), and the item offered again. After it, the item is gone with its consumer.
//
// Cost: one compare-and-swap and one store an item, in a batch one compare-and-swap a run.

#ifndef SLUICE_LOCKFREE_MPMC_CONSUMER_H_
#define SLUICE_LOCKFREE_MPMC_CONSUMER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/lockfree/cell_word.h"
#include "sluice/lockfree/mpmc_layout.h"
#include "sluice/lockfree/mpmc_side.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// A reading side; private to its process, and to one thread at a time.
template <class T, class Env>
class MpmcConsumer : public MpmcSide<T, Env> {
  using Cursor = MpmcCursor;
  using Side = MpmcSide<T, Env>;
  using typename Side::Cell, typename Side::State, typename Side::View;

 public:
  /// Throws Error if `memory` holds no ring of T, or one of another registry.
  explicit MpmcConsumer(std::span<std::byte> memory) : MpmcConsumer(View(memory)) {}
  /// Of a ring whose bytes were checked before.
  explicit MpmcConsumer(const View& view)
      : Side(view),
        next_(view_.furthest(Cursor(0, view_.capacity()), view_.control().head)),
        oldest_(next_),
        leased_(next_) {}
  ~MpmcConsumer() { put_back(); }

  /// The oldest item that nobody has, in place, or nullptr: status() tells why. It is this handle's
  /// until release() or put_back(). Called again, it returns the same.
  [[nodiscard]] const T* try_peek() {
    if (claimed_ == nullptr) {
      claimed_ = claim();
      if (claimed_ == nullptr) return nullptr;
    }
    return &claimed_->value;
  }

  /// Acknowledges the item that try_peek() returned: its cell may be written again.
  void release() noexcept {
    release(*claimed_, leased_.lap());
    claimed_ = nullptr;
    if (!left_out_) went_on();
  }

  /// Offers the item again, at its old place.
  void put_back() noexcept {
    if (claimed_ == nullptr) return;
    this->leave_claim(CellWord::offered_again(leased_.lap()));
    next_ = left_out_ ? oldest_ : leased_;
    left_out_ = false;
  }

  /// Copies the oldest item out and acknowledges it: ok, empty, corrupt or foreign_registry.
  Status try_pop(T& value) { return pop_at_once(value) ? Status::ok : pop_slowly(value); }

  /// As try_pop(), if nobody is in the way: true. Else false, and nothing was popped. In the
  /// caller's code, for whom all that is not so simple is far away.
  [[gnu::always_inline]] bool pop_at_once(T& value) {
    const Tag me = this->sign();
    Cell& cell = view_.cell(next_);
    const std::uint32_t lap = next_.lap();
    const std::uint64_t mine = CellWord::claimed(lap, State::reading, me);
    // Acquire: pairs with the release in MpmcProducer::commit(), so the payload is whole.
    std::uint64_t word = Env::load(cell.word, std::memory_order_acquire);
    if (word != CellWord::make(lap, State::full) || is_busy() || me == participant::kNobody)
        [[unlikely]]
      return false;
    // Acquire: as above; another may have had it and put it back.
    if (!Env::cas(cell.word, word, mine, std::memory_order_acquire)) [[unlikely]]
      return false;
    this->copy(value, cell.value);
    release(cell, lap);
    next_.advance(view_.capacity());
    went_on();
    return true;
  }

  /// Pops as many items as there are and `values` holds; returns how many. They go in runs of up to
  /// 64: each acknowledged whole or, if its consumer dies, offered again whole.
  std::size_t try_pop_n(std::span<T> values) {
    std::size_t done = 0;
    while (done < values.size()) {
      const std::size_t run = pop_run(values.subspan(done));
      if (run == 0 && try_pop(values[done]) != Status::ok) break;
      done += run == 0 ? 1 : run;
    }
    return done;
  }

 private:
  using Side::claim_, Side::claimed_, Side::status_, Side::view_;

  /// What a look at a cell led to.
  enum class Look : std::uint8_t { taken, again, nothing, corrupt };

  [[nodiscard]] bool is_busy() const noexcept { return left_out_ || claimed_ != nullptr; }

  static void release(Cell& cell, std::uint32_t lap) noexcept {
    // Release: pairs with the acquire of who claims the cell next; our reads of it come before.
    Env::store(cell.word, CellWord::make(lap + 1, State::empty), std::memory_order_release);
  }

  [[gnu::always_inline]] void went_on() noexcept {
    if (this->is_due(next_)) [[unlikely]]
      tell();
  }

  [[gnu::noinline]] void tell() noexcept { this->publish(view_.control().head, next_.position()); }

  [[gnu::noinline]] Status pop_slowly(T& value) {
    if (try_peek() == nullptr) return status_;
    this->copy(value, claimed_->value);
    release();
    return Status::ok;
  }

  /// 0 if it is not that simple.
  std::size_t pop_run(std::span<T> values) {
    const std::uint32_t lap = next_.lap();
    std::uint64_t word = CellWord::make(lap, State::full);
    const Tag me = this->sign();
    const std::uint32_t run = this->run_of(next_, word, values.size());
    if (run == 0 || is_busy() || me == participant::kNobody) return 0;
    Cell& first = view_.cell(next_);
    const std::uint64_t mine = CellWord::claimed(lap, State::reading, me, run);
    // Acquire: as in try_pop(). The others of the run are ours as well: who is to claim one comes
    // by the first, which nobody has had until now.
    if (!Env::cas(first.word, word, mine, std::memory_order_acquire)) return 0;
    for (std::uint32_t i = 0; i < run; ++i) this->copy(values[i], view_.cell(next_, i).value);
    if (run > 1) {
      // Release: the commit, of all; pairs with the acquire of who finds us dead, so that we have
      // read them.
      Env::store(first.word, CellWord::done(mine), std::memory_order_release);
      for (std::uint32_t i = 1; i < run; ++i) release(view_.cell(next_, i), lap);
    }
    release(first, lap);
    next_.advance(view_.capacity(), run);
    went_on();
    return run;
  }

  Cell* claim() {
    const Tag me = this->sign();
    if (me == participant::kNobody) [[unlikely]]
      return this->refuse(Status::foreign_registry);
    const bool asks = look_back();
    for (std::uint64_t look = 0; look < view_.looks(); ++look) {
      if (View::catches_up(look)) catch_up();
      Cell& cell = view_.cell(next_);
      switch (look_at(cell, me, asks)) {
        case Look::taken:
          return &cell;
        case Look::again:
          break;
        case Look::corrupt:
          return this->refuse(Status::corrupt);
        case Look::nothing:
          // What was left out may have been offered again meanwhile.
          if (looked_back_ || !left_out_) {
            return this->refuse_for_now(Status::empty, next_, left_out_ || !is_free_);
          }
          looked_back_ = true;
          go_back();
      }
    }
    return this->refuse(Status::corrupt);
  }

  Look look_at(Cell& cell, Tag me, bool asks) {
    const std::uint32_t lap = next_.lap();
    // Acquire: as in try_pop().
    std::uint64_t word = Env::load(cell.word, std::memory_order_acquire);
    const std::int32_t ahead = CellWord::laps_ahead(word, lap);
    const State state = CellWord::state_of(word);
    if (ahead == 0 && state == State::full) {
      claim_ = CellWord::claimed(lap, State::reading, me);
      // Acquire: as above, for what the load may have missed.
      if (!Env::cas(cell.word, word, claim_, std::memory_order_acquire)) return Look::again;
      leased_ = next_;
      next_.advance(view_.capacity());
      return Look::taken;
    }
    if (ahead > 0) {  // consumed
      next_.advance(view_.capacity());
      return Look::again;
    }
    if (left_out_ && next_.position() - oldest_.position() >= view_.capacity()) {
      return Look::nothing;
    }
    if (ahead < 0) return Look::corrupt;
    if (asks && CellWord::is_claimed(word) && this->repair(next_, word, lap)) return Look::again;
    is_free_ = state == State::empty;
    if (state != State::reading) return Look::nothing;
    leave_out(std::min(CellWord::run_of(word), view_.rest_of_lap(next_)));
    return Look::again;
  }

  /// To where others have been; what was left out before that is consumed by now.
  void catch_up() {
    if (left_out_) {
      const Cursor there = view_.furthest(oldest_, view_.control().head);
      if (there.position() == oldest_.position()) return;
      go_back();
    }
    next_ = view_.furthest(next_, view_.control().head);
  }

  /// Passes items that another has.
  void leave_out(std::uint32_t run) noexcept {
    if (!left_out_) oldest_ = next_;
    left_out_ = true;
    next_.advance(view_.capacity(), run);
  }
  void go_back() noexcept {
    next_ = oldest_;
    left_out_ = false;
  }

  /// Every now and then one looks what has become of what was left out. Whether it is high time to
  /// ask.
  bool look_back() {
    const bool asks = this->begins_to_ask();
    looked_back_ = asks;
    if (!left_out_) return asks;
    if (asks) {
      go_back();
      return true;
    }
    if (++since_look_back_ < kLookBackEvery) return false;
    since_look_back_ = 0;
    looked_back_ = true;
    const bool stuck = stuck_at_ == oldest_.position();
    stuck_at_ = oldest_.position();
    go_back();
    return stuck;
  }

  static constexpr std::uint32_t kLookBackEvery = 256;

  Cursor next_;    ///< where to look: every position below is consumed, leased, or left out
  Cursor oldest_;  ///< of those that are left out, if any is
  Cursor leased_;  ///< of the claimed cell
  std::uint64_t stuck_at_ = ~std::uint64_t{0};  ///< the oldest position at the last look back
  std::uint32_t since_look_back_ = 0;
  bool left_out_ = false;     ///< whether others have items before next_
  bool looked_back_ = false;  ///< in this call
  bool is_free_ = false;      ///< nobody has claimed the last place that was looked at
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_MPMC_CONSUMER_H_
