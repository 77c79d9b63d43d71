// SPDX-License-Identifier: Apache-2.0
//
// Event and AutoResetEvent, as they ship, under the scheduler: no wake-up is lost, none is made up,
// also across the wrap of the generation and with killed waiters and setters. Beside them mutants.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using internal::Word;
using testkit::renew;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledData;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

// -------------------------------------------------------------------------------------------------
// Environments with one fault

/// Wakes one where all are meant.
struct ShyEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int /*count*/) noexcept {
    return ScheduledEnv::futex_wake(word, 1);
  }
};

/// An announcement that is a load and a store, as in "the bit is only a hint".
struct HastyEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (desired != (expected | (std::uint64_t{1} << 32))) {
      return ScheduledEnv::cas(word, expected, desired, order);
    }
    ScheduledEnv::store(word, desired, Order::relaxed);  // as the swap would be
    return true;
  }
};

/// Clears without another generation.
struct SameGenerationEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if ((expected & 1) != 0 && (desired & 1) == 0) desired = expected & ~T{1};
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

/// Sets without saying what was written before.
struct RelaxedSetEnv : ScheduledEnv {
  template <class T>
  static T fetch_or(Word<T>& word, T bits, Order /*order*/) noexcept {
    return ScheduledEnv::fetch_or(word, bits, Order::relaxed);
  }
};

// -------------------------------------------------------------------------------------------------
// What is explored

template <class Env, Reset kReset>
struct Scene {
  BasicEvent<Env, kReset> event;
  BasicEvent<Env, kReset> answer;
  Word<std::uint32_t> begun;
  Word<std::uint32_t> passed;
  ScheduledData<int> data;
};

template <class Env>
std::uint32_t get(const Word<std::uint32_t>& word) {
  return Env::load(word, Order::relaxed);  // nobody else runs
}

template <class Env>
void count(Word<std::uint32_t>& word) {
  Env::fetch_add(word, 1U, Order::relaxed);  // a number, which orders nothing
}

template <class E>
void overwrite(E& event, std::uint64_t bytes) {
  std::memcpy(static_cast<void*>(&event), &bytes, sizeof bytes);
}

/// The next generation is 0 again.
constexpr std::uint64_t kLastGeneration = 0xffff'fffe;

template <class Env>
using Manual = Scene<Env, Reset::manual>;
template <class Env>
using Automatic = Scene<Env, Reset::automatic>;

/// `waiters` threads that wait, and see what was written before set(). With `cleared` it is set and
/// cleared at once, for those who waited then: whoever comes later is let through by a second set.
template <class Env>
Scenario waiting(Manual<Env>& scene, std::uint32_t waiters, std::uint64_t start) {
  Scenario scenario{.name = std::to_string(waiters) + " wait"};
  scenario.setup = [&scene, start] {
    renew(scene);
    overwrite(scene.event, start);
  };
  for (std::uint32_t i = 0; i < waiters; ++i) {
    scenario.threads.push_back({[&scene] {
      scene.event.wait();
      require(scene.data == 7, "let through by nobody");
      count<Env>(scene.passed);
    }});
  }
  scenario.threads.push_back({[&scene] {
    scene.data = 7;
    scene.event.set();
  }});
  scenario.check = [&scene, waiters](const ScheduleEnd& end) -> std::string {
    std::uint32_t died = 0;
    for (const bool d : end.died) died += d ? 1 : 0;
    const std::uint32_t passed = get<Env>(scene.passed);
    return passed + died >= waiters ? "" : "passed: " + std::to_string(passed);
  };
  scenario.names = {{"event", scene.event}, {"passed", scene.passed}};
  return scenario;
}

