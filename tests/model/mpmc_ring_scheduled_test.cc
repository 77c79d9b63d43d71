// SPDX-License-Identifier: Apache-2.0
//
// The ring of many producers and many consumers that ships, under the scheduler: each item that was
// acknowledged comes out once, in its producer's order, and none is torn; with deaths. Beside it
// mutants, which must be seen to fail.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using internal::Word;
using testkit::ExploreOptions;
using testkit::renew;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledData;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

// -------------------------------------------------------------------------------------------------
// Environments with one fault. The orders in them are what is tested.

/// Operations of one order are done with none.
template <Order kForgotten>
struct WeakerEnv : ScheduledEnv {
  static constexpr Order weaker(Order order) {
    return order == kForgotten ? Order::relaxed : order;
  }
  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    return ScheduledEnv::load(word, weaker(order));  // the fault
  }
  template <class T>
  static void store(Word<T>& word, T value, Order order) noexcept {
    ScheduledEnv::store(word, value, weaker(order));  // the fault
  }
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order success) noexcept {
    return ScheduledEnv::cas(word, expected, desired, weaker(success));  // the fault
  }
};

/// Nobody is ever found dead: nothing is repaired.
struct BlindEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

/// Everybody is.
struct HastyEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

/// Claims that are stores: what two have seen empty, both write.
struct CarelessEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& /*expected*/, T desired, Order success) noexcept {
    ScheduledEnv::store(word, desired, success == Order::acquire ? Order::relaxed : Order::release);
    return true;  // the fault
  }
};

// -------------------------------------------------------------------------------------------------
// What is explored

constexpr std::size_t kMostThreads = 5;
constexpr std::size_t kMostItems = 12;  // of all producers
using Item = ScheduledData<std::uint64_t>;

/// Who does what: the threads are numbered in this order. The last, which is immortal, takes out
/// what is left once the others are done or dead.
struct Plan {
  std::size_t capacity;
  std::size_t producers, items;      ///< items each
  std::size_t consumers, tries;      ///< calls each
  std::size_t mortal_producers = 0;  ///< the first so many
  std::size_t mortal_consumers = 0;
  bool by_copy = false;   ///< try_push and try_pop, which take a shorter way
  std::size_t batch = 0;  ///< try_push_n and try_pop_n of so many, if not 0
};

template <class Env>
class Traffic {
 public:
  using Ring = BasicMpmcRing<Item, Env>;

  Scenario of(const Plan& plan) {
    plan_ = plan;
    Scenario scenario{.name = std::to_string(plan.producers) + " push " +
                              std::to_string(plan.items) + ", " + std::to_string(plan.consumers) +
                              " pop, room for " + std::to_string(plan.capacity)};
    scenario.setup = [this] { start(); };
    for (std::size_t i = 0; i < plan.producers; ++i) {
      scenario.threads.push_back({[this, i] { produce(i); }, i < plan.mortal_producers});
    }
    for (std::size_t i = 0; i < plan.consumers; ++i) {
      scenario.threads.push_back({[this, i] { consume(i); }, i < plan.mortal_consumers});
    }
    scenario.threads.push_back({[this] { take_the_rest(); }});
    scenario.check = [this](const ScheduleEnd& end) { return verdict(end); };
    scenario.names = {{"ring", shared_.memory}};
    return scenario;
  }

 private:
  struct Shared {
    alignas(kNoSharing) std::array<std::byte, 512> memory;
    std::array<Word<std::uint32_t>, kMostThreads> done;
  };

  [[nodiscard]] std::span<std::byte> memory() { return shared_.memory; }
  [[nodiscard]] std::size_t others() const { return plan_.producers + plan_.consumers; }

  void start() {
    renew(shared_);
    Ring::format(memory(), plan_.capacity);
    acknowledged_ = {};
    taken_ = {};
  }

  void finish(std::size_t thread) {
    // Release: for who takes the rest.
    Env::store(shared_.done[thread], 1U, Order::release);
  }

  void produce(std::size_t which) {
    typename Ring::Producer producer(memory());
    if (plan_.batch != 0) {
      produce_batches(producer, which);
      return finish(which);
    }
    for (std::size_t i = 0; i < plan_.items; ++i) {
      const std::size_t number = which * plan_.items + i;
      while (!push(producer, number + 1)) {
        require(producer.status() == Status::full, "neither pushed nor full");
        producer.suspect_claims();
        Env::yield();
      }
      acknowledged_[number] = true;
      // Who is to empty it is at work only when this is done, or dead.
      if (plan_.consumers == 0 && plan_.capacity >= plan_.producers * plan_.items) {
        require(!producer.empty(), "empty, though a push has returned");
      }
    }
    finish(which);
  }

