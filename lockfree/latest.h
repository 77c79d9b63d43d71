// SPDX-License-Identifier: Apache-2.0
//
// Latest<T>: the newest complete value of a trivially copyable T, for any number of readers and
// writers, threads or processes: a configuration, a price, a position. Readers never wait, whatever
// becomes of writers. Not a queue: who looks seldom misses values. Not for several values that
// change together, unless they are one struct.
//
//   struct Quote { double bid, ask; long time; bool operator==(const Quote&) const = default; };
//   struct Shared { sluice::Latest<Quote> quote; sluice::Latest<long> trades; };  // shared memory
//
//   shared.quote.store({99.5, 99.7, now});                      // in any process
//   Quote seen = shared.quote.load();                           // in any other; never torn
//   shared.quote.update([](Quote& q) { q.bid += 0.1; });        // reads, changes, stores
//   shared.trades.fetch_add(1);
//   seen = shared.quote.wait(seen);                             // until it is another
//
// In memory (all zero = a T of zeroes; in a zeroed mapping nothing need be done; it may lie at
// another address in each process):
//
//   T up to 8 bytes   one atomic word, and one for sleepers: 4 to 16 bytes (latest_word.h)
//   larger T          a line to read, a lock for writers, four slots (latest_slots.h)
//
// Values. They are copied as bytes; padding is zeroed before they leave the process. They are
// compared by T's own operator==, or by their bytes if each value has one representation (so a NaN
// is never what was expected, and 0.0 is -0.0). What lies in shared memory is untrusted: any bytes
// may come out as a T, and T must bear that, as an enum with a default case.
//
// Units: Deadline. Errors: load() and the other forms without a Deadline throw Error with what the
// forms with one return as a Status: timeout (another writer is at it), corrupt (the bytes are of
// no correct process), foreign_registry (reset()); with ok, and nothing else, out parameters have a
// meaning and the value was stored. For T up to 8 bytes only corrupt can come, from 2^20 changes by
// others within one of ours. Writing the same Latest inside its own update() throws
// std::logic_error. If `fn`, or T's operator==, throws, the value stays as it was.
//
// Threads and processes: all calls may overlap, but for reset(). Readers need a writable mapping:
// one that is overtaken asks for a slot. A store and the load that sees it synchronize (release,
// acquire). For T up to 8 bytes update() may call `fn` more than once; else it calls it once, with
// writers locked out: so let it be short, and not fork.
//
// Steps. A load makes one copy, or another if three stores came while it made it; five at the
// most: from the third on it has a slot kept for it. Only if two other readers have slots kept at
// that time does it go on, up to 2^20 times, as long as it is overtaken each time; what a stopped
// or dead reader keeps is taken from it after 64 copies.
//
// If a process dies here: the commit is one store. A writer killed before it has stored nothing,
// and the next writer goes on, at once or, where the kernel does not tell of the death, at the end
// of its slice (sync/mutex.h); killed after it, its value stands, and sleepers see it at the end of
// theirs. A stopped writer delays writers of larger T, never readers. Nothing is ever repaired.
//
// Cost: T up to 8 bytes: as std::atomic_ref's (a compare-and-swap where there is no instruction),
// and one load; in a process that has never attached (sync/participant.h), a store or change a full
// fence more. Larger T: a load two loads and the copy; a store a Mutex's lock and unlock and the
// copy. No system call while nobody sleeps; no allocation.

#ifndef SLUICE_LOCKFREE_LATEST_H_
#define SLUICE_LOCKFREE_LATEST_H_

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "sluice/lockfree/latest_slots.h"
#include "sluice/lockfree/latest_word.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What update() takes: changes a T in place, or makes a new one of the old.
template <class Fn, class T>
concept UpdateOf = std::invocable<Fn&, T&> || std::is_invocable_r_v<T, Fn&, const T&>;

/// What Latest is over an environment, the machine or a test; Parts is how the bytes of a T lie.
template <SharedValue T, class Env, class Parts>
class BasicLatest {
  static constexpr bool kIsWord = std::is_same_v<Parts, internal::LatestWord<T, Env>>;

 public:
  using value_type = T;