/// One waits, the other sets and clears; the first has read the generation before that.
template <class Env>
Scenario pulse(Manual<Env>& scene, std::uint64_t start) {
  Scenario scenario{.name = "set, clear"};
  scenario.setup = [&scene, start] {
    renew(scene);
    overwrite(scene.event, start);
  };
  scenario.threads.push_back({[&scene] {
    scene.event.wait();
    count<Env>(scene.passed);
  }});
  scenario.threads.push_back({[&scene] {
    scene.event.set();
    scene.event.clear();
    // Who waited then goes on by that. Who came later is told apart by not having passed: it
    // sleeps, or is on its way to, and this one lets it go.
    count<Env>(scene.begun);
    scene.event.set();
    scene.event.clear();
    scene.event.set();
  }});
  scenario.check = [&scene](const ScheduleEnd&) -> std::string {
    return get<Env>(scene.passed) == 1 ? "" : "did not pass";
  };
  scenario.names = {{"event", scene.event}, {"passed", scene.passed}};
  return scenario;
}

/// A sleeper that is known to have begun its wait, since its announcement is seen: one set() and
/// clear() has to release it, and nothing else comes.
template <class Env>
Scenario pulse_of_a_sleeper(Manual<Env>& scene, std::uint32_t waiters, std::uint64_t start) {
  Scenario scenario = pulse(scene, start);
  scenario.name = std::to_string(waiters) + " asleep, set, clear";
  scenario.threads.clear();
  for (std::uint32_t i = 0; i < waiters; ++i) {
    scenario.threads.push_back({[&scene] {
      count<Env>(scene.begun);
      scene.event.wait();
      count<Env>(scene.passed);
    }});
  }
  scenario.threads.push_back({[&scene, waiters] {
    // Each look is a step; a schedule in which they are not there yet shows nothing.
    if (get<Env>(scene.begun) != waiters || !scene.event.maybe_waiting()) {
      scene.event.set();
      return;
    }
    scene.event.set();
    scene.event.clear();
    // With several, the others may have begun and not yet looked.
    if (waiters != 1) scene.event.set();
  }});
  scenario.check = [&scene, waiters](const ScheduleEnd&) -> std::string {
    return get<Env>(scene.passed) == waiters ? "" : "somebody did not pass";
  };
  return scenario;
}

/// `takers` threads that take a signal each, and one that gives as many, each when the one before
/// has been taken, which the taker says.
template <class Env>
Scenario taking(Automatic<Env>& scene, std::uint32_t takers, std::uint64_t start) {
  Scenario scenario{.name = std::to_string(takers) + " take"};
  scenario.setup = [&scene, start] {
    renew(scene);
    overwrite(scene.event, start);
  };
  for (std::uint32_t i = 0; i < takers; ++i) {
    scenario.threads.push_back({[&scene] {
      scene.event.wait();
      scene.data += 1;  // the signal orders: one at a time
      count<Env>(scene.passed);
      scene.answer.set();
    }});
  }
  scenario.threads.push_back({[&scene, takers] {
    for (std::uint32_t i = 0; i < takers; ++i) {
      scene.data += 1;
      scene.event.set();
      scene.answer.wait();
    }
  }});
  scenario.check = [&scene, takers](const ScheduleEnd&) -> std::string {
    if (scene.event.is_set()) return "a signal is left over";
    return get<Env>(scene.passed) == takers ? "" : "not all have passed";
  };
  scenario.names = {{"event", scene.event}, {"answer", scene.answer}, {"passed", scene.passed}};
  return scenario;
}

/// Two that wait once, with a deadline, and one that sets twice: as many pass as signals were
/// taken, and a signal that is left while somebody timed out was never there for it alone.
template <class Env>
Scenario taking_in_time(Automatic<Env>& scene) {
  Scenario scenario{.name = "two take in time, two sets"};
  scenario.setup = [&scene] { renew(scene); };
  for (int i = 0; i < 2; ++i) {
    scenario.threads.push_back({[&scene] {
      if (scene.event.wait(Env::now() + std::chrono::seconds(1)) == Status::ok) {
        count<Env>(scene.passed);
      }
    }});
  }
  scenario.threads.push_back({[&scene] {
    scene.event.set();
    scene.event.set();
  }});
  scenario.check = [&scene](const ScheduleEnd&) -> std::string {
    const std::uint32_t passed = get<Env>(scene.passed);
    if (passed == 0) return "nobody passed";
    return passed == 1 && scene.event.is_set() ? "one timed out beside a signal" : "";
  };
  scenario.names = {{"event", scene.event}};
  return scenario;
}

