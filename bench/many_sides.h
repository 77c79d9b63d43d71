// SPDX-License-Identifier: Apache-2.0
//
// A stream through a queue of many producers and many consumers: every item arrives once, whole,
// and in the order of its producer, or the run ends with an error.
//
//   struct MyQueue {
//     auto producer();  // bool push(const Item&), false: no room; with batches: push_n(span)
//     auto consumer();  // bool pop(Item&), false: nothing there; with batches: pop_n(span)
//   };
//   suite.add(what, {{"mine", {many_sides<MyQueue, Message<8>>("", 2)}}});
//
// Calls that sleep need an end: producer().end(consumers), if there is such a function, is called
// when the last of the producers has pushed its last, by at least one of them; from then on pop()
// returns false instead of sleeping. An item has stamp(), carries() and number_of(), as Message
// has.
//
// A queue that does not keep the order of a producer says so: static constexpr bool kInOrder =
// false.
//
// Threads, processes, death: as harness/traffic.h.

#ifndef SLUICE_BENCH_MANY_SIDES_H_
#define SLUICE_BENCH_MANY_SIDES_H_

#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {

inline constexpr std::size_t kMostSides = 16;
inline constexpr std::size_t kBatch = 32;

/// A count of one process, on lines of its own.
struct alignas(kNoSharing) Count {
  std::atomic<std::uint64_t> items = 0, done = 0;
};

struct Tally {
  std::array<Count, kMostSides> pushed, popped;
  alignas(kNoSharing) std::atomic<std::uint32_t> stop = 0;

  static std::uint64_t sum(const std::array<Count, kMostSides>& counts) {
    std::uint64_t sum = 0;
    for (const Count& count : counts) sum += count.items;
    return sum;
  }
  static bool all_done(const std::array<Count, kMostSides>& counts, std::size_t sides) {
    std::size_t done = 0;
    for (const Count& count : counts) done += count.done;
    return done == sides;
  }
};

/// Waits a little after a call that was in vain, and lets others run after some: with more
/// processes than CPUs, the one that is waited for may be on this one.
inline void wait_a_little(std::uint32_t& in_vain) {
  cpu_pause();
  if (++in_vain % 64 == 0) sched_yield();
}

/// An item's number: the producer above, a count from 1 below.
inline constexpr int kCountBits = 56;

template <std::size_t kSize>
std::uint64_t number_of(const Message<kSize>& item) {
  return item.words[0];
}

template <class Queue, class Item, bool kBatches>
class Stream {
 public:
  template <class... Args>
  explicit Stream(std::size_t sides, const Args&... args) : sides_(sides), queue_(args...) {}

  void produce(std::size_t side) {
    auto producer = queue_.producer();
    Tally& tally = *tally_;
    std::array<Item, kBatches ? kBatch : 1> items = {};
    std::uint64_t next = 1;
    std::uint32_t in_vain = 0;
    // Relaxed, here and below: counts and flags, which order nothing.
    while (tally.stop.load(std::memory_order_relaxed) == 0) {
      for (std::size_t i = 0; i < items.size(); ++i) {
        items[i].stamp(std::uint64_t{side} << kCountBits | (next + i));
      }
      std::size_t pushed = 0;
      if constexpr (kBatches) {
        pushed = producer.push_n(items);
      } else {
        pushed = producer.push(items[0]) ? 1 : 0;
      }
      next += pushed;
      if (pushed == 0) wait_a_little(in_vain);
    }
    tally.pushed[side].items = next - 1;
    tally.pushed[side].done = 1;
    if constexpr (requires { producer.end(sides_); }) {
      if (Tally::all_done(tally.pushed, sides_)) producer.end(sides_);
    }
  }

  /// The first consumer keeps the time.
  void consume(std::size_t side, Slice& slice) {
    auto consumer = queue_.consumer();
    Tally& tally = *tally_;
    std::array<Item, kBatches ? kBatch : 1> items = {};
    std::array<std::uint64_t, kMostSides> last = {};
    std::uint64_t count = 0;
    std::uint32_t in_vain = 0;
    Watch watch(slice, tally);
    for (std::uint64_t calls = 0;; ++calls) {
      const bool others_are_done = Tally::all_done(tally.pushed, sides_);
      std::size_t popped = 0;
      if constexpr (kBatches) {
        popped = consumer.pop_n(items);
      } else {
        popped = consumer.pop(items[0]) ? 1 : 0;
      }
      for (std::size_t i = 0; i < popped; ++i) check(items[i], last);
      count += popped;
      tally.popped[side].items.store(count, std::memory_order_relaxed);  // as above
      if (side == 0 && calls % 128 == 0) watch.look();
      if (popped == 0) {
        if (others_are_done) break;
        wait_a_little(in_vain);
      }
    }
    tally.popped[side].done = 1;
    if (side == 0) expect_all(tally);
  }

 private:
  class Watch {
   public:
    Watch(Slice& slice, Tally& tally)
        : slice_(slice), tally_(tally), until_(Clock::now() + slice.times().warm_up) {}
    void look() {
      const Clock::time_point now = Clock::now();
      if (over_ || now < until_) return;
      const std::uint64_t items = Tally::sum(tally_.popped);
      if (begin_ == Clock::time_point()) {
        begin_ = now;
        first_ = items;
        until_ = now + slice_.times().measured;
        return;
      }
      const std::chrono::duration<double> time = now - begin_;
      slice_.report(0, 1e-6 * static_cast<double>(items - first_) / time.count());
      tally_.stop = 1;
      over_ = true;
    }

   private:
    Slice& slice_;
    Tally& tally_;
    Clock::time_point until_;
    Clock::time_point begin_ = {};
    std::uint64_t first_ = 0;
    bool over_ = false;
  };

  /// Whole, and in the order of its producer, where there is one.
  void check(const Item& item, std::array<std::uint64_t, kMostSides>& last) const {
    const std::uint64_t number = number_of(item);
    const std::uint64_t producer = number >> kCountBits;
    if (producer >= sides_ || !item.carries(number)) wrong_message(0, number);
    if (is_in_order() && number <= last[producer]) wrong_message(last[producer] + 1, number);
    last[producer] = number;
  }

  static constexpr bool is_in_order() {
    if constexpr (requires { Queue::kInOrder; }) {
      return Queue::kInOrder;
    } else {
      return true;
    }
  }

  void expect_all(const Tally& tally) const {
    while (!Tally::all_done(tally.popped, sides_)) sched_yield();
    require(Tally::sum(tally.pushed) == Tally::sum(tally.popped), "items lost or repeated");
  }

  std::size_t sides_;
  Queue queue_;
  InShared<Tally> tally_;
};

/// `sides` producers and as many consumers; the queue is made of `args`.
template <class Queue, class Item, bool kBatches = false, class... Args>
Variant many_sides(const std::string& name, std::size_t sides, const Args&... args) {
  return {name, [=] {
            auto stream = std::make_shared<Stream<Queue, Item, kBatches>>(sides, args...);
            Roles roles;
            // In turns: the harness puts every other process on the second CPU.
            for (std::size_t side = 0; side < sides; ++side) {
              roles.push_back([stream, side](Slice& slice) { stream->consume(side, slice); });
              roles.push_back([stream, side](Slice&) { stream->produce(side); });
            }
            return roles;
          }};
}

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_MANY_SIDES_H_
