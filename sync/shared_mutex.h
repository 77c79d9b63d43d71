// SPDX-License-Identifier: Apache-2.0
//
// SharedMutex: a lock that many may hold for reading at once, or one for writing, between threads
// and processes; a reader or writer may be killed at any instruction. Not for sections of a few
// instructions that are mostly written (Mutex is smaller and as fast there), and not for upgrading:
// who reads gives that back before writing. (Longer than other headers here: it has the interfaces
// of two locks, either of which is decided by the words of both.)
//
//   struct Routes { SharedMutex<> mutex; std::uint32_t hops[256]; };   // in shared memory
//
//   std::shared_lock reading(routes.mutex);                 // throws OwnerDied, see below
//   use(routes.hops);
//
//   std::unique_lock writing(routes.mutex);                 // throws OwnerDied, see below
//   routes.mutex.lock([&] { rebuild(routes.hops); });       // or: repairs first if need be
//
// In memory (128 * (1 + kReaders) bytes, all zero = free and never used):
//
//     0 writer      16 bytes   a Mutex (sync/mutex.h): held by the writer
//    16 drained u32            event count: the writer waits here for readers to leave
//    20 opened u32             event count: readers wait here for the writer to leave
//    24 phase   u32            what its holder does with the writer's lock; written by the holder:
//                              0 nothing yet, or no more; 1 it writes: if it dies, what is
//                              protected may be half changed; 2 it reads, without a cell
//   128 cells, 128 apart       one for each thread that reads, 0 = free:
//
//   63            32 31 30          29         0
//   +---------------+--+------------+-----------+    written by the reader itself, and by others
//   | reader's tag  |  | owner died | thread id |    once it is dead. Where the thread's end has
//   +---------------+--+------------+-----------+    marked it the thread id is 0: free again
//
// At most kReaders threads read at once, each in a cell of its own, so that they write to no common
// line while no writer is there. A further one takes the writer's lock for as long as it reads:
// readers with cells come and go beside it, and the next of its own kind waits. So choose kReaders
// for the threads that read at the same time, at least if they wait for each other while they do.
//
// A writer goes before readers that come later than it: those wait from the moment that it has the
// writer's lock. Between two writers readers may slip in. A thread that holds a share and asks for
// another gets it, also while a writer waits; each takes one unlock_shared().
//
// When a writer dies (killed, exited, or its thread ended), the lock is marked, as a Mutex is, and
// stays so until a writer repairs: lock(), lock_shared() and the try_ forms throw OwnerDied and
// hold nothing; acquire() returns owner_died and holds the lock; acquire_shared() returns
// owner_died and holds nothing, since a reader can't repair. A writer that dies before it has
// entered, while it waits for readers, leaves no mark.
//
// Units: Deadline. Errors, per call: below; misuse throws std::logic_error and changes nothing:
// giving back what the thread does not hold, locking for writing what it holds in either way, and
// for reading what it holds for writing (the try_ forms say false instead). Status: as for Mutex.
//
// Threads and processes: all calls may overlap, but for destroy() and reset(). try_lock() and
// try_lock_shared() may fail because of another try that failed, or of a reader that is just
// looking for a cell. No call is a cancellation point. A forked child holds nothing of what its
// parent holds: it must not run the destructor of a std::shared_lock or std::unique_lock that the
// parent had locked.
//
// Signal handlers: try_lock(), try_lock_shared(), unlock() and unlock_shared() may be called in
// one, under the conditions of sync/mutex.h. Where the thread holds a share the handler gets
// another; where it writes, or is just taking or giving back the lock, it may be refused either.
//
// If a process dies here: a reader's share ends with its process, or with its thread (as far as
// that runs its destructors: after a bare exit(2) of one thread the share stays until the process
// ends); nothing needs repair. A writer that waits for it finds out at the end of its slice, by
// asking whether the tag in the cell is alive. A reader killed after it has written its cell, and
// before it has looked for a writer, is no different. A writer: the writer lock's word is the
// commit, see sync/mutex.h; `phase` tells whether the death matters: it is 1 from before the first
// change to after the last, and who finds the lock marked with another drops the mark. Readers that
// wait for a dead writer find out at the end of their slice. Every loop is bounded by attempts or
// by the deadline.
//
// Cost: lock_shared() one compare-and-swap on the reader's own line, two loads of a line that is
// only read while no writer comes; unlock_shared() a store and a load. lock() a compare-and-swap, a
// fence, kReaders loads; unlock() another compare-and-swap. No system call while nobody waits.

