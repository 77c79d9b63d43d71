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
//     0  capacity u64 | slot size u64                format()
//   128  tail u64, a hint: positions committed       producer, after every 16th commit
//   256  head u64: positions consumed                consumer; its store is the acknowledgement
//   384  slot[0] slot[1] ... storage rounded up to a power of two
//        slot: turn u32 | T                          producer; its store of `turn` is the commit
//
// The item of position p lies in slot p % storage and is committed when the slot's turn is the low
// half of p + 1. The turn lies beside the payload, so one line travels per small item; head is read
// by the producer only when the room that it last saw is used up, and tail by no fast path.
//
// Units: capacity in items, exact. Errors: set-up throws Error; calls return full, empty, corrupt.
// Threads and processes: one Producer and one Consumer in use at a time, each by one thread at a
// time; the two may overlap in any way. A second Producer made while the first still works breaks
// both (who holds an end is the caller's matter; ipc/pipe.h keeps an owner word for it).
//
// If a process dies here: the producer's commit is the store of turn, the consumer's is the store
// of head. A killed producer's unfinished item does not exist; a killed consumer's unacknowledged
// item is delivered again to its successor. A successor producer starts at the hint and walks the
// turns, at most `capacity` of them, to the first uncommitted slot. Nothing needs repair.
//
// Hostile bytes: capacity and slot size are copied to private memory and checked when attaching;
// head is checked against tail whenever it is read; a turn only ever selects "there" or "not
// there".
//
// Cost: push and pop each one load and two stores, no atomic read-modify-write, no system call; and
// a prefetch of a line that comes soon.
// Source: Lamport's ring (1983) with private copies of the other side's index, and a per-slot turn
// as in Vyukov's bounded queue.

#ifndef SLUICE_LOCKFREE_SPSC_RING_H_
#define SLUICE_LOCKFREE_SPSC_RING_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

template <class T, class Env>
class BasicSpscRing {
  static_assert(std::is_trivially_copyable_v<T>, "items are copied as bytes between processes");
  static_assert(alignof(T) <= kNoSharing, "alignments above 128 are not supported");

  struct Control {
    internal::Word<std::uint64_t> capacity;
    internal::Word<std::uint64_t> slot_size;
    alignas(kNoSharing) internal::Word<std::uint64_t> tail;
    alignas(kNoSharing) internal::Word<std::uint64_t> head;
  };
  static_assert(sizeof(Control) == 3 * kNoSharing);

  struct Slot {
    internal::Word<std::uint32_t> turn;
    // From two lines on, an item begins on a line of its own, which copies faster; a smaller one
    // shares the line of its turn, which is what makes one line travel.
    alignas(sizeof(T) >= 2 * kCacheLine ? std::max(kCacheLine, alignof(T)) : alignof(T)) T value;
  };

  /// Or at least one; a power of two.
  static constexpr std::size_t kSlotsInLine =
      std::bit_floor(std::max<std::size_t>(kCacheLine / sizeof(Slot), 1));
  static constexpr std::uint64_t kSlotsToWrite =
      std::max<std::size_t>(kFetchToWrite / sizeof(Slot), 1);
  static constexpr std::uint64_t kSlotsToRead =
      std::max<std::size_t>(kFetchToRead / sizeof(Slot), 1);

  /// How often the producer leaves word of where it is: each store takes a place in the queue of
  /// those that wait for a line, and its length is how many items go over at a time.
  static constexpr std::uint64_t kHintEvery = 16;

  /// What both sides know of a ring, checked once and kept in private memory.
  struct View {
    Control* control;
    Slot* slots;
    std::uint64_t capacity;
    std::uint64_t mask;
    std::size_t item_size;  // sizeof(T), in a form that the compiler does not see through

    /// Copies one item. A large one by a call of memcpy, which picks the instructions for the
    /// machine: what the compiler puts in line for a size that it knows is slower by up to a third.
    void copy(T& to, const T& from) const {
      if constexpr (sizeof(T) > 256) {
        std::memcpy(static_cast<void*>(&to), static_cast<const void*>(&from), item_size);
      } else {
        to = from;
      }
    }

    [[nodiscard]] Slot& slot(std::uint64_t position) const { return slots[position & mask]; }

    [[nodiscard]] bool is_committed(std::uint64_t position) const {
      // Acquire: pairs with the release in Producer::commit, so the payload is whole.
      return Env::load(slot(position).turn, std::memory_order_acquire) == turn_of(position);
    }
  };

 public:
  using value_type = T;

