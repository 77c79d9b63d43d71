// SPDX-License-Identifier: Apache-2.0
//
// LatestWord: lockfree/latest.h for a T of at most 8 bytes, which lies in one atomic word.
// Internal.
//
// In memory (4 to 8 bytes for T up to 4, 16 above; all zero = a T of zeroes):
//
//   +-------------------+---------------+
//   | T, then zeroes    | sleepers u32  |     T in 1, 2, 4 or 8 bytes
//   +-------------------+---------------+
//
// If a process dies here: each change is one atomic operation, the commit. Killed before it: as if
// not called; killed after it: sleepers look again at the end of their slice.
//
// Cost: load a load; store a store, fetch_add a fetch_add, others a compare-and-swap, each with one
// load of `sleepers`, which lies in the same line. No system call while nobody sleeps.

#ifndef SLUICE_LOCKFREE_LATEST_WORD_H_
#define SLUICE_LOCKFREE_LATEST_WORD_H_

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <type_traits>

#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

template <SharedValue T, class Env>
class LatestWord {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  using Bits = std::conditional_t<
      sizeof(T) == 1, std::uint8_t,
      std::conditional_t<sizeof(T) == 2, std::uint16_t,
                         std::conditional_t<sizeof(T) <= 4, std::uint32_t, std::uint64_t>>>;

 public:
  /// What a reader has seen, to tell cheaply whether there is something else by now.
  struct Seen {
    Bits bits = 0;
  };

  LatestWord() = default;
  explicit LatestWord(const T& initial) noexcept {
    // Relaxed: publishing the object is the caller's step.
    Env::store(word_, to_bits(initial), std::memory_order_relaxed);
  }

  [[nodiscard]] bool has_moved(Seen seen) const noexcept {
    // Relaxed: read() orders.
    return Env::load(word_, std::memory_order_relaxed) != seen.bits;
  }

  Status read(T& to, Seen& seen) const noexcept {
    // Acquire: pairs with the release of whoever stored it.
    seen.bits = Env::load(word_, std::memory_order_acquire);
    from_bits(seen.bits, to);
    return Status::ok;
  }

  Status write(const T& value, Deadline /*deadline*/) noexcept {
    // Release: pairs with the acquire in read().
    Env::store(word_, to_bits(value), std::memory_order_release);
    sleepers_.notify_all();
    return Status::ok;
  }

  /// Puts the value into `value` and calls change(value), which returns whether to store what it
  /// has made of it; again if somebody has come between.
  template <class Change>
  Status modify(Deadline /*deadline*/, T& value, Change change) {
    // Acquire: pairs with the release of whoever stored it.
    Bits bits = Env::load(word_, std::memory_order_acquire);
    for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
      from_bits(bits, value);
      if (!change(value)) return Status::ok;
      // Acquire-release: what is stored rests upon what was found, and whoever finds it sees both.
      if (Env::cas(word_, bits, to_bits(value), std::memory_order_acq_rel)) {
        sleepers_.notify_all();
        return Status::ok;
      }
    }
    return Status::corrupt;
  }

  /// For integers: wraps around.
  T fetch_add(T operand) noexcept {
    // Acquire-release: as in modify().
    const Bits before = Env::fetch_add(word_, to_bits(operand), std::memory_order_acq_rel);
    sleepers_.notify_all();
    return value_of(before);
  }
  T fetch_or(T operand) noexcept {
    // Acquire-release: as in modify().
    const Bits before = Env::fetch_or(word_, to_bits(operand), std::memory_order_acq_rel);
    sleepers_.notify_all();
    return value_of(before);
  }

  [[nodiscard]] BasicEventCount<Env>& sleepers() const noexcept { return sleepers_; }

  Status reset() noexcept { return Status::ok; }
  void adopt() noexcept {}

  void print(std::ostream& out) const { out << sizeof(T) << " bytes, in one word"; }

 private:
  /// In a row, against a word that somebody keeps changing.
  static constexpr int kMostAttempts = 1 << 20;

  static Bits to_bits(const T& value) noexcept {
    T clean = value;
    clear_padding(clean);
    Bits bits = 0;
    std::memcpy(&bits, &clean, sizeof(T));
    return bits;
  }
  static void from_bits(Bits bits, T& to) noexcept {
    if constexpr (std::is_same_v<T, bool>) {
      to = bits != 0;  // other bytes than 0 and 1 are no bool
    } else {
      std::memcpy(static_cast<void*>(&to), &bits, sizeof(T));
    }
  }
  static T value_of(Bits bits) noexcept {
    ValueRoom<T> room;
    from_bits(bits, room.value);
    return room.value;
  }

  Word<Bits> word_;
  mutable BasicEventCount<Env> sleepers_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_LATEST_WORD_H_
