// SPDX-License-Identifier: Apache-2.0
//
// Internal to testkit/queue_bench.h: an adapter as a channel and as a queue of many sides, and the
// roles that are measured with it, in processes or in threads.
//
// Threads, processes, death: bench/harness/traffic.h.

#ifndef SLUICE_TESTKIT_QUEUE_TRAFFIC_H_
#define SLUICE_TESTKIT_QUEUE_TRAFFIC_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "sluice/bench/harness/histogram.h"
#include "sluice/bench/harness/in_threads.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/many_sides.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/shared_queue.h"

namespace sluice::internal {

inline constexpr std::size_t kBenchCapacity = 1024;

/// How a side waits for room, or for an item.
enum class Way : std::uint8_t {
  tries,          ///< by calls that don't wait, with a pause between them
  tries_at_once,  ///< without one
  waits,          ///< in calls that do
};

/// What one process, or one thread, uses.
template <class A, Way kWay = Way::tries>
struct BenchSide {
  using Item = typename A::value_type;

  bool push(const Item& item) { return mine.try_push(item); }
  bool pop(Item& item) { return mine.try_pop(item); }

  void send(const Item& item) {
    if constexpr (kWay == Way::waits) {
      bench::require(mine.push(item), "push() returned false");
    } else {
      wait_until([&] { return mine.try_push(item); });
    }
  }
  void receive(Item& item) {
    if constexpr (kWay == Way::waits) {
      bench::require(mine.pop(item), "pop() returned false");
    } else {
      wait_until([&] { return mine.try_pop(item); });
    }
  }
  template <class Ready>
  static void wait_until(Ready ready) {
    constexpr bool kPauses = kWay == Way::tries;
    bench::spin_until<kPauses ? bench::Spin::pause : bench::Spin::bare>(ready);
  }

  decltype(testkit::party_of(std::declval<A&>())) mine;
};

template <class A>
constexpr bool keeps_order() {
  return A::kTraits.order == testkit::QueueOrder::fifo ||
         A::kTraits.order == testkit::QueueOrder::per_producer_fifo;
}

/// A queue that is made before the fork.
template <class A, Way kWay = Way::tries>
class BenchQueue {
 public:
  static constexpr bool kInOrder = keeps_order<A>();
  static constexpr bool kProcesses = testkit::ProcessAdapter<A>;

  auto sender() { return side(); }
  auto receiver() { return side(); }
  auto producer() { return side(); }
  auto consumer() { return side(); }

 private:
  BenchSide<A, kWay> side() {
    if constexpr (kProcesses) {
      return {testkit::party_of(queue_.attach())};
    } else {
      return {testkit::party_of(queue_)};
    }
  }

  template <class Q, bool kShared>
  struct Made {
    using Type = Q;
  };
  template <class Q>
  struct Made<Q, true> {
    using Type = testkit::SharedQueue<Q>;
  };
  typename Made<A, kProcesses>::Type queue_{kBenchCapacity};
};

/// "threads", and which variant, if there are several.
template <class A>
std::string bench_name(const std::string& variant) {
  const std::string where = testkit::ProcessAdapter<A> ? "processes" : "threads";
  return variant.empty() ? where : where + "/" + variant;
}

/// The roles as they are, for processes, or in threads.
template <class A, class Make>
bench::Variant bench_variant(const std::string& variant, Make make) {
  return {bench_name<A>(variant), [make] {
            if constexpr (testkit::ProcessAdapter<A>) {
              return make();
            } else {
              return bench::in_threads(make());
            }
          }};
}

template <class A, Way kWay>
bench::Variant streams(const std::string& variant) {
  return bench_variant<A>(variant, [] {
    return bench::one_way<sizeof(typename A::value_type)>(std::make_shared<BenchQueue<A, kWay>>());
  });
}

template <class A, Way kWay>
bench::Variant round_trips(const std::string& variant) {
  return bench_variant<A>(variant, [] {
    return bench::round_trip<sizeof(typename A::value_type)>(
        std::make_shared<BenchQueue<A, kWay>>(), std::make_shared<BenchQueue<A, kWay>>());
  });
}

template <class A>
bench::Variant many(const std::string& variant, std::size_t sides) {
  return bench_variant<A>(variant, [sides] {
    return bench::many_sides<BenchQueue<A>, typename A::value_type>("", sides).make();
  });
}

// -------------------------------------------------------------------------------------------------
// Latency

inline std::uint64_t bench_now() {
  return static_cast<std::uint64_t>(bench::Clock::now().time_since_epoch().count());
}

/// A message each kBeat, with its time in the second word: the queue is empty, mostly.
template <class Side>
void send_in_time(bench::Slice& slice, Side side) {
  constexpr std::uint64_t kBeat = 2000;  // ns
  typename Side::Item item{};
  std::uint64_t next = 0;
  std::uint64_t due = bench_now();
  const auto send_for = [&](bench::Clock::duration time, std::uint64_t flag) {
    const std::uint64_t end = bench_now() + static_cast<std::uint64_t>(time.count());
    for (bool last = false; !last;) {
      std::uint64_t now = bench_now();
      for (; now < due; now = bench_now()) {
      }
      last = now >= end;
      due = now + kBeat;
      item.stamp(next++ | (last ? flag : 0));
      item.words[1] = bench_now();
      side.send(item);
    }
  };
  send_for(slice.times().warm_up, bench::kWarm);
  send_for(slice.times().measured, bench::kLast);
}

template <class Side>
void time_arrivals(bench::Slice& slice, Side side) {
  typename Side::Item item{};
  bench::Histogram times;
  bool warm = false;
  for (std::uint64_t next = 0;; ++next) {
    side.receive(item);
    const std::uint64_t now = bench_now();
    const std::uint64_t number = item.words[0] & ~(bench::kWarm | bench::kLast);
    if (number != next) bench::wrong_message(next, number);
    if (warm) times.add(now - std::min(now, item.words[1]));
    if ((item.words[0] & bench::kWarm) != 0) warm = true;
    if ((item.words[0] & bench::kLast) != 0) break;
  }
  if (times.total() > 0) slice.report(0, times.quantile(0.5));
  if (times.knows(0.99)) slice.report(1, times.quantile(0.99));
  if (times.knows(0.999)) slice.report(2, times.quantile(0.999));
}

template <class A>
bench::Variant latencies(const std::string& variant) {
  return bench_variant<A>(variant, [] {
    const auto queue = std::make_shared<BenchQueue<A>>();
    return bench::Roles{
        [queue](bench::Slice& slice) { send_in_time(slice, queue->sender()); },
        [queue](bench::Slice& slice) { time_arrivals(slice, queue->receiver()); },
    };
  });
}

// -------------------------------------------------------------------------------------------------
// Cases

[[nodiscard]] bench::Case one_way_case(std::size_t bytes);
[[nodiscard]] bench::Case round_trip_case(const std::string& name);
[[nodiscard]] bench::Case latency_case();
[[nodiscard]] bench::Case many_case(std::size_t sides);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_TRAFFIC_H_
