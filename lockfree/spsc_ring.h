// SPDX-License-Identifier: Apache-2.0
//
// SpscRing<T>: a bounded first-in-first-out ring of trivially copyable T between one producer and
// one consumer, threads or processes, on memory that the caller owns. Not for several producers or
// consumers at a time, not for variable lengths (byte_ring.h), and it never blocks (ipc/pipe.h
// does).
//
//   alignas(sluice::kNoSharing) std::array<std::byte, 4096> memory = {};
//   using Ring = sluice::SpscRing<std::uint64_t>;
//   Ring::format(memory, 100);                       // once, before anyone else sees the memory
//   Ring::Producer producer(memory);                 // in one thread or process
//   Ring::Consumer consumer(memory);                 // in another
//   producer.try_push(42);                           // Status::ok or full
//   std::uint64_t value;
//   if (consumer.try_pop(value) == sluice::Status::ok) use(value);
//
// In memory (position-independent; offsets in bytes; who writes it):
//
//     0  capacity u64 | cell size u32 | items in a cell u32      format()
//   128  tail u64, a hint: positions committed                   producer, every 16th cell
//   256  head u64: positions consumed                            consumer; its store is the
//                                                                acknowledgement
//   384  cell[0] cell[1] ... as many as hold capacity + items in a cell - 1 items
//        cell: end u32 | T item[]    producer; its store of `end` is the commit
//
// A cell is a cache line with as many items as fit, or one item that is longer than half a line.
// Position p is item p % n of cell p / n % cells. `end` is the low half of the position behind the
// last item of the cell that is committed; one of the lap before means that none of this lap is. It
// lies beside the items, so one line travels for several small ones; head is read by the producer
// only when the room that it last saw is used up, and tail by no fast path.
//
// Units: capacity in items, exact. Errors: set-up throws Error; calls return full, empty, corrupt.
// Threads and processes: one Producer and one Consumer in use at a time, each by one thread at a
// time; the two may overlap in any way. A second Producer made while the first still works breaks
// both (who holds an end is the caller's matter; ipc/pipe.h keeps an owner word for it).
//
// If a process dies here: the producer's commit is the store of `end`, the consumer's is the store
// of head. A killed producer's unfinished item does not exist; a killed consumer's unacknowledged
// item is delivered again to its successor. A cell's new lap begins when all that it held has been
// acknowledged, so nothing is lost that was there before. A successor producer starts at the hint
// and walks the cells, at most `capacity` items, to the first that is not committed. Nothing needs
// repair.
//
// Hostile bytes: capacity and the shape of a cell are copied to private memory and checked when
// attaching; head is checked against tail whenever it is read; an `end` only ever selects how many
// of a cell's items are there, and none if it is no position in it.
//
// Cost: push and pop each one load and three stores at most, no atomic read-modify-write, no system
// call; and a prefetch of a line that comes soon. In a stream of small items the other side's look
// at a line holds up what the producer stores behind it: as many items go over at a time as have
// their stores in the CPU's queue. Hence a push or pop of one changes one word of its side's own.
// A look in vain after several items in a row takes longer, up to a microsecond or a few: it lets
// the other side get ahead (rest_after() in sync/platform.h), which makes a stream up to three
// times as fast. Source: Lamport's ring (1983) with private copies of the other side's index, and a
// commit word beside the items as in Vyukov's bounded queue.

#ifndef SLUICE_LOCKFREE_SPSC_RING_H_
#define SLUICE_LOCKFREE_SPSC_RING_H_

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "sluice/lockfree/spsc_layout.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What SpscRing is over an environment, the machine or a test.
template <class T, class Env>
class BasicSpscRing {
  static_assert(std::is_trivially_copyable_v<T>, "items are copied as bytes between processes");
  static_assert(alignof(T) <= kNoSharing, "alignments above 128 are not supported");

  using Cell = internal::SpscCell<T>;
  using Place = internal::SpscPlace<T, Env>;
  using View = internal::SpscView<T, Env>;
  static constexpr std::size_t kItems = Cell::kItems;

