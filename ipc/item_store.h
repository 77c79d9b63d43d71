// SPDX-License-Identifier: Apache-2.0
//
// BasicItemStore: items of any length between processes, on memory that the caller maps, under one
// robust lock, in any order: the first, the last, or the least comes next. Internal: what
// ipc/lifo_queue.h, ipc/priority_queue.h, ipc/deque.h and ipc/joinable_queue.h are made of; it
// waits for the lock alone, never for room or for items. Where the order is that of arrival,
// ipc/record_queue.h is quicker.
//
//   BasicItemStore<Env> store(memory, nullptr, false);
//   auto size_of = [&](std::size_t i) { return texts[i].size(); };
//   auto write = [&](std::size_t i, std::span<std::byte> room) { copy(texts[i], room); };
//   std::size_t done = 0;
//   auto back = store.end(ItemEnd::back);
//   Status s = store.push(back, texts.size(), size_of, write, done, 5ms);
//
// In memory: ipc/item_layout.h.
//
// Units: bytes; an item of up to 24 bytes takes 64, and for each further 48 another 64. Errors, as
// Status: full, empty, closed, too_large, timeout (another held the lock all that time), busy (no
// memory to grow into), corrupt, foreign_registry. What a callback throws passes through, and its
// item is neither pushed nor popped.
//
// Threads and processes: all calls may overlap. A callback must not call the store.
//
// If a process dies here: a push, a pop, a lease and its end are committed by one store each, of
// the item's mark. Whoever takes the lock next is told that its owner died, and makes lists, free
// units and counts anew from the marks (ipc/item_mend.h) before it goes on; killed in its midst,
// the next does. Sleepers whom the dead would have woken look at the end of their slice.
//
// Cost: a lock and its unlock (a compare-and-swap each), some ten loads and stores, and the copy.
// No system call, unless the store grows or gives memory back.

#ifndef SLUICE_IPC_ITEM_STORE_H_
#define SLUICE_IPC_ITEM_STORE_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/item_guards.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_mend.h"
#include "sluice/ipc/item_units.h"
#include "sluice/ipc/record_guards.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class Env>
class BasicItemStore {
 public:
  using Control = ItemControl<Env>;
  using Units = BasicItemUnits<Env>;
  using Unit = typename Units::Unit;
  using Event = RecordEvent<Env>;

  static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 34;
  static constexpr std::uint64_t kMostUnits = kMostBytes / kUnitBytes;
  /// An item.
  static constexpr std::uint64_t kLongest = std::numeric_limits<std::uint32_t>::max();

  /// `growth` gives the units their memory; null if they have all of it. `alike`: all items are of
  /// one length, so that one item's room is room for any one. Throws Error if the memory holds no
  /// such store.
  BasicItemStore(std::span<std::byte> memory, GrowingMemory* growth, bool alike)
      : control_(control_in(memory)),
        units_(control_, units_in(memory), first_units_in(memory), growth),
        max_items_(get(control_.max_items)),
        order_(static_cast<ItemOrder>(get(control_.order))),
        max_attempts_(get(control_.max_attempts)),
        dead_at_once_(get(control_.dead_at_once) != 0),
        alike_(alike) {}

  BasicItemStore(const BasicItemStore&) = delete;
  BasicItemStore& operator=(const BasicItemStore&) = delete;

  /// The queued items as a list, whose next is at that end.
  [[nodiscard]] ListIndex<Env> end(ItemEnd end) {
    return ListIndex<Env>(control_, units_, control_.queued, end);
  }

  /// Puts `n` items where `index` says, as many as there is room for, one after the other, and
  /// counts them. `size_of(i)` is the length of the i-th, `write(i, room)` fills it. ok if at least
  /// one was put; `n` is not 0.
  template <class Index, class SizeOf, class Write>
  Status push(Index index, std::size_t n, SizeOf size_of, Write write, std::size_t& done,
              Deadline deadline) {
    done = 0;
    Telling telling(control_.pushed, control_.popped, done, true);
    Held<BasicMutex<Env>> held(control_.lock, deadline);
    if (const Status s = in_order(held); s != Status::ok) return s;
    if (state() != QueueState::open) return Status::closed;
    while (done < n) {
      const auto write_one = [&](std::span<std::byte> room) { write(done, room); };
      telling.leaves(true);  // in case that a callback throws
      const Status status = append(index, size_of(done), write_one);
      telling.leaves(status == Status::too_large || status == Status::corrupt);
      if (status != Status::ok) return done != 0 ? Status::ok : status;
      ++done;
    }
    return Status::ok;
  }

