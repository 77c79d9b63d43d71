// SPDX-License-Identifier: Apache-2.0
//
// The barrier that ships, under the scheduler: nobody passes before all have come, nobody is left
// behind, and a death is told. Beside each property a mutant, made by an environment that does one
// thing wrong, in which it must be seen to fail.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <type_traits>

#include "sluice/sync/barrier.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/barrier_seats.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::Word;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledData;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

constexpr std::uint32_t kMost = 3;

// -------------------------------------------------------------------------------------------------
// Environments with one fault. The orders in them are what is tested.

/// A compare-and-swap of one order is done with another.
template <Order kOf, Order kAs>
struct WeakerEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (order == kOf) order = kAs;  // the fault
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

struct WeakerLoadEnv : ScheduledEnv {
  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    if (order == Order::acquire) order = Order::relaxed;  // the fault
    return ScheduledEnv::load(word, order);
  }
};

struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& /*word*/, int /*count*/) noexcept {
    return 0;
  }
};

/// Takes nobody for dead.
struct TrustingEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

/// Takes everybody for dead.
struct HastyEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

// -------------------------------------------------------------------------------------------------
// What is explored

/// Each party writes its own, and after the barrier reads what the others wrote before it.
template <class Env>
struct Phases {
  BasicBarrier<Env, kMost> barrier;
  ScheduledData<int> done[kMost];  ///< rounds for which the party has done its work
  ScheduledData<int> actions;
};

/// New, with all zero but what its constructor is told.
template <class Env>
void renew(Phases<Env>& phases, std::uint32_t parties, OnDeath on_death) {
  std::memset(static_cast<void*>(&phases), 0, sizeof phases);
  ::new (static_cast<void*>(&phases)) Phases<Env>();
  ::new (static_cast<void*>(&phases.barrier))
      BasicBarrier<Env, kMost>(parties, {.on_death = on_death});
}

/// What the parties do: some rounds, each followed by a second wait, so that nobody writes again
/// before all have read. With deaths they take their seats first and have a deadline, since a death
/// is noticed only if all seats are taken.
template <class Env>
struct Play {
  Phases<Env> phases = {};
  std::uint32_t parties = 2;
  int rounds = 2;
  bool action = false;
  OnDeath on_death = OnDeath::breaks;
  std::uint32_t mortal = 0;  ///< the first so many
  std::uint32_t joined = 0;

  BarrierResult come(int round) {
    const auto act = [&] {
      for (std::uint32_t i = 0; i < parties && mortal == 0; ++i) {
        require(phases.done[i] == round + 1, "the action runs before all have come");
      }
      phases.actions += 1;
    };
    const Deadline deadline =
        mortal != 0 ? Deadline(ScheduledEnv::now() + 25ms) : Deadline::never();
    return action ? phases.barrier.wait(deadline, act) : phases.barrier.wait(deadline);
  }

  bool passed(Status s) {
    if (mortal == 0) require(s == Status::ok, "neither passed nor told");
    if (joined == parties) require(s != Status::timeout, "a death was not noticed");
    if (on_death == OnDeath::shrink && joined == parties) {
      require(s == Status::ok, "not let go by those who live");
    }
    require(s == Status::ok || s == Status::broken || s == Status::timeout, "another status");
    return s == Status::ok;
  }

  void party(std::uint32_t me) {
    if (mortal != 0) {
      require(phases.barrier.join() == Status::ok, "no seat");
      ++joined;
    }
    for (int round = 0; round < rounds; ++round) {
      phases.done[me] = round + 1;
      if (!passed(come(round).status)) return;
      for (std::uint32_t i = 0; i < parties && mortal == 0; ++i) {
        require(phases.done[i] == round + 1, "passed before all had come, or overtaken");
      }
      if (action && mortal == 0) require(phases.actions == round + 1, "not one action a round");
      if (round + 1 < rounds && !passed(phases.barrier.wait(ScheduledEnv::now() + 25ms).status)) {
        return;
      }
    }
    if (mortal != 0) phases.barrier.leave();  // else its end would be a death
  }