  /// How far ahead the two sides fetch, in cells. A line of several items lasts longer, and what is
  /// fetched too early is taken away from the other side.
  static constexpr std::size_t kLater = kItems > 1 ? 2 : 1;
  static constexpr std::size_t kCellsToWrite =
      std::max<std::size_t>(kFetchToWrite / kLater / sizeof(Cell), 1);
  static constexpr std::size_t kCellsToRead =
      std::max<std::size_t>(kFetchToRead / kLater / sizeof(Cell), 1);

  /// How often the producer leaves word of where it is, in cells.
  static constexpr std::uint64_t kHintEvery = 16;

 public:
  using value_type = T;

  static constexpr std::size_t kMaxCapacity = internal::kMaxSpscCapacity;  ///< 2^30

  class Producer;
  class Consumer;

  /// Bytes that a ring of `capacity` items needs. The memory must be aligned to kNoSharing.
  /// Throws Error if capacity is 0 or above kMaxCapacity.
  static std::size_t bytes_for(std::size_t capacity) { return View::bytes_for(capacity); }

  /// Makes an empty ring in `memory`, before anyone else can see it. Throws Error if it is too
  /// small or not aligned.
  static void format(std::span<std::byte> memory, std::size_t capacity) {
    auto* const control = internal::attach_object<internal::SpscControl>(memory);
    if (control == nullptr || memory.size() < bytes_for(capacity)) {
      throw Error::from_errno(
          EINVAL, {.tried = "make a ring of " + std::to_string(capacity) + " items",
                   .expected = std::to_string(bytes_for(capacity)) + " bytes, aligned to 128",
                   .found = std::to_string(memory.size()) + " bytes"});
    }
    std::fill(memory.begin(), memory.end(), std::byte{0});
    // Relaxed, both: publishing the memory is the caller's step and carries the order.
    Env::store(control->capacity, std::uint64_t{capacity}, std::memory_order_relaxed);
    Env::store(control->shape, internal::kSpscShape<T>, std::memory_order_relaxed);
  }

  /// How many items are in the ring; a snapshot, 0 to capacity.
  [[nodiscard]] static std::size_t size(std::span<std::byte> memory) {
    const View view = View::attach(memory);
    // Relaxed, both: a snapshot for people.
    const std::uint64_t head = Env::load(view.control->head, std::memory_order_relaxed);
    std::uint64_t tail = Env::load(view.control->tail, std::memory_order_relaxed);
    if (static_cast<std::int64_t>(tail - head) < 0) tail = head;
    // A cell more: the hint may lie in the midst of one.
    tail = view.walk(tail, tail + (kHintEvery + 1) * kItems);
    const auto difference = static_cast<std::int64_t>(tail - head);
    return static_cast<std::size_t>(
        std::clamp<std::int64_t>(difference, 0, static_cast<std::int64_t>(view.capacity)));
  }
};

/// The writing side; private to its process.
template <class T, class Env>
class BasicSpscRing<T, Env>::Producer {
 public:
  /// Takes over where a predecessor stopped. Throws Error if `memory` holds no ring of T.
  explicit Producer(std::span<std::byte> memory) : view_(View::attach(memory)) {
    // Acquire: pairs with Consumer::acknowledge, so that what was consumed may be overwritten.
    head_ = Env::load(view_.control->head, std::memory_order_acquire);
    // Relaxed: a hint; the cells decide.
    std::uint64_t tail = Env::load(view_.control->tail, std::memory_order_relaxed);
    if (static_cast<std::int64_t>(tail - head_) < 0) tail = head_;
    next_ = view_.place(view_.walk(tail, head_ + view_.capacity));
    stop_ = next_.index;
    full_at_ = next_.position();
    leave_hint();  // the predecessor may have died before it left this one
  }

  /// A slot to fill in place, or nullptr if there is no room: status() tells whether the ring is
  /// full or corrupt. The slot's old contents are of no meaning. What is written there is there as
  /// it is, padding included.
  [[nodiscard]] T* try_claim() {
    if (next_.index >= stop_ && !find_room()) [[unlikely]]
      return nullptr;
    return &next_.item();
  }

  /// Publishes what was filled in since try_claim(). Not calling it, or dying before it, is as if
  /// there had been no claim.
  void commit() {
    if constexpr (kItems > 1) {
      ++next_.index;
      next_.commit(next_.index);
    } else {
      next_.commit(1);
      go_on();
    }
  }