  /// A T of zero bytes.
  BasicLatest() = default;
  /// Before anyone else can see it.
  explicit BasicLatest(const T& initial) noexcept : parts_(initial) {}

  /// The one that lies at the start of `memory`, which somebody has zeroed once. Throws Error if
  /// `memory` is too small or not aligned.
  static BasicLatest& in(std::span<std::byte> memory) {
    auto* const latest = internal::attach_object<BasicLatest>(memory);
    if (latest != nullptr) return *latest;
    throw Error::from_errno(
        EINVAL, {.tried = "find a Latest in memory",
                 .expected = std::to_string(sizeof(BasicLatest)) + " bytes, aligned to " +
                             std::to_string(alignof(BasicLatest)),
                 .found = std::to_string(memory.size()) + " bytes"});
  }

  /// The newest value, whole. Waits for nobody. Throws Error if it is corrupt.
  [[nodiscard]] T load() const {
    internal::ValueRoom<T> room;
    check(try_load(room.value), "load");
    return room.value;
  }
  /// ok or corrupt.
  Status try_load(T& to) const noexcept {
    Seen seen;
    return parts_.read(to, seen);
  }

  /// Makes `value` the newest. Waits for other writers of a T above 8 bytes, never for readers.
  /// Throws Error.
  void store(const T& value) { check(store(value, Deadline::never()), "store"); }
  /// The same: ok, or timeout, corrupt, foreign_registry and nothing is stored.
  Status store(const T& value, Deadline deadline) { return parts_.write(value, deadline); }

  /// Stores `value`; what it replaced.
  T exchange(const T& value) {
    internal::ValueRoom<T> room;
    check(exchange(value, room.value, Deadline::never()), "exchange");
    return room.value;
  }
  /// The same, and what it replaced in `before`: ok, timeout, corrupt, foreign_registry.
  Status exchange(const T& value, T& before, Deadline deadline) {
    internal::ValueRoom<T> room;
    return parts_.modify(deadline, room.value, [&](T& now) {
      before = now;
      now = value;
      return true;
    });
  }

  /// Stores `desired` if the value equals `expected`, and returns whether; if not, `expected` is
  /// what it was.
  bool compare_exchange(T& expected, const T& desired) {
    bool exchanged = false;
    check(compare_exchange(expected, desired, exchanged, Deadline::never()), "compare_exchange");
    return exchanged;
  }
  /// The same; ok also if the two were not equal, as `exchanged` tells: else timeout, corrupt,
  /// foreign_registry.
  Status compare_exchange(T& expected, const T& desired, bool& exchanged, Deadline deadline) {
    internal::ValueRoom<T> room;
    return parts_.modify(deadline, room.value, [&](T& now) {
      exchanged = internal::same_value(std::as_const(now), expected);
      if (exchanged) {
        now = desired;
      } else {
        expected = now;
      }
      return exchanged;
    });
  }

  /// Stores what `fn` makes of the value, with no other store in between; returns it.
  template <UpdateOf<T> Fn>
  T update(Fn fn) {
    internal::ValueRoom<T> room;
    check(change(fn, room.value, Deadline::never()), "update");
    return room.value;
  }
  /// The same: ok, or timeout, corrupt, foreign_registry and nothing is stored.
  template <UpdateOf<T> Fn>
  Status update(Fn fn, Deadline deadline) {
    internal::ValueRoom<T> room;
    return change(fn, room.value, deadline);
  }