  void produce_batches(typename Ring::Producer& producer, std::size_t which) {
    std::array<Item, kMostItems> items;
    for (std::size_t i = 0; i < plan_.items; ++i) items[i].set(which * plan_.items + i + 1);
    for (std::size_t done = 0; done < plan_.items;) {
      const std::size_t size = std::min(plan_.batch, plan_.items - done);
      const std::size_t pushed = producer.try_push_n(std::span(items).subspan(done, size));
      for (std::size_t i = 0; i < pushed; ++i) acknowledged_[which * plan_.items + done + i] = true;
      done += pushed;
      if (pushed == size) continue;
      require(producer.status() == Status::full, "neither pushed nor full");
      producer.suspect_claims();
      Env::yield();
    }
  }

  bool push(typename Ring::Producer& producer, std::uint64_t value) {
    if (plan_.by_copy) {
      Item item;
      item.set(value);
      return producer.try_push(item) == Status::ok;
    }
    Item* const slot = producer.try_claim();
    if (slot == nullptr) return false;
    slot->set(value);
    producer.commit();
    return true;
  }

  /// 0 if there is none.
  std::uint64_t pop(typename Ring::Consumer& consumer) {
    if (plan_.by_copy) {
      Item item;
      return consumer.try_pop(item) == Status::ok ? item.get() : 0;
    }
    const Item* const slot = consumer.try_peek();
    if (slot == nullptr) return 0;
    const std::uint64_t value = slot->get();
    consumer.release();
    return value;
  }

  /// Whether there was one.
  template <class Consumer>
  bool take(Consumer& consumer, std::array<std::uint64_t, kMostThreads>& last) {
    if (plan_.batch != 0) {
      std::array<Item, kMostItems> items;
      const std::size_t popped = consumer.try_pop_n(std::span(items).first(plan_.batch));
      for (std::size_t i = 0; i < popped; ++i) check(items[i].get(), last);
      return popped != 0;
    }
    const std::uint64_t value = pop(consumer);
    if (value == 0) {
      require(consumer.status() == Status::empty, "neither popped nor empty");
      return false;
    }
    check(value, last);
    require(consumer.size() <= plan_.capacity, "more than fit");
    return true;
  }

  void check(std::uint64_t value, std::array<std::uint64_t, kMostThreads>& last) {
    const std::uint64_t number = value - 1;
    require(number < plan_.producers * plan_.items, "an item that nobody has pushed");
    require(!taken_[number], "an item twice");
    taken_[number] = true;
    // What a dead consumer had is offered again, late.
    const std::uint64_t producer = number / plan_.items;
    require(plan_.mortal_consumers != 0 || number + 1 > last[producer], "out of order");
    last[producer] = number + 1;
  }

  void consume(std::size_t which) {
    typename Ring::Consumer consumer(memory());
    std::array<std::uint64_t, kMostThreads> last = {};
    for (std::size_t i = 0; i < plan_.tries; ++i) {
      if (i % 2 == 1) consumer.suspect_claims();
      take(consumer, last);
    }
    finish(plan_.producers + which);
  }

  bool others_are_over() {
    for (std::size_t i = 0; i < others(); ++i) {
      const auto tag = static_cast<std::uint32_t>(i + 1);
      // Acquire: pairs with the release in finish(). The kernel orders what the dead have done.
      if (Env::load(shared_.done[i], Order::acquire) == 0 &&
          ScheduledEnv::probe(tag) != Liveness::dead) {
        return false;
      }
    }
    return true;
  }

  void take_the_rest() {
    std::array<std::uint64_t, kMostThreads> last = {};
    // It empties a ring that nobody else does only in the end.
    if (plan_.capacity >= plan_.producers * plan_.items) {
      while (!others_are_over()) Env::yield();
    }
    typename Ring::Consumer consumer(memory());
    for (;;) {
      const bool over = others_are_over();
      consumer.suspect_claims();
      if (take(consumer, last)) continue;
      if (over) return;
      Env::yield();
    }
  }

  std::string verdict(const ScheduleEnd& end) {
    std::size_t missing = 0;
    for (std::size_t i = 0; i < kMostItems; ++i) missing += acknowledged_[i] && !taken_[i] ? 1 : 0;
    std::size_t may_have = 0;  // what they died with
    for (std::size_t i = plan_.producers; i < others(); ++i) {
      if (end.died[i]) may_have += std::max<std::size_t>(plan_.batch, 1);
    }
    return missing <= may_have ? "" : std::to_string(missing) + " acknowledged and missing";
  }

  Plan plan_ = {};
  Shared shared_;
  std::array<bool, kMostItems> acknowledged_ = {};
  std::array<bool, kMostItems> taken_ = {};
};

class MpmcRingScheduled : public Scheduled {
 protected:
  Traffic<ScheduledEnv> traffic_;
};
using MpmcRingMutant = Scheduled;