  /// The turn is half a position; twice the storage must fit in it.
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
    return sizeof(Control) + std::bit_ceil(capacity) * sizeof(Slot);
  }

  /// Makes an empty ring in `memory`, before anyone else can see it. Throws Error if it is too
  /// small or not aligned.
  static void format(std::span<std::byte> memory, std::size_t capacity) {
    Control* const control = internal::attach_object<Control>(memory);
    if (control == nullptr || memory.size() < bytes_for(capacity)) {
      throw Error::from_errno(
          EINVAL, {.tried = "make a ring of " + std::to_string(capacity) + " items",
                   .expected = std::to_string(bytes_for(capacity)) + " bytes, aligned to 128",
                   .found = std::to_string(memory.size()) + " bytes"});
    }
    std::fill(memory.begin(), memory.end(), std::byte{0});
    // Relaxed, both: publishing the memory is the caller's step and carries the order.
    Env::store(control->capacity, std::uint64_t{capacity}, std::memory_order_relaxed);
    Env::store(control->slot_size, std::uint64_t{sizeof(Slot)}, std::memory_order_relaxed);
  }

  /// How many items are in the ring; a snapshot, 0 to capacity.
  [[nodiscard]] static std::size_t size(std::span<std::byte> memory) {
    const View view = attach(memory);
    // Relaxed, both: a snapshot for people.
    const std::uint64_t head = Env::load(view.control->head, std::memory_order_relaxed);
    std::uint64_t tail = Env::load(view.control->tail, std::memory_order_relaxed);
    if (static_cast<std::int64_t>(tail - head) < 0) tail = head;
    for (std::uint64_t n = 0; n < kHintEvery && view.is_committed(tail); ++n) ++tail;
    const auto difference = static_cast<std::int64_t>(tail - head);
    return static_cast<std::size_t>(
        std::clamp<std::int64_t>(difference, 0, static_cast<std::int64_t>(view.capacity)));
  }

 private:
  static std::uint32_t turn_of(std::uint64_t position) {
    return static_cast<std::uint32_t>(position + 1);
  }

  static View attach(std::span<std::byte> memory) {
    Control* const control = internal::attach_object<Control>(memory);
    // Relaxed: written before the memory was published, and copied here once.
    const std::uint64_t capacity =
        control == nullptr ? 0 : Env::load(control->capacity, std::memory_order_relaxed);
    const bool fits = capacity > 0 && capacity <= kMaxCapacity &&
                      // Relaxed, as above.
                      Env::load(control->slot_size, std::memory_order_relaxed) == sizeof(Slot) &&
                      bytes_for(capacity) <= memory.size();
    if (!fits) {
      throw Error(Status::corrupt,
                  {.tried = "attach to a ring in " + std::to_string(memory.size()) + " bytes",
                   .expected = "slots of " + std::to_string(sizeof(Slot)) + " bytes",
                   .found = "capacity " + std::to_string(capacity) + ", or another slot size"});
    }
    const std::uint64_t storage = std::bit_ceil(capacity);
    return {control, internal::attach_object<Slot>(memory.subspan(sizeof(Control)), storage),
            capacity, storage - 1, sizeof(T)};
  }
};

/// The writing side; private to its process.
template <class T, class Env>
class BasicSpscRing<T, Env>::Producer {
 public:
  /// Takes over where a predecessor stopped. Throws Error if `memory` holds no ring of T.
  explicit Producer(std::span<std::byte> memory) : view_(attach(memory)) {
    // Acquire: pairs with Consumer::release, so that what was consumed may be overwritten.
    head_ = Env::load(view_.control->head, std::memory_order_acquire);
    // Relaxed: a hint; the turns decide.
    tail_ = Env::load(view_.control->tail, std::memory_order_relaxed);
    if (static_cast<std::int64_t>(tail_ - head_) < 0) tail_ = head_;
    while (tail_ - head_ < view_.capacity && view_.is_committed(tail_)) ++tail_;
    // Relaxed: a hint; the predecessor may have died before it left this one.
    Env::store(view_.control->tail, tail_, std::memory_order_relaxed);
  }

  /// A slot to fill in place, or nullptr if there is no room: status() tells whether the ring is
  /// full or corrupt. The slot's old contents are of no meaning. What is written there is there as
  /// it is, padding included.
  [[nodiscard]] T* try_claim() {
    if (tail_ - head_ >= view_.capacity) [[unlikely]] {
      if (!look_at_head()) return refuse(Status::corrupt);
      if (tail_ - head_ >= view_.capacity) return refuse(Status::full);
    }
    return &view_.slot(tail_).value;
  }

