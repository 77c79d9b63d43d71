// SPDX-License-Identifier: Apache-2.0
//
// Once and Latch, as they ship, under the scheduler: done once, seen by all, begun again after a
// death or an exception, and nobody sleeps on. Beside them mutants.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <new>
#include <string>

#include "sluice/sync/deadline.h"
#include "sluice/sync/futex.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/once.h"
#include "sluice/sync/participant.h"
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

/// Takes a living caller for dead.
struct HastyProbeEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::dead; }
};

/// Takes nobody for dead.
struct TrustingEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::alive; }
};

/// Publishes nothing with the end of a call.
struct RelaxedEndEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (order == Order::release) order = Order::relaxed;
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

/// Wakes one where all are meant.
struct ShyEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int /*count*/) noexcept {
    return ScheduledEnv::futex_wake(word, 1);
  }
};

/// Sleeps without having said so.
template <std::uint64_t kWaiting>
struct SilentEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (desired != (expected | kWaiting)) {
      return ScheduledEnv::cas(word, expected, desired, order);
    }
    // Relaxed: as the swap would be.
    return ScheduledEnv::load(word, Order::relaxed) == expected;
  }
  template <class T>
  static internal::FutexWait futex_wait(Word<T>& word, std::uint32_t expected,
                                        Deadline::TimePoint until) noexcept {
    return ScheduledEnv::futex_wait(word, expected & ~static_cast<std::uint32_t>(kWaiting), until);
  }
};

// -------------------------------------------------------------------------------------------------
// Once

template <class Env>
struct Scene {
  BasicOnce<Env> once;
  ScheduledData<int> made;
  Word<std::uint32_t> calls;
  Word<std::uint32_t> ended;
};

template <class Env>
std::uint32_t get(const Word<std::uint32_t>& word) {
  return Env::load(word, Order::relaxed);  // nobody else runs, or a number for people
}

template <class Env>
void count(Word<std::uint32_t>& word) {
  Env::fetch_add(word, 1U, Order::relaxed);  // a number, which orders nothing
}

/// All call; the first `failures` calls throw.
template <class Env>
Scenario calling(Scene<Env>& scene, unsigned callers, unsigned failures = 0) {
  Scenario scenario{.name = std::to_string(callers) + " call"};
  scenario.setup = [&scene] { renew(scene); };
  for (unsigned i = 0; i < callers; ++i) {
    scenario.threads.push_back({[&scene, failures] {
      try {
        const Status s = scene.once.call(
            [&] {
              const std::uint32_t before =
                  Env::fetch_add(scene.calls, 1U, Order::relaxed);  // as above
              scene.made += 1;
              if (before < failures) throw 1;
            },
            Deadline::never());
        require(s == Status::ok, "waited for ever, and returned");
        require(scene.once.done(), "returned, and it is not done");
        require(scene.made >= 1, "done, and not seen");
      } catch (int) {
      }
      count<Env>(scene.ended);
    }});
  }
  scenario.check = [&scene, callers, failures](const ScheduleEnd& end) -> std::string {
    std::uint32_t died = 0;
    for (const bool d : end.died) died += d ? 1 : 0;
    if (get<Env>(scene.ended) + died < callers) return "somebody has not returned";
    const std::uint32_t calls = get<Env>(scene.calls);
    if (calls > 1 + failures + died) return "called " + std::to_string(calls) + " times";
    if (died == 0 && failures < callers && !scene.once.done()) return "not done";
    return "";
  };
  scenario.names = {{"once", scene.once}, {"calls", scene.calls}};
  return scenario;
}

class OnceScheduled : public Scheduled {
 protected:
  Scene<ScheduledEnv> scene_;
};
using OnceMutant = Scheduled;

TEST_F(OnceScheduled, IsDoneOnceAndSeenByAll) {
  expect_holds_within_bounds(calling(scene_, 2), {.preemptions = 3, .old_values = 2});
  expect_holds_within_bounds(calling(scene_, 3), {.preemptions = 1});
  expect_holds_by_chance(calling(scene_, 3), {});
}

TEST_F(OnceScheduled, AnExceptionLetsTheNextTry) {
  expect_holds_within_bounds(calling(scene_, 2, 1), {.preemptions = 3, .old_values = 1});
  expect_holds_by_chance(calling(scene_, 3, 2), {});
}