  /// ok, full or corrupt. Padding stays in this process: zeroes go.
  Status try_push(const T& value) {
    T* const slot = try_claim();
    if (slot == nullptr) [[unlikely]]
      return status_;
    put(*slot, value);
    commit();
    return Status::ok;
  }

  /// Pushes as many of `values` as there is room for, in order; returns how many. They are
  /// committed from the first to the last: a crash leaves a prefix.
  std::size_t try_push_n(std::span<const T> values) {
    if (values.empty()) return 0;
    std::uint64_t room = 0;
    if (!room_for(values.size(), room)) return 0;
    const std::size_t count = std::min<std::size_t>(values.size(), room);
    if (count < values.size()) status_ = Status::full;
    const bool fetches = room - count > kCellsToWrite * kItems;
    // Copies of their own, so that the compiler need not read them again after each store.
    const View view = view_;
    Place next = next_;
    for (std::size_t done = 0; done < count;) {
      if (next.index >= kItems) {
        view.go_on(next);
        if (fetches) prefetch_to_write(view.ahead(next.cell, kCellsToWrite));
      }
      const std::size_t some = std::min(count - done, kItems - next.index);
      if (some == kItems && !internal::kMayHavePadding<T>) {
        view.copy_cell(next.cell->items, &values[done]);
      } else {
        for (std::size_t i = 0; i < some; ++i) put((&next.item())[i], values[done + i]);
      }
      done += some;
      next.index += static_cast<std::uint32_t>(some);
      next.commit(next.index);
    }
    next_ = next;
    stop_ = kItems > 1 ? next.index : 0;
    leave_hint();
    return count;
  }

  /// Why the last call that failed did so.
  [[nodiscard]] Status status() const { return status_; }
  /// Items that the ring can hold: exactly what format() was given.
  [[nodiscard]] std::size_t capacity() const { return view_.capacity; }

 private:
  /// Goes on to the next cell, if need be, and sees how many of its items may be written.
  bool find_room() {
    std::uint64_t room = 0;
    if (!room_for(1, room)) return false;
    if (next_.index >= kItems) go_on();
    // With one item to a cell it stays 0: there is room for one or for none.
    if constexpr (kItems > 1) {
      stop_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(next_.index + room, kItems));
    }
    return true;
  }

  void go_on() {
    view_.go_on(next_);
    // As far as was seen: what is not known to be free, the consumer may be reading.
    if (view_.capacity - (next_.first - head_) > kCellsToWrite * kItems) {
      prefetch_to_write(view_.ahead(next_.cell, kCellsToWrite));
    }
    if (next_.first / kItems % kHintEvery == 0) leave_hint();
  }

  /// How many items may be pushed; looks at head only if fewer than `wanted`. False if none, and
  /// status_ says why.
  bool room_for(std::size_t wanted, std::uint64_t& room) {
    std::uint64_t used = next_.position() - head_;
    if (used > view_.capacity || view_.capacity - used < wanted) {
      // Acquire: pairs with Consumer::acknowledge; the consumer has finished reading what it freed.
      const std::uint64_t head = Env::load(view_.control->head, std::memory_order_acquire);
      used = next_.position() - head;
      // What we wrote and what is read must be at most a ring apart.
      if (used > view_.capacity) {
        status_ = Status::corrupt;
        return false;
      }
      head_ = head;
      if (used == view_.capacity) {
        rest_after(next_.position() - full_at_);
        full_at_ = next_.position();
        status_ = Status::full;
        return false;
      }
    }
    room = view_.capacity - used;
    return true;
  }

  void leave_hint() {
    // Relaxed: a hint for size() and for a successor, who both walk on along the cells.
    Env::store(view_.control->tail, next_.position(), std::memory_order_relaxed);
  }

  void put(T& slot, const T& value) {
    if constexpr (internal::kMayHavePadding<T>) {
      internal::put_value(slot, value);
    } else {
      view_.copy(slot, value);
    }
  }

  View view_;
  Place next_ = {};         // where to write
  std::uint32_t stop_ = 0;  // how far in that cell, as far as was seen
  Status status_ = Status::ok;
  std::uint64_t head_ = 0;     // the consumer's head when last looked at
  std::uint64_t full_at_ = 0;  // where there was no room last
};

