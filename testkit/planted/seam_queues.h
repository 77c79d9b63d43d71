// SPDX-License-Identifier: Apache-2.0
//
// Queues over the seam of sync/env.h with a bug in them, for who uses the scheduler
// (testkit/scheduler.h) or works on it. Both run over the machine as well.
//
//   BasicPublishedRing<ScheduledEnv, WordCell<ScheduledEnv>, Bug::planted> ring;
//   template <class T> using Broken = testkit::PublishesRelaxed<T>;
//   template <class T> using Broken = testkit::TaglessPool<T>;
//
//   bug                what it does                                   found by, in less than
//   PublishesRelaxed   a ring whose producer publishes with a relaxed the scheduler's weak loads,
//                      store. On x86 it works, until a compiler uses  1 s; and ThreadSanitizer
//                      what it is allowed to                          with PlainCell, 1 s
//   TaglessPool        a stack of indices whose head has no count: A  exactly once, 10 s; the
//                      reads top and next, others pop both and push   scheduler, 1 s
//                      the top back, and A's swap succeeds (ABA)
//
// Units: items. Errors: as testkit/queue_adapter.h. Threads: of the ring one that pushes and one
// that pops. If a process dies here: nothing is promised. Cost: that of such queues.

#ifndef SLUICE_TESTKIT_PLANTED_SEAM_QUEUES_H_
#define SLUICE_TESTKIT_PLANTED_SEAM_QUEUES_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/sync/env.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/planted/bug.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

// -------------------------------------------------------------------------------------------------
// A ring between one producer and one consumer

/// What a place of the ring holds: plain data, which ThreadSanitizer watches.
template <class T>
struct PlainCell {
  using value_type = T;
  void set(T item) { value = item; }
  [[nodiscard]] T get() const { return value; }
  T value{};
};

/// Or a word, of which the scheduler's weak loads may give what it held before.
template <class Env>
struct WordCell {
  using value_type = std::uint64_t;
  void set(std::uint64_t item) {
    // Relaxed, both: the ring's tail publishes it.
    Env::store(word, item, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get() const {
    return Env::load(word, std::memory_order_relaxed);  // as above
  }
  internal::Word<std::uint64_t> word;
};

template <class Env, class Cell, Bug kBug>
class BasicPublishedRing {
 public:
  using value_type = typename Cell::value_type;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::fifo, .bounded = true, .producers = 1, .consumers = 1};

  explicit BasicPublishedRing(std::size_t capacity) : cells_(capacity) {}

  bool try_push(value_type item) {
    // Relaxed: the producer's own.
    const std::uint64_t at = Env::load(tail_, std::memory_order_relaxed);
    // Acquire: pairs with the release in try_pop(): the place has been read.
    if (at - Env::load(head_, std::memory_order_acquire) == cells_.size()) return false;
    cells_[at % cells_.size()].set(item);
    // Release: pairs with the acquire in try_pop(). Relaxed is the bug: nothing orders the item.
    Env::store(tail_, at + 1,
               kBug == Bug::planted ? std::memory_order_relaxed : std::memory_order_release);
    return true;
  }

  bool try_pop(value_type& item) {
    // Relaxed: the consumer's own.
    const std::uint64_t at = Env::load(head_, std::memory_order_relaxed);
    // Acquire: pairs with the release in try_push().
    if (at == Env::load(tail_, std::memory_order_acquire)) return false;
    item = cells_[at % cells_.size()].get();
    // Release: pairs with the acquire in try_push().
    Env::store(head_, at + 1, std::memory_order_release);
    return true;
  }

 private:
  std::vector<Cell> cells_;
  alignas(128) internal::Word<std::uint64_t> head_;
  alignas(128) internal::Word<std::uint64_t> tail_;
};

template <class T>
  requires std::is_trivially_copyable_v<T>
using PublishesRelaxed = BasicPublishedRing<internal::RealEnv, PlainCell<T>, Bug::planted>;
template <class T>
  requires std::is_trivially_copyable_v<T>
using PublishesReleased = BasicPublishedRing<internal::RealEnv, PlainCell<T>, Bug::mended>;

// -------------------------------------------------------------------------------------------------
// A stack of values in a pool: two lists of indices, of free places and of full ones

/// Treiber's stack of the numbers 1 to n; 0 is none.
template <class Env, Bug kBug>
class BasicIndexList {
 public:
  explicit BasicIndexList(std::size_t n) : nexts_(n + 1) {}

  /// 0 if there is none.
  std::uint32_t pop() {
    for (;;) {
      // Acquire: pairs with the release in push(). Loaded anew each time: what a swap that fails
      // has found is not.
      std::uint64_t head = Env::load(head_, std::memory_order_acquire);
      const std::uint32_t first = index_in(head);
      if (first == 0) return 0;
      // Relaxed: if it is not of now, the swap fails; with a count in the head, that is.
      const std::uint32_t next = Env::load(nexts_[first], std::memory_order_relaxed);
      // Acquire: as above.
      if (Env::cas(head_, head, after(head, next), std::memory_order_acquire)) return first;
    }
  }

  void push(std::uint32_t index) {
    // Relaxed: the swap decides.
    std::uint64_t head = Env::load(head_, std::memory_order_relaxed);
    do {
      // Relaxed: published by the swap.
      Env::store(nexts_[index], index_in(head), std::memory_order_relaxed);
      // Release: pairs with the acquire in pop().
    } while (!Env::cas(head_, head, after(head, index), std::memory_order_release));
  }

 private:
  static std::uint32_t index_in(std::uint64_t head) { return static_cast<std::uint32_t>(head); }
  /// The head with another first: it counts its changes, if there is no bug.
  static std::uint64_t after(std::uint64_t head, std::uint32_t first) {
    const std::uint64_t changes = kBug == Bug::planted ? 0 : (head >> 32) + 1;
    return changes << 32 | first;
  }

  std::vector<internal::Word<std::uint32_t>> nexts_;
  alignas(128) internal::Word<std::uint64_t> head_;
};

template <class Env, class T, Bug kBug>
  requires std::is_trivially_copyable_v<T>
class BasicStackPool {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::lifo, .bounded = true};

  explicit BasicStackPool(std::size_t capacity)
      : values_(capacity + 1), free_(capacity), full_(capacity) {
    for (std::size_t i = capacity; i > 0; --i) free_.push(static_cast<std::uint32_t>(i));
  }

  bool try_push(T item) {
    const std::uint32_t at = free_.pop();
    if (at == 0) return false;
    values_[at] = item;
    full_.push(at);
    return true;
  }
  bool try_pop(T& item) {
    const std::uint32_t at = full_.pop();
    if (at == 0) return false;
    item = values_[at];
    free_.push(at);
    return true;
  }

 private:
  std::vector<T> values_;
  BasicIndexList<Env, kBug> free_, full_;
};

template <class T>
  requires std::is_trivially_copyable_v<T>
using TaglessPool = BasicStackPool<internal::RealEnv, T, Bug::planted>;
template <class T>
  requires std::is_trivially_copyable_v<T>
using TaggedPool = BasicStackPool<internal::RealEnv, T, Bug::mended>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_PLANTED_SEAM_QUEUES_H_
