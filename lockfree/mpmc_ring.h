// SPDX-License-Identifier: Apache-2.0
//
// MpmcRing<T>: a bounded queue of trivially copyable T between any number of producers and
// consumers, threads or processes, on memory that the caller owns. Not for one producer and one
// consumer (spsc_ring.h is several times as fast), not for variable lengths, and it never blocks.
//
//   alignas(sluice::kNoSharing) std::array<std::byte, 4096> memory = {};
//   using Ring = sluice::MpmcRing<std::uint64_t>;
//   Ring::format(memory, 100);                       // once, before anyone else sees the memory
//   Ring::Producer producer(memory);                 // one for each thread that pushes
//   Ring::Consumer consumer(memory);                 // one for each thread that pops
//   producer.try_push(42);                           // Status::ok or full
//   std::uint64_t value;
//   if (consumer.try_pop(value) == sluice::Status::ok) use(value);
//
// In memory (position-independent; offsets in bytes; who writes it):
//
//     0  capacity u64 | cell size u64 | incarnation u32     format(); the first handle
//   128  tail u64, a hint: every position below was claimed    producers, now and then
//   256  head u64, a hint: every position below is consumed    consumers, now and then
//   384  cell[0] ... cell[capacity - 1]
//        cell: word u64 (cell_word.h) | T                   who has claimed it
//
// Position p is cell p % capacity in its lap p / capacity. What is shared of an operation is the
// cell alone: a compare-and-swap of its word claims it and names the claimer, a store of the word
// commits it. Each handle walks the cells with a cursor of its own, and looks at the shared hints
// only where others have been faster.
//
// Units: capacity in items, exact. Errors: set-up throws Error; calls return full, empty, corrupt,
// or foreign_registry if this process's registry is not the one that knows who else lives. A pop
// returns empty also while the push of the oldest item is under way: what came after it waits.
// Threads and processes: any number of handles at a time, each used by one thread at a time. A
// forked child may use those that it inherits.
//
// If a process dies here: the commit of a push is the store of full, that of a pop the store of
// empty. A killed producer's unfinished item leaves a hole that is passed over; a killed consumer's
// unacknowledged item is offered again, at its old place. Who has found nothing to do 64 times in a
// row asks the kernel about each claim that he meets in the next call, and undoes those of the dead
// by a compare-and-swap, which the next may repeat; so does a consumer to whom the oldest item
// seems to be in another's hands for long. Somebody about to sleep asks at once: suspect_claims().
// A process that is stopped is alive: behind its unfinished push nothing comes out, and before its
// unfinished pop no more than `capacity` goes in.
//
// Order: the items of one producer come out in the order in which they went in, but for those
// offered again. Of what two consumers get at a time, either may be done first.
//
// Hostile bytes: capacity and cell size are copied to private memory and checked when attaching;
// positions are taken modulo that capacity; what no correct process writes is `corrupt`, and so is
// a walk that takes 64 rounds of the ring and more without an end.
//
// Cost: push and pop each one compare-and-swap and one store on the item's own line, no system
// call. Source: Vyukov's bounded queue, with the claim moved from the index into the cell.

#ifndef SLUICE_LOCKFREE_MPMC_RING_H_
#define SLUICE_LOCKFREE_MPMC_RING_H_

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "sluice/lockfree/cell_word.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

template <class T, class Env>
class BasicMpmcRing {
  static_assert(std::is_trivially_copyable_v<T>, "items are copied as bytes between processes");
  static_assert(alignof(T) <= kNoSharing, "alignments above 128 are not supported");

  using CellWord = internal::CellWord;
  using State = CellWord::State;

  struct Control {
    internal::Word<std::uint64_t> capacity;
    internal::Word<std::uint64_t> cell_size;
    /// Of the registry whose tags the cells hold; 0 before the first handle.
    internal::Word<std::uint32_t> incarnation;
    alignas(kNoSharing) internal::Word<std::uint64_t> tail;
    alignas(kNoSharing) internal::Word<std::uint64_t> head;
  };
  static_assert(sizeof(Control) == 3 * kNoSharing);

  struct Cell {
    internal::Word<std::uint64_t> word;
    // As in SpscRing: an item of two lines or more begins on a line of its own.
    alignas(sizeof(T) >= 2 * kCacheLine ? std::max(kCacheLine, alignof(T)) : alignof(T)) T value;
  };

