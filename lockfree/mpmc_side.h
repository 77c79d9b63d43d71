// SPDX-License-Identifier: Apache-2.0
//
// MpmcSide: what a producer and a consumer of an MpmcRing have in common: how they sign, when they
// ask whether others live, how a claim of the dead is undone, and how they tell each other where
// they are. Internal.
//
// Errors: attaching throws Error (corrupt, foreign_registry). Threads and processes: private to its
// process, used by one thread at a time.
//
// If a process dies here: a repair is a row of compare-and-swaps from the words that the dead one
// left, the first cell of its run last; whoever comes next goes on with it. A hint that is not
// published is made up for by the next.
//
// Cost: signing one thread-local load and two compares, a hint one compare-and-swap in 64 items.

#ifndef SLUICE_LOCKFREE_MPMC_SIDE_H_
#define SLUICE_LOCKFREE_MPMC_SIDE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "sluice/lockfree/cell_word.h"
#include "sluice/lockfree/mpmc_layout.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class T, class Env>
class MpmcSide {
 public:
  MpmcSide(const MpmcSide&) = delete;
  MpmcSide& operator=(const MpmcSide&) = delete;

  /// Why the last call that failed did so.
  [[nodiscard]] Status status() const noexcept { return status_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return view_.capacity(); }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool full() const { return size() == capacity(); }

  /// Whether the last call that returned full or empty found others at work on what was next: then
  /// there may be room, or items, behind them.
  [[nodiscard]] bool others_are_at_work() const noexcept { return others_are_at_work_; }

  /// The next call that finds nothing to do at first asks the kernel about each claim that it
  /// meets. For somebody who is about to sleep, or has slept.
  void suspect_claims() noexcept { fruitless_ = kFruitlessBeforeAsking; }

  /// Asks the kernel about each claim in the ring, and undoes those of the dead; how many. For who
  /// waits for others to change something: a load for each place, a system call for each claim.
  std::size_t mend() {
    std::size_t undone = 0;
    MpmcCursor at = view_.head();
    for (std::uint32_t i = 0; i < view_.capacity(); ++i) {
      // Acquire: as in MpmcConsumer::try_pop().
      const std::uint64_t word = Env::load(view_.cell(at).word, std::memory_order_acquire);
      const std::int32_t ahead = CellWord::laps_ahead(word, at.lap());
      if (ahead < 0 || (ahead == 0 && CellWord::state_of(word) == State::empty)) break;
      const bool is_claimed = ahead == 0 && CellWord::is_claimed(word);
      const bool is_undone = is_claimed && repair(at, word, at.lap());
      undone += is_undone ? 1 : 0;
      const std::uint32_t run = is_claimed && !is_undone ? CellWord::run_of(word) : 1;
      at.advance(view_.capacity(), std::min(run, view_.rest_of_lap(at)));
    }
    return undone;
  }

 protected:
  using View = MpmcView<T, Env>;
  using Cell = typename View::Cell;
  using State = CellWord::State;

  explicit MpmcSide(const View& view)
      : view_(view), step_(std::clamp<std::uint64_t>(view_.capacity() / 4, 1, 64)) {
    incarnation_ = Env::self().incarnation;
    std::uint32_t found = 0;
    // Relaxed: no more than the number itself is in question.
    if (!Env::cas(view_.control().incarnation, found, incarnation_, std::memory_order_relaxed) &&
        found != incarnation_) {
      throw Error(Status::foreign_registry,
                  {.tried = "attach to a ring",
                   .expected = "one of this process's registry, " + std::to_string(incarnation_),
                   .found = "registry " + std::to_string(found)});
    }
  }
  ~MpmcSide() = default;

  /// How this process signs; nobody, if it now belongs to another registry than when the handle was
  /// made.
  [[nodiscard]] Tag sign() {
    const ThreadState& self = Env::self();
    if (self.incarnation != incarnation_) [[unlikely]]
      return participant::kNobody;
    return LockWord::tag_of(self.me);
  }

  std::nullptr_t refuse(Status why) noexcept {
    status_ = why;
    return nullptr;
  }

  /// Whether it is high time to ask about the claims of others.
  bool begins_to_ask() noexcept {
    if (fruitless_ < kFruitlessBeforeAsking) return false;
    fruitless_ = 0;
    return true;
  }

  /// A call has found nothing to do from `at` on.
  std::nullptr_t refuse_for_now(Status why, const MpmcCursor& at,
                                bool others_are_at_work) noexcept {
    others_are_at_work_ = others_are_at_work;
    if (at.position() != fruitless_at_) {
      fruitless_at_ = at.position();
      fruitless_ = 0;
    }
    ++fruitless_;
    fetches_ahead_ = false;
    rest_after(run_);
    run_ = 0;
    return refuse(why);
  }

