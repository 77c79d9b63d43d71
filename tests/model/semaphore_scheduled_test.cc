// SPDX-License-Identifier: Apache-2.0
//
// The semaphores that ship, under the scheduler: never more permits than there are, no lost
// wake-up, deaths. Beside each property a mutant, made by an environment that does one thing wrong,
// in which it must be seen to fail.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "sluice/sync/deadline.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
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

/// A compare-and-swap of one order is done with none.
template <Order kForgotten>
struct WeakerEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (order == kForgotten) order = Order::relaxed;  // the fault
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& /*word*/, int /*count*/) noexcept {
    return 0;
  }
};

/// Tells the waker that nobody was asleep, so that it forgets those who are.
struct DeafEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int count) noexcept {
    static_cast<void>(ScheduledEnv::futex_wake(word, count));
    return 0;
  }
};

/// The epoch stands still: the waker takes a later word for the one that it left.
struct TimelessEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      expected &= UINT32_MAX;  // the fault
      desired &= UINT32_MAX;
    }
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

/// Says of the living that they are dead.
struct HastyEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

struct NoHeavyBarrierEnv : ScheduledEnv {
  static bool heavy_barrier() noexcept { return true; }
};

// -------------------------------------------------------------------------------------------------
// What is explored

/// One permit, and what it stands for.
template <class Semaphore, class Env>
struct Room {
  Semaphore permits{1};
  ScheduledData<int> inside;
  Word<std::uint32_t> visits;
};

template <class Semaphore, class Env>
void visit(Room<Semaphore, Env>& room) {
  require(room.permits.acquire(Deadline::never()) == Status::ok, "waited for ever, and returned");
  room.inside += 1;
  require(room.inside == 1, "two inside");
  room.inside = 0;
  Env::fetch_add(room.visits, 1U, Order::relaxed);  // read when all have ended
  room.permits.release();
}

/// `parties` threads that share one permit.
template <class Semaphore, class Env>
Scenario visiting(Room<Semaphore, Env>& room, int parties) {
  Scenario scenario{.name = std::to_string(parties) + " share a permit"};
  scenario.setup = [&room] { renew(room); };
  for (int i = 0; i < parties; ++i) scenario.threads.push_back({[&room] { visit(room); }});
  scenario.check = [&room, parties](const ScheduleEnd&) -> std::string {
    if (room.permits.value() != 1) return "permits: " + std::to_string(room.permits.value());
    const std::uint32_t visits = Env::load(room.visits, Order::relaxed);  // nobody else runs
    return visits == static_cast<std::uint32_t>(parties) ? "" : "visits: " + std::to_string(visits);
  };
  scenario.names = {{"permits", room.permits}, {"inside", room.inside}, {"visits", room.visits}};
  return scenario;
}

template <class Env>
using Plain = BasicSemaphore<Env, Bounded::no>;
template <class Env>
using WithBound = BasicSemaphore<Env, Bounded::yes>;
template <class Env>
using Owned = BasicOwnedSemaphore<Env, 2>;

/// No permit at the start.
template <class Env>
struct Counter {
  Plain<Env> permits{0};
  Word<std::uint32_t> taken;
};

/// `takers` threads that take one each. `givers` threads that give `gives` times `at_once` each.
template <class Env>
Scenario counting(Counter<Env>& counter, int takers, int givers, int gives, std::uint32_t at_once) {
  Scenario scenario{.name = std::to_string(takers) + " take, " + std::to_string(givers) + " give " +
                            std::to_string(gives) + " times " + std::to_string(at_once)};
  scenario.setup = [&counter] { renew(counter); };
  for (int i = 0; i < takers; ++i) {
    scenario.threads.push_back({[&counter] {
      counter.permits.acquire();
      Env::fetch_add(counter.taken, 1U, Order::relaxed);  // read when all have ended
    }});
  }
  for (int i = 0; i < givers; ++i) {
    scenario.threads.push_back({[&counter, gives, at_once] {
      for (int i = 0; i < gives; ++i) counter.permits.release(at_once);
    }});
  }
  const std::uint32_t given = static_cast<std::uint32_t>(givers * gives) * at_once;
  scenario.check = [&counter, takers, given](const ScheduleEnd& end) -> std::string {
    const std::uint32_t taken = Env::load(counter.taken, Order::relaxed);  // nobody else runs
    const std::uint32_t left = counter.permits.value();
    std::uint32_t died = 0;
    for (const bool d : end.died) died += d ? 1 : 0;
    if (taken + left > given || taken + left + died < given) return "given is not taken and left";
    return taken + died >= static_cast<std::uint32_t>(takers) ? "" : "not all have taken";
  };
  scenario.names = {{"permits", counter.permits}, {"taken", counter.taken}};
  return scenario;
}

using SemaphoreScheduled = Scheduled;
using SemaphoreMutant = Scheduled;

// -------------------------------------------------------------------------------------------------
// Nobody dies