  class View;
  class Cursor;
  class Handle;

 public:
  static constexpr std::size_t kMaxCapacity = std::size_t{1} << 30;

  class Producer;
  class Consumer;

  /// Bytes that a ring of `capacity` items needs. The memory must be aligned to kNoSharing.
  /// Throws Error if capacity is 0 or above kMaxCapacity.
  static std::size_t bytes_for(std::size_t capacity) {
    if (capacity == 0 || capacity > kMaxCapacity) {
      throw Error::from_errno(EINVAL, {.tried = "size a ring",
                                       .expected = "a capacity of 1 to 2^30 items",
                                       .found = std::to_string(capacity)});
    }
    return sizeof(Control) + capacity * sizeof(Cell);
  }

  /// Makes an empty ring in `memory`, before anyone else can see it. Throws Error if it is too
  /// small or not aligned.
  static void format(std::span<std::byte> memory, std::size_t capacity) {
    const std::size_t needed = bytes_for(capacity);
    Control* const control = internal::attach_object<Control>(memory);
    if (control == nullptr || memory.size() < needed) {
      throw Error::from_errno(EINVAL,
                              {.tried = "make a ring of " + std::to_string(capacity) + " items",
                               .expected = std::to_string(needed) + " bytes, aligned to 128",
                               .found = std::to_string(memory.size()) + " bytes"});
    }
    // All zero: each cell is empty in lap 0.
    std::memset(memory.data(), 0, needed);
    // Relaxed, both: publishing the memory is the caller's step and carries the order.
    Env::store(control->capacity, std::uint64_t{capacity}, std::memory_order_relaxed);
    Env::store(control->cell_size, std::uint64_t{sizeof(Cell)}, std::memory_order_relaxed);
  }

  // Snapshots. What is being pushed counts as in the ring, what is being popped too, and so do the
  // places between the oldest and the newest item that others have emptied already.

  /// 0 to capacity.
  [[nodiscard]] static std::size_t size(std::span<std::byte> memory) { return View(memory).size(); }
  /// False as soon as a push has returned whose item nobody has got.
  [[nodiscard]] static bool empty(std::span<std::byte> memory) { return size(memory) == 0; }
  [[nodiscard]] static bool full(std::span<std::byte> memory) {
    const View view(memory);
    return view.size() == view.capacity();
  }
};

