// SPDX-License-Identifier: Apache-2.0
//
// The checks of testkit/queue_checks.h for what items a queue carries, and what it does to them.
// Include that one; it says how to use these.

#ifndef SLUICE_TESTKIT_QUEUE_CHECKS_ITEMS_H_
#define SLUICE_TESTKIT_QUEUE_CHECKS_ITEMS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_under_test.h"
#include "sluice/testkit/tracked.h"

namespace sluice::internal {

/// Such items fill it and come out whole, again and again; the last ones stay in it.
template <class A>
std::string follow_items(std::size_t laps) {
  for (const std::size_t capacity : {1, 3, 8}) {
    testkit::QueueFollower<A> queue(capacity);
    std::uint32_t n = 0;
    for (std::size_t lap = 0; lap < laps; ++lap) {
      for (std::size_t i = 0; i < capacity + 1; ++i) queue.push(testkit::item(0, n++));
      for (std::size_t i = 0; i < capacity && lap + 1 < laps; ++i) queue.pop();
    }
    if (!queue.wrong().empty()) return with_capacity(queue.wrong(), capacity);
  }
  return "";
}

/// Pushes and pops items of which one copy or move throws, and follows what the queue makes of it.
template <class A>
class ThrowingRun {
 public:
  explicit ThrowingRun(std::size_t capacity) : queue_(capacity) {}

  /// The n-th copy or move throws: of the pushes until the queue is full, or of the pops until it
  /// is empty.
  std::string run(std::size_t throw_at, bool in_push) {
    if (!in_push) fill();
    testkit::Throwing::throw_at(throw_at);
    in_push ? fill() : drain();
    testkit::Throwing::throw_at(0);
    drain();
    // What may have been lost was on its way when it threw.
    if (wrong_.empty() && popped_ + lost_ < pushed_) {
      wrong_ = std::to_string(pushed_ - popped_ - lost_) + " items were lost";
    }
    if (wrong_.empty()) try_all_again();
    return wrong_;
  }

 private:
  void fill() {
    for (std::size_t i = 0; i < queue_.capacity(); ++i) push();
  }

  bool push() {
    try {
      note_call("try_push()");
      const bool ok = queue_->try_push(testkit::Throwing(next_++));
      if (ok) ++pushed_;
      return ok;
    } catch (const testkit::ItemThrew&) {
      ++unsure_;
      return false;
    }
  }

  /// Until it is empty; so long that each item could throw once.
  void drain() {
    for (std::size_t calls = 2 * queue_.capacity() + 4; calls != 0; --calls) {
      testkit::Throwing out;
      try {
        note_call("try_pop()");
        if (!queue_->try_pop(out)) return;
        note(out.id());
      } catch (const testkit::ItemThrew&) {
        ++lost_;
      }
    }
    if (wrong_.empty()) wrong_ = "after a throw try_pop() never says that it is empty";
  }

  void note(std::uint64_t id) {
    ++popped_;
    if (id >= seen_.size()) seen_.resize(next_);
    if (id >= next_) {
      wrong_ = "after a throw try_pop() gave an item without a value, or moved away";
    } else if (seen_[id]) {
      wrong_ = "after a throw try_pop() gave item " + std::to_string(id) + " twice";
    } else {
      seen_[id] = true;
    }
    if (popped_ > pushed_ + unsure_) wrong_ = "after a throw there were more items than pushed";
  }

  /// As if nothing had been.
  void try_all_again() {
    for (std::size_t i = 0; i < queue_.capacity(); ++i) {
      if (!push()) {
        wrong_ = "after a throw, empty, it takes " + std::to_string(i) + " of " +
                 std::to_string(queue_.capacity()) + " items";
        return;
      }
    }
    const std::size_t before = popped_;
    drain();
    if (wrong_.empty() && popped_ - before != queue_.capacity()) {
      wrong_ = "after a throw, full, it gives " + std::to_string(popped_ - before) + " of " +
               std::to_string(queue_.capacity()) + " items";
    }
  }