TEST_F(SemaphoreScheduled, OnePermitIsOnePermit) {
  Room<Plain<ScheduledEnv>, ScheduledEnv> plain;
  expect_holds_within_bounds(visiting(plain, 2), {.preemptions = 3, .old_values = 2});
  expect_holds_within_bounds(visiting(plain, 3), {.preemptions = 1});
  expect_holds_by_chance(visiting(plain, 4), {});
  Room<WithBound<ScheduledEnv>, ScheduledEnv> bounded;
  expect_holds_within_bounds(visiting(bounded, 2), {.preemptions = 2});
  expect_holds_by_chance(visiting(bounded, 3), {});
}

TEST_F(SemaphoreScheduled, LosesNoWakeUp) {
  Counter<ScheduledEnv> counter;
  expect_holds_within_bounds(counting(counter, 1, 1, 1, 1), {.preemptions = 4, .old_values = 4});
  expect_holds_within_bounds(counting(counter, 2, 1, 2, 1), {.preemptions = 2});
  expect_holds_within_bounds(counting(counter, 2, 2, 1, 1), {.preemptions = 1});
  expect_holds_within_bounds(counting(counter, 2, 1, 1, 2), {.preemptions = 2});
  expect_holds_by_chance(counting(counter, 3, 3, 1, 1), {});
  expect_holds_by_chance(counting(counter, 3, 2, 1, 2), {});
  expect_holds_by_chance(counting(counter, 2, 1, 3, 1), {});
}

TEST_F(SemaphoreScheduled, OneWhoGivesUpTakesNoWakeUpAlong) {
  Counter<ScheduledEnv> counter;
  Scenario scenario = counting(counter, 2, 2, 1, 1);
  scenario.name = "one gives up";
  scenario.threads[0].body = [&counter] {
    counter.permits.acquire();
    counter.permits.release();
  };
  scenario.threads[1].body = [&counter] {
    const Status s = counter.permits.acquire(ScheduledEnv::now() + 1ms);
    require(s == Status::ok || s == Status::timeout, "neither taken nor given up");
    if (s == Status::ok) counter.permits.release();
  };
  scenario.threads[3].body = [] {};
  scenario.check = nullptr;
  expect_holds_within_bounds(scenario, {.early_timeouts = 1});
  expect_holds_by_chance(scenario, {.early_timeouts = 2});
}

TEST_F(SemaphoreMutant, WithoutReleaseIsFound) {
  using Env = WeakerEnv<Order::release>;
  Room<Plain<Env>, Env> room;
  expect_found(visiting(room, 2), {.strategy = Strategy::random}, "data race on");
}

TEST_F(SemaphoreMutant, WithoutAcquireIsFound) {
  using Env = WeakerEnv<Order::acquire>;
  Room<Plain<Env>, Env> room;
  expect_found(visiting(room, 2), {.strategy = Strategy::pct}, "data race on");
}

TEST_F(SemaphoreMutant, ThatWakesNobodyIsFound) {
  Counter<SilentEnv> counter;
  expect_found(counting(counter, 1, 1, 1, 1), {.strategy = Strategy::exhaustive}, "lost wake-up");
}

TEST_F(SemaphoreMutant, ThatForgetsTheSleepersTooEarlyIsFound) {
  Counter<DeafEnv> counter;
  expect_found(counting(counter, 2, 1, 2, 1), {.strategy = Strategy::random}, "lost wake-up");
}

/// A waker that was slow takes another's word for its own, and believes that nobody sleeps.
TEST_F(SemaphoreMutant, WithoutAnEpochIsFound) {
  Counter<TimelessEnv> counter;
  Scenario scenario = counting(counter, 3, 3, 1, 1);
  scenario.setup = [&counter] {
    renew(counter);
    constexpr std::uint64_t kWaiters = std::uint64_t{1} << 31;  // of one who has gone
    std::memcpy(static_cast<void*>(&counter.permits), &kWaiters, sizeof kWaiters);
  };
  expect_found(scenario, {.strategy = Strategy::random}, "lost wake-up");
}

// -------------------------------------------------------------------------------------------------
// The bound

TEST_F(SemaphoreScheduled, TheBoundIsNeverCrossed) {
  struct Over {
    WithBound<ScheduledEnv> permits{2};
    Word<std::uint32_t> refused;
  } over;
  Scenario scenario{.name = "3 give back 2 that were taken, one looks on"};
  scenario.setup = [&over] { renew(over); };
  const auto give_back = [&over] {
    try {
      over.permits.release();
    } catch (const std::logic_error&) {
      ScheduledEnv::fetch_add(over.refused, 1U, Order::relaxed);  // read when all have ended
    }
  };
  const auto take_two = [&over, give_back] {
    over.permits.acquire();
    over.permits.acquire();
    give_back();
  };
  const auto look_on = [&over] {
    for (int i = 0; i < 3; ++i) require(over.permits.value() <= 2, "more than the bound");
  };
  scenario.threads = {{take_two}, {give_back}, {give_back}, {look_on}};
  scenario.check = [&over](const ScheduleEnd&) -> std::string {
    const std::uint32_t refused = ScheduledEnv::load(over.refused, Order::relaxed);  // as above
    return over.permits.value() + refused == 3 ? "" : "refused and added, or neither";
  };
  expect_holds_by_chance(scenario, {});
}