  /// Publishes what was filled in since try_claim(). Not calling it, or dying before it, is as if
  /// there had been no claim.
  void commit() {
    // Release: the commit; pairs with the acquire in is_committed().
    Env::store(view_.slot(tail_).turn, turn_of(tail_), std::memory_order_release);
    ++tail_;
    if (tail_ % kSlotsInLine == 0) line_filled();
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

  /// Pushes as many of `values` as there is room for, in order; returns how many. Each is committed
  /// by itself: a crash leaves a prefix.
  std::size_t try_push_n(std::span<const T> values) {
    if (values.empty() || try_claim() == nullptr) return 0;
    if (view_.capacity - (tail_ - head_) < values.size() && !look_at_head()) {
      status_ = Status::corrupt;
      return 0;
    }
    const std::size_t room = view_.capacity - (tail_ - head_);
    const std::size_t count = std::min(values.size(), room);
    if (count < values.size()) status_ = Status::full;
    const bool fetches = room - count > kSlotsToWrite;
    // Copies of their own, so that the compiler need not read them again after each store.
    const View view = view_;
    const std::uint64_t tail = tail_;
    for (std::size_t done = 0; done < count;) {
      if (fetches) prefetch_to_write(&view.slot(tail + done + kSlotsToWrite));
      const std::size_t stop = std::min(count, done + kSlotsInLine);
      for (; done < stop; ++done) {
        Slot& slot = view.slot(tail + done);
        put(slot.value, values[done]);
        // Release: as in commit().
        Env::store(slot.turn, turn_of(tail + done), std::memory_order_release);
      }
    }
    tail_ += count;
    // Relaxed: as in commit().
    Env::store(view_.control->tail, tail_, std::memory_order_relaxed);
    return count;
  }

  /// Why the last call that failed did so.
  [[nodiscard]] Status status() const { return status_; }
  [[nodiscard]] std::size_t capacity() const { return view_.capacity; }

 private:
  void line_filled() {
    if (view_.capacity - (tail_ - head_) > kSlotsToWrite) {
      prefetch_to_write(&view_.slot(tail_ + kSlotsToWrite));
    }
    // Relaxed: a hint for size() and for a successor, who both walk on along the turns.
    if (tail_ % kHintEvery == 0) Env::store(view_.control->tail, tail_, std::memory_order_relaxed);
  }

  /// Sees what the consumer has freed; false if the bytes are hostile.
  bool look_at_head() {
    // Acquire: pairs with Consumer::release; the consumer has finished reading what it freed.
    const std::uint64_t head = Env::load(view_.control->head, std::memory_order_acquire);
    // What we wrote and what is read must be at most a ring apart.
    if (tail_ - head > view_.capacity) return false;
    head_ = head;
    return true;
  }

  void put(T& slot, const T& value) {
    if constexpr (internal::kMayHavePadding<T>) {
      internal::put_value(slot, value);
    } else {
      view_.copy(slot, value);
    }
  }

  T* refuse(Status why) {
    status_ = why;
    return nullptr;
  }

  View view_;
  std::uint64_t tail_ = 0;  // the next position to write
  std::uint64_t head_ = 0;  // the consumer's head when last looked at
  Status status_ = Status::ok;
};

/// The reading side; private to its process.
template <class T, class Env>
class BasicSpscRing<T, Env>::Consumer {
 public:
  /// Takes over where a predecessor stopped. Throws Error if `memory` holds no ring of T.
  explicit Consumer(std::span<std::byte> memory) : view_(attach(memory)) {
    // Acquire: pairs with the predecessor's release in release().
    head_ = Env::load(view_.control->head, std::memory_order_acquire);
  }

  /// The oldest item, in place, or nullptr if there is none. It stays until release().
  [[nodiscard]] const T* try_peek() {
    if (!view_.is_committed(head_)) {
      run_ = 0;
      return nullptr;
    }
    return &view_.slot(head_).value;
  }

  /// Acknowledges the item that try_peek() returned: its slot may be written again.
  void release() {
    ++head_;
    // Release: pairs with the acquire of head in Producer; our reads of the slot come before it.
    Env::store(view_.control->head, head_, std::memory_order_release);
    if (head_ % kSlotsInLine == 0 && ++run_ > kFetchAfter / 4) {
      prefetch_to_read(&view_.slot(head_ + kSlotsToRead));
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
    const std::uint64_t head = head_;
    std::uint32_t run = run_;
    std::size_t done = 0;
    for (bool more = true; more && done < most;) {
      const std::size_t asked = std::min(most - done, kSlotsInLine);
      const std::size_t found = committed(view, head + done, asked);
      more = found == asked;
      run = more ? run + 1 : 0;
      if (run > kFetchAfter / 4) prefetch_to_read(&view.slot(head + done + kSlotsToRead));
      for (const std::size_t stop = done + found; done < stop; ++done) {
        view.copy(values[done], view.slot(head + done).value);
      }
    }
    run_ = run;
    if (done > 0) {
      head_ += done;
      // Release: as in release().
      Env::store(view_.control->head, head_, std::memory_order_release);
    }
    return done;
  }

  [[nodiscard]] std::size_t capacity() const { return view_.capacity; }

 private:
  /// How many items from `position` on are committed, at most `most`, which is not 0. They are
  /// committed in order: if the last of them is, all are.
  [[nodiscard]] static std::size_t committed(const View& view, std::uint64_t position,
                                             std::size_t most) {
    if (view.is_committed(position + most - 1)) return most;
    std::size_t count = 0;
    while (count + 1 < most && view.is_committed(position + count)) ++count;
    return count;
  }

  View view_;
  std::uint64_t head_ = 0;  // the next position to read
  std::uint32_t run_ = 0;   // lines read since there was none to read
};

/// The ring that ships.
template <class T>
using SpscRing = BasicSpscRing<T, internal::RealEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_SPSC_RING_H_
