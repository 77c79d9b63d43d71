// SPDX-License-Identifier: Apache-2.0
//
// BasicRecordQueue: records of any length between many producers and many consumers, on memory that
// the caller maps: a ring whose ends each have a robust lock of their own. Internal: what
// ipc/queue.h is made of; it waits for the locks alone, never for room or for records. (Some lines
// more than 300: what one end leaves undone, the other one finishes; they are read together.)
//
//   BasicRecordQueue<Env> queue(memory, nullptr);
//   auto size_of = [&](std::size_t i) { return texts[i].size(); };
//   auto write = [&](std::size_t i, std::span<std::byte> room) { copy(texts[i], room); };
//   std::size_t done = 0;
//   Status s = queue.push(texts.size(), size_of, write, done, 5ms);
//
// In memory: ipc/record_layout.h.
//
// Units: bytes; a record costs its length, padded to 8, and 8 more. Errors, as Status: full, empty,
// closed, too_large (longer than the limit in bytes), timeout (another held the lock all that
// time), busy (no memory to grow into), corrupt (words that no correct process leaves),
// foreign_registry. What a callback throws
// passes through, and its record is neither pushed nor popped.
//
// Threads and processes: all calls may overlap. A callback must not call the queue.
//
// If a process dies here: pushing and popping are committed by one store of a mark each, for all
// records of the call at once. Killed before: nothing happened; killed after: it is done. Whoever
// takes the lock next is told, reads the marks anew, and finishes what the dead one may have begun:
// beginning anew on an emptied queue is repeated, moving the content to a larger window had not
// happened or is complete. Sleepers whom the dead would have woken look at the end of their slice.
//
// Cost: a lock and its unlock (a compare-and-swap each), one load, one store and the copy per call;
// the other side's line is read once per lap of what was seen of it. No system call, unless the
// queue grows, or gives back what it had grown by.
//
// Source: two locks, one for each end, are Michael and Scott's (PODC 1996).

#ifndef SLUICE_IPC_RECORD_QUEUE_H_
#define SLUICE_IPC_RECORD_QUEUE_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/record_guards.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <class Env>
class BasicRecordQueue {
  using Control = RecordControl<Env>;
  using Lock = BasicMutex<Env>;
  using Event = RecordEvent<Env>;
  using Word64 = Word<std::uint64_t>;

 public:
  static constexpr std::uint64_t kMostItems = RecordMark::kCountMask;
  static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 34;

  /// `growth` gives the storage its memory; null if it has all of it. `alike`: all records are of
  /// one length, so that one record's room is room for any one. Throws Error if the memory holds no
  /// such queue.
  BasicRecordQueue(std::span<std::byte> memory, GrowingMemory* growth, bool alike = false)
      : control_(attach_object<Control>(memory)), growth_(growth), alike_(alike) {
    if (control_ == nullptr) refuse("room for its words", memory.size());
    // Relaxed, all: written before the memory was published, and copied here once.
    const auto get = [](const Word64& word) { return Env::load(word, std::memory_order_relaxed); };
    max_items_ = get(control_->max_items);
    max_bytes_ = get(control_->max_bytes);
    first_window_ = get(control_->first_window);
    const std::uint64_t storage = get(control_->storage);
    const bool sound = std::has_single_bit(storage) && std::has_single_bit(first_window_) &&
                       first_window_ >= kLeastRecordWindow && first_window_ <= storage &&
                       storage <= memory.size() - kRecordStorageOffset && max_items_ != 0 &&
                       max_items_ <= kMostItems && max_bytes_ <= storage;
    if (!sound) refuse("sizes that fit its segment", storage);
    storage_ = memory.subspan(kRecordStorageOffset, storage);
  }

