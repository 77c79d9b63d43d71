// SPDX-License-Identifier: Apache-2.0
//
// The event count that ships, under the scheduler: no wake-up is lost, with membarrier, without it,
// and with killed waiters. Beside each a mutant in which one must be seen to be lost.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using internal::Word;
using testkit::ExploreOptions;
using testkit::Membarrier;
using testkit::renew;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

// -------------------------------------------------------------------------------------------------
// Environments with one fault

struct NoHeavyBarrierEnv : ScheduledEnv {
  static bool heavy_barrier() noexcept { return true; }
};

struct NoLightBarrierEnv : ScheduledEnv {
  static void light_barrier() noexcept {}
};

struct NoFenceEnv : ScheduledEnv {
  static void fence() noexcept {}
};

/// Wakes one where all are meant.
struct ShyEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int /*count*/) noexcept {
    return ScheduledEnv::futex_wake(word, 1);
  }
};

// -------------------------------------------------------------------------------------------------
// What is explored

template <class Env>
struct Gate {
  BasicEventCount<Env> event;
  Word<std::uint32_t> items;
  Word<std::uint32_t> taken;
};

/// Relaxed, all: the event count alone has to bring the news.
template <class Env>
bool take(Gate<Env>& gate) {
  std::uint32_t items = Env::load(gate.items, Order::relaxed);
  while (items != 0) {
    if (Env::cas(gate.items, items, items - 1, Order::relaxed)) return true;  // as above
  }
  return false;
}

template <class Env>
void take_one(Gate<Env>& gate) {
  const Status s =
      gate.event.await(Deadline::never(), [&] { return take(gate); }, [] { return Status::ok; });
  require(s == Status::ok, "waited for ever, and returned");
  Env::fetch_add(gate.taken, 1U, Order::relaxed);  // as above
}

enum class Notify : std::uint8_t { one, all };

/// `takers` threads that take one item each, and one that makes as many, one after the other.
template <class Env>
Scenario taking(Gate<Env>& gate, std::uint32_t takers, Notify notify) {
  Scenario scenario{.name = std::to_string(takers) + " take"};
  scenario.setup = [&gate] { renew(gate); };
  for (std::uint32_t i = 0; i < takers; ++i) {
    scenario.threads.push_back({[&gate] { take_one(gate); }});
  }
  scenario.threads.push_back({[&gate, takers, notify] {
    for (std::uint32_t i = 0; i < takers; ++i) {
      Env::fetch_add(gate.items, 1U, Order::relaxed);  // as above
      notify == Notify::one ? gate.event.notify_one() : gate.event.notify_all();
    }
  }});
  scenario.check = [&gate, takers](const ScheduleEnd& end) -> std::string {
    std::uint32_t died = 0;
    for (const bool d : end.died) died += d ? 1 : 0;
    const std::uint32_t taken = Env::load(gate.taken, Order::relaxed);  // nobody else runs
    return taken + died >= takers ? "" : "taken: " + std::to_string(taken);
  };
  scenario.names = {{"event", gate.event}, {"items", gate.items}, {"taken", gate.taken}};
  return scenario;
}

/// Setup for those who come after a waiter whose kernel had refused: the bit `fence` is set.
template <class Env>
void renew_fenced(Gate<Env>& gate) {
  renew(gate);
  constexpr std::uint32_t kFence = 2;
  std::memcpy(static_cast<void*>(&gate.event), &kFence, sizeof kFence);
}

class EventCountScheduled : public Scheduled {
 protected:
  Gate<ScheduledEnv> gate_;
};

using EventCountMutant = Scheduled;

// -------------------------------------------------------------------------------------------------
// With membarrier

TEST_F(EventCountScheduled, LosesNoWakeUp) {
  expect_holds_within_bounds(taking(gate_, 1, Notify::one), {.preemptions = 4, .old_values = 4});
  expect_holds_within_bounds(taking(gate_, 1, Notify::all), {.preemptions = 4, .old_values = 4});
  expect_holds_within_bounds(taking(gate_, 2, Notify::one), {.preemptions = 1});
  expect_holds_within_bounds(taking(gate_, 2, Notify::all), {.preemptions = 1});
  expect_holds_by_chance(taking(gate_, 2, Notify::one), {});
  expect_holds_by_chance(taking(gate_, 3, Notify::all), {});
}

