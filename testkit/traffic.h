// SPDX-License-Identifier: Apache-2.0
//
// Internal: traffic: producers that push numbered items through a queue and consumers that write
// down what they pop, for the checks of testkit/queue_checks.h that need threads; and what may be
// concluded from their records.
//
// Units: items. Errors: TrafficRecord::wrong. Threads: as TrafficPlan says. If a process dies here:
// private memory. Cost: a word per item.

#ifndef SLUICE_TESTKIT_TRAFFIC_H_
#define SLUICE_TESTKIT_TRAFFIC_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "sluice/testkit/check_items.h"
#include "sluice/testkit/check_options.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/parties.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_under_test.h"

namespace sluice::internal {

/// By which calls items go in and out.
enum class TrafficCalls : std::uint8_t { trying, waiting, batches };

struct TrafficPlan {
  std::size_t producers = 1;
  std::size_t consumers = 1;
  /// Of each producer.
  std::size_t items = 1000;
  std::size_t capacity = 8;
  TrafficCalls calls = TrafficCalls::trying;
  /// Producers look at size() between their calls, and consumers.
  bool looks_at_size = false;
  /// After how many pushes of all together the queue is closed, while they push; 0: it is not.
  std::size_t closed_at = 0;
  std::uint64_t seed = 1;
  std::chrono::milliseconds patience{2000};
};

struct TrafficRecord {
  /// How many pushes of each producer were true.
  std::vector<std::size_t> pushed;
  /// What each consumer popped, one after the other; the last is who looked when all were done.
  std::vector<std::vector<std::uint64_t>> popped;
  /// What was wrong at once: somebody stood still or threw, a size() that can't be.
  std::string wrong;
};

/// Each item that was pushed is popped once, whole, and nothing else is. Else says what is not so.
std::string judge_count(const TrafficRecord& record);
/// No consumer gets items of one producer in another order than they were pushed.
std::string judge_order(const TrafficRecord& record);
/// "2x2 threads, capacity 8, seed 1".
std::string describe(const TrafficPlan& plan);

/// The plans for a queue: 1x1, 2x2 and 4x4 threads, as far as its traits allow.
std::vector<TrafficPlan> traffic_plans(const testkit::QueueTraits& traits,
                                       const testkit::CheckOptions& options, std::size_t items);

/// What the threads of a traffic share, for as long as the last of them.
template <class A>
class Traffic {
 public:
  using Item = typename A::value_type;

  explicit Traffic(const TrafficPlan& plan) : plan_(plan), queue_(plan.capacity) {
    record_.pushed.resize(plan.producers);
    record_.popped.resize(plan.consumers + 1);
  }

  /// To the end.
  static TrafficRecord run(const TrafficPlan& plan) {
    const auto traffic = std::make_shared<Traffic>(plan);
    Parties parties;
    for (std::size_t i = 0; i < plan.producers; ++i) {
      parties.start([traffic, i](Steps& steps) { traffic->produce(i, steps); });
    }
    for (std::size_t i = 0; i < plan.consumers; ++i) {
      parties.start([traffic, i](Steps& steps) { traffic->consume(i, steps); });
    }
    if (!parties.wait_for_all(plan.patience)) {
      TrafficRecord stuck;
      stuck.wrong = parties.threw();
      if (stuck.wrong.empty()) stuck.wrong = traffic->describe_standstill(parties);
      return stuck;
    }
    traffic->take_the_rest();
    if (traffic->record_.wrong.empty()) traffic->record_.wrong = parties.threw();
    return std::move(traffic->record_);
  }

 private:
  static constexpr std::size_t kBatch = 5;

  void produce(std::size_t self, Steps& steps) {
    auto&& queue = testkit::party_of(*queue_);
    Dice dice(plan_.seed * 64 + self);
    std::size_t& done = record_.pushed[self];
    while (done < plan_.items) {
      const std::size_t count = push_some(queue, self, done, dice);
      done += count;
      steps += count;
      maybe_close(count);
      if (plan_.looks_at_size) look_at_size();
      dawdle(dice);
      if (count != 0) continue;
      if (plan_.calls == TrafficCalls::waiting && !may_be_closed_) refused_early_ = "push()";
      if (is_closed_ || plan_.calls == TrafficCalls::waiting) break;
      std::this_thread::yield();
    }
    // By the last: nobody waits for items that nobody pushes.
    if (++producers_done_ == plan_.producers) end_pushing(queue);
  }

  template <class Queue>
  std::size_t push_some(Queue& queue, std::size_t self, std::size_t from, Dice& dice) {
    const auto id = [&](std::size_t n) {
      return testkit::item(static_cast<std::uint32_t>(self), static_cast<std::uint32_t>(n));
    };
    if constexpr (testkit::BatchAdapter<A>) {
      if (plan_.calls == TrafficCalls::batches) {
        std::array<Item, kBatch> some{};
        const std::size_t count = std::min(1 + dice.roll(kBatch), plan_.items - from);
        for (std::size_t i = 0; i < count; ++i) some[i] = Item(id(from + i));
        return std::min<std::size_t>(queue.try_push_n(std::span(some).first(count)), count);
      }
    }
    if constexpr (testkit::BlockingAdapter<A>) {
      if (plan_.calls == TrafficCalls::waiting) return queue.push(Item(id(from))) ? 1 : 0;
    }
    return queue.try_push(Item(id(from))) ? 1 : 0;
  }

  void maybe_close(std::size_t count) {
    if constexpr (testkit::ClosableAdapter<A>) {
      const std::size_t before = pushed_.fetch_add(count);
      if (plan_.closed_at != 0 && before < plan_.closed_at && before + count >= plan_.closed_at) {
        may_be_closed_ = true;
        queue_->close();
        is_closed_ = true;
      }
    }
  }