  /// What it was before. Integers wrap around.
  T fetch_add(T operand)
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  {
    if constexpr (kIsWord && std::is_integral_v<T>) {
      return parts_.fetch_add(operand);
    } else {
      return fetch(std::plus<>(), operand);
    }
  }
  /// Takes `operand` off; what it was before. Integers wrap around.
  T fetch_sub(T operand)
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  {
    if constexpr (kIsWord && std::is_integral_v<T>) {
      // Unsigned: the negative of the smallest integer is itself.
      return parts_.fetch_add(static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(operand)));
    } else {
      return fetch(std::minus<>(), operand);
    }
  }
  /// Sets the bits of `operand`; what it was before.
  T fetch_or(T operand)
    requires(std::is_integral_v<T>)
  {
    return parts_.fetch_or(operand);
  }
  /// Clears all bits but those of `operand`; what it was before. Throws Error if it is corrupt.
  T fetch_and(T operand)
    requires(std::is_integral_v<T>)
  {
    return fetch(std::bit_and<>(), operand);
  }
  /// Flips the bits of `operand`; what it was before. Throws as fetch_and().
  T fetch_xor(T operand)
    requires(std::is_integral_v<T>)
  {
    return fetch(std::bit_xor<>(), operand);
  }

  /// Waits until the value is not `old`, and returns what it is then. A change that has been undone
  /// by the time that this thread looks is none.
  T wait(const T& old) const {
    T now = old;
    check(wait(old, now, Deadline::never()), "wait");
    return now;
  }
  /// The same, without the value: ok if it is another, timeout, corrupt.
  Status wait(const T& old, Deadline deadline) const {
    internal::ValueRoom<T> room;
    return wait(old, room.value, deadline);
  }
  /// The same, with the value in `now`, which may be `old` itself.
  Status wait(const T& old, T& now, Deadline deadline) const {
    internal::ValueRoom<T> room;  // `now` may be `old` itself: it is written last
    Seen seen;
    bool has_looked = false;
    Status read = Status::ok;
    const auto is_another = [&] {
      if (has_looked && !parts_.has_moved(seen)) return false;
      has_looked = true;
      read = parts_.read(room.value, seen);
      if (read != Status::ok) return true;
      if (internal::same_value(std::as_const(room.value), old)) return false;
      now = room.value;
      return true;
    };
    // Nobody's death ends the wait: any process may store.
    const Status s = parts_.sleepers().await(deadline, is_another, [] { return Status::ok; });
    return s == Status::ok ? read : s;
  }

  /// For whoever knows that nobody uses it, after foreign_registry: its lock is this registry's.
  /// The value stays. busy if a writer is at it who is not known to be dead.
  Status reset() { return parts_.reset(); }
  /// For whoever knows that nobody uses it, and that all its writers were of a registry that is
  /// gone, as after a reboot: they are dead. The value stays. May be repeated if killed.
  void adopt() { parts_.adopt(); }

  /// A snapshot for people, without the value: T may not be printable.
  friend std::ostream& operator<<(std::ostream& out, const BasicLatest& latest) {
    out << "Latest: ";
    latest.parts_.print(out);
    return out << (latest.parts_.sleepers().maybe_waiting() ? ", somebody may wait" : "");
  }

 private:
  using Seen = typename Parts::Seen;

  static void check(Status status, const char* tried) {
    if (status != Status::ok) [[unlikely]]
      throw Error(status, {.tried = std::string(tried) + " a Latest of " +
                                    std::to_string(sizeof(T)) + " bytes"});
  }

  /// `value`: room to work in; in the end what was stored.
  template <class Fn>
  Status change(Fn& fn, T& value, Deadline deadline) {
    return parts_.modify(deadline, value, [&](T& now) {
      if constexpr (std::is_invocable_r_v<T, Fn&, const T&>) {
        now = fn(std::as_const(now));
      } else {
        fn(now);
      }
      return true;
    });
  }

  template <class Operation>
  T fetch(Operation operation, T operand) {
    T value{};
    T before{};
    const Status s = parts_.modify(Deadline::never(), value, [&](T& now) {
      before = now;
      now = static_cast<T>(operation(now, operand));
      return true;
    });
    check(s, "change");
    return before;
  }

  Parts parts_;
};

namespace internal {
template <class T, class Env>
using LatestParts =
    std::conditional_t<sizeof(T) <= sizeof(std::uint64_t), LatestWord<T, Env>, LatestSlots<T, Env>>;
}  // namespace internal

/// What ships.
template <SharedValue T>
using Latest =
    BasicLatest<T, internal::RealLockEnv, internal::LatestParts<T, internal::RealLockEnv>>;

static_assert(sizeof(Latest<std::uint32_t>) == 8 && sizeof(Latest<std::uint64_t>) == 16);
static_assert(internal::Mappable<Latest<std::uint64_t>>);

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_LATEST_H_
