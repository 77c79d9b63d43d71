// SPDX-License-Identifier: Apache-2.0
//
// The condition variable that ships, under the scheduler: a notification of n lets n waiters go,
// and no death takes one along. Beside each property a mutant in which it must be seen to fail.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::Word;
using testkit::ExploreOptions;
using testkit::KernelHelp;
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

/// No wake call on a 32-bit word arrives: the condition variable's, not the lock's.
struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int count) noexcept {
    return sizeof(T) == 4 ? 0 : ScheduledEnv::futex_wake(word, count);
  }
};

struct ShyEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int /*count*/) noexcept {
    return ScheduledEnv::futex_wake(word, 1);
  }
};

/// One word of the condition variable, at this offset from its start, can't be written.
template <std::size_t kOffset>
struct StuckEnv : ScheduledEnv {
  static inline const std::byte* start = nullptr;

  template <class T>
  static void store(Word<T>& word, T value, Order order) noexcept {
    if (reinterpret_cast<const std::byte*>(&word) == start + kOffset) return;
    ScheduledEnv::store(word, value, order);
  }
};

using NeverGrantsEnv = StuckEnv<12>;   // permits
using NeverSleepsEnv = StuckEnv<16>;   // sleepers
using NeverReleasesEnv = StuckEnv<4>;  // released

/// Permits are given, and not taken back.
struct GenerousEnv : ScheduledEnv {
  static inline const std::byte* start = nullptr;

  template <class T>
  static void store(Word<T>& word, T value, Order order) noexcept {
    const bool permits = reinterpret_cast<const std::byte*>(&word) == start + 12;
    if (permits && value == 0) return;
    ScheduledEnv::store(word, value, order);
  }
};

// -------------------------------------------------------------------------------------------------
// What is explored

template <class Env>
struct Inbox {
  BasicMutex<Env> mutex;
  BasicConditionVariable<Env> changed;
  ScheduledData<int> jobs;
  ScheduledData<int> gone;  ///< waiters whose wait has ended
};

template <class Env>
void lock(Inbox<Env>& inbox) {
  const Status s = inbox.mutex.acquire();
  require(s == Status::ok || s == Status::owner_died, "the lock was not taken");
  // What is protected is a number: always in order.
  if (s == Status::owner_died) inbox.mutex.mark_consistent();
}

/// Waits for a job, and takes it.
template <class Env>
void take(Inbox<Env>& inbox) {
  lock(inbox);
  for (;;) {
    const Status s = inbox.changed.wait(inbox.mutex, [&] { return inbox.jobs > 0; });
    if (s == Status::ok) break;
    require(s == Status::owner_died, "waited for ever, and returned");
    inbox.mutex.mark_consistent();
  }
  inbox.jobs += -1;
  inbox.gone += 1;
  inbox.mutex.unlock();
}

/// Waits for a notification, whatever it is about.
template <class Env>
void wait_once(Inbox<Env>& inbox) {
  lock(inbox);
  const Status s = inbox.changed.wait(inbox.mutex);
  require(s == Status::ok || s == Status::owner_died, "waited for ever, and returned");
  if (s == Status::owner_died) inbox.mutex.mark_consistent();
  inbox.gone += 1;
  inbox.mutex.unlock();
}

template <class Env>
void post(Inbox<Env>& inbox, int jobs, std::ptrdiff_t notified) {
  lock(inbox);
  inbox.jobs += jobs;
  inbox.changed.notify(notified);
  inbox.mutex.unlock();
}

/// Looks with the lock held, again and again, until `condition`.
template <class Env, class Condition>
void watch(Inbox<Env>& inbox, Condition condition) {
  lock(inbox);
  while (!condition()) {
    inbox.mutex.unlock();
    Env::yield();
    lock(inbox);
  }
  inbox.mutex.unlock();
}

template <class Env>
Scenario with(Inbox<Env>& inbox, std::string name) {
  Scenario scenario{.name = std::move(name)};
  scenario.setup = [&inbox] {
    renew(inbox);
    if constexpr (requires { Env::start; }) {
      Env::start = reinterpret_cast<const std::byte*>(&inbox.changed);
    }
  };
  scenario.names = {{"mutex", inbox.mutex},
                    {"changed", inbox.changed},
                    {"jobs", inbox.jobs},
                    {"gone", inbox.gone}};
  return scenario;
}