TEST_F(MpmcRingScheduled, DeliversEachItemOnce) {
  expect_holds_within_bounds(traffic_.of({2, 2, 1, 1, 1}), {.preemptions = 1, .old_values = 1});
  expect_holds_by_chance(traffic_.of({2, 2, 2, 1, 3}), {});
}

TEST_F(MpmcRingScheduled, IsNotEmptyOnceAPushHasReturned) {
  expect_holds_within_bounds(traffic_.of({2, 2, 1, 0, 0}), {.preemptions = 1, .old_values = 1});
  expect_holds_by_chance(traffic_.of({4, 2, 2, 0, 0}), {});
}

TEST_F(MpmcRingScheduled, AProducerMayDieAtEachPoint) {
  expect_holds_within_bounds(traffic_.of({2, 2, 1, 0, 0, 1}),
                             {.preemptions = 1, .old_values = 0, .deaths = 1});
  expect_holds_by_chance(traffic_.of({2, 2, 2, 1, 2, 2}), {.deaths = 2});
}

TEST_F(MpmcRingScheduled, AConsumerMayDieAtEachPoint) {
  expect_holds_within_bounds(traffic_.of({1, 1, 1, 1, 1, 0, 1}),
                             {.preemptions = 1, .old_values = 0, .deaths = 1});
  expect_holds_by_chance(traffic_.of({2, 1, 3, 2, 2, 0, 2}), {.deaths = 2});
}

TEST_F(MpmcRingScheduled, DeliversEachItemOnceByTheShorterWay) {
  Plan plan{3, 2, 3, 2, 3};
  plan.by_copy = true;
  expect_holds_by_chance(traffic_.of(plan), {});
  plan.mortal_producers = 1;
  plan.mortal_consumers = 1;
  expect_holds_by_chance(traffic_.of(plan), {.deaths = 2});
}

TEST_F(MpmcRingScheduled, DeliversBatches) {
  Plan plan{3, 2, 3, 2, 2};
  plan.batch = 2;
  expect_holds_by_chance(traffic_.of(plan), {});
  plan.capacity = 4;
  plan.batch = 3;
  expect_holds_by_chance(traffic_.of(plan), {});
}

TEST_F(MpmcRingScheduled, AProducerMayDieInABatch) {
  Plan plan{.capacity = 3, .producers = 1, .items = 3, .consumers = 1, .tries = 1};
  plan.batch = 3;
  plan.mortal_producers = 1;
  expect_holds_within_bounds(traffic_.of(plan), {.preemptions = 1, .old_values = 0, .deaths = 1});
  plan.producers = 2;
  plan.consumers = 2;
  plan.mortal_producers = 2;
  expect_holds_by_chance(traffic_.of(plan), {.deaths = 2});
}

TEST_F(MpmcRingScheduled, AConsumerMayDieInABatch) {
  Plan plan{.capacity = 3, .producers = 1, .items = 3, .consumers = 1, .tries = 2};
  plan.batch = 3;
  plan.mortal_consumers = 1;
  expect_holds_within_bounds(traffic_.of(plan), {.preemptions = 1, .old_values = 0, .deaths = 1});
  plan.items = 5;
  plan.consumers = 3;
  plan.mortal_consumers = 2;
  expect_holds_by_chance(traffic_.of(plan), {.deaths = 2});
}

TEST_F(MpmcRingScheduled, SeveralMayDie) {
  expect_holds_by_chance(traffic_.of({2, 2, 2, 2, 2, 1, 2}), {.deaths = 3});
}

TEST_F(MpmcRingMutant, WithoutReleaseIsFound) {
  Traffic<WeakerEnv<Order::release>> traffic;
  expect_found(traffic.of({1, 2, 1, 0, 0}), {.strategy = Strategy::random}, "data race on");
}

TEST_F(MpmcRingMutant, WithoutAcquireIsFound) {
  Traffic<WeakerEnv<Order::acquire>> traffic;
  expect_found(traffic.of({1, 2, 1, 0, 0}), {.strategy = Strategy::pct}, "data race on");
}

TEST_F(MpmcRingMutant, WithoutRepairIsFound) {
  Traffic<BlindEnv> traffic;
  expect_found(traffic.of({3, 2, 1, 0, 0, 1}), {.strategy = Strategy::random, .deaths = 1},
               "1 acknowledged and missing");
}

TEST_F(MpmcRingMutant, ThatTakesTheLivingForDeadIsFound) {
  Traffic<HastyEnv> traffic;
  expect_found(traffic.of({2, 2, 2, 1, 3}), {.strategy = Strategy::random}, "");
}

TEST_F(MpmcRingMutant, WhoseClaimIsAStoreIsFound) {
  Traffic<CarelessEnv> traffic;
  expect_found(traffic.of({3, 2, 1, 0, 0}), {.strategy = Strategy::random}, "");
}

}  // namespace
}  // namespace sluice::tests