  Scenario scenario(const std::string& name) {
    Scenario scenario{.name = std::to_string(parties) + " parties, " + name};
    scenario.setup = [this] {
      renew(phases, parties, on_death);
      joined = 0;
    };
    for (std::uint32_t i = 0; i < parties; ++i) {
      scenario.threads.push_back({[this, i] { party(i); }, i < mortal});
    }
    scenario.check = [this](const ScheduleEnd& end) -> std::string {
      bool died = false;
      for (const bool one : end.died) died = died || one;
      if (!died && phases.barrier.broken()) return "broken, and nobody died";
      return "";
    };
    scenario.names = {{"barrier", phases.barrier}, {"actions", phases.actions}};
    return scenario;
  }
};

class BarrierScheduled : public Scheduled {
 protected:
  Play<ScheduledEnv> play_;
};
using BarrierMutantScheduled = Scheduled;

// -------------------------------------------------------------------------------------------------
// Nobody dies

TEST_F(BarrierScheduled, NobodyPassesEarlyAndNobodyStays) {
  expect_holds_within_bounds(play_.scenario("two rounds"), {.preemptions = 2});
  play_.rounds = 1;
  expect_holds_within_bounds(play_.scenario("one round"), {.preemptions = 3, .old_values = 2});
  play_.parties = 3;
  expect_holds_within_bounds(play_.scenario("one round"), {.preemptions = 1});
  play_.rounds = 2;
  expect_holds_by_chance(play_.scenario("two rounds"), {});
}

TEST_F(BarrierScheduled, TheActionRunsOncePerRoundBeforeAnybodyIsLetGo) {
  play_.action = true;
  expect_holds_within_bounds(play_.scenario("an action"), {.preemptions = 2});
  play_.parties = 3;
  expect_holds_by_chance(play_.scenario("an action"), {});
}

TEST_F(BarrierMutantScheduled, WithoutReleaseIsFound) {
  Play<WeakerEnv<Order::seq_cst, Order::relaxed>> play;
  expect_found(play.scenario("arrivals release nothing"), {.strategy = Strategy::random},
               "data race on");
}

TEST_F(BarrierMutantScheduled, WithoutAcquireIsFound) {
  Play<WeakerLoadEnv> play;
  expect_found(play.scenario("released without acquire"), {.strategy = Strategy::pct},
               "data race on");
}

/// Two come at once, and neither sees the other.
TEST_F(BarrierMutantScheduled, WhoseArrivalsAreOnlyReleasedIsFound) {
  Play<WeakerEnv<Order::seq_cst, Order::release>> play;
  expect_found(play.scenario("arrivals in no single order"), {.strategy = Strategy::random},
               "lost wake-up");
}