class EventScheduled : public Scheduled {
 protected:
  Manual<ScheduledEnv> scene_;
};
class AutoResetEventScheduled : public Scheduled {
 protected:
  Automatic<ScheduledEnv> scene_;
};
using EventMutant = Scheduled;

// -------------------------------------------------------------------------------------------------
// Event

TEST_F(EventScheduled, LosesNoWakeUp) {
  for (const std::uint64_t start : {std::uint64_t{0}, kLastGeneration}) {
    expect_holds_within_bounds(waiting(scene_, 1, start), {.preemptions = 4, .old_values = 3});
    expect_holds_within_bounds(waiting(scene_, 2, start), {.preemptions = 2});
  }
  expect_holds_by_chance(waiting(scene_, 3, 0), {});
}

TEST_F(EventScheduled, SetAndClearReleasesWhoWaited) {
  for (const std::uint64_t start : {std::uint64_t{0}, kLastGeneration}) {
    expect_holds_within_bounds(pulse(scene_, start), {.preemptions = 3, .old_values = 2});
    expect_holds_within_bounds(pulse_of_a_sleeper(scene_, 1, start),
                               {.preemptions = 4, .old_values = 2});
    expect_holds_by_chance(pulse_of_a_sleeper(scene_, 2, start), {});
  }
}

TEST_F(EventScheduled, AKilledWaiterTakesNothingFromTheOthers) {
  Scenario scenario = waiting(scene_, 2, 0);
  scenario.name = "one of two waiters is mortal";
  scenario.threads[0].mortal = true;
  expect_holds_within_bounds(scenario, {.preemptions = 1, .deaths = 1});
  expect_holds_by_chance(scenario, {.deaths = 1});
}

/// A second setter follows: it makes up for the first, also where that was killed before its wake
/// call. Only sleepers of which `waiting` told the second one no more need a slice.
TEST_F(EventScheduled, ASecondSetterMakesUpForAKilledOne) {
  Scenario scenario = waiting(scene_, 1, 0);
  scenario.name = "the first of two setters is mortal";
  scenario.threads[1] = {[this] { scene_.event.set(); }, true};
  scenario.threads[0].body = [this] {
    scene_.event.wait();
    count<ScheduledEnv>(scene_.passed);
  };
  scenario.threads.push_back({[this] { scene_.event.set(); }});
  expect_holds_within_bounds(scenario, {.preemptions = 2, .deaths = 1});
  expect_holds_by_chance(scenario, {.deaths = 1});
}

TEST_F(EventScheduled, AKilledSetterLeavesSleepersToTheirSlice) {
  Scenario scenario = waiting(scene_, 2, 0);
  scenario.name = "the setter is mortal";
  scenario.threads[2].mortal = true;
  scenario.threads[0].body = scenario.threads[1].body = [this] {
    const Status s = scene_.event.wait(ScheduledEnv::now() + std::chrono::seconds(1));
    if (s == Status::ok) count<ScheduledEnv>(scene_.passed);
  };
  scenario.check = [this](const ScheduleEnd& end) -> std::string {
    const bool released = get<ScheduledEnv>(scene_.passed) == 2;
    return released || !scene_.event.is_set() || end.died[2] == false ? "" : "set, and not seen";
  };
  expect_holds_within_bounds(scenario, {.preemptions = 1, .deaths = 1, .timeouts = 1000});
}