/// A place on the way round the ring, which has no end.
template <class T, class Env>
class BasicMpmcRing<T, Env>::Cursor {
 public:
  Cursor(std::uint64_t position, std::uint32_t capacity) noexcept
      : position_(position),
        index_(static_cast<std::uint32_t>(position % capacity)),
        lap_(static_cast<std::uint32_t>(position / capacity)) {}

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] std::uint32_t lap() const noexcept { return lap_; }

  void advance(std::uint32_t capacity) noexcept {
    ++position_;
    if (++index_ == capacity) {
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
class BasicMpmcRing<T, Env>::View {
 public:
  explicit View(std::span<std::byte> memory) : control_(internal::attach_object<Control>(memory)) {
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
    cells_ = internal::attach_object<Cell>(memory.subspan(sizeof(Control)), capacity);
    capacity_ = static_cast<std::uint32_t>(capacity);
  }

  [[nodiscard]] Control& control() const noexcept { return *control_; }
  [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] Cell& cell(const Cursor& at) const noexcept { return cells_[at.index()]; }

  /// Has the CPU fetch a cell that comes soon after `at`, to be written: a compare-and-swap waits
  /// for its line, as a store would not.
  void fetch_ahead(const Cursor& at) const noexcept {
    const std::uint32_t index = at.index() + kFetchAhead;
    if (index < capacity_) cpu_fetch_for_writing(&cells_[index]);
  }

  /// `at`, or where `hint` says that others have been, if that is further. Acquire: pairs with the
  /// release in Handle::publish(), so that the cells are seen at least as its writer saw them.
  [[nodiscard]] Cursor furthest(const Cursor& at, const internal::Word<std::uint64_t>& hint) const {
    const std::uint64_t there = Env::load(hint, std::memory_order_acquire);
    const bool further = static_cast<std::int64_t>(there - at.position()) > 0;
    return further ? Cursor(there, capacity_) : at;
  }

  [[nodiscard]] std::size_t size() const {
    const Cursor oldest = furthest(Cursor(0, capacity_), control_->head);
    const Cursor head = walk(oldest, [](std::uint64_t word, std::uint32_t lap) {
      return CellWord::laps_ahead(word, lap) > 0;
    });
    const Cursor tail =
        walk(furthest(head, control_->tail), [](std::uint64_t word, std::uint32_t lap) {
          const std::int32_t ahead = CellWord::laps_ahead(word, lap);
          return ahead > 0 || (ahead == 0 && CellWord::state_of(word) != State::empty);
        });
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(tail.position() - head.position(), capacity_));
  }

 private:
  /// Past the cells that `passes`, one round at most.
  template <class Passes>
  Cursor walk(Cursor at, Passes passes) const {
    for (std::uint32_t i = 0; i < capacity_; ++i) {
      // Acquire: pairs with the releases of the word, so that what the next cell says is as new.
      if (!passes(Env::load(cell(at).word, std::memory_order_acquire), at.lap())) break;
      at.advance(capacity_);
    }
    return at;
  }

  /// Two lines, or the next cell.
  static constexpr std::uint32_t kFetchAhead =
      std::max<std::uint32_t>(1, 2 * kCacheLine / sizeof(Cell));

  Control* control_;
  Cell* cells_ = nullptr;
  std::uint32_t capacity_ = 0;
};

/// What producers and consumers have in common; private to its process.
template <class T, class Env>
class BasicMpmcRing<T, Env>::Handle {
 public:
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  /// Why the last call that failed did so.
  [[nodiscard]] Status status() const noexcept { return status_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return view_.capacity(); }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool full() const { return size() == capacity(); }

  /// The next call asks the kernel about each claim that it meets. For somebody who is about to
  /// sleep, or has slept.
  void suspect_claims() noexcept {
    fruitless_ = kFruitlessBeforeAsking;
    streak_ = 0;
  }

 protected:
  explicit Handle(std::span<std::byte> memory)
      : view_(memory),
        looks_(64 * std::uint64_t{view_.capacity()} + 65536),
        step_(std::clamp<std::uint64_t>(view_.capacity() / 4, 1, 64)) {
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
  ~Handle() = default;

  /// How this process signs; nobody, if it now belongs to another registry than when the handle was
  /// made.
  [[nodiscard]] Tag sign() {
    const internal::ThreadState& self = Env::self();
    if (self.incarnation != incarnation_) [[unlikely]]
      return participant::kNobody;
    return internal::LockWord::tag_of(self.me);
  }

  std::nullptr_t refuse(Status why) noexcept {
    status_ = why;
    return nullptr;
  }

  /// Whether it is high time to ask about the claims of others.
  bool begins_to_ask() noexcept {
    if (fruitless_ < kFruitlessBeforeAsking) [[likely]]
      return false;
    fruitless_ = 0;
    return true;
  }

  /// A call has found nothing to do.
  std::nullptr_t refuse_for_now(Status why) noexcept {
    ++fruitless_;
    streak_ = 0;
    return refuse(why);
  }

  /// A call has claimed the cell before `next`. In the middle of many that do, the other side is
  /// likely to be far away, and what comes next may be fetched without taking it from anybody.
  void succeeded(const Cursor& next) noexcept {
    fruitless_ = 0;
    if (++streak_ >= kStreak) view_.fetch_ahead(next);
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

  /// Undoes a claim if the kernel says that its owner is dead. Whether the cell is worth another
  /// look.
  bool repair(Cell& cell, std::uint64_t word) {
    if (Env::probe(CellWord::tag_of(word)) != Liveness::dead) return false;
    // Acquire-release: who gets the cell next must see what the dead one's claim came after; and
    // the kernel, which has told us of the death, knows that all of its stores came before.
    Env::cas(cell.word, word, CellWord::without_its_owner(word), std::memory_order_acq_rel);
    return true;
  }

  /// Tells others how far one has got, if that is news.
  void publish(internal::Word<std::uint64_t>& hint, std::uint64_t position) noexcept {
    if (static_cast<std::int64_t>(position - published_) < static_cast<std::int64_t>(step_)) return;
    // Relaxed: compared only; the compare-and-swap orders.
    std::uint64_t there = Env::load(hint, std::memory_order_relaxed);
    if (static_cast<std::int64_t>(position - there) > 0) {
      // Release: pairs with the acquire in View::furthest().
      Env::cas(hint, there, position, std::memory_order_release);
    }
    published_ = position;
  }

  /// Leaves the claimed cell as `state`, if this process is who claimed it, and no child of that.
  void leave_claim(std::uint32_t lap, State state) noexcept {
    std::uint64_t word = claim_;
    if (internal::LockWord::tag_of(Env::me()) == CellWord::tag_of(word)) {
      // Release: what has been read from the cell was read before others overwrite it.
      Env::cas(claimed_->word, word, CellWord::make(lap, state), std::memory_order_release);
    }
    claimed_ = nullptr;
  }

  static constexpr std::uint32_t kFruitlessBeforeAsking = 64;
  static constexpr std::uint32_t kStreak = 16;

  View view_;
  std::uint64_t looks_;                ///< the most that one call takes
  std::uint64_t step_;                 ///< how far one goes between two notes of it
  std::uint64_t published_ = 0;        ///< where one was at the last of them
  std::uint64_t claim_ = 0;            ///< the word of the claimed cell
  Cell* claimed_ = nullptr;            ///< between claim and commit, or peek and release
  std::size_t item_size_ = sizeof(T);  ///< in a form that the compiler does not see through
  std::uint32_t incarnation_ = 0;      ///< of the registry under which the handle was made
  std::uint32_t fruitless_ = 0;        ///< calls in a row that found nothing to do
  std::uint32_t streak_ = 0;           ///< calls in a row that did not
  Status status_ = Status::ok;
};

/// A writing side; private to its process, and to one thread at a time.
template <class T, class Env>
class BasicMpmcRing<T, Env>::Producer : public Handle {
 public:
  /// Throws Error if `memory` holds no ring of T, or one of another registry.
  explicit Producer(std::span<std::byte> memory)
      : Handle(memory), tail_(view_.furthest(Cursor(0, view_.capacity()), view_.control().tail)) {}
  ~Producer() { abort(); }

  /// A slot to fill in place, or nullptr: status() tells why. Others wait behind it until commit()
  /// or abort(). The slot's old contents are of no meaning. Called again, it returns the same.
  [[nodiscard]] T* try_claim() {
    if (claimed_ == nullptr) {
      claimed_ = claim();
      if (claimed_ == nullptr) [[unlikely]]
        return nullptr;
    }
    return &claimed_->value;
  }

  /// Publishes what was filled in since try_claim().
  void commit() noexcept {
    // Release: the commit; pairs with the acquire of the word in Consumer::claim(), so that the
    // payload is whole.
    Env::store(claimed_->word, CellWord::make(lap_, State::full), std::memory_order_release);
    claimed_ = nullptr;
    this->publish(view_.control().tail, tail_.position());
  }

  /// Gives the slot up: it becomes a hole, which consumers pass over.
  void abort() noexcept {
    if (claimed_ != nullptr) this->leave_claim(lap_ + 1, State::empty);
  }

  /// ok, full, corrupt or foreign_registry.
  Status try_push(const T& value) {
    if (try_push_quickly(value)) [[likely]]
      return Status::ok;
    T* const slot = try_claim();
    if (slot == nullptr) [[unlikely]]
      return status_;
    fill(*slot, value);
    commit();
    return Status::ok;
  }

  /// Pushes as many of `values` as there is room for, in order; returns how many. Each is committed
  /// by itself: a crash leaves a prefix, and others may come between.
  std::size_t try_push_n(std::span<const T> values) {
    std::size_t done = 0;
    while (done < values.size() && try_push(values[done]) == Status::ok) ++done;
    return done;
  }

 private:
  using Handle::claim_, Handle::claimed_, Handle::status_, Handle::streak_, Handle::view_;

  void fill(T& slot, const T& value) const {
    this->copy(slot, value);
    if constexpr (internal::kMayHavePadding<T>) internal::clear_padding(slot);
  }

  /// In the middle of many calls that find room, the next will find some too: it claims the cell
  /// without having looked.
  bool try_push_quickly(const T& value) {
    if (streak_ == 0 || claimed_ != nullptr) return false;
    const Tag me = this->sign();
    Cell& cell = view_.cell(tail_);
    const std::uint32_t lap = tail_.lap();
    std::uint64_t word = CellWord::make(lap, State::empty);
    // Acquire: as in claim().
    if (me == participant::kNobody ||
        !Env::cas(cell.word, word, CellWord::make(lap, State::writing, me),
                  std::memory_order_acquire)) {
      streak_ = 0;
      return false;
    }
    fill(cell.value, value);
    // Release: as in commit().
    Env::store(cell.word, CellWord::make(lap, State::full), std::memory_order_release);
    tail_.advance(view_.capacity());
    this->succeeded(tail_);
    this->publish(view_.control().tail, tail_.position());
    return true;
  }

  [[gnu::noinline]] Cell* claim() {
    const Tag me = this->sign();
    if (me == participant::kNobody) [[unlikely]]
      return this->refuse(Status::foreign_registry);
    const bool asks = this->begins_to_ask();
    for (std::uint64_t look = 0; look < this->looks_; ++look) {
      Cell& cell = view_.cell(tail_);
      // Acquire: pairs with the release of who made the cell empty, or full: see size().
      std::uint64_t word = Env::load(cell.word, std::memory_order_acquire);
      const std::int32_t ahead = CellWord::laps_ahead(word, tail_.lap());
      const bool is_empty = CellWord::state_of(word) == State::empty;
      if (ahead == 0 && is_empty) [[likely]] {
        claim_ = CellWord::make(tail_.lap(), State::writing, me);
        // Acquire: pairs with the release in Consumer::release(); the payload has been read.
        if (!Env::cas(cell.word, word, claim_, std::memory_order_acquire)) continue;
        lap_ = tail_.lap();
        tail_.advance(view_.capacity());
        this->succeeded(tail_);
        return &cell;
      }
      if (ahead >= 0) {
        tail_.advance(view_.capacity());  // another was here
        tail_ = view_.furthest(tail_, view_.control().tail);
        continue;
      }
      if (ahead != -1 || is_empty) return this->refuse(Status::corrupt);
      if (!asks || !CellWord::is_claimed(word) || !this->repair(cell, word)) {
        return this->refuse_for_now(Status::full);
      }
    }
    return this->refuse(Status::corrupt);
  }

  Cursor tail_;            ///< every position below has been claimed
  std::uint32_t lap_ = 0;  ///< of the claimed cell
};

/// A reading side; private to its process, and to one thread at a time.
template <class T, class Env>
class BasicMpmcRing<T, Env>::Consumer : public Handle {
 public:
  /// Throws Error if `memory` holds no ring of T, or one of another registry.
  explicit Consumer(std::span<std::byte> memory)
      : Handle(memory),
        head_(view_.furthest(Cursor(0, view_.capacity()), view_.control().head)),
        next_(head_),
        leased_(head_) {}
  ~Consumer() { put_back(); }

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
    // Release: pairs with the acquire of who claims the cell next; our reads of it come before.
    Env::store(claimed_->word, CellWord::make(leased_.lap() + 1, State::empty),
               std::memory_order_release);
    claimed_ = nullptr;
    if (leased_.position() == head_.position()) [[likely]] {
      head_.advance(view_.capacity());
      this->publish(view_.control().head, head_.position());
    }
  }

  /// Offers the item again, at its old place.
  void put_back() noexcept {
    if (claimed_ == nullptr) return;
    this->leave_claim(leased_.lap(), State::full);
    next_ = head_;
  }

  /// Copies the oldest item out and acknowledges it: ok, empty, corrupt or foreign_registry.
  Status try_pop(T& value) {
    if (try_pop_quickly(value)) [[likely]]
      return Status::ok;
    const T* const slot = try_peek();
    if (slot == nullptr) return status_;
    this->copy(value, *slot);
    release();
    return Status::ok;
  }

  /// Pops as many items as there are and `values` holds; returns how many. Each is acknowledged by
  /// itself.
  std::size_t try_pop_n(std::span<T> values) {
    std::size_t done = 0;
    while (done < values.size() && try_pop(values[done]) == Status::ok) ++done;
    return done;
  }

 private:
  using Handle::claim_, Handle::claimed_, Handle::status_, Handle::streak_, Handle::view_;

  /// As Producer::try_push_quickly(), where nothing older is in another's hands.
  bool try_pop_quickly(T& value) {
    if (streak_ == 0 || claimed_ != nullptr || next_.position() != head_.position()) return false;
    const Tag me = this->sign();
    Cell& cell = view_.cell(next_);
    const std::uint32_t lap = next_.lap();
    std::uint64_t word = CellWord::make(lap, State::full);
    // Acquire: as in look_at().
    if (me == participant::kNobody ||
        !Env::cas(cell.word, word, CellWord::make(lap, State::reading, me),
                  std::memory_order_acquire)) {
      streak_ = 0;
      return false;
    }
    this->copy(value, cell.value);
    // Release: as in release().
    Env::store(cell.word, CellWord::make(lap + 1, State::empty), std::memory_order_release);
    // Not a copy of the other: one load of what several stores have just written takes 8 ns.
    next_.advance(view_.capacity());
    head_.advance(view_.capacity());
    this->succeeded(next_);
    this->publish(view_.control().head, head_.position());
    return true;
  }

  /// What a look at a cell led to.
  enum class Look : std::uint8_t { taken, again, nothing, corrupt };

  [[gnu::noinline]] Cell* claim() {
    const Tag me = this->sign();
    if (me == participant::kNobody) [[unlikely]]
      return this->refuse(Status::foreign_registry);
    const bool asks = look_back();
    for (std::uint64_t look = 0; look < this->looks_; ++look) {
      Cell& cell = view_.cell(next_);
      switch (look_at(cell, me, asks)) {
        [[likely]] case Look::taken:
          this->succeeded(next_);
          return &cell;
        case Look::again:
          break;
        case Look::corrupt:
          return this->refuse(Status::corrupt);
        case Look::nothing:
          // What was left out may have been offered again meanwhile.
          if (looked_back_ || next_.position() == head_.position()) {
            return this->refuse_for_now(Status::empty);
          }
          looked_back_ = true;
          next_ = head_;
      }
    }
    return this->refuse(Status::corrupt);
  }

  Look look_at(Cell& cell, Tag me, bool asks) {
    // Acquire: pairs with the release in Producer::commit(), so the payload is whole.
    std::uint64_t word = Env::load(cell.word, std::memory_order_acquire);
    const std::int32_t ahead = CellWord::laps_ahead(word, next_.lap());
    const State state = CellWord::state_of(word);
    if (ahead == 0 && state == State::full) [[likely]] {
      claim_ = CellWord::make(next_.lap(), State::reading, me);
      // Acquire: as above, for what the load may have missed.
      if (!Env::cas(cell.word, word, claim_, std::memory_order_acquire)) return Look::again;
      leased_ = next_;
      next_.advance(view_.capacity());
      return Look::taken;
    }
    if (ahead > 0) return pass_consumed();
    if (next_.position() - head_.position() >= view_.capacity()) return Look::nothing;
    if (ahead < 0) return Look::corrupt;
    if (asks && CellWord::is_claimed(word) && this->repair(cell, word)) return Look::again;
    if (state != State::reading) return Look::nothing;
    next_.advance(view_.capacity());  // another has it
    return Look::again;
  }

  Look pass_consumed() {
    const bool oldest = next_.position() == head_.position();
    next_.advance(view_.capacity());
    if (oldest) {
      head_ = next_ = view_.furthest(next_, view_.control().head);
      this->publish(view_.control().head, head_.position());
    }
    return Look::again;
  }

  /// Items that others have are left out; every now and then one looks what has become of them.
  /// Whether it is high time to ask.
  bool look_back() {
    const bool asks = this->begins_to_ask();
    looked_back_ = asks;
    if (asks) next_ = head_;
    if (next_.position() == head_.position()) [[likely]]
      return asks;
    if (++since_look_back_ < kLookBackEvery) return false;
    since_look_back_ = 0;
    looked_back_ = true;
    next_ = head_;
    const bool stuck = stuck_at_ == head_.position();
    stuck_at_ = head_.position();
    return stuck;
  }

  static constexpr std::uint32_t kLookBackEvery = 256;

  Cursor head_;    ///< every position below is consumed
  Cursor next_;    ///< where to look; what lies between is consumed, or others have it
  Cursor leased_;  ///< of the claimed cell
  std::uint64_t stuck_at_ = ~std::uint64_t{0};  ///< the oldest position at the last look back
  std::uint32_t since_look_back_ = 0;
  bool looked_back_ = false;  ///< in this call
};

/// The ring that ships.
template <class T>
using MpmcRing = BasicMpmcRing<T, internal::RealLockEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_MPMC_RING_H_