  /// Takes at most `n` items, as `index` says, and counts them: `read(bytes)` gets each, and says
  /// ok or why it stays. ok if at least one was taken; `n` is not 0.
  template <class Index, class Read>
  Status pop(Index index, std::size_t n, Read read, std::size_t& done, Deadline deadline) {
    done = 0;
    Telling telling(control_.popped, control_.pushed, done, alike_);
    Held<BasicMutex<Env>> held(control_.lock, deadline);
    if (const Status s = in_order(held); s != Status::ok) return s;
    const QueueState now = state();
    if (now == QueueState::dropped) return Status::closed;
    while (done < n) {
      telling.leaves(true);  // in case that a callback throws
      const Status status = take(index, read);
      telling.leaves(status != Status::ok && status != Status::empty);
      if (status != Status::ok) {
        if (done != 0) return Status::ok;
        return status == Status::empty && now == QueueState::closed ? Status::closed : status;
      }
      ++done;
    }
    if (get(control_.unfinished) == 0) control_.finished.notify_all();
    return Status::ok;
  }

  /// Moves `n` items, one after the other, from that end of the list to the other one.
  Status rotate(ItemEnd from, std::uint64_t n, Deadline deadline) {
    Held<BasicMutex<Env>> held(control_.lock, deadline);
    if (const Status s = in_order(held); s != Status::ok) return s;
    auto source = end(from);
    auto target = end(from == ItemEnd::back ? ItemEnd::front : ItemEnd::back);
    for (n %= std::max<std::uint64_t>(1, size()); n != 0; --n) {
      Unit unit = Units::kNone;
      if (const Status s = source.choose(unit); s != Status::ok) return s;
      // Its new key is what commits. The lists are mended from the keys if this process dies here.
      if (const Status s = target.place(unit); s != Status::ok) return s;
      source.remove(unit);
      target.insert(unit);
    }
    return Status::ok;
  }

  /// Ends the store for everybody: nothing is pushed any more; `drop`: nor popped.
  Status close(bool drop, Deadline deadline = Deadline::never()) {
    {
      Held<BasicMutex<Env>> held(control_.lock, deadline);
      if (const Status s = in_order(held); s != Status::ok) return s;
      const QueueState now = state();
      if (now == QueueState::open || (drop && now == QueueState::closed)) {
        // Release: pairs with the acquire in state(): who sees it sees all that was pushed.
        Env::store(control_.state,
                   static_cast<std::uint32_t>(drop ? QueueState::dropped : QueueState::closed),
                   std::memory_order_release);
      }
      if (drop) static_cast<void>(mend());
    }
    control_.pushed.notify_all();
    control_.popped.notify_all();
    control_.finished.notify_all();
    return Status::ok;
  }

  /// Puts in order what a dead owner of the lock has left: for who waits, now and then. ok also if
  /// that has to wait.
  Status look_after() {
    if (!control_.lock.lost_its_owner()) return Status::ok;
    Held<BasicMutex<Env>> held(control_.lock, kPatience);
    const Status status = in_order(held);
    return status == Status::timeout ? Status::ok : status;
  }

  [[nodiscard]] QueueState state() const noexcept {
    // Acquire: pairs with the release in close().
    return static_cast<QueueState>(Env::load(control_.state, std::memory_order_acquire));
  }

  /// Items queued: exact while nobody else is at work, else a snapshot.
  [[nodiscard]] std::size_t size() const noexcept {
    return state() == QueueState::dropped ? 0 : get(control_.queued.count);
  }
  /// What their units take, and those of leased items and dead letters.
  [[nodiscard]] std::uint64_t bytes() const noexcept {
    return std::min<std::uint64_t>(get(control_.used), units_.count()) * kUnitBytes;
  }
  [[nodiscard]] std::uint64_t max_items() const noexcept { return max_items_; }
  [[nodiscard]] std::uint64_t max_bytes() const noexcept {
    return std::uint64_t{units_.count()} * kUnitBytes;
  }
  /// Whether an item of that length would find room.
  [[nodiscard]] bool has_room_for(std::uint64_t length) const noexcept {
    return get(control_.queued.count) < max_items_ &&
           bytes() + units_for(length) * kUnitBytes <= max_bytes();
  }
  [[nodiscard]] std::size_t leases() const noexcept { return get(control_.leased.count); }
  [[nodiscard]] std::size_t dead_letters() const noexcept { return get(control_.dead.count); }
  /// Items queued or leased.
  [[nodiscard]] std::size_t unfinished() const noexcept {
    // Acquire: pairs with the release in Units::set_unfinished().
    return Env::load(control_.unfinished, std::memory_order_acquire);
  }
  /// How often these have become none.
  [[nodiscard]] std::uint32_t rounds() const noexcept {
    // Acquire: pairs with the release in Units::set_unfinished().
    return Env::load(control_.rounds, std::memory_order_acquire);
  }