#ifndef SLUICE_SYNC_SHARED_MUTEX_H_
#define SLUICE_SYNC_SHARED_MUTEX_H_

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string_view>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/reader_cells.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What SharedMutex is over an environment, the machine or a test; kReaders is how many cells it
/// has for readers.
template <class Env, std::size_t kReaders>
class alignas(kNoSharing) BasicSharedMutex {
  static_assert(kReaders >= 1 && kReaders <= 4096);

 public:
  /// For ipc/shared.h.
  static constexpr std::string_view kTypeName = "sluice.SharedMutex";

  // Writing

  /// Waits for as long as it takes. Throws OwnerDied, Error, std::logic_error; then the caller does
  /// not hold the lock.
  void lock() { require(take(Deadline::never(), Marked::left)); }

  /// False if others hold it, or the caller does. Throws as lock() else.
  bool try_lock() { return succeeded(take(Deadline::now(), Marked::left)); }

  /// False if the time has passed. Throws as lock().
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> after) {
    return succeeded(take(Deadline(after), Marked::left));
  }
  /// The same, up to a time of any clock, which counts also if it is set meanwhile.
  template <class Clock, class Duration>
  bool try_lock_until(std::chrono::time_point<Clock, Duration> at) {
    return until(at, [&](Deadline deadline) { return take(deadline, Marked::left); });
  }

  /// Takes the lock also if a writer died. Holds it: ok, owner_died. Does not: timeout, corrupt,
  /// foreign_registry, closed. Throws std::logic_error.
  Status acquire(Deadline deadline = Deadline::never()) { return take(deadline, Marked::taken); }

  /// As lock(), but if a writer died, calls `repair` with the lock held and marks it consistent. If
  /// that throws, the lock is given back and stays marked.
  template <std::invocable Repair>
  void lock(Repair repair) {
    const Status s = acquire();
    if (s == Status::ok) return;
    if (s != Status::owner_died) require(s);
    try {
      repair();
    } catch (...) {
      unlock();
      throw;
    }
    if (is_marked()) mark_consistent();
  }

  /// By a writer whose predecessor had died: what the lock protects is in order again. Throws
  /// std::logic_error for a lock that is not marked, or not the caller's.
  void mark_consistent() { writer_.mark_consistent(); }

  /// Throws std::logic_error if the calling thread does not hold the lock for writing.
  void unlock() {
    const internal::HeldLock* const held = find_mine(Env::self());  // a forked child holds nothing
    if (held == nullptr || is_share(*held)) internal::refuse_unlock();
    // Release: for the compiler: no change may come after it, as a kill may fall in between.
    if (!is_marked()) Env::store(phase_, kIdle, std::memory_order_release);
    leave();
  }

  // Reading

  /// Waits for as long as it takes. Throws OwnerDied, Error, std::logic_error; then the caller does
  /// not hold a share.
  void lock_shared() {
    const Status s = take_shared(Deadline::never());
    if (s != Status::ok) [[unlikely]]
      require(s);
  }

  /// False if a writer holds or awaits the lock. Throws as lock_shared() else.
  bool try_lock_shared() { return succeeded(take_shared(Deadline::now())); }

  /// False if the time has passed. Throws as lock_shared().
  template <class Rep, class Period>
  bool try_lock_shared_for(std::chrono::duration<Rep, Period> after) {
    return succeeded(take_shared(Deadline(after)));
  }
  /// The same, up to a time of any clock, as try_lock_until().
  template <class Clock, class Duration>
  bool try_lock_shared_until(std::chrono::time_point<Clock, Duration> at) {
    return until(at, [&](Deadline deadline) { return take_shared(deadline); });
  }

  /// ok: the caller holds a share. It does not: timeout, owner_died, corrupt, foreign_registry,
  /// closed. Throws std::logic_error.
  Status acquire_shared(Deadline deadline = Deadline::never()) { return take_shared(deadline); }

  /// Throws std::logic_error if the calling thread holds no share.
  void unlock_shared() {
    internal::ThreadState& self = Env::self();  // as in unlock()
    internal::HeldLock* const held = find_mine(self);
    if (held == nullptr || !is_share(*held)) [[unlikely]]
      internal::refuse_unlock();
    if ((held->depth & ~kShare) != 1) [[unlikely]] {
      --held->depth;
    } else if (is_writers(*held)) [[unlikely]] {
      held->depth = 1;  // no share any more, before others can come in: as in try_enter()
      set_idle();
      leave();
    } else {
      leave_cell(self, *held->word);
    }
  }

  // Both

  /// Ends the lock's use: later calls say closed. busy if a living owner holds it in any way;
  /// foreign_registry. Waiters are told.
  Status destroy() {
    if (writer_.is_foreign(Env::self().incarnation)) return Status::foreign_registry;
    return end_by([this] { return writer_.destroy(); });
  }

  /// For whoever knows that nobody uses the lock: makes it free, unmarked, and of this process's
  /// registry, whatever it was. busy if an owner holds it who is not known to be dead.
  Status reset() {
    // In this order: what is another registry's is refused, and so can be reset again.
    if (writer_.is_foreign(Env::self().incarnation)) clear();
    return end_by([this] { return writer_.reset(); });
  }

  /// Whether the calling thread holds the lock for writing.
  [[nodiscard]] bool is_owned() const noexcept { return writer_.is_owned() && shares() == 0; }

  /// How many shares the calling thread holds.
  [[nodiscard]] std::uint32_t shares() const noexcept {
    if (Env::me() == 0) return 0;
    const internal::HeldLock* const held = find_mine(Env::self());
    return held != nullptr && is_share(*held) ? held->depth & ~kShare : 0;
  }

  /// How many cells are taken, by readers who live or died. A snapshot, for people.
  [[nodiscard]] std::size_t readers() const noexcept { return cells_.taken(); }

  /// As Mutex::report(): of the writer, or of a reader that found no cell.
  [[nodiscard]] LockReport report() const noexcept {
    LockReport report = writer_.report();
    report.maybe_waiting |= drained_.maybe_waiting() || opened_.maybe_waiting();
    return report;
  }

  friend std::ostream& operator<<(std::ostream& out, const BasicSharedMutex& mutex) {
    return out << "SharedMutex: " << mutex.report() << "; " << mutex.readers() << " of " << kReaders
               << " reader cells taken";
  }

 private:
  using Word = internal::LockWord;
  using Cells = internal::BasicReaderCells<Env, kReaders>;
  using Cell = Cells::Cell;

  /// What to do with a lock whose writer died.
  enum class Marked : std::uint8_t { left, taken };
  enum class Entry : std::uint8_t { inside, refused, crowded };

  // Of the writer's lock.
  static constexpr std::uint32_t kIdle = 0;
  static constexpr std::uint32_t kWriting = 1;
  static constexpr std::uint32_t kReading = 2;
  /// In a HeldLock's depth: the writer's lock is held by a reader that found no cell.
  static constexpr std::uint32_t kShare = std::uint32_t{1} << 31;
  /// In a row, against words that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;

  // ---- what this thread holds

  [[nodiscard]] internal::HeldLock* find_mine(internal::ThreadState& self) const noexcept {
    return self.held.find_within(this, sizeof *this);
  }
  [[nodiscard]] bool is_writers(const internal::HeldLock& held) const noexcept {
    return reinterpret_cast<std::uintptr_t>(held.word) - reinterpret_cast<std::uintptr_t>(this) <
           sizeof writer_;
  }
  [[nodiscard]] bool is_share(const internal::HeldLock& held) const noexcept {
    return !is_writers(held) || (held.depth & kShare) != 0;
  }

  // ---- writers

  Status take(Deadline deadline, Marked marked) {
    if (find_mine(Env::self()) != nullptr) [[unlikely]] {
      if (deadline.is_now()) return Status::timeout;
      shares() != 0 ? internal::refuse_upgrade() : internal::refuse_relock();
    }
    Status s = take_writers_lock(deadline);
    if (s == Status::owner_died && marked == Marked::left) {
      leave();
      return s;
    }
    if (s != Status::ok && s != Status::owner_died) return s;
    if (!drain(deadline)) {
      leave();
      return Status::timeout;
    }
    // Relaxed: whoever reads it has taken the lock, or its mark, from this thread. Nothing that the
    // caller does may come before it, as a kill may fall in between: that is the compiler's part.
    Env::store(phase_, kWriting, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // as above
    return s;
  }

  /// owner_died only if that matters. Holds the lock after it, and after ok.
  Status take_writers_lock(Deadline deadline) {
    const Status s = writer_.acquire(deadline);
    if (s != Status::owner_died || was_writing()) return s;
    set_idle();
    writer_.mark_consistent();
    return Status::ok;
  }

  [[nodiscard]] bool was_writing() const noexcept {
    // Acquire: for a reader, which looks at the writer's word once more after it.
    return Env::load(phase_, std::memory_order_acquire) == kWriting;
  }

  /// With the writer's lock.
  void set_idle() noexcept {
    // Relaxed: before the fence of this thread's drain(), or the release of its unlock and so
    // before the fence of the next writer: see try_enter().
    Env::store(phase_, kIdle, std::memory_order_relaxed);
  }

  [[nodiscard]] bool is_marked() const noexcept {
    // Relaxed: this thread's own word.
    return (writer_.look(std::memory_order_relaxed) & Word::kOwnerDied) != 0;
  }

  /// Gives the writer's lock back.
  void leave() {
    writer_.unlock();
    opened_.notify_all();
  }

  /// With the writer's lock: waits until all readers have left. False if the time has passed.
  bool drain(Deadline deadline) {
    // Between the taking of the writer's word and the looks at the cells: see announce-then-look,
    // in try_enter().
    Env::fence();
    for (std::size_t i = 0; i < kReaders; ++i) {
      if (cells_.is_left(i)) continue;
      if (deadline.is_now()) cells_.free_if_dead(i);
      const Status s = drained_.await(
          deadline, [&] { return cells_.is_left(i); },
          [&] {
            cells_.free_if_dead(i);
            return Status::ok;
          });
      if (s != Status::ok) return false;
    }
    return true;
  }

  // ---- readers

  Status take_shared(Deadline deadline) {
    internal::ThreadState& self = Env::self();
    if (!writer_.belongs_to(self.incarnation)) [[unlikely]]
      return Status::foreign_registry;
    if (self.held.count() != 0) {
      if (internal::HeldLock* const held = find_mine(self)) return share_again(*held, deadline);
    }
    if (try_enter(self) == Entry::inside) [[likely]]
      return Status::ok;
    return take_shared_slowly(self, deadline);
  }

  Status share_again(internal::HeldLock& held, Deadline deadline) {
    if (is_share(held) && (held.depth | kShare) != UINT32_MAX) {
      ++held.depth;
      return Status::ok;
    }
    if (deadline.is_now()) return Status::timeout;
    internal::refuse_downgrade();
  }

  /// Announce, then look. The reader writes its cell, then looks at the writer's word; a writer
  /// takes that word, fences, then looks at the cells. The swap and the look here are sequentially
  /// consistent, as is that fence, so one comes first: if the fence does, the look sees the
  /// writer, and the reader withdraws; if the swap does, the writer sees the cell, and waits. Where
  /// the lock is held by a reader, the look that counts is that at `phase`, which changes before
  /// the next writer's fence.
  Entry try_enter(internal::ThreadState& self) {
    self.held.make_room();
    Cell* const cell = cells_.enter(self);
    if (cell == nullptr) return Entry::crowded;
    // Sequentially consistent: as above. It also pairs with the release of the last writer.
    const std::uint64_t word = writer_.look(std::memory_order_seq_cst);
    if (is_open(word)) [[likely]] {
      self.held.add(*cell);  // not before: a signal handler would take it for a share
      return Entry::inside;
    }
    withdraw(self, *cell);
    return Entry::refused;
  }

  [[gnu::noinline]] void withdraw(const internal::ThreadState& self, Cell& cell) {
    free_cell(self, cell);
  }

  /// Whether the writer's word, just looked at, lets readers in.
  [[nodiscard]] bool is_open(std::uint64_t word) const noexcept {
    if ((word & (Word::kThread | Word::kOwnerDied)) == 0) [[likely]]
      return true;
    // Sequentially consistent: see try_enter(). It also pairs with the release in
    // take_further_share(), which comes after the last writer.
    return Word::is_held(word) && Env::load(phase_, std::memory_order_seq_cst) == kReading;
  }

  [[gnu::always_inline]] void leave_cell(internal::ThreadState& self, Cell& cell) {
    self.held.remove_unwatched(cell);  // before it is free: as in try_enter()
    free_cell(self, cell);
  }

  [[gnu::always_inline]] void free_cell(const internal::ThreadState& self, Cell& cell) {
    Cells::leave(self, cell);
    drained_.notify_all();
  }

  Status take_shared_slowly(internal::ThreadState& self, Deadline deadline) {
    bool late = false;
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      // Acquire: what a writer's death left, see meet_mark().
      const std::uint64_t word = writer_.look(std::memory_order_acquire);
      if (word == Word::kDestroyed) return Status::closed;
      if (Word::is_held(word) && !is_open(word)) {
        if (late) return Status::timeout;
        late = deadline.passed(Env::now());
        const Status s = await_writer(deadline);
        if (s != Status::ok) return s;
        attempt = 0;  // what bounds the waiting is the deadline
      } else if (!is_open(word)) {
        if (const Status s = meet_mark(word); s != Status::ok) return s;
      } else {
        const Entry entry = try_enter(self);
        if (entry == Entry::inside) return Status::ok;
        if (entry == Entry::crowded) return take_further_share(self, deadline);
      }
    }
    return Status::corrupt;
  }

  /// Waits until no living writer holds the lock; ok: look again.
  Status await_writer(Deadline deadline) {
    const auto dead = [&] { return writer_.lost_its_owner() ? Status::owner_died : Status::ok; };
    const auto left = [&] {
      // Relaxed: it will be looked at again; the event count brings the news.
      const std::uint64_t word = writer_.look(std::memory_order_relaxed);
      return !Word::is_held(word) || word == Word::kDestroyed || is_open(word);
    };
    const Status s = deadline.is_now() && dead() != Status::ok
                         ? Status::owner_died
                         : opened_.await(deadline, left, dead);
    return s == Status::owner_died ? settle() : s;
  }

  /// The writer's lock was found marked. ok: look again.
  Status meet_mark(std::uint64_t word) {
    if (!was_writing()) return settle();
    // Acquire: not before the look at `phase`. If the word is the same as before, the mark and
    // `phase` belong together: a mark without a tag is left only by one who was told.
    return writer_.look(std::memory_order_acquire) == word ? Status::owner_died : Status::ok;
  }

  /// By a reader: takes the lock of a dead writer for a moment, so that its word is marked, or
  /// free if the writer had not been writing. ok: look again.
  Status settle() {
    const Status s = take_writers_lock(Deadline::now());
    if (s == Status::timeout) return Status::ok;  // somebody else has it by now
    if (s == Status::ok || s == Status::owner_died) leave();
    return s;
  }

  /// All cells are taken.
  Status take_further_share(internal::ThreadState& self, Deadline deadline) {
    const Status s = take_writers_lock(deadline);
    if (s == Status::owner_died) leave();
    if (s != Status::ok) return s;
    // Nobody writes, and nobody can begin to. The next writer will see the cell, since it takes the
    // lock after this thread has given it back.
    self.held.make_room();
    if (Cell* const cell = cells_.take(self, Cells::Search::dead)) {
      self.held.add(*cell);
      leave();
    } else {
      self.held.find_within(&writer_, sizeof writer_)->depth |= kShare;
      // Release: pairs with the look of readers in is_open().
      Env::store(phase_, kReading, std::memory_order_release);
      opened_.notify_all();
    }
    return Status::ok;
  }

  // ---- ends

  template <class End>
  Status end_by(End end) {
    for (std::size_t i = 0; i < kReaders; ++i) {
      cells_.free_if_dead(i);
      if (!cells_.is_left(i)) return Status::busy;
    }
    const Status s = end();
    if (s != Status::ok) return s;
    clear();
    opened_.notify_all();
    return s;
  }

  void clear() noexcept {
    cells_.clear();
    // Relaxed: the caller vouches that nobody else looks.
    Env::store(phase_, kIdle, std::memory_order_relaxed);
  }

  template <class Clock, class Duration, class Take>
  bool until(std::chrono::time_point<Clock, Duration> at, Take take_by) {
    // A clock that is set while we wait: what counts is what it says in the end.
    while (!succeeded(take_by(Deadline::until(at)))) {
      if (Clock::now() >= at) return false;
    }
    return true;
  }

  bool succeeded(Status s) const {
    if (s != Status::timeout) require(s);
    return s == Status::ok;
  }

  void require(Status s) const {
    if (s != Status::ok) internal::throw_not_locked(s, writer_.died());
  }

  BasicMutex<Env> writer_;
  BasicEventCount<Env> drained_;
  BasicEventCount<Env> opened_;
  internal::Word<std::uint32_t> phase_;
  Cells cells_;
};

/// kReaders: how many threads can read at once without getting into each other's way.
template <std::size_t kReaders = 32>
using SharedMutex = BasicSharedMutex<internal::RealLockEnv, kReaders>;

static_assert(sizeof(SharedMutex<>) == 33 * kNoSharing && alignof(SharedMutex<>) == kNoSharing);
static_assert(internal::Mappable<SharedMutex<>>);

}  // namespace sluice

#endif  // SLUICE_SYNC_SHARED_MUTEX_H_