TEST_F(BarrierMutantScheduled, ThatWakesNobodyIsFound) {
  Play<SilentEnv> play;
  expect_found(play.scenario("nobody is woken"), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(BarrierMutantScheduled, ThatTakesTheLivingForDeadIsFound) {
  Play<HastyEnv> play;
  expect_found(play.scenario("the living are dead"), {.strategy = Strategy::random}, "");
}

// -------------------------------------------------------------------------------------------------
// Deaths

TEST_F(BarrierScheduled, APartyMayDieAtEachPoint) {
  play_.mortal = 1;
  for (const OnDeath on_death : {OnDeath::breaks, OnDeath::counts_if_arrived, OnDeath::shrink}) {
    play_.on_death = on_death;
    play_.parties = 2;
    play_.rounds = 1;
    expect_holds_within_bounds(play_.scenario("one mortal"),
                               {.preemptions = 1, .deaths = 1, .timeouts = 4});
    play_.parties = 3;
    play_.rounds = 2;
    expect_holds_by_chance(play_.scenario("one mortal"), {.deaths = 1, .timeouts = 12});
  }
}

TEST_F(BarrierScheduled, APartyMayDieInTheAction) {
  play_.mortal = 2;
  play_.action = true;
  play_.rounds = 1;
  expect_holds_within_bounds(play_.scenario("two mortal, an action"),
                             {.preemptions = 1, .deaths = 1, .timeouts = 4});
  play_.parties = 3;
  play_.rounds = 2;
  expect_holds_by_chance(play_.scenario("two mortal, an action"), {.deaths = 2, .timeouts = 12});
}

TEST_F(BarrierMutantScheduled, ThatNeverAsksWhoLivesIsFound) {
  Play<TrustingEnv> play;
  play.mortal = 1;
  expect_found(play.scenario("mutant: never asks"),
               {.strategy = Strategy::random, .deaths = 1, .timeouts = 12},
               "a death was not noticed");
}

// -------------------------------------------------------------------------------------------------
// Breaking and mending

/// Two come until they have passed; a third aborts and resets. Who is told of a round that was
/// completed that it was broken, or the reverse, leaves the other alone in the end.
template <class Env>
Scenario abort_and_reset(Phases<Env>& phases, int aborts) {
  Scenario scenario{.name = std::to_string(aborts) + " times abort and reset"};
  scenario.setup = [&] { renew(phases, 2, OnDeath::breaks); };
  const auto until_passed = [&] {
    for (;;) {
      while (phases.barrier.broken()) ScheduledEnv::yield();
      const Status s = phases.barrier.wait(Deadline::never()).status;
      require(s == Status::ok || s == Status::broken, "neither passed nor told");
      if (s == Status::ok) return;
    }
  };
  scenario.threads = {{until_passed}, {until_passed}, {[&, aborts] {
                        for (int i = 0; i < aborts; ++i) {
                          phases.barrier.abort();
                          require(phases.barrier.reset() == Status::ok, "reset");
                        }
                      }}};
  scenario.names = {{"barrier", phases.barrier}};
  return scenario;
}

TEST_F(BarrierScheduled, AnAbortIsToldToAllAndAResetLetsAllPassAgain) {
  Phases<ScheduledEnv> phases;
  expect_holds_by_chance(abort_and_reset(phases, 1), {});
  expect_holds_by_chance(abort_and_reset(phases, 3), {});
}

/// After a reset the round is the next one, as if the last one had been completed.
struct ForgetfulEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      const auto from = internal::BarrierWord::of(expected);
      auto to = internal::BarrierWord::of(desired);
      if (to.is_empty() && to.round == from.round + 2) {
        --to.round;  // the fault
        desired = to.bits();
      }
    }
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

TEST_F(BarrierMutantScheduled, WhoseResetLooksLikeACompletedRoundIsFound) {
  Phases<ForgetfulEnv> phases;
  expect_found(abort_and_reset(phases, 1), {.strategy = Strategy::random}, "");
}

TEST_F(BarrierScheduled, ATimeOutBreaksTheRoundForBothOrForNeither) {
  Phases<ScheduledEnv> phases;
  Status ended[2] = {};
  Scenario scenario{.name = "one gives up"};
  scenario.setup = [&] {
    renew(phases, 2, OnDeath::breaks);
    ended[0] = ended[1] = Status::corrupt;
  };
  scenario.threads = {{[&] { ended[0] = phases.barrier.wait(ScheduledEnv::now() + 1ms).status; }},
                      {[&] { ended[1] = phases.barrier.wait(Deadline::never()).status; }}};
  scenario.check = [&](const ScheduleEnd&) -> std::string {
    if (ended[0] == Status::ok && ended[1] == Status::ok) return "";
    if (ended[0] == Status::timeout && ended[1] == Status::broken) return "";
    return "one " + std::string(to_string(ended[0])) + ", the other " +
           std::string(to_string(ended[1]));
  };
  expect_holds_within_bounds(scenario, {.early_timeouts = 1});
  expect_holds_by_chance(scenario, {.early_timeouts = 2});
}

}  // namespace
}  // namespace sluice::tests
