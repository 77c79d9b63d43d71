// SPDX-License-Identifier: Apache-2.0
//
// The planted bugs that the scheduler finds, each beside its twin without it, which holds.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "sluice/testkit/planted/bug.h"
#include "sluice/testkit/planted/seam_queues.h"
#include "sluice/testkit/scheduler.h"

namespace sluice::tests {
namespace {

using testkit::Bug;
using testkit::explore;
using testkit::ExploreOptions;
using testkit::MemoryOrder;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledData;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::ScheduleResult;
using testkit::Strategy;

/// A place that the scheduler watches as ThreadSanitizer watches a plain one.
struct WatchedCell {
  using value_type = std::uint64_t;
  void set(std::uint64_t item) { data = item; }
  [[nodiscard]] std::uint64_t get() const { return data; }
  ScheduledData<std::uint64_t> data;
};

/// Two items through a ring of one, between two threads.
template <class Cell, Bug kBug>
class Ring {
 public:
  Scenario scenario() {
    Scenario scenario{.name = "two items through a ring of one"};
    scenario.setup = [this] { ring_.emplace(1); };
    scenario.threads = {{[this] { push_both(); }}, {[this] { pop_both(); }}};
    scenario.check = [](const ScheduleEnd& /*end*/) { return std::string(); };
    return scenario;
  }

 private:
  void push_both() {
    for (std::uint64_t item = 1; item <= 2; ++item) {
      while (!ring_->try_push(item)) ScheduledEnv::yield();
    }
  }
  void pop_both() {
    for (std::uint64_t item = 1; item <= 2; ++item) {
      std::uint64_t found = 0;
      while (!ring_->try_pop(found)) ScheduledEnv::yield();
      require(found == item, "an item that was not pushed");
    }
  }

  std::optional<testkit::BasicPublishedRing<ScheduledEnv, Cell, kBug>> ring_;
};

/// A pool of two values, which several threads pop and push back.
template <Bug kBug>
class Pool {
 public:
  Scenario scenario() {
    Scenario scenario{.name = "a pool of two"};
    scenario.setup = [this] {
      pool_.emplace(2);
      popped_.clear();
      static_cast<void>(pool_->try_push(1));
      static_cast<void>(pool_->try_push(2));
    };
    const auto pop = [this] { take(); };
    const auto pop_and_push = [this] {
      take();
      static_cast<void>(pool_->try_push(3));
    };
    scenario.threads = {{pop}, {pop}, {pop_and_push}};
    scenario.check = [this](const ScheduleEnd& /*end*/) { return judge(); };
    return scenario;
  }

 private:
  void take() {
    std::uint64_t item = 0;
    if (pool_->try_pop(item)) popped_.push_back(item);
  }
  std::string judge() {
    // More than there can be: a broken list may be a circle.
    for (int i = 0; i < 4; ++i) take();
    std::ranges::sort(popped_);
    const bool is_twice = std::ranges::adjacent_find(popped_) != popped_.end();
    return is_twice ? "an item came out twice" : "";
  }

  std::optional<testkit::BasicStackPool<ScheduledEnv, std::uint64_t, kBug>> pool_;
  std::vector<std::uint64_t> popped_;
};

constexpr std::array kByChance = {Strategy::random, Strategy::pct};

void expect_found(const Scenario& scenario, ExploreOptions options, const std::string& failure) {
  for (const Strategy strategy : kByChance) {
    options.strategy = strategy;
    const ScheduleResult result = explore(scenario, options);
    std::cout << result << '\n';
    EXPECT_EQ(result.failure.substr(0, failure.size()), failure) << "the scheduler misses it";
    EXPECT_LT(result.time.count(), 10000) << "later than promised";
  }
}

void expect_holds(const Scenario& scenario, ExploreOptions options = {}) {
  for (const Strategy strategy : kByChance) {
    options.strategy = strategy;
    const ScheduleResult result = explore(scenario, options);
    EXPECT_TRUE(result.holds()) << "a false alarm: " << result;
  }
}

using testkit::WordCell;

TEST(PublishesRelaxed, WeakLoadsGiveOldItems) {
  expect_found(Ring<WordCell<ScheduledEnv>, Bug::planted>().scenario(), {},
               "an item that was not pushed");
  expect_holds(Ring<WordCell<ScheduledEnv>, Bug::mended>().scenario());
  // It is the weak loads that find it.
  expect_holds(Ring<WordCell<ScheduledEnv>, Bug::planted>().scenario(),
               {.memory = MemoryOrder::sequential});
}

TEST(PublishesRelaxed, PlainDataIsRacedFor) {
  expect_found(Ring<WatchedCell, Bug::planted>().scenario(), {}, "data race");
  expect_holds(Ring<WatchedCell, Bug::mended>().scenario());
}

TEST(TaglessPool, AnItemComesOutTwice) {
  expect_found(Pool<Bug::planted>().scenario(), {.schedules = 100'000}, "an item came out twice");
  expect_holds(Pool<Bug::mended>().scenario(), {.schedules = 20'000});
}

}  // namespace
}  // namespace sluice::tests