  /// Appends `n` records, as many as there is room for, and counts them. `size_of(i)` is the length
  /// of the i-th, `write(i, room)` fills it. ok if at least one was appended; `n` is not 0.
  template <class SizeOf, class Write>
  Status push(std::size_t n, SizeOf size_of, Write write, std::size_t& done, Deadline deadline) {
    done = 0;
    bool left = false;
    const Notifying notifying(control_->pushed, done, true);
    const PassingOn passing_on(control_->popped, left);
    Held<Lock> held(control_->push.lock, deadline);
    if (held.status() == Status::owner_died) held.mended(mend_push(deadline));
    if (held.status() != Status::ok) return held.status();
    if (state() != QueueState::open) return Status::closed;
    RecordMark tail = mark(control_->push.tail);
    const Committing<Env> committing(control_->push.tail, tail, done);
    while (done < n) {
      left = true;  // in case that a callback throws
      const auto write_one = [&](std::span<std::byte> room) { write(done, room); };
      const Status status = append(tail, size_of(done), write_one, deadline);
      left = status == Status::too_large;
      if (status != Status::ok) return done != 0 ? Status::ok : status;
      ++done;
    }
    return Status::ok;
  }

  /// Takes at most `n` records, and counts them: `read(bytes)` gets each, and says ok or why it
  /// stays. ok if at least one was taken; `n` is not 0.
  template <class Read>
  Status pop(std::size_t n, Read read, std::size_t& done, Deadline deadline) {
    done = 0;
    bool left = false;
    const Notifying notifying(control_->popped, done, alike_);
    const PassingOn passing_on(control_->pushed, left);
    Held<Lock> held(control_->pop.lock, deadline);
    if (held.status() == Status::owner_died) held.mended(mend_pop());
    if (held.status() != Status::ok) return held.status();
    // Before the look at the tail: what was pushed before the queue was closed is seen.
    const QueueState seen = state();
    if (seen == QueueState::dropped) return Status::closed;
    RecordMark head = mark(control_->pop.head);
    const Committing<Env> committing(control_->pop.head, head, done);
    while (done < n) {
      left = true;  // in case that a callback throws
      const Status status = take(head, read);
      left = status != Status::ok && status != Status::empty;
      if (status != Status::ok) {
        if (done != 0) return Status::ok;
        if (status == Status::empty && growth_ != nullptr) begin_anew(head);
        // Bytes that are no state are as closed: who waits is not to look again for ever.
        return status == Status::empty && seen != QueueState::open ? Status::closed : status;
      }
      ++done;
    }
    return Status::ok;
  }

  /// Ends the queue for everybody: nothing is pushed any more; `drop`: nor popped.
  Status close(bool drop, Deadline deadline = Deadline::never()) {
    {
      Held<Lock> held(control_->push.lock, deadline);
      if (held.status() == Status::owner_died) held.mended(mend_push(deadline));
      if (held.status() != Status::ok) return held.status();
      const QueueState now = state();
      if (now == QueueState::open || (drop && now == QueueState::closed)) {
        // Release: pairs with the acquire in state(): who sees it sees all that was pushed.
        Env::store(control_->state,
                   static_cast<std::uint32_t>(drop ? QueueState::dropped : QueueState::closed),
                   std::memory_order_release);
      }
    }
    control_->pushed.notify_all();
    control_->popped.notify_all();
    return Status::ok;
  }

  [[nodiscard]] QueueState state() const noexcept {
    // Acquire: pairs with the release in close().
    return static_cast<QueueState>(Env::load(control_->state, std::memory_order_acquire));
  }

  /// Records in it: exact while nobody else is at work, else a snapshot, never above the limit.
  [[nodiscard]] std::size_t size() const noexcept {
    if (state() == QueueState::dropped) return 0;
    const RecordMark head = fresh_head();
    return std::min<std::uint64_t>(records_between(head, fresh_tail()), max_items_);
  }
  /// Bytes that they take.
  [[nodiscard]] std::uint64_t bytes() const noexcept {
    const RecordMark head = fresh_head();
    const auto used = bytes_between(head, fresh_tail(), storage_.size());
    return std::min(used.value_or(0), max_bytes_);
  }
  /// Whether a record of that length would find room.
  [[nodiscard]] bool has_room_for(std::uint64_t length) const noexcept {
    return size() < max_items_ && bytes() + record_bytes(length) <= max_bytes_;
  }