// -------------------------------------------------------------------------------------------------
// Deaths

TEST_F(SemaphoreScheduled, AKilledTakerTakesNothingFromTheOthers) {
  Counter<ScheduledEnv> counter;
  Scenario scenario = counting(counter, 2, 1, 2, 1);
  scenario.name = "one of two takers is mortal";
  scenario.threads[0].mortal = true;
  expect_holds_within_bounds(scenario, {.preemptions = 1, .deaths = 1});
  expect_holds_by_chance(scenario, {.deaths = 1});
}

TEST_F(SemaphoreScheduled, AKilledGiverTakesNothingFromTheOthers) {
  Counter<ScheduledEnv> counter;
  Scenario scenario = counting(counter, 1, 2, 1, 1);
  scenario.name = "one of two givers is mortal";
  scenario.threads[1].mortal = true;
  scenario.check = nullptr;
  expect_holds_within_bounds(scenario, {.preemptions = 2, .deaths = 1});
  expect_holds_by_chance(scenario, {.deaths = 1});
}

// -------------------------------------------------------------------------------------------------
// Owned permits

TEST_F(SemaphoreScheduled, OneOwnedPermitIsOnePermit) {
  Room<Owned<ScheduledEnv>, ScheduledEnv> room;
  expect_holds_within_bounds(visiting(room, 2), {.preemptions = 2});
  expect_holds_by_chance(visiting(room, 3), {});
}

/// What a dead owner was about may be half done, so that `inside` is not looked at.
template <class Env>
Scenario dying(Room<Owned<Env>, Env>& room, int parties, int mortal) {
  Scenario scenario = visiting(room, parties);
  scenario.name = std::to_string(parties) + " share an owned permit, " + std::to_string(mortal) +
                  " of them mortal";
  for (int i = 0; i < parties; ++i) {
    scenario.threads[static_cast<std::size_t>(i)] = {
        [&room] {
          require(room.permits.acquire(Deadline::never()) == Status::ok, "nothing was taken");
          require(room.permits.value() == 0, "a second permit");
          Env::fetch_add(room.visits, 1U, Order::relaxed);  // as above
          room.permits.release();
        },
        i < mortal};
  }
  scenario.check = [&room, parties](const ScheduleEnd& end) -> std::string {
    int alive = parties;
    for (const bool died : end.died) alive -= died ? 1 : 0;
    const std::uint32_t visits = Env::load(room.visits, Order::relaxed);  // nobody else runs
    return visits >= static_cast<std::uint32_t>(alive) ? "" : "visits: " + std::to_string(visits);
  };
  return scenario;
}

TEST_F(SemaphoreScheduled, AnOwnerMayDieAtEachPoint) {
  Room<Owned<ScheduledEnv>, ScheduledEnv> room;
  // A waiter asks for the owner's life, and then sleeps: the death may come in between, and is
  // found at the end of that slice. A wake-up may be lost on the dead besides.
  expect_holds_within_bounds(dying(room, 2, 1), {.preemptions = 2, .deaths = 1, .timeouts = 2});
  expect_holds_by_chance(dying(room, 3, 2), {.deaths = 2, .timeouts = 4});
}

/// All threads are one process's.
struct OneProcessEnv : ScheduledEnv {
  struct Owner {
    std::uint64_t me;
    std::uint32_t incarnation;
  };
  static Owner self() noexcept { return {me(), 1}; }
  static std::uint64_t me() noexcept { return std::uint64_t{1} << 32; }
};

TEST_F(SemaphoreScheduled, APermitThatMovesBetweenThreadsIsFound) {
  // The process has a permit all the time, but never the same one for long.
  BasicOwnedSemaphore<OneProcessEnv, 3> permits;
  Scenario scenario{.name = "three threads of a process take and give back"};
  scenario.setup = [&permits] { renew(permits); };
  for (int i = 0; i < 3; ++i) {
    scenario.threads.push_back({[&permits] {
      for (int i = 0; i < 2; ++i) {
        permits.acquire();
        permits.release();
      }
    }});
  }
  scenario.names = {{"permits", permits}};
  expect_holds_by_chance(scenario, {});
}

TEST_F(SemaphoreMutant, ThatTakesFromTheLivingIsFound) {
  Room<Owned<HastyEnv>, HastyEnv> room;
  expect_found(visiting(room, 2), {.strategy = Strategy::random}, "");
}

TEST_F(SemaphoreMutant, WhoseWaitersOfOwnedPermitsAnnounceTooLateIsFound) {
  Room<Owned<NoHeavyBarrierEnv>, NoHeavyBarrierEnv> room;
  expect_found(visiting(room, 2), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(SemaphoreMutant, OwnedWithoutReleaseIsFound) {
  using Env = WeakerEnv<Order::release>;
  Room<Owned<Env>, Env> room;
  expect_found(visiting(room, 2), {.strategy = Strategy::random}, "data race on");
}

}  // namespace
}  // namespace sluice::tests