TEST_F(EventCountMutant, WithoutTheHeavyBarrierIsFound) {
  for (const Strategy strategy : {Strategy::random, Strategy::pct, Strategy::exhaustive}) {
    Gate<NoHeavyBarrierEnv> gate;
    expect_found(taking(gate, 1, Notify::all), {.strategy = strategy}, "lost wake-up");
  }
}

TEST_F(EventCountMutant, ThatWakesOneInsteadOfAllIsFound) {
  Gate<ShyEnv> gate;
  expect_found(taking(gate, 2, Notify::all), {.strategy = Strategy::random}, "lost wake-up");
}

// -------------------------------------------------------------------------------------------------
// Without it

TEST_F(EventCountScheduled, LosesNoWakeUpWhereNotifiersFence) {
  const ExploreOptions unregistered{
      .preemptions = 3, .old_values = 3, .membarrier = Membarrier::unregistered};
  expect_holds_within_bounds(taking(gate_, 1, Notify::all), unregistered);
  expect_holds_by_chance(taking(gate_, 2, Notify::one), unregistered);
}

TEST_F(EventCountMutant, WithoutTheNotifiersFenceIsFound) {
  Gate<NoLightBarrierEnv> gate;
  expect_found(taking(gate, 1, Notify::all),
               {.strategy = Strategy::random, .membarrier = Membarrier::unregistered},
               "lost wake-up");
}

TEST_F(EventCountScheduled, LosesNoWakeUpOnceARefusalIsKnown) {
  const ExploreOptions refused{
      .preemptions = 3, .old_values = 3, .membarrier = Membarrier::refused};
  Scenario scenario = taking(gate_, 1, Notify::all);
  scenario.setup = [this] { renew_fenced(gate_); };
  expect_holds_within_bounds(scenario, refused);
  scenario = taking(gate_, 2, Notify::one);
  scenario.setup = [this] { renew_fenced(gate_); };
  expect_holds_by_chance(scenario, refused);
}

TEST_F(EventCountScheduled, LosesAtMostASliceToTheFirstRefusal) {
  expect_holds_within_bounds(taking(gate_, 1, Notify::all),
                             {.timeouts = 1, .membarrier = Membarrier::refused});
}

TEST_F(EventCountMutant, WithoutFencesWhereBarriersAreRefusedIsFound) {
  Gate<NoFenceEnv> gate;
  Scenario scenario = taking(gate, 1, Notify::all);
  scenario.setup = [&gate] { renew_fenced(gate); };
  expect_found(scenario, {.strategy = Strategy::random, .membarrier = Membarrier::refused},
               "lost wake-up");
}

// -------------------------------------------------------------------------------------------------
// Deaths

TEST_F(EventCountScheduled, AKilledWaiterTakesNothingFromTheOthers) {
  Scenario scenario = taking(gate_, 2, Notify::all);
  scenario.name = "one of two takers is mortal";
  scenario.threads[0].mortal = true;
  // What it had taken is gone with it.
  scenario.threads[2].body = [this] {
    for (int i = 0; i < 2; ++i) {
      ScheduledEnv::fetch_add(gate_.items, 1U, Order::relaxed);  // as in take()
      gate_.event.notify_all();
    }
  };
  expect_holds_within_bounds(scenario, {.preemptions = 1, .deaths = 1});
  expect_holds_by_chance(scenario, {.deaths = 1});
}

TEST_F(EventCountScheduled, AWakeUpThatAKilledWaiterTookCostsAtMostSlices) {
  Scenario scenario = taking(gate_, 2, Notify::one);
  scenario.name = "one of two takers is mortal, one is woken";
  scenario.threads[0].mortal = true;
  expect_holds_by_chance(scenario, {.deaths = 1, .timeouts = 2});
}

TEST_F(EventCountScheduled, AKilledNotifierLeavesSleepersToTheirSlice) {
  Scenario scenario = taking(gate_, 1, Notify::all);
  scenario.name = "the notifier is mortal";
  scenario.threads[1].mortal = true;
  // A second one, so that the taker's wait ends.
  scenario.threads.push_back({[this] {
    ScheduledEnv::fetch_add(gate_.items, 1U, Order::relaxed);  // as in take()
    gate_.event.notify_all();
  }});
  expect_holds_within_bounds(scenario, {.preemptions = 1, .deaths = 1, .timeouts = 1});
}

}  // namespace
}  // namespace sluice::tests