  /// Whether the way to `next` is long enough to tell others of it. In the midst of many items the
  /// other side is likely to be far away, and what comes next may be fetched without taking it from
  /// anybody.
  [[gnu::always_inline]] bool is_due(const MpmcCursor& next) noexcept {
    ++run_;
    const bool due = static_cast<std::int64_t>(next.position() - due_at_) >= 0;
    if (due) [[unlikely]] {
      fetches_ahead_ = true;
      due_at_ = next.position() + step_;
    }
    if (fetches_ahead_) view_.fetch_ahead(next);
    return due;
  }

  /// As in SpscRing: a large item by a call of memcpy, which picks the instructions for the
  /// machine.
  void copy(T& to, const T& from) const {
    if constexpr (sizeof(T) > 256) {
      std::memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), item_size_);
    } else {
      to = from;
    }
  }

  /// How many cells from `at` on have the word `idle`, and may be claimed at once; `most` at most.
  [[nodiscard]] std::uint32_t run_of(const MpmcCursor& at, std::uint64_t idle,
                                     std::size_t most) const {
    const auto limit = static_cast<std::uint32_t>(
        std::min<std::size_t>({most, kMostInRun, view_.rest_of_lap(at)}));
    std::uint32_t run = 0;
    // Acquire: as for one, in try_push() and try_pop().
    while (run < limit && Env::load(view_.cell(at, run).word, std::memory_order_acquire) == idle) {
      ++run;
    }
    return run;
  }

  /// Undoes a claim if the kernel says that its owner is dead. `word` is that of the cell at `at`,
  /// whose lap is `lap`. Whether the cell is worth another look.
  bool repair(const MpmcCursor& at, std::uint64_t word, std::uint32_t lap) {
    if (Env::probe(CellWord::tag_of(word)) != Liveness::dead) return false;
    Cell& first = view_.cell(at);
    // Acquire: what the dead one did last came before its death, of which the kernel has told us.
    // It may have finished meanwhile, and the rest of its run be no longer its own.
    if (Env::load(first.word, std::memory_order_acquire) != word) return true;
    const bool pushed = CellWord::state_of(word) == State::writing;
    const std::uint64_t full = CellWord::make(lap, State::full);
    const std::uint64_t after = pushed || CellWord::is_done(word)
                                    ? CellWord::make(lap + 1, State::empty)
                                    : CellWord::offered_again(lap);
    const std::uint32_t run = std::min(CellWord::run_of(word), view_.rest_of_lap(at));
    for (std::uint32_t i = 1; i < run; ++i) {
      Cell& cell = view_.cell(at, i);
      replace(cell, full, after);
      if (pushed) replace(cell, CellWord::make(lap, State::empty), after);
    }
    replace(first, word, after);
    return true;
  }

  /// Tells others, if they don't know, that every position below this one is claimed, or consumed.
  static void publish(Word<std::uint64_t>& hint, std::uint64_t position) noexcept {
    // Relaxed: compared only; the compare-and-swap orders.
    std::uint64_t there = Env::load(hint, std::memory_order_relaxed);
    if (static_cast<std::int64_t>(position - there) > 0) {
      // Release: pairs with the acquire in MpmcView::furthest().
      Env::cas(hint, there, position, std::memory_order_release);
    }
  }

  /// Leaves the claimed cell as `word`, if this process is who claimed it, and no child of that.
  void leave_claim(std::uint64_t word) noexcept {
    std::uint64_t mine = claim_;
    if (LockWord::tag_of(Env::me()) == CellWord::tag_of(mine)) {
      // Release: what has been read from the cell was read before others overwrite it.
      Env::cas(claimed_->word, mine, word, std::memory_order_release);
    }
    claimed_ = nullptr;
  }

  static constexpr std::uint32_t kFruitlessBeforeAsking = 64;
  /// No more than a page, so that others don't wait long.
  static constexpr std::size_t kMostInRun =
      std::clamp<std::size_t>(4096 / sizeof(Cell), 1, CellWord::kLongestRun);

  View view_;
  std::uint64_t step_;                 ///< how far one goes between two notes of it
  std::uint64_t due_at_ = 0;           ///< where the next of them is due
  std::uint64_t claim_ = 0;            ///< the word of the claimed cell
  Cell* claimed_ = nullptr;            ///< between claim and commit, or peek and release
  std::size_t item_size_ = sizeof(T);  ///< in a form that the compiler does not see through
  std::uint64_t fruitless_at_ = 0;     ///< where the last call found nothing to do
  std::uint32_t fruitless_ = 0;        ///< so many in a row
  std::uint32_t incarnation_ = 0;      ///< of the registry under which the handle was made
  std::uint32_t run_ = 0;              ///< calls that found something since one did not
  bool fetches_ahead_ = false;
  bool others_are_at_work_ = false;  ///< where the last call found nothing to do
  Status status_ = Status::ok;

 private:
  static void replace(Cell& cell, std::uint64_t word, std::uint64_t by) noexcept {
    // Acquire-release: who gets the cell next must see what the dead one's claim came after; and
    // the kernel, which has told us of the death, knows that all of its stores came before.
    Env::cas(cell.word, word, by, std::memory_order_acq_rel);
  }
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_MPMC_SIDE_H_
