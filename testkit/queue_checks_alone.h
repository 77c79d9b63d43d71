// SPDX-License-Identifier: Apache-2.0
//
// The checks of testkit/queue_checks.h that need one thread: the contract of one call after
// another, the ends, batches. Include that one; it says how to use these.

#ifndef SLUICE_TESTKIT_QUEUE_CHECKS_ALONE_H_
#define SLUICE_TESTKIT_QUEUE_CHECKS_ALONE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/parties.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_under_test.h"

namespace sluice::internal {

/// Items of several producers, where the order lets one thread play them.
template <class A>
std::uint64_t numbered(Dice& dice, std::uint32_t n) {
  const bool one = A::kTraits.order == testkit::QueueOrder::per_producer_fifo;
  return testkit::item(one ? 0 : static_cast<std::uint32_t>(dice.roll(4)), n);
}

/// Random calls, with phases in which it fills and such in which it empties; closed at the end.
template <class A>
std::string follow_random_calls(std::size_t capacity, std::size_t calls, std::uint64_t seed) {
  testkit::QueueFollower<A> queue(capacity);
  Dice dice(seed + capacity);
  std::uint32_t n = 0;
  bool fills = true;
  for (std::size_t i = 0; i < calls && queue.wrong().empty(); ++i) {
    if (dice.roll(3 * capacity + 5) == 0) fills = !fills;
    if (i == calls - calls / 20) queue.close();
    const std::uint64_t kind = dice.roll(16);
    if (kind == 0) {
      queue.look_at_size();
    } else if ((kind < 12) == fills) {
      const std::uint64_t id = numbered<A>(dice, n++);
      dice.roll(4) == 0 ? queue.push_without_wait(id) : queue.push(id);
    } else {
      dice.roll(4) == 0 ? queue.pop_without_wait() : queue.pop();
    }
  }
  return queue.wrong();
}

/// To the last place and one more, to the last item and one more; then around many times with so
/// many in it.
template <class A>
std::string follow_to_both_ends(std::size_t capacity, std::size_t rounds, Dice& dice) {
  testkit::QueueFollower<A> queue(capacity);
  const std::size_t full = queue.queue().capacity();
  const std::size_t over = A::kTraits.bounded ? 3 : 100;
  std::uint32_t n = 0;
  for (std::size_t lap = 0; lap < 3; ++lap) {
    for (std::size_t i = 0; i < full + over; ++i) queue.push(numbered<A>(dice, n++));
    queue.look_at_size();
    for (std::size_t i = 0; i < full + over + 1; ++i) queue.pop();
    queue.look_at_size();
  }
  for (const std::size_t level : {std::size_t{0}, full / 2, full - 1}) {
    while (queue.model().size() < level && queue.push(numbered<A>(dice, n++))) {
    }
    for (std::size_t i = 0; i < rounds && queue.wrong().empty(); ++i) {
      queue.push(numbered<A>(dice, n++));
      queue.pop();
    }
    queue.look_at_size();
    while (queue.model().size() != 0 && queue.pop()) {
    }
  }
  return queue.wrong();
}

template <class A>
std::string follow_batches(std::size_t capacity, std::size_t calls, std::uint64_t seed) {
  testkit::QueueFollower<A> queue(capacity);
  Dice dice(seed + capacity);
  std::vector<std::uint64_t> some;
  std::uint32_t n = 0;
  for (std::size_t i = 0; i < calls && queue.wrong().empty(); ++i) {
    const bool fills = i / 20 % 2 == 0;
    const std::size_t count = dice.roll(2 * capacity + 3);
    if ((dice.roll(4) == 0) != fills) {
      some.clear();
      while (some.size() < count) some.push_back(numbered<A>(dice, n++));
      queue.push_n(some);
    } else {
      some.assign(count, 0);
      queue.pop_n(some);
    }
    if (dice.roll(5) == 0) queue.push(numbered<A>(dice, n++));
    if (dice.roll(5) == 0) queue.pop();
    queue.look_at_size();
  }
  return queue.wrong();
}

}  // namespace sluice::internal

namespace sluice::testkit {

/// What one thread's calls give, one after the other, is what the model of the order gives.
template <class Kit>
std::string check_sequential(const CheckOptions& options) {
  for (const std::size_t capacity : {1, 2, 3, 8, 100}) {
    const std::string wrong = internal::follow_random_calls<internal::AdapterOf<Kit>>(
        capacity, options.times(4000), options.seed);
    if (!wrong.empty()) return internal::with_capacity(wrong, capacity);
  }
  return "";
}

/// It takes exactly as many as it should and then refuses, is empty when it ought to be, and goes
/// around many times, at whatever size.
template <class Kit>
std::string check_boundaries(const CheckOptions& options) {
  internal::Dice dice(options.seed);
  for (const std::size_t capacity : {1, 2, 3, 4, 5, 7, 8, 9, 64, 100}) {
    const std::string wrong = internal::follow_to_both_ends<internal::AdapterOf<Kit>>(
        capacity, options.times(20 * capacity + 200), dice);
    if (!wrong.empty()) return internal::with_capacity(wrong, capacity);
  }
  return "";
}

/// The calls for several items do what as many calls for one would.
template <class Kit>
std::string check_batches(const CheckOptions& options) {
  if constexpr (BatchAdapter<internal::AdapterOf<Kit>>) {
    for (const std::size_t capacity : {1, 2, 3, 8, 100}) {
      const std::string wrong = internal::follow_batches<internal::AdapterOf<Kit>>(
          capacity, options.times(500), options.seed);
      if (!wrong.empty()) return internal::with_capacity(wrong, capacity);
    }
  }
  return "";
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_CHECKS_ALONE_H_