constexpr std::ptrdiff_t kAll = PTRDIFF_MAX;

/// `takers` take a job each; jobs are posted one by one, with a notification of `notified` each.
template <class Env>
Scenario posting(Inbox<Env>& inbox, int takers, std::ptrdiff_t notified) {
  Scenario scenario = with(inbox, std::to_string(takers) + " take");
  for (int i = 0; i < takers; ++i) scenario.threads.push_back({[&inbox] { take(inbox); }});
  scenario.threads.push_back({[&inbox, takers, notified] {
    for (int i = 0; i < takers; ++i) post(inbox, 1, notified);
  }});
  scenario.check = [&inbox](const ScheduleEnd&) { return inbox.jobs == 0 ? "" : "a job was left"; };
  return scenario;
}

/// Three wait; two are notified at once; then the third. Nobody goes early.
template <class Env>
Scenario counting(Inbox<Env>& inbox, int waiters, std::ptrdiff_t notified) {
  Scenario scenario = with(inbox, std::to_string(notified) + " of " + std::to_string(waiters));
  for (int i = 0; i < waiters; ++i) scenario.threads.push_back({[&inbox] { wait_once(inbox); }});
  scenario.threads.push_back({[&inbox, waiters, notified] {
    const auto all = static_cast<std::uint32_t>(waiters);
    watch(inbox, [&] { return inbox.changed.waiting() == all; });
    post(inbox, 0, notified);
    watch(inbox, [&] { return inbox.gone >= notified; });
    for (int i = 0; i < 4; ++i) Env::yield();
    lock(inbox);
    require(inbox.gone == notified, "more went than were notified");
    inbox.changed.notify_all();
    inbox.mutex.unlock();
  }});
  scenario.check = [&inbox, waiters](const ScheduleEnd&) {
    return inbox.gone == waiters ? "" : "somebody stayed";
  };
  return scenario;
}

class ConditionVariableScheduled : public Scheduled {
 protected:
  Inbox<ScheduledEnv> inbox_;
};

using ConditionVariableMutant = Scheduled;

// -------------------------------------------------------------------------------------------------
// Nobody dies

TEST_F(ConditionVariableScheduled, LosesNoNotification) {
  expect_holds_within_bounds(posting(inbox_, 1, 1), {.preemptions = 3, .old_values = 2});
  expect_holds_within_bounds(posting(inbox_, 1, kAll), {.preemptions = 3, .old_values = 2});
  expect_holds_within_bounds(posting(inbox_, 2, 1), {.preemptions = 1});
  expect_holds_by_chance(posting(inbox_, 2, 1), {});
  expect_holds_by_chance(posting(inbox_, 3, kAll), {});
}

TEST_F(ConditionVariableScheduled, LetsAsManyGoAsWereNotified) {
  expect_holds_by_chance(counting(inbox_, 3, 2), {});
  expect_holds_by_chance(counting(inbox_, 2, 1), {});
  expect_holds_by_chance(counting(inbox_, 2, 2), {});
}

TEST_F(ConditionVariableScheduled, ASurplusIsNotRemembered) {
  Scenario scenario = with(inbox_, "notified before it waits");
  scenario.threads = {{[this] {
    post(inbox_, 0, 5);
    lock(inbox_);
    const Status s = inbox_.changed.wait_for(inbox_.mutex, Deadline(ScheduledEnv::now() + 1ms));
    require(s == Status::timeout, "went on an old notification");
    inbox_.mutex.unlock();
  }}};
  EXPECT_TRUE(explore(scenario, {.schedules = 100, .timeouts = 1}).holds());
}

TEST_F(ConditionVariableScheduled, WhoTimesOutTakesNoNotificationAlong) {
  Scenario scenario = posting(inbox_, 2, 1);
  scenario.name = "one gives up";
  scenario.threads[0].body = [this] {
    lock(inbox_);
    const Deadline soon(ScheduledEnv::now() + 1ms);
    const Status s = inbox_.changed.wait_for(inbox_.mutex, soon, [&] { return inbox_.jobs > 0; });
    require(s == Status::ok || s == Status::timeout, "neither a job nor given up");
    if (s == Status::ok) inbox_.jobs += -1;
    inbox_.mutex.unlock();
  };
  scenario.check = nullptr;
  expect_holds_within_bounds(scenario, {.preemptions = 1, .early_timeouts = 1});
  expect_holds_by_chance(scenario, {.early_timeouts = 2});
}

