// SPDX-License-Identifier: Apache-2.0
//
// The scheduler, tried on the litmus tests of the memory model, each with the outcomes that C++20
// allows and no other; on protocols with a planted bug; and on scenarios that are wrong themselves.

#include "sluice/testkit/scheduler.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/futex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/word.h"

namespace sluice::testkit {
namespace {

using namespace std::chrono_literals;
using internal::FutexWait;
using internal::Word;
using Env = ScheduledEnv;
using Order = std::memory_order;

constexpr auto kForever = Deadline::TimePoint::max();

std::string printed(const ScheduleResult& result) {
  std::ostringstream out;
  out << result;
  return out.str();
}

// -------------------------------------------------------------------------------------------------
// Litmus tests. Each thread writes what it has read into `r`; an outcome is "r0 r1 ...".

struct Litmus {
  Word<std::uint32_t> x, y, z;
  std::uint32_t r[4];
};

using Body = std::function<void(Litmus&)>;

ExploreOptions everything() {
  return {.strategy = Strategy::exhaustive,
          .schedules = 3'000'000,
          .preemptions = 100,
          .old_values = 100};
}

/// All outcomes, the first `registers` of r each.
std::set<std::string> outcomes(int registers, const std::vector<Body>& bodies,
                               ExploreOptions options = everything()) {
  Litmus shared;
  std::set<std::string> seen;
  Scenario scenario{.name = "litmus"};
  scenario.setup = [&] { renew(shared); };
  for (const Body& body : bodies) scenario.threads.push_back({[&shared, &body] { body(shared); }});
  scenario.check = [&](const ScheduleEnd&) -> std::string {
    std::string outcome;
    for (int i = 0; i < registers; ++i) outcome += std::to_string(shared.r[i]);
    seen.insert(outcome);
    return "";
  };
  const ScheduleResult result = explore(scenario, options);
  EXPECT_TRUE(result.holds()) << result;
  EXPECT_TRUE(result.complete || options.strategy != Strategy::exhaustive) << result;
  return seen;
}

using Outcomes = std::set<std::string>;

void nothing() {}

std::vector<Body> store_buffering(Order stores, Order loads, std::function<void()> between_left,
                                  std::function<void()> between_right) {
  return {[=](Litmus& s) {
            Env::store(s.x, 1U, stores);
            between_left();
            s.r[0] = Env::load(s.y, loads);
          },
          [=](Litmus& s) {
            Env::store(s.y, 1U, stores);
            between_right();
            s.r[1] = Env::load(s.x, loads);
          }};
}

// The orders in these tests are what is tested.

TEST(Litmus, StoreBufferingNeedsMoreThanReleaseAndAcquire) {
  const Outcomes all = {"00", "01", "10", "11"};
  EXPECT_EQ(outcomes(2, store_buffering(Order::relaxed, Order::relaxed, nothing, nothing)), all);
  EXPECT_EQ(outcomes(2, store_buffering(Order::release, Order::acquire, nothing, nothing)), all);
  EXPECT_EQ(outcomes(2, store_buffering(Order::relaxed, Order::relaxed, Env::fence, nothing)), all);
}

TEST(Litmus, StoreBufferingIsForbiddenInASingleOrder) {
  const Outcomes ordered = {"01", "10", "11"};
  EXPECT_EQ(outcomes(2, store_buffering(Order::seq_cst, Order::seq_cst, nothing, nothing)),
            ordered);
  EXPECT_EQ(outcomes(2, store_buffering(Order::relaxed, Order::relaxed, Env::fence, Env::fence)),
            ordered);
}

TEST(Litmus, AHeavyBarrierMakesUpForTheOtherSidesLightOne) {
  const auto heavy = [] { EXPECT_TRUE(Env::heavy_barrier()); };
  const Outcomes all = {"00", "01", "10", "11"};
  const Outcomes ordered = {"01", "10", "11"};
  const auto bodies = [](std::function<void()> left, std::function<void()> right) {
    return store_buffering(Order::relaxed, Order::relaxed, left, right);
  };
  EXPECT_EQ(outcomes(2, bodies(Env::light_barrier, heavy)), ordered);
  EXPECT_EQ(outcomes(2, bodies(Env::light_barrier, Env::light_barrier)), all);
  EXPECT_EQ(outcomes(2, bodies(nothing, Env::fence)), all);

  ExploreOptions unregistered = everything();
  unregistered.membarrier = Membarrier::unregistered;
  EXPECT_EQ(outcomes(2, bodies(Env::light_barrier, heavy), unregistered), ordered);

  ExploreOptions refused = everything();
  refused.membarrier = Membarrier::refused;
  const auto refusal = [] { EXPECT_FALSE(Env::heavy_barrier()); };
  EXPECT_EQ(outcomes(2, bodies(Env::light_barrier, refusal), refused), all);
}

TEST(Litmus, InSequentialMemoryNothingIsOld) {
  ExploreOptions sequential = everything();
  sequential.memory = MemoryOrder::sequential;
  EXPECT_EQ(
      outcomes(2, store_buffering(Order::relaxed, Order::relaxed, nothing, nothing), sequential),
      (Outcomes{"01", "10", "11"}));
}

std::vector<Body> message_passing(Order store, Order load, std::function<void()> before_store,
                                  std::function<void()> after_load) {
  return {[=](Litmus& s) {
            Env::store(s.x, 1U, Order::relaxed);
            before_store();
            Env::store(s.y, 1U, store);
          },
          [=](Litmus& s) {
            s.r[0] = Env::load(s.y, load);
            after_load();
            s.r[1] = Env::load(s.x, Order::relaxed);
          }};
}

TEST(Litmus, MessagePassingNeedsBothSides) {
  const Outcomes all = {"00", "01", "10", "11"};
  EXPECT_EQ(outcomes(2, message_passing(Order::relaxed, Order::relaxed, nothing, nothing)), all);
  EXPECT_EQ(outcomes(2, message_passing(Order::release, Order::relaxed, nothing, nothing)), all);
  EXPECT_EQ(outcomes(2, message_passing(Order::relaxed, Order::acquire, nothing, nothing)), all);
  EXPECT_EQ(outcomes(2, message_passing(Order::relaxed, Order::relaxed, Env::fence, nothing)), all);
}

TEST(Litmus, MessagePassingWorksWithReleaseAndAcquireOrFences) {
  const Outcomes passed = {"00", "01", "11"};
  EXPECT_EQ(outcomes(2, message_passing(Order::release, Order::acquire, nothing, nothing)), passed);
  EXPECT_EQ(outcomes(2, message_passing(Order::seq_cst, Order::seq_cst, nothing, nothing)), passed);
  EXPECT_EQ(outcomes(2, message_passing(Order::relaxed, Order::relaxed, Env::fence, Env::fence)),
            passed);
  EXPECT_EQ(outcomes(2, message_passing(Order::relaxed, Order::acquire, Env::fence, nothing)),
            passed);
  EXPECT_EQ(outcomes(2, message_passing(Order::release, Order::relaxed, nothing, Env::fence)),
            passed);
}

TEST(Litmus, TwoReadsOfAWordNeverGoBack) {
  const Outcomes seen = outcomes(2, {[](Litmus& s) { Env::store(s.x, 1U, Order::relaxed); },
                                     [](Litmus& s) {
                                       s.r[0] = Env::load(s.x, Order::relaxed);
                                       s.r[1] = Env::load(s.x, Order::relaxed);
                                     }});
  EXPECT_EQ(seen, (Outcomes{"00", "01", "11"}));
}

TEST(Litmus, WhatOneHasReadAnotherDoesNotReadOlderAfterIt) {
  // Coherence through happens-before: T1 reads x = 1 and tells T2.
  const Outcomes seen = outcomes(2, {[](Litmus& s) { Env::store(s.x, 1U, Order::relaxed); },
                                     [](Litmus& s) {
                                       const std::uint32_t x = Env::load(s.x, Order::relaxed);
                                       Env::store(s.y, 1 + x, Order::release);
                                     },
                                     [](Litmus& s) {
                                       s.r[0] = Env::load(s.y, Order::acquire);
                                       s.r[1] = Env::load(s.x, Order::relaxed);
                                     }});
  EXPECT_EQ(seen, (Outcomes{"00", "01", "10", "11", "21"}));
}

std::vector<Body> independent_reads(Order loads, Order stores, std::function<void()> between) {
  return {[=](Litmus& s) { Env::store(s.x, 1U, stores); },
          [=](Litmus& s) { Env::store(s.y, 1U, stores); },
          [=](Litmus& s) {
            s.r[0] = Env::load(s.x, loads);
            between();
            s.r[1] = Env::load(s.y, loads);
          },
          [=](Litmus& s) {
            s.r[2] = Env::load(s.y, loads);
            between();
            s.r[3] = Env::load(s.x, loads);
          }};
}

TEST(Litmus, IndependentReadersAgreeOnlyInASingleOrder) {
  EXPECT_TRUE(
      outcomes(4, independent_reads(Order::acquire, Order::release, nothing)).contains("1010"));
  EXPECT_TRUE(
      outcomes(4, independent_reads(Order::relaxed, Order::relaxed, nothing)).contains("1010"));
  const Outcomes ordered = outcomes(4, independent_reads(Order::seq_cst, Order::seq_cst, nothing));
  EXPECT_FALSE(ordered.contains("1010"));
  EXPECT_EQ(ordered.size(), 15U);
  // Also where only the loads are: what one of them has read, the others come after.
  const Outcomes loads = outcomes(4, independent_reads(Order::seq_cst, Order::relaxed, nothing));
  EXPECT_FALSE(loads.contains("1010"));
  EXPECT_EQ(loads.size(), 15U);
}

TEST(Litmus, IndependentReadersAgreeWithFences) {
  ExploreOptions options = everything();
  options.preemptions = 2;
  const Outcomes fenced =
      outcomes(4, independent_reads(Order::relaxed, Order::relaxed, Env::fence), options);
  EXPECT_FALSE(fenced.contains("1010"));
  EXPECT_EQ(fenced.size(), 15U);
}

TEST(Litmus, ReleaseAndAcquireAreTransitive) {
  const auto chain = [](Order second) {
    return std::vector<Body>{[](Litmus& s) {
                               Env::store(s.x, 1U, Order::relaxed);
                               Env::store(s.y, 1U, Order::release);
                             },
                             [second](Litmus& s) {
                               s.r[0] = Env::load(s.y, Order::acquire);
                               Env::store(s.z, 1U, second);
                             },
                             [](Litmus& s) {
                               s.r[1] = Env::load(s.z, Order::acquire);
                               s.r[2] = Env::load(s.x, Order::relaxed);
                             }};
  };
  EXPECT_FALSE(outcomes(3, chain(Order::release)).contains("110"));
  EXPECT_TRUE(outcomes(3, chain(Order::relaxed)).contains("110"));
}

TEST(Litmus, AReadModifyWriteContinuesAReleaseAndAStoreDoesNot) {
  const auto relay = [](bool modifies) {
    return std::vector<Body>{[](Litmus& s) {
                               Env::store(s.x, 1U, Order::relaxed);
                               Env::store(s.y, 1U, Order::release);
                             },
                             [modifies](Litmus& s) {
                               if (modifies) {
                                 Env::fetch_add(s.y, 1U, Order::relaxed);
                               } else if (Env::load(s.y, Order::relaxed) == 1) {
                                 Env::store(s.y, 2U, Order::relaxed);
                               }
                             },
                             [](Litmus& s) {
                               s.r[0] = Env::load(s.y, Order::acquire);
                               s.r[1] = Env::load(s.x, Order::relaxed);
                             }};
  };
  EXPECT_FALSE(outcomes(2, relay(true)).contains("20"));
  EXPECT_TRUE(outcomes(2, relay(false)).contains("20"));
}

TEST(Litmus, ReadModifyWritesLoseNothing) {
  const Body twice = [](Litmus& s) {
    Env::fetch_add(s.x, 1U, Order::relaxed);
    std::uint32_t seen = Env::load(s.x, Order::relaxed);
    while (!Env::cas(s.x, seen, seen + 1, Order::relaxed)) {
    }
    s.r[0] = Env::load(s.x, Order::relaxed);
  };
  ExploreOptions options = everything();
  options.preemptions = 3;
  options.old_values = 2;
  EXPECT_TRUE(outcomes(1, {twice, twice}, options).contains("4"));
  Litmus shared;
  Scenario scenario{.name = "add"};
  scenario.setup = [&] { renew(shared); };
  scenario.threads = {{[&] { twice(shared); }}, {[&] { twice(shared); }}};
  scenario.check = [&](const ScheduleEnd&) {
    return Env::load(shared.x, Order::relaxed) == 4 ? "" : "an addition was lost";
  };
  const ScheduleResult result = explore(scenario, options);
  EXPECT_TRUE(result.holds() && result.complete) << result;
}

TEST(Litmus, ACompareAndSwapMayFailOnAnOlderValue) {
  const std::vector<Body> bodies = {[](Litmus& s) {
                                      Env::store(s.y, 1U, Order::relaxed);
                                      Env::store(s.x, 1U, Order::relaxed);
                                    },
                                    [](Litmus& s) {
                                      s.r[0] = Env::load(s.x, Order::relaxed);
                                      std::uint32_t expected = 7;
                                      Env::cas(s.y, expected, 8U, Order::seq_cst);
                                      s.r[1] = expected;
                                    }};
  EXPECT_EQ(outcomes(2, bodies), (Outcomes{"00", "01", "10", "11"}));
}

TEST(Litmus, LoadBufferingIsNotModelled) {
  // C++ allows "11"; the header says that it is never seen.
  const auto side = [](Word<std::uint32_t> Litmus::* from, Word<std::uint32_t> Litmus::* to,
                       int i) {
    return [=](Litmus& s) {
      s.r[i] = Env::load(s.*from, Order::relaxed);
      Env::store(s.*to, 1U, Order::relaxed);
    };
  };
  EXPECT_EQ(outcomes(2, {side(&Litmus::x, &Litmus::y, 0), side(&Litmus::y, &Litmus::x, 1)}),
            (Outcomes{"00", "01", "10"}));
}

TEST(Litmus, ChanceFindsWhatIsRare) {
  for (const Strategy strategy : {Strategy::random, Strategy::pct}) {
    const ExploreOptions options{.strategy = strategy, .schedules = 2000};
    EXPECT_EQ(
        outcomes(2, store_buffering(Order::relaxed, Order::relaxed, nothing, nothing), options)
            .size(),
        4U);
    EXPECT_EQ(
        outcomes(2, store_buffering(Order::seq_cst, Order::seq_cst, nothing, nothing), options)
            .size(),
        3U);
  }
}

// -------------------------------------------------------------------------------------------------
// Data races

struct Handover {
  ScheduledData<int> data;
  Word<std::uint32_t> ready;
};

ScheduleResult hand_over(Order store, Order load) {
  Handover shared;
  Scenario scenario{.name = "hand over"};
  scenario.setup = [&] { renew(shared); };
  scenario.threads = {{[&] {
                        shared.data = 7;
                        Env::store(shared.ready, 1U, store);
                      }},
                      {[&] {
                        if (Env::load(shared.ready, load) == 0) return;
                        require(shared.data == 7, "read something else");
                      }}};
  scenario.names = {{"data", shared.data}, {"ready", shared.ready}};
  return explore(scenario, everything());
}

TEST(DataRace, IsFoundWhereNothingOrders) {
  EXPECT_TRUE(hand_over(Order::release, Order::acquire).holds());
  for (const auto& [store, load] :
       {std::pair{Order::relaxed, Order::acquire}, std::pair{Order::release, Order::relaxed}}) {
    const ScheduleResult result = hand_over(store, load);
    EXPECT_EQ(result.failure, "data race on data: read of what another is writing") << result;
  }
}

TEST(DataRace, IsFoundAlsoWhereTheReaderCameFirst) {
  ScheduledData<int> data;
  Word<std::uint32_t> word{};
  Scenario scenario{.name = "read, then written"};
  scenario.threads = {{[&] {
                        static_cast<void>(data.get());
                        Env::store(word, 1U, Order::release);
                        static_cast<void>(data.get());  // after what it has told
                      }},
                      {[&] {
                        if (Env::load(word, Order::acquire) == 1) data = 1;
                      }}};
  scenario.setup = [&] { renew(word); };
  EXPECT_EQ(explore(scenario, everything()).failure.substr(0, 9), "data race");
}

TEST(DataRace, IsNotHiddenByTwoFencesInARow) {
  ScheduledData<int> data;
  Scenario scenario{.name = "fences, and nothing read"};
  scenario.threads = {{[&] {
                        data = 1;
                        Env::fence();
                      }},
                      {[&] {
                        Env::fence();
                        data = 2;
                      }}};
  // One after the other.
  EXPECT_EQ(explore(scenario, {.replay = "0"}).failure.substr(0, 9), "data race");
}

// -------------------------------------------------------------------------------------------------
// Sleeping and waking

struct Bed {
  Word<std::uint32_t> word;
  int woken[3];
};

TEST(Futex, SleepersAreWokenInTheirOrderAndCounted) {
  Bed bed;
  Scenario scenario{.name = "fifo"};
  const auto sleeper = [&](int i) {
    return [&bed, i] {
      if (Env::futex_wait(bed.word, 0, kForever) == FutexWait::woken) bed.woken[i] = 1;
    };
  };
  scenario.setup = [&] { renew(bed); };
  scenario.threads = {{sleeper(0)}, {sleeper(1)}, {[&] {
                        // Both sleep, T0 first, in the one schedule without preemptions.
                        require(Env::futex_wake(bed.word, 1) == 1, "one was woken");
                        Env::yield();
                        require(bed.woken[0] == 1 && bed.woken[1] == 0, "the first was woken");
                        require(Env::futex_wake(bed.word, 7) == 1, "the other one");
                        require(Env::futex_wake(bed.word, 7) == 0, "nobody is left");
                      }}};
  const ScheduleResult result = explore(scenario, {.schedules = 1, .replay = "0"});
  EXPECT_TRUE(result.holds()) << result;
}

TEST(Futex, ComparesBeforeItSleeps) {
  Word<std::uint32_t> word{};
  Scenario scenario{.name = "store and wake, or refuse to sleep"};
  scenario.setup = [&] { renew(word); };
  scenario.threads = {{[&] { Env::futex_wait(word, 0, kForever); }}, {[&] {
                        Env::store(word, 1U, Order::relaxed);
                        Env::futex_wake(word, 1);
                      }}};
  const ScheduleResult result = explore(scenario, everything());
  EXPECT_TRUE(result.holds() && result.complete) << result;
}

/// Waits without having announced itself before its last look.
Scenario forgetful(Bed& bed, Deadline::TimePoint until) {
  Scenario scenario{.name = "forgetful"};
  scenario.setup = [&] { renew(bed); };
  scenario.threads = {{[&bed, until] { Env::futex_wait(bed.word, 0, until); }},
                      {[&bed] { Env::futex_wake(bed.word, 1); }}};
  scenario.names = {{"bed", bed}};
  return scenario;
}

TEST(Futex, ADeadlockIsFoundAndNamesWhoSleeps) {
  Bed bed;
  const ScheduleResult result =
      explore(forgetful(bed, kForever), {.strategy = Strategy::exhaustive});
  EXPECT_EQ(result.failure, "deadlock: T0 sleeps on bed = 0x0") << result;
  EXPECT_NE(printed(result).find("futex_wake bed: 0 woken"), std::string::npos) << result;
}

TEST(Futex, AWakeUpThatOnlyATimeoutMakesUpForIsLost) {
  Bed bed;
  const auto until = Env::now() + 10ms;
  ScheduleResult result = explore(forgetful(bed, until), {.strategy = Strategy::exhaustive});
  EXPECT_EQ(result.failure.substr(0, 12), "lost wake-up") << result;
  result = explore(forgetful(bed, until), {.strategy = Strategy::exhaustive, .timeouts = 1});
  EXPECT_TRUE(result.holds() && result.complete) << result;
  EXPECT_GT(result.timeouts, 0U);
}

TEST(Futex, TimeJumpsToTheTimeout) {
  Bed bed = {};
  Scenario scenario{.name = "sleep"};
  scenario.threads = {{[&] {
    const auto until = Env::now() + 1h;
    require(Env::futex_wait(bed.word, 0, until) == FutexWait::timeout, "timed out");
    require(Env::now() >= until, "not early");
  }}};
  EXPECT_TRUE(explore(scenario, {.timeouts = 1}).holds());
}

TEST(Futex, TimeoutsComeEarlyIfTheyMay) {
  Bed bed;
  bool early = false;
  Scenario scenario{.name = "early"};
  scenario.setup = [&] { renew(bed); };
  scenario.threads = {{[&] {
                        if (Env::futex_wait(bed.word, 0, Env::now() + 1h) == FutexWait::timeout) {
                          early = true;
                        }
                      }},
                      {[&] {
                        Env::store(bed.word, 1U, Order::relaxed);
                        Env::futex_wake(bed.word, 1);
                      }}};
  EXPECT_TRUE(explore(scenario, {.strategy = Strategy::exhaustive}).holds());
  EXPECT_FALSE(early);
  EXPECT_TRUE(explore(scenario, {.strategy = Strategy::exhaustive, .early_timeouts = 1}).holds());
  EXPECT_TRUE(early);
}

// -------------------------------------------------------------------------------------------------
// Strategies and replay

struct Counter {
  Word<std::uint32_t> value;
};

/// Load and store instead of an addition: lost if another comes between, a bug of depth 2.
Scenario unlocked_add(Counter& counter) {
  Scenario scenario{.name = "load and store"};
  scenario.setup = [&] { renew(counter); };
  const auto add = [&counter] {
    for (int i = 0; i < 3; ++i) {
      const std::uint32_t seen = Env::load(counter.value, Order::seq_cst);
      Env::store(counter.value, seen + 1, Order::seq_cst);
    }
  };
  scenario.threads = {{add}, {add}};
  scenario.check = [&counter](const ScheduleEnd&) {
    return Env::load(counter.value, Order::relaxed) == 6 ? "" : "an addition was lost";
  };
  scenario.names = {{"counter", counter}};
  return scenario;
}

TEST(Strategy, PctFindsABugOfDepthTwoAndNotWithDepthOne) {
  Counter counter;
  const Scenario scenario = unlocked_add(counter);
  EXPECT_FALSE(
      explore(scenario, {.strategy = Strategy::pct, .schedules = 500, .depth = 2}).holds());
  EXPECT_TRUE(explore(scenario, {.strategy = Strategy::pct, .schedules = 500, .depth = 1}).holds());
}

TEST(Strategy, ExhaustiveFindsWhatItsBoundAllows) {
  Counter counter;
  const Scenario scenario = unlocked_add(counter);
  ScheduleResult result = explore(scenario, {.strategy = Strategy::exhaustive, .preemptions = 0});
  EXPECT_TRUE(result.holds() && result.complete) << result;
  EXPECT_EQ(result.schedules, 2U) << "one after the other, or the other way round";
  result = explore(scenario, {.strategy = Strategy::exhaustive, .preemptions = 1});
  EXPECT_FALSE(result.holds()) << result;
}

TEST(Strategy, ExhaustiveSaysWhenItWasCutOff) {
  Counter counter;
  const ScheduleResult result = explore(
      unlocked_add(counter), {.strategy = Strategy::exhaustive, .schedules = 1, .preemptions = 0});
  EXPECT_FALSE(result.complete);
}

TEST(Replay, OfTheChoicesOrTheSeedGivesTheSameFailure) {
  Counter counter;
  const Scenario scenario = unlocked_add(counter);
  for (const Strategy strategy : {Strategy::random, Strategy::pct, Strategy::exhaustive}) {
    const ScheduleResult found = explore(scenario, {.strategy = strategy, .seed = 40});
    ASSERT_FALSE(found.holds());
    const ScheduleResult again = explore(scenario, {.replay = found.choices});
    EXPECT_EQ(again.schedules, 1U);
    EXPECT_EQ(again.failure, found.failure);
    EXPECT_EQ(again.trace, found.trace);
    if (strategy == Strategy::exhaustive) continue;
    const std::size_t at = found.strategy.find("seed ") + 5;
    const ScheduleResult seeded = explore(
        scenario,
        {.strategy = strategy, .seed = std::stoull(found.strategy.substr(at)), .schedules = 1});
    EXPECT_EQ(seeded.choices, found.choices) << found << seeded;
    EXPECT_EQ(seeded.trace, found.trace);
  }
}

TEST(Replay, RefusesWhatIsNoSequenceOfChoices) {
  Counter counter;
  for (const char* text : {"x", "1,", "1;2", "0x", "-1"}) {
    EXPECT_THROW(static_cast<void>(explore(unlocked_add(counter), {.replay = text})),
                 std::invalid_argument)
        << text;
  }
}

// -------------------------------------------------------------------------------------------------
// Death

TEST(Death, ComesAtEachPointOnce) {
  Counter counter;
  std::set<std::uint32_t> left;
  Scenario scenario{.name = "three stores"};
  scenario.setup = [&] { renew(counter); };
  scenario.threads = {{[&] {
                         for (std::uint32_t i = 1; i <= 3; ++i) {
                           Env::store(counter.value, i, Order::relaxed);
                         }
                       },
                       true}};
  scenario.check = [&](const ScheduleEnd& end) -> std::string {
    const std::uint32_t value = Env::load(counter.value, Order::relaxed);
    if (!end.died[0] && value != 3) return "did not die, and did not finish";
    left.insert(value);
    return "";
  };
  const ScheduleResult result = explore(scenario, {.strategy = Strategy::exhaustive, .deaths = 1});
  EXPECT_TRUE(result.holds() && result.complete) << result;
  EXPECT_EQ(result.schedules, 7U) << "before and after each of three, and not at all";
  EXPECT_EQ(left, (std::set<std::uint32_t>{0, 1, 2, 3}));
}

TEST(Death, IsSeenByProbeAndWhatCameBeforeWithIt) {
  ScheduledData<int> data;
  Counter counter;
  bool seen = false;
  Scenario scenario{.name = "probe"};
  scenario.setup = [&] { renew(counter); };
  scenario.threads = {{[&] {
                         data = 1;
                         Env::store(counter.value, 1U, Order::relaxed);
                       },
                       true},
                      {[&] {
                        if (Env::probe(1) != Liveness::dead) return;
                        data = 2;
                        seen = true;
                      }}};
  const ScheduleResult result = explore(scenario, {.strategy = Strategy::exhaustive, .deaths = 1});
  EXPECT_TRUE(result.holds() && result.complete) << result;
  EXPECT_TRUE(seen);
}

TEST(Death, AlsoOfASleeperWhoThenCountsAsWokenOrIsNotFound) {
  Bed bed;
  std::set<int> counts;
  Scenario scenario{.name = "killed asleep"};
  scenario.setup = [&] { renew(bed); };
  scenario.threads = {{[&] {
                         Env::futex_wait(bed.word, 0, kForever);
                         bed.woken[0] = 1;
                       },
                       true},
                      {[&] {
                        Env::store(bed.word, 1U, Order::relaxed);
                        bed.woken[1] = Env::futex_wake(bed.word, 1);
                      }}};
  scenario.check = [&](const ScheduleEnd& end) -> std::string {
    if (end.died[0]) counts.insert(bed.woken[1]);
    return end.died[0] && bed.woken[0] == 1 ? "went on after its death" : "";
  };
  const ScheduleResult result = explore(scenario, {.strategy = Strategy::exhaustive, .deaths = 1});
  EXPECT_TRUE(result.holds() && result.complete) << result;
  EXPECT_EQ(counts, (std::set<int>{0, 1}));
}

// -------------------------------------------------------------------------------------------------
// What goes wrong in a scenario, and scenarios that are wrong themselves

TEST(Explore, ReportsWhatAThreadThrowsAndRequires) {
  Scenario scenario{.name = "throws"};
  scenario.threads = {{[] { throw std::runtime_error("no"); }}};
  EXPECT_EQ(explore(scenario).failure, "T0 threw: no");
  scenario.threads = {{[] { require(false, "one is two"); }}};
  EXPECT_EQ(explore(scenario).failure, "one is two");
}

TEST(Explore, ExceptionsOfSeveralThreadsDoNotMix) {
  Counter counter;
  Scenario scenario{.name = "each handles its own"};
  scenario.setup = [&] { renew(counter); };
  const auto thrower = [&](int mine) {
    return [&counter, mine] {
      try {
        throw mine;
      } catch (int) {
        try {
          Env::fetch_add(counter.value, 1U, Order::relaxed);
          throw;
        } catch (int caught) {
          require(caught == mine, "another's exception");
          Env::fetch_add(counter.value, 1U, Order::relaxed);
        }
      }
    };
  };
  scenario.threads = {{thrower(1)}, {thrower(2)}, {thrower(3)}};
  EXPECT_TRUE(explore(scenario, {.schedules = 500}).holds());
}

TEST(Explore, EndsAScheduleThatDoesNotEnd) {
  Counter counter = {};
  Scenario scenario{.name = "spins"};
  scenario.threads = {{[&] {
    while (Env::load(counter.value, Order::relaxed) == 0) Env::pause();
  }}};
  EXPECT_EQ(explore(scenario, {.steps = 100}).failure, "more than 100 steps");
}

TEST(Explore, SpinnersLetOthersGoOn) {
  Counter counter;
  Scenario scenario{.name = "spins until told"};
  scenario.setup = [&] { renew(counter); };
  scenario.threads = {{[&] {
                        while (Env::load(counter.value, Order::relaxed) == 0) Env::pause();
                      }},
                      {[&] { Env::store(counter.value, 1U, Order::relaxed); }}};
  for (const Strategy strategy : {Strategy::random, Strategy::pct, Strategy::exhaustive}) {
    const ScheduleResult result = explore(scenario, {.strategy = strategy, .schedules = 1000});
    EXPECT_TRUE(result.holds()) << result;
  }
}

TEST(Explore, RefusesAScenarioThatIsNone) {
  EXPECT_THROW(static_cast<void>(explore({.name = "empty"})), std::invalid_argument);
  Scenario hollow{.name = "hollow"};
  hollow.threads.resize(1);
  EXPECT_THROW(static_cast<void>(explore(hollow)), std::invalid_argument);
  Scenario crowd{.name = "crowd"};
  crowd.threads.resize(17, {[] {}});
  EXPECT_THROW(static_cast<void>(explore(crowd)), std::invalid_argument);
}

TEST(Explore, IsQuickEnough) {
  // The promise is 100,000 schedules of a small scenario per minute; here with ten times the slack.
  Counter counter;
  Scenario scenario = unlocked_add(counter);
  scenario.check = nullptr;
  const ScheduleResult result = explore(scenario, {.schedules = 10000});
  EXPECT_EQ(result.schedules, 10000U);
  EXPECT_LT(result.time, 60s) << result;
}

}  // namespace
}  // namespace sluice::testkit
