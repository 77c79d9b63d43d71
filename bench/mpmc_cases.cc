// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/mpmc_cases.h"

#include <sched.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/rivals/mpmc_queues.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {
namespace {

constexpr std::size_t kMostSides = 16;
constexpr std::size_t kBatch = 32;

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
void wait_a_little(std::uint32_t& in_vain) {
  cpu_pause();
  if (++in_vain % 64 == 0) sched_yield();
}

/// An item's number: the producer above, a count from 1 below.
constexpr int kCountBits = 56;

template <class Queue, std::size_t kSize, std::size_t kSides, bool kBatches>
class Stream {
  using Item = Message<kSize>;

 public:
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
      const bool others_are_done = Tally::all_done(tally.pushed, kSides);
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

  /// Whole, and in the order of its producer.
  static void check(const Item& item, std::array<std::uint64_t, kMostSides>& last) {
    const std::uint64_t number = item.words[0];
    const std::uint64_t producer = number >> kCountBits;
    if (producer >= kSides || !item.carries(number)) wrong_message(0, number);
    if (number <= last[producer]) wrong_message(last[producer] + 1, number);
    last[producer] = number;
  }

  static void expect_all(const Tally& tally) {
    while (!Tally::all_done(tally.popped, kSides)) sched_yield();
    require(Tally::sum(tally.pushed) == Tally::sum(tally.popped), "items lost or repeated");
  }

  Queue queue_;
  InShared<Tally> tally_;
};

template <class Queue, std::size_t kSize, std::size_t kSides, bool kBatches>
Variant variant(const std::string& name) {
  return {name, [] {
            auto stream = std::make_shared<Stream<Queue, kSize, kSides, kBatches>>();
            Roles roles;
            // In turns: the harness puts every other process on the second CPU.
            for (std::size_t side = 0; side < kSides; ++side) {
              roles.push_back([stream, side](Slice& slice) { stream->consume(side, slice); });
              roles.push_back([stream, side](Slice&) { stream->produce(side); });
            }
            return roles;
          }};
}

Case case_of(const std::string& group, std::size_t sides, std::size_t size) {
  const std::string many = std::to_string(sides);
  return {.group = "mpmc",
          .name = group + "/" + many + "x" + many + "/" + std::to_string(size),
          .unit = "Mitem/s",
          .better = Better::higher,
          .limit = Yardstick::reference_ring};
}

template <std::size_t kSize, std::size_t kSides>
void add_case(Suite& suite) {
  using Item = Message<kSize>;
  suite.add(case_of("mpmc", kSides, kSize),
            {{"sluice", {variant<SluiceMpmc<Item>, kSize, kSides, false>("")}},
             {"vyukov_unsafe",
              {variant<VyukovQueue<Item, 8>, kSize, kSides, false>("packed"),
               variant<VyukovQueue<Item, kCacheLine>, kSize, kSides, false>("line")}},
             {"boost_lockfree", {variant<BoostQueue<Item>, kSize, kSides, false>("")}}});
}

}  // namespace

void add_mpmc_cases(Suite& suite) {
  add_case<8, 1>(suite);
  add_case<8, 2>(suite);
  add_case<8, 4>(suite);
  add_case<8, 8>(suite);
  add_case<8, 16>(suite);
  add_case<64, 1>(suite);
  add_case<64, 2>(suite);
  add_case<64, 4>(suite);
  add_case<1024, 1>(suite);
  add_case<1024, 2>(suite);
  add_case<1024, 4>(suite);
  suite.add(case_of("mpmc_batch", 2, 8),
            {{"sluice", {variant<SluiceMpmc<Message<8>>, 8, 2, true>("")}}});
}

}  // namespace sluice::bench