  /// Lets consumers that wait go home.
  template <class Queue>
  void end_pushing(Queue& queue) {
    if constexpr (testkit::ClosableAdapter<A>) {
      if (plan_.calls != TrafficCalls::waiting || may_be_closed_) return;
      may_be_closed_ = true;
      queue_->close();
    } else if constexpr (testkit::BlockingAdapter<A>) {
      for (std::size_t i = 0; plan_.calls == TrafficCalls::waiting && i < plan_.consumers; ++i) {
        queue.push(Item(kGoHome));
      }
    }
  }

  void consume(std::size_t self, Steps& steps) {
    auto&& queue = testkit::party_of(*queue_);
    Dice dice(plan_.seed * 64 + 32 + self);
    std::vector<std::uint64_t>& got = record_.popped[self];
    // A queue that gives more than it got must come to an end.
    const std::size_t most = plan_.items * plan_.producers + 100;
    while (got.size() < most) {
      const bool nobody_pushes = producers_done_ == plan_.producers;
      const std::size_t count = pop_some(queue, got, dice);
      steps += count;
      if (!got.empty() && got.back() == kGoHome) {
        got.pop_back();
        break;
      }
      if (plan_.looks_at_size) look_at_size();
      dawdle(dice);
      if (count != 0) continue;
      if (plan_.calls == TrafficCalls::waiting && !may_be_closed_) refused_early_ = "pop()";
      if (nobody_pushes || plan_.calls == TrafficCalls::waiting) break;
      std::this_thread::yield();
    }
  }

  template <class Queue>
  std::size_t pop_some(Queue& queue, std::vector<std::uint64_t>& got, Dice& dice) {
    if constexpr (testkit::BatchAdapter<A>) {
      if (plan_.calls == TrafficCalls::batches) {
        std::array<Item, kBatch> some{};
        const std::size_t most = 1 + dice.roll(kBatch);
        const std::size_t count =
            std::min<std::size_t>(queue.try_pop_n(std::span(some).first(most)), most);
        for (std::size_t i = 0; i < count; ++i) got.push_back(id_of(some[i]));
        return count;
      }
    }
    Item out{};
    bool ok = false;
    if constexpr (testkit::BlockingAdapter<A>) {
      ok = plan_.calls == TrafficCalls::waiting ? queue.pop(out) : queue.try_pop(out);
    } else {
      ok = queue.try_pop(out);
    }
    if (ok) got.push_back(id_of(out));
    return ok ? 1 : 0;
  }

  void look_at_size() {
    if constexpr (testkit::SizedAdapter<A>) {
      const std::size_t size = queue_->size();
      const std::size_t most =
          A::kTraits.bounded ? queue_.capacity() : plan_.items * plan_.producers;
      // Kept once, and read when all are done.
      if (size > most) impossible_size_ = size;
    }
  }

  /// In the calling thread, once all others are done.
  void take_the_rest() {
    if (impossible_size_ != 0) {
      record_.wrong = "size() -> " + std::to_string(impossible_size_) +
                      " during work, of a queue for " + std::to_string(queue_.capacity());
    }
    if (const char* const call = refused_early_) {
      record_.wrong = std::string(call) + " -> false though nobody had closed the queue";
    }
    judge_size_at_rest();
    note_call("try_pop(), with nobody else at work,");
    Item out{};
    std::size_t left = plan_.items * plan_.producers + 100;
    while (left-- != 0 && queue_->try_pop(out)) {
      if (id_of(out) != kGoHome) record_.popped.back().push_back(id_of(out));
    }
    if (testkit::ClosableAdapter<A> && plan_.calls == TrafficCalls::waiting &&
        plan_.closed_at == 0 && !record_.popped.back().empty() && record_.wrong.empty()) {
      record_.wrong = "pop() -> false after close(), with " +
                      std::to_string(record_.popped.back().size()) + " items in it";
    }
  }

  void judge_size_at_rest() {
    if constexpr (testkit::SizedAdapter<A>) {
      if (!plan_.looks_at_size || !record_.wrong.empty()) return;
      std::size_t pushed = 0;
      std::size_t popped = 0;
      for (const std::size_t count : record_.pushed) pushed += count;
      for (const auto& got : record_.popped) popped += got.size();
      const std::size_t size = queue_->size();
      if (size + popped == pushed) return;
      record_.wrong = "size() -> " + std::to_string(size) + " at rest, with " +
                      std::to_string(pushed) + " pushed and " + std::to_string(popped) + " popped";
    }
  }

  [[nodiscard]] std::string describe_standstill(const Parties& parties) const {
    std::string text = "nobody goes on for " + std::to_string(plan_.patience.count()) + " ms:";
    for (std::size_t i = 0; i < plan_.producers + plan_.consumers; ++i) {
      const bool pushes = i < plan_.producers;
      text += (i == 0 ? " " : ", ") + std::to_string(parties.steps(i)) +
              (pushes ? " pushed" : " popped") + (parties.has_ended(i) ? "" : " (still at it)");
    }
    return text + " of " + std::to_string(plan_.items) + " each";
  }

  static constexpr std::uint64_t kGoHome = testkit::item(~std::uint32_t{0}, ~std::uint32_t{0} - 8);

  const TrafficPlan plan_;
  testkit::QueueUnderTest<A> queue_;
  std::atomic<std::size_t> pushed_{0};
  std::atomic<std::size_t> producers_done_{0};
  std::atomic<std::size_t> impossible_size_{0};
  /// Somebody is about to close it, or has; it is closed for certain.
  std::atomic<bool> may_be_closed_{false};
  std::atomic<bool> is_closed_{false};
  /// A call that waits, and gave up too early.
  std::atomic<const char*> refused_early_{nullptr};
  TrafficRecord record_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_TRAFFIC_H_