  testkit::QueueUnderTest<A> queue_;
  std::uint64_t next_ = 0;
  std::size_t pushed_ = 0;
  std::size_t popped_ = 0;
  std::size_t unsure_ = 0;  ///< pushes that threw
  std::size_t lost_ = 0;    ///< pops that threw
  std::vector<bool> seen_;
  std::string wrong_;
};

template <class A>
std::string throw_once(std::size_t capacity, std::size_t throw_at, bool in_push) {
  testkit::Ledger::reset();
  std::string wrong;
  {
    ThrowingRun<A> run(capacity);
    wrong = run.run(throw_at, in_push);
  }
  return wrong.empty() ? testkit::Ledger::verdict() : wrong;
}

/// Some go in, some come out, it is closed or not, and destroyed with the rest in it.
template <class A>
std::string keep_books(std::size_t capacity, std::size_t push, std::size_t pop, bool close) {
  testkit::Ledger::reset();
  std::string wrong;
  {
    testkit::QueueFollower<A> queue(capacity);
    for (std::size_t i = 0; i < push; ++i) {
      queue.push(testkit::item(0, static_cast<std::uint32_t>(i)));
    }
    for (std::size_t i = 0; i < pop; ++i) queue.pop();
    if (close) queue.close();
    wrong = queue.wrong();
  }
  return wrong.empty() ? testkit::Ledger::verdict() : wrong;
}

}  // namespace sluice::internal

namespace sluice::testkit {

/// Items that want to lie on multiples of 128 bytes do.
template <class Kit>
std::string check_aligned_items(const CheckOptions& options) {
  if constexpr (internal::KitCarries<Kit, internal::AlignedItem>) {
    internal::AlignedItem::misplaced = false;
    std::string wrong =
        internal::follow_items<internal::AdapterOf<Kit, internal::AlignedItem>>(options.times(20));
    if (wrong.empty() && internal::AlignedItem::misplaced) {
      return "an item that is to lie on a multiple of 128 bytes does not";
    }
    return wrong;
  } else if constexpr (internal::KitCarries<Kit, internal::PlainAlignedItem>) {
    return internal::follow_items<internal::AdapterOf<Kit, internal::PlainAlignedItem>>(
        options.times(20));
  } else {
    return "";
  }
}

/// Items that can't be copied come out with what went in.
template <class Kit>
std::string check_move_only_items(const CheckOptions& options) {
  if constexpr (internal::KitCarries<Kit, internal::MoveOnlyItem>) {
    return internal::follow_items<internal::AdapterOf<Kit, internal::MoveOnlyItem>>(
        options.times(20));
  } else {
    return "";
  }
}

/// Items of 4 KiB come out whole.
template <class Kit>
std::string check_large_items(const CheckOptions& options) {
  if constexpr (internal::KitCarries<Kit, internal::LargeItem>) {
    return internal::follow_items<internal::AdapterOf<Kit, internal::LargeItem>>(options.times(20));
  } else {
    return "";
  }
}

/// When a copy or a move throws, the item may be lost that was on its way, but no other; nothing is
/// made or destroyed twice, and the queue works on.
template <class Kit>
std::string check_throwing_items([[maybe_unused]] const CheckOptions& options) {
  if constexpr (internal::KitCarries<Kit, Throwing>) {
    for (const std::size_t capacity : {1, 2, 5}) {
      for (std::size_t throw_at = 1; throw_at <= 2 + 6 * capacity; ++throw_at) {
        for (const bool in_push : {true, false}) {
          const std::string wrong =
              internal::throw_once<internal::AdapterOf<Kit, Throwing>>(capacity, throw_at, in_push);
          if (wrong.empty()) continue;
          return internal::with_capacity("copy or move " + std::to_string(throw_at) + " of the " +
                                             (in_push ? "pushes" : "pops") + " throws: " + wrong,
                                         capacity);
        }
      }
    }
  }
  return "";
}

/// Each item is destroyed as often as it was made, in its life, and before the queue's end.
template <class Kit>
std::string check_lives([[maybe_unused]] const CheckOptions& options) {
  if constexpr (internal::KitCarries<Kit, Tracked>) {
    for (const std::size_t capacity : {1, 3, 8, 33}) {
      for (const std::size_t pop : {std::size_t{0}, capacity / 2, capacity}) {
        for (const bool close : {false, true}) {
          const std::string wrong = internal::keep_books<internal::AdapterOf<Kit, Tracked>>(
              capacity, capacity, pop, close);
          if (wrong.empty()) continue;
          return internal::with_capacity(std::to_string(capacity) + " pushed, " +
                                             std::to_string(pop) + " popped, " +
                                             (close ? "closed and " : "") + "destroyed: " + wrong,
                                         capacity);
        }
      }
    }
  }
  return "";
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_CHECKS_ITEMS_H_