TEST_F(EventMutant, ThatWakesOneInsteadOfAllIsFound) {
  Manual<ShyEnv> scene;
  expect_found(waiting(scene, 2, 0), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(EventMutant, ThatAnnouncesWithoutACompareAndSwapIsFound) {
  for (const Strategy strategy : {Strategy::random, Strategy::pct, Strategy::exhaustive}) {
    Manual<HastyEnv> scene;
    expect_found(waiting(scene, 1, 0), {.strategy = strategy}, "lost wake-up");
  }
}

TEST_F(EventMutant, WithoutGenerationsIsFound) {
  Manual<SameGenerationEnv> scene;
  expect_found(pulse_of_a_sleeper(scene, 1, 0), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(EventMutant, WithARelaxedSetIsFound) {
  Manual<RelaxedSetEnv> scene;
  expect_found(waiting(scene, 1, 0), {.strategy = Strategy::random}, "data race");
}

// -------------------------------------------------------------------------------------------------
// AutoResetEvent

TEST_F(AutoResetEventScheduled, LosesNoSignal) {
  for (const std::uint64_t start : {std::uint64_t{0}, kLastGeneration}) {
    expect_holds_within_bounds(taking(scene_, 1, start), {.preemptions = 3, .old_values = 2});
    expect_holds_within_bounds(taking(scene_, 2, start), {.preemptions = 1});
    expect_holds_by_chance(taking(scene_, 2, start), {});
  }
  expect_holds_by_chance(taking(scene_, 3, 0), {});
}

TEST_F(AutoResetEventScheduled, NobodyTimesOutBesideASignal) {
  expect_holds_within_bounds(taking_in_time(scene_), {.preemptions = 2, .timeouts = 1000});
  expect_holds_by_chance(taking_in_time(scene_), {.timeouts = 1000, .early_timeouts = 2});
}

/// Woken and then killed, it leaves the signal to the next set(), or to a slice.
TEST_F(AutoResetEventScheduled, AKilledWaiterCostsAtMostASlice) {
  Scenario scenario{.name = "one of two takers is mortal, two sets"};
  scenario.setup = [this] { renew(scene_); };
  for (int i = 0; i < 2; ++i) {
    scenario.threads.push_back({[this] {
      scene_.event.wait();
      count<ScheduledEnv>(scene_.passed);
    }});
  }
  scenario.threads[0].mortal = true;
  scenario.threads.push_back({[this] {
    scene_.event.set();
    // Taken, by a living one or a dead one, or not: then this is the same signal.
    if (!scene_.event.is_set()) scene_.event.set();
  }});
  scenario.check = [this](const ScheduleEnd& end) -> std::string {
    const std::uint32_t passed = get<ScheduledEnv>(scene_.passed);
    return passed + (end.died[0] ? 1 : 0) >= 1 ? "" : "nobody passed";
  };
  // Without a death one waiter may be left without a signal: it has a deadline.
  scenario.threads[1].body = [this] {
    const Status s = scene_.event.wait(ScheduledEnv::now() + std::chrono::seconds(1));
    if (s == Status::ok) count<ScheduledEnv>(scene_.passed);
    require(s == Status::ok || !scene_.event.is_set(), "timed out beside a signal");
  };
  scenario.threads[0].body = [this] {
    const Status s = scene_.event.wait(ScheduledEnv::now() + std::chrono::seconds(1));
    if (s == Status::ok) count<ScheduledEnv>(scene_.passed);
  };
  expect_holds_by_chance(scenario, {.deaths = 1, .timeouts = 1000});
}

TEST_F(EventMutant, ThatAnnouncesATakerWithoutACompareAndSwapIsFound) {
  Automatic<HastyEnv> scene;
  expect_found(taking(scene, 1, 0), {.strategy = Strategy::random}, "lost wake-up");
}

/// Also found: the signal's taker and the next giver are not ordered.
TEST_F(EventMutant, OfASignalThatOrdersNothingIsFound) {
  Automatic<RelaxedSetEnv> scene;
  expect_found(taking(scene, 1, 0), {.strategy = Strategy::random}, "data race");
}

}  // namespace
}  // namespace sluice::tests