TEST_F(ConditionVariableMutant, ThatWakesNobodyIsFound) {
  Inbox<SilentEnv> inbox;
  expect_found(posting(inbox, 1, 1), {.strategy = Strategy::exhaustive}, "lost wake-up");
}

TEST_F(ConditionVariableMutant, ThatWakesOneInsteadOfAllIsFound) {
  Inbox<ShyEnv> inbox;
  expect_found(posting(inbox, 2, kAll), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(ConditionVariableMutant, WhoseSleepersDoNotSaySoIsFound) {
  Inbox<NeverSleepsEnv> inbox;
  expect_found(posting(inbox, 1, 1), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(ConditionVariableMutant, ThatGivesNoPermitsIsFound) {
  Inbox<NeverGrantsEnv> inbox;
  expect_found(counting(inbox, 2, 1), {.strategy = Strategy::random, .steps = 1000}, "");
}

TEST_F(ConditionVariableMutant, ThatTakesNoPermitBackIsFound) {
  Inbox<GenerousEnv> inbox;
  expect_found(counting(inbox, 2, 1), {.strategy = Strategy::random},
               "more went than were notified");
}

TEST_F(ConditionVariableMutant, ThatReleasesNobodyIsFound) {
  Inbox<NeverReleasesEnv> inbox;
  expect_found(posting(inbox, 2, kAll), {.strategy = Strategy::random}, "");
}

// -------------------------------------------------------------------------------------------------
// Deaths

/// Two wait, one is notified, and tells the other. If it is killed, asleep or woken, the permit is
/// the other's; if it is killed with the lock held, the mark is.
template <class Env>
Scenario bequeathing(Inbox<Env>& inbox) {
  Scenario scenario = with(inbox, "one of two is notified, and dies");
  const auto waiter = [&inbox](ScheduledData<int>& came) {
    lock(inbox);
    came = 1;
    const Status s = inbox.changed.wait(inbox.mutex);
    require(s == Status::ok || s == Status::owner_died, "waited for ever, and returned");
    inbox.changed.notify_all();
    if (s == Status::owner_died) inbox.mutex.mark_consistent();
    inbox.mutex.unlock();
  };
  scenario.threads = {{[&inbox, waiter] { waiter(inbox.jobs); }, true},
                      {[&inbox, waiter] { waiter(inbox.gone); }},
                      {[&inbox] {
                        watch(inbox, [&] {
                          const bool first = inbox.jobs == 1 || Env::probe(1) == Liveness::dead;
                          return first && inbox.gone == 1;
                        });
                        post(inbox, 0, 1);
                      }}};
  return scenario;
}

TEST_F(ConditionVariableScheduled, NoNotificationIsLostToAKilledWaiter) {
  expect_holds_within_bounds(bequeathing(inbox_),
                             {.preemptions = 1, .old_values = 0, .deaths = 1, .timeouts = 6});
  expect_holds_by_chance(bequeathing(inbox_), {.deaths = 1, .timeouts = 6});
}

TEST_F(ConditionVariableScheduled, JobsAreTakenAlthoughATakerDies) {
  Scenario scenario = posting(inbox_, 2, 1);
  scenario.name = "one of two takers is mortal";
  scenario.threads[0].mortal = true;
  scenario.check = nullptr;
  expect_holds_within_bounds(scenario, {.preemptions = 1, .deaths = 1, .timeouts = 6});
  expect_holds_by_chance(scenario, {.deaths = 1, .timeouts = 6});
  expect_holds_by_chance(scenario, {.deaths = 1, .timeouts = 12, .kernel = KernelHelp::none});
}

TEST_F(ConditionVariableScheduled, ADyingNotifierLeavesNobodyWaitingForEver) {
  Scenario scenario = posting(inbox_, 1, 1);
  scenario.name = "the notifier is mortal";
  scenario.threads[1].mortal = true;
  // A second one, so that the wait ends.
  scenario.threads.push_back({[this] { post(inbox_, 1, 1); }});
  scenario.check = nullptr;
  expect_holds_within_bounds(scenario, {.preemptions = 1, .deaths = 1, .timeouts = 6});
  expect_holds_by_chance(scenario, {.deaths = 1, .timeouts = 6});
}

}  // namespace
}  // namespace sluice::tests