  /// For people: items that were dropped for want of room.
  void count_dropped(std::uint64_t n) const noexcept {
    // Relaxed, and below as well: nothing is concluded from it.
    Env::fetch_add(control_->dropped, n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    // Relaxed: as above.
    return Env::load(control_->dropped, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t max_items() const noexcept { return max_items_; }
  [[nodiscard]] std::uint64_t max_bytes() const noexcept { return max_bytes_; }
  [[nodiscard]] Event& pushed() const noexcept { return control_->pushed; }
  [[nodiscard]] Event& popped() const noexcept { return control_->popped; }

 private:
  [[noreturn]] static void refuse(const std::string& expected, std::uint64_t found) {
    throw Error(
        Status::corrupt,
        {.tried = "attach to a queue", .expected = expected, .found = std::to_string(found)});
  }

  static RecordMark mark(const Word64& word) {
    // Relaxed: written under the lock that the caller holds, or by the caller.
    return RecordMark::unpack(Env::load(word, std::memory_order_relaxed));
  }
  static void set(Word64& word, const RecordMark& to) {
    // Relaxed: read under the lock that the caller holds.
    Env::store(word, to.packed(), std::memory_order_relaxed);
  }
  [[nodiscard]] RecordMark fresh_head() const {
    // Acquire: pairs with the release in pop(): what lies before it has been read.
    return RecordMark::unpack(Env::load(control_->pop.head, std::memory_order_acquire));
  }
  [[nodiscard]] RecordMark fresh_tail() const {
    // Acquire: pairs with the release in push(): what lies before it is whole.
    return RecordMark::unpack(Env::load(control_->push.tail, std::memory_order_acquire));
  }

  // Under the push lock.

  template <class Write>
  Status append(RecordMark& tail, std::uint64_t size, const Write& write, Deadline deadline) {
    if (size > max_bytes_ || record_bytes(size) > max_bytes_) return Status::too_large;
    const std::uint64_t need = record_bytes(size);
    if (const Status s = make_room(tail, need, deadline); s != Status::ok) return s;
    // Relaxed: the tail's release publishes it.
    Env::store(header_at(tail), size, std::memory_order_relaxed);
    const std::uint64_t at = (tail.offset + 8) & (tail.window - 1);
    if (size <= tail.window - at) [[likely]] {
      write(storage_.subspan(at, size));
    } else {
      const auto whole = internal::record_scratch(size);
      write(whole);
      const std::size_t first = tail.window - at;
      std::copy_n(whole.begin(), first, storage_.subspan(at).begin());
      std::copy(whole.begin() + static_cast<std::ptrdiff_t>(first), whole.end(), storage_.begin());
    }
    tail.offset = (tail.offset + need) & (tail.window - 1);
    tail.count = (tail.count + 1) & RecordMark::kCountMask;
    return Status::ok;
  }

  Status make_room(RecordMark& tail, std::uint64_t need, Deadline deadline) {
    const Status status = find_room(tail, need, deadline);
    if (status != Status::busy || tail.offset == 0 || fresh_head().count != tail.count) [[likely]]
      return status;
    // It is empty, and nothing of this call is in it: at the beginning there is memory.
    Held<Lock> held(control_->pop.lock, deadline);
    if (held.status() == Status::owner_died) held.mended(mend_pop());
    if (held.status() != Status::ok) return held.status();
    start_again(tail.count);
    tail = mark(control_->push.tail);
    return find_room(tail, need, deadline);
  }

  Status find_room(RecordMark& tail, std::uint64_t need, Deadline deadline) {
    if (tail.window > storage_.size() || tail.offset >= tail.window) return Status::corrupt;
    RecordMark head = mark(control_->push.head_seen);
    auto used = bytes_between(head, tail, storage_.size());
    if (!used) return Status::corrupt;
    const bool fits = records_between(head, tail) < max_items_ &&
                      *used + need <= std::min(max_bytes_, tail.window);
    if (!fits) [[unlikely]] {
      head = fresh_head();
      used = bytes_between(head, tail, storage_.size());
      if (!used) return Status::corrupt;
      set(control_->push.head_seen, head);
      if (records_between(head, tail) >= max_items_ || *used + need > max_bytes_) {
        return Status::full;
      }
      if (*used + need > tail.window) return widen(head, tail, need, *used + need, deadline);
    }
    return growth_ == nullptr ? Status::ok : back(end_of(tail, need));
  }

  /// Where the furthest byte of the next record will lie.
  static std::uint64_t end_of(const RecordMark& tail, std::uint64_t need) {
    return std::min(tail.offset + need, tail.window);
  }

  /// Makes the window hold `wanted` bytes, the `need` of the next record included.
  Status widen(const RecordMark& head, RecordMark& tail, std::uint64_t need, std::uint64_t wanted,
               Deadline deadline) {
    const std::uint64_t window = std::bit_ceil(wanted);
    if (window > storage_.size()) return Status::corrupt;
    const bool wrapped = head.count != tail.count && head.offset >= tail.offset;
    const std::uint64_t end = (wrapped ? tail.window : 0) + tail.offset + need;
    if (const Status s = back(std::min(end, window)); s != Status::ok) return s;
    if (wrapped) return unwrap(tail, window, deadline);
    tail.window = window;
    return Status::ok;
  }

  /// The part of the content at the beginning is moved behind the old window's end. Consumers would
  /// look for it at the beginning, so their lock is held until the new mark stands.
  Status unwrap(RecordMark& tail, std::uint64_t window, Deadline deadline) {
    Held<Lock> held(control_->pop.lock, deadline);
    if (held.status() == Status::owner_died) held.mended(mend_pop());
    if (held.status() != Status::ok) return held.status();
    const RecordMark head = fresh_head();
    // It may have wrapped since the caller looked: in the wider window the old one would be taken
    // for a head in front of the tail's next lap, and what is not popped yet for room.
    set(control_->push.head_seen, head);
    if (head.count != tail.count && head.offset >= tail.offset) {
      std::copy_n(storage_.begin(), tail.offset,
                  storage_.begin() + static_cast<std::ptrdiff_t>(tail.window));
      tail.offset += tail.window;
    }
    tail.window = window;
    // Release: as in Committing; what this call has appended so far is whole.
    Env::store(control_->push.tail, tail.packed(), std::memory_order_release);
    set(control_->pop.tail_seen, tail);
    return Status::ok;
  }

  /// Gives the storage's first `bytes` memory. busy: there is none.
  Status back(std::uint64_t bytes) {
    // Relaxed, here and below: under the push lock.
    const std::uint64_t backed = Env::load(control_->push.backed, std::memory_order_relaxed);
    if (bytes <= backed) [[likely]]
      return Status::ok;
    if (growth_ == nullptr || bytes > storage_.size()) return Status::corrupt;
    const std::uint64_t end = std::min<std::uint64_t>(
        (bytes + GrowingMemory::kStep - 1) / GrowingMemory::kStep * GrowingMemory::kStep,
        storage_.size());
    if (!growth_->back(backed, end)) return Status::busy;
    Env::store(control_->push.backed, end, std::memory_order_relaxed);  // relaxed: as above
    return Status::ok;
  }

  /// After an owner's death: what is cached of the other side may be older than a move, and an
  /// emptied queue may be about to begin anew.
  Status mend_push(Deadline deadline) {
    const RecordMark head = fresh_head();
    set(control_->push.head_seen, head);
    const RecordMark tail = mark(control_->push.tail);
    if (head.count != tail.count || head.offset == tail.offset) return Status::ok;
    Held<Lock> held(control_->pop.lock, deadline);
    if (held.status() == Status::owner_died) held.mended(mend_pop());
    if (held.status() == Status::ok) start_again(tail.count);
    return held.status();
  }

  // Under the pop lock.

  template <class Read>
  Status take(RecordMark& head, Read& read) {
    RecordMark tail = mark(control_->pop.tail_seen);
    if (head.count == tail.count) [[unlikely]] {
      tail = fresh_tail();
      set(control_->pop.tail_seen, tail);
      if (head.count == tail.count) return Status::empty;
    }
    const auto used = bytes_between(head, tail, storage_.size());
    if (!used || *used < 8) return Status::corrupt;
    // Relaxed: written before the tail that was read with acquire, by this thread or by one that
    // held the lock before. Read once, then checked.
    const std::uint64_t size = Env::load(header_at(head), std::memory_order_relaxed);
    if (size > *used || record_bytes(size) > *used) return Status::corrupt;
    const std::uint64_t at = (head.offset + 8) & (tail.window - 1);
    Status status = Status::ok;
    if (size <= tail.window - at) [[likely]] {
      status = read(std::span<const std::byte>(storage_.subspan(at, size)));
    } else {
      const auto whole = internal::record_scratch(size);
      const std::size_t first = tail.window - at;
      std::copy_n(storage_.subspan(at).begin(), first, whole.begin());
      std::copy_n(storage_.begin(), size - first,
                  whole.begin() + static_cast<std::ptrdiff_t>(first));
      status = read(std::span<const std::byte>(whole));
    }
    if (status != Status::ok) return status;
    head.offset = (head.offset + record_bytes(size)) & (tail.window - 1);
    head.count = (head.count + 1) & RecordMark::kCountMask;
    return Status::ok;
  }

  /// After an owner's death: what is cached of the other side may be older than a move.
  Status mend_pop() {
    set(control_->pop.tail_seen, fresh_tail());
    return Status::ok;
  }

  /// An emptied queue that has grown begins anew, unless somebody pushes just now.
  void begin_anew(const RecordMark& head) {
    if (mark(control_->pop.tail_seen).window <= first_window_) return;
    const Held<Lock> held(control_->push.lock, Deadline::now());
    // Also not after a death there, whose mark stays for the next who pushes.
    if (held.status() != Status::ok) return;
    if (fresh_tail().count == head.count) start_again(head.count);
  }

  /// Under both locks, for an empty queue. Killed in its midst: the counts are equal, so it is
  /// still empty, and the next who pushes does it again.
  void start_again(std::uint32_t count) {
    const RecordMark start = {.window = first_window_, .offset = 0, .count = count};
    // Release, twice: as in Committing.
    Env::store(control_->pop.head, start.packed(), std::memory_order_release);
    Env::store(control_->push.tail, start.packed(), std::memory_order_release);
    set(control_->pop.tail_seen, start);
    set(control_->push.head_seen, start);
    if (growth_ == nullptr) return;
    // Relaxed: under the push lock. Before the memory goes, since who finds it backed writes there.
    Env::store(control_->push.backed, first_window_, std::memory_order_relaxed);
    growth_->give_back(first_window_, storage_.size());
  }

  [[nodiscard]] Word64& header_at(const RecordMark& mark) const {
    return *attach_object<Word64>(storage_.subspan(mark.offset));
  }

  Control* control_;
  GrowingMemory* growth_;
  bool alike_;
  std::span<std::byte> storage_;
  std::uint64_t max_items_ = 0;
  std::uint64_t max_bytes_ = 0;
  std::uint64_t first_window_ = 0;
};

/// The record queue that ships.
using RecordQueue = BasicRecordQueue<RealLockEnv>;

}  // namespace sluice::internal

#endif  // SLUICE_IPC_RECORD_QUEUE_H_