  /// For people: items that were dropped for want of room.
  void count_dropped(std::uint64_t n) noexcept {
    // Relaxed, and below as well: nothing is concluded from it.
    Env::fetch_add(control_.dropped, n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t dropped() const noexcept { return get(control_.dropped); }

  [[nodiscard]] ItemOrder order() const noexcept { return order_; }
  [[nodiscard]] std::uint32_t max_attempts() const noexcept { return max_attempts_; }
  [[nodiscard]] Event& pushed() const noexcept { return control_.pushed; }
  [[nodiscard]] Event& popped() const noexcept { return control_.popped; }
  [[nodiscard]] Event& finished() const noexcept { return control_.finished; }
  [[nodiscard]] Control& control() noexcept { return control_; }
  [[nodiscard]] Units& units() noexcept { return units_; }

 protected:
  /// How long who need not have the lock now waits for it.
  static constexpr std::chrono::milliseconds kPatience{10};

  template <class T>
  static T get(const Word<T>& word) noexcept {
    return Units::get(word);
  }

  /// Whether the lock is held, and what it protects is in order.
  Status in_order(Held<BasicMutex<Env>>& held) {
    if (held.status() == Status::owner_died) [[unlikely]]
      held.mended(mend());
    return held.status();
  }

  Status mend() { return ItemMend<Env>(control_, units_, state() == QueueState::dropped).run(); }

  template <class Index, class Write>
  Status append(Index& index, std::uint64_t size, const Write& write) {
    const std::uint64_t need = units_for(size);
    if (size > kLongest || need > units_.count()) return Status::too_large;
    if (get(control_.queued.count) >= max_items_) return Status::full;
    Unit unit = Units::kNone;
    if (const Status s = units_.take(need, unit); s != Status::ok) return s;
    Unused unused(units_, unit, need);
    units_.write(unit, size, write);
    if (const Status s = index.place(unit); s != Status::ok) return s;
    units_.set_mark(unit, {.state = ItemState::queued});
    unused.keep();
    index.insert(unit);
    count_unfinished(1);
    return Status::ok;
  }

  template <class Index, class Read>
  Status take(Index& index, Read& read) {
    Unit unit = Units::kNone;
    if (const Status s = index.choose(unit); s != Status::ok) return s;
    if (const Status s = units_.read(unit, read); s != Status::ok) return s;
    const bool unfinished = units_.mark(unit).state == ItemState::queued;
    // Read before the commit: the first unit of a chain that is given back.
    const std::uint64_t n = units_for(units_.length(unit));
    units_.set_mark(unit, ItemMark());
    index.remove(unit);
    units_.give(unit, n);
    if (unfinished) count_unfinished(~std::uint32_t{0});
    return Status::ok;
  }

  void count_unfinished(std::uint32_t change) {
    units_.set_unfinished(get(control_.unfinished) + change);
  }

  Control& control_;
  Units units_;
  std::uint64_t max_items_;
  ItemOrder order_;
  std::uint32_t max_attempts_;
  bool dead_at_once_;
  bool alike_;

 private:
  /// Units that are not an item's yet.
  class Unused {
   public:
    Unused(Units& units, Unit first, std::uint64_t n) : units_(units), first_(first), n_(n) {}
    Unused(const Unused&) = delete;
    Unused& operator=(const Unused&) = delete;
    ~Unused() {
      if (n_ != 0) units_.give(first_, n_);
    }
    void keep() { n_ = 0; }

   private:
    Units& units_;
    Unit first_;
    std::uint64_t n_;
  };

  [[noreturn]] static void refuse(const std::string& expected, std::uint64_t found) {
    throw Error(
        Status::corrupt,
        {.tried = "attach to a queue", .expected = expected, .found = std::to_string(found)});
  }

  static Control& control_in(std::span<std::byte> memory) {
    auto* const control = attach_object<Control>(memory);
    if (control == nullptr || memory.size() < kItemUnitsOffset) {
      refuse("room for its words", memory.size());
    }
    return *control;
  }
  static std::span<std::byte> units_in(std::span<std::byte> memory) {
    const std::uint64_t units = get(control_in(memory).units);
    if (units == 0 || units > kMostUnits ||
        units > (memory.size() - kItemUnitsOffset) / kUnitBytes) {
      refuse("units that fit its segment", units);
    }
    return memory.subspan(kItemUnitsOffset, units * kUnitBytes);
  }
  static Unit first_units_in(std::span<std::byte> memory) {
    const std::uint64_t first = get(control_in(memory).first_units);
    if (first == 0 || first > units_in(memory).size() / kUnitBytes) refuse("first units", first);
    return static_cast<Unit>(first);
  }
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_ITEM_STORE_H_