TEST_F(OnceScheduled, ADeadCallersWorkIsBegunAgain) {
  Scenario scenario = calling(scene_, 3);
  scenario.name = "two of three callers are mortal";
  scenario.threads[0].mortal = scenario.threads[1].mortal = true;
  expect_holds_by_chance(scenario, {.deaths = 2, .timeouts = 6});
  scenario = calling(scene_, 2);
  scenario.name = "one of two callers is mortal";
  scenario.threads[0].mortal = true;
  expect_holds_within_bounds(scenario, {.preemptions = 2, .deaths = 1, .timeouts = 4});
  scenario = calling(scene_, 3, 1);
  scenario.name = "one of three callers is mortal, the first call throws";
  scenario.threads[0].mortal = true;
  expect_holds_by_chance(scenario, {.deaths = 1, .timeouts = 6});
}

TEST_F(OnceMutant, ThatTakesTheLivingForDeadIsFound) {
  Scene<HastyProbeEnv> scene;
  expect_found(calling(scene, 2), {.strategy = Strategy::random}, "");
}

TEST_F(OnceMutant, ThatTakesNobodyForDeadIsFound) {
  Scene<TrustingEnv> scene;
  Scenario scenario = calling(scene, 2);
  scenario.threads[0].mortal = true;
  expect_found(scenario, {.strategy = Strategy::random, .deaths = 1, .timeouts = 50},
               "lost wake-up");
}

TEST_F(OnceMutant, ThatPublishesNothingIsFound) {
  Scene<RelaxedEndEnv> scene;
  expect_found(calling(scene, 2), {.strategy = Strategy::random}, "data race");
}

TEST_F(OnceMutant, ThatWakesOneInsteadOfAllIsFound) {
  Scene<ShyEnv> scene;
  expect_found(calling(scene, 3), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(OnceMutant, WhoseWaitersDoNotSaySoIsFound) {
  Scene<SilentEnv<std::uint64_t{1} << 31>> scene;
  expect_found(calling(scene, 2), {.strategy = Strategy::random}, "lost wake-up");
}

// -------------------------------------------------------------------------------------------------
// Latch

template <class Env>
struct Line {
  BasicLatch<Env> latch;
  ScheduledData<int> made[3];
  Word<std::uint32_t> passed;
};

/// `parties` come, each having written something, and wait for each other.
template <class Env>
Scenario lining_up(Line<Env>& line, unsigned parties) {
  Scenario scenario{.name = std::to_string(parties) + " line up"};
  scenario.setup = [&line, parties] {
    renew(line);
    ::new (static_cast<void*>(&line.latch)) BasicLatch<Env>(parties);
  };
  for (unsigned i = 0; i < parties; ++i) {
    scenario.threads.push_back({[&line, parties, i] {
      line.made[i] = 1;
      line.latch.arrive_and_wait();
      for (unsigned other = 0; other < parties; ++other) {
        require(line.made[other] == 1, "let through before all had come");
      }
      count<Env>(line.passed);
    }});
  }
  scenario.check = [&line, parties](const ScheduleEnd& end) -> std::string {
    std::uint32_t died = 0;
    for (const bool d : end.died) died += d ? 1 : 0;
    return get<Env>(line.passed) + died >= parties ? "" : "somebody did not pass";
  };
  scenario.names = {{"latch", line.latch}, {"passed", line.passed}};
  return scenario;
}

TEST_F(OnceScheduled, ALatchLetsAllThrough) {
  Line<ScheduledEnv> line;
  expect_holds_within_bounds(lining_up(line, 2), {.preemptions = 3, .old_values = 2});
  expect_holds_within_bounds(lining_up(line, 3), {.preemptions = 1});
  expect_holds_by_chance(lining_up(line, 3), {});
}

/// Who has counted down and is killed has come; one that only waits hinders nobody.
TEST_F(OnceScheduled, AKilledWaiterOfALatchHindersNobody) {
  Line<ScheduledEnv> line;
  Scenario scenario = lining_up(line, 2);
  scenario.name = "two line up beside a mortal waiter";
  scenario.threads.push_back({[&line] { line.latch.wait(); }, true});
  expect_holds_by_chance(scenario, {.deaths = 1});
}

TEST_F(OnceMutant, OfALatchWhoseWaitersDoNotSaySoIsFound) {
  Line<SilentEnv<std::uint64_t{1} << 32>> line;
  expect_found(lining_up(line, 2), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(OnceMutant, OfALatchThatPublishesNothingIsFound) {
  Line<RelaxedEndEnv> line;
  expect_found(lining_up(line, 2), {.strategy = Strategy::random}, "data race");
}

}  // namespace
}  // namespace sluice::tests