/// The reading side; private to its process.
template <class T, class Env>
class BasicSpscRing<T, Env>::Consumer {
 public:
  /// Takes over where a predecessor stopped. Throws Error if `memory` holds no ring of T.
  explicit Consumer(std::span<std::byte> memory) : view_(View::attach(memory)) {
    // Acquire: pairs with the predecessor's release in acknowledge().
    next_ = view_.place(Env::load(view_.control->head, std::memory_order_acquire));
    stop_ = next_.index;
  }

  /// The oldest item, in place, or nullptr if there is none. It stays until release().
  [[nodiscard]] const T* try_peek() {
    if (next_.index >= stop_ && !find_items()) return nullptr;
    return &next_.item();
  }

  /// Acknowledges the item that try_peek() returned: its slot may be written again.
  void release() {
    acknowledge(next_.position() + 1);
    if constexpr (kItems > 1) {
      ++next_.index;
    } else {
      go_on();
    }
  }

  /// Copies the oldest item out and acknowledges it: ok or empty.
  Status try_pop(T& value) {
    const T* const slot = try_peek();
    if (slot == nullptr) return Status::empty;
    view_.copy(value, *slot);
    release();
    return Status::ok;
  }

  /// Pops as many items as there are and `values` holds; returns how many. One acknowledgement for
  /// all of them: a consumer killed before it gets all of them again.
  std::size_t try_pop_n(std::span<T> values) {
    const std::size_t most = std::min<std::size_t>(values.size(), view_.capacity);
    const View view = view_;  // as in try_push_n()
    Place next = next_;
    std::uint32_t run = run_;
    std::size_t done = 0;
    while (done < most) {
      if (next.index >= kItems) {
        view.go_on(next);
        if (++run > kFetchAfter / 4) fetch(view, next);
      }
      const std::uint32_t there = next.committed() - next.index;
      if (there == kItems && most - done >= kItems) {
        // Apart, for nothing to wait for the load of `there`.
        view.copy_cell(&values[done], next.cell->items);
        next.index = kItems;
        done += kItems;
        continue;
      }
      if (there == 0) {
        if (done == 0) {
          rest_after(run);
          run = 0;
        }
        break;
      }
      const std::size_t some = std::min<std::size_t>(there, most - done);
      for (std::size_t i = 0; i < some; ++i) view.copy(values[done + i], (&next.item())[i]);
      next.index += static_cast<std::uint32_t>(some);
      done += some;
    }
    run_ = run;
    next_ = next;
    stop_ = kItems > 1 ? next.index : 0;
    if (done > 0) acknowledge(next.position());
    return done;
  }

  /// Items that the ring can hold, as on the other side.
  [[nodiscard]] std::size_t capacity() const { return view_.capacity; }

 private:
  /// Goes on to the next cell, if need be, and sees how many of its items are there.
  bool find_items() {
    if (next_.index >= kItems) go_on();
    const std::uint32_t there = next_.committed();
    if (there == next_.index) {
      rest_after(run_);
      run_ = 0;
      return false;
    }
    if constexpr (kItems > 1) stop_ = there;  // else as in Producer
    return true;
  }

  void go_on() {
    view_.go_on(next_);
    if constexpr (kItems > 1) stop_ = 0;
    if (++run_ > kFetchAfter / 4) fetch(view_, next_);
  }

  static void fetch(const View& view, const Place& place) {
    if (view.cell_count > kCellsToRead) prefetch_to_read(view.ahead(place.cell, kCellsToRead));
  }

  void acknowledge(std::uint64_t position) {
    // Release: pairs with the acquire of head in Producer; our reads of the items come before it.
    Env::store(view_.control->head, position, std::memory_order_release);
  }

  View view_;
  Place next_ = {};         // what to read
  std::uint32_t stop_ = 0;  // how far in that cell, as far as was seen
  std::uint32_t run_ = 0;   // cells read since there was none to read
};

/// The ring that ships.
template <class T>
using SpscRing = BasicSpscRing<T, internal::RealEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_SPSC_RING_H_
