// SPDX-License-Identifier: Apache-2.0
//
// The mutex that ships, under the scheduler: exclusion, wake-ups, deaths. Beside each property a
// mutant, made by an environment that does one thing wrong, in which it must be seen to fail.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <type_traits>

#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::LockWord;
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

/// `waiters` is not kept by one who takes the lock, or by one who gives it back.
template <Order kOf>
struct ForgetfulEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      if (order == kOf) desired &= ~LockWord::kWaiters;  // the fault
    }
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& /*word*/, int /*count*/) noexcept {
    return 0;
  }
};

/// Says of the living that they are dead.
struct HastyEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

// -------------------------------------------------------------------------------------------------
// What is explored

template <class Env>
struct Account {
  BasicMutex<Env> mutex;
  ScheduledData<int> inside;  ///< 1 while somebody changes `total`
  ScheduledData<int> total;
};

/// Holds the lock for a while; repairs if an owner has died.
template <class Env>
void book(Account<Env>& account) {
  const Status s = account.mutex.acquire();
  require(s == Status::ok || s == Status::owner_died, "the lock was not taken");
  if (s == Status::owner_died) {
    account.inside = 0;
    account.mutex.mark_consistent();
  }
  require(account.inside == 0, "two inside, or an owner's death went unnoticed");
  account.inside = 1;
  account.total += 1;
  account.inside = 0;
  account.mutex.unlock();
}

/// `parties` threads that book; the first `mortal` of them may be killed.
template <class Env>
Scenario booking(Account<Env>& account, int parties, int mortal = 0) {
  Scenario scenario{.name = std::to_string(parties) + " book"};
  if (mortal != 0) scenario.name += ", " + std::to_string(mortal) + " of them mortal";
  scenario.setup = [&] { renew(account); };
  for (int i = 0; i < parties; ++i) {
    scenario.threads.push_back({[&account] { book(account); }, i < mortal});
  }
  scenario.check = [&account, parties](const ScheduleEnd& end) -> std::string {
    int alive = 0;
    for (const bool died : end.died) alive += died ? 0 : 1;
    const int total = account.total;
    return total >= alive && total <= parties ? "" : "booked " + std::to_string(total);
  };
  scenario.names = {{"mutex", account.mutex}, {"inside", account.inside}, {"total", account.total}};
  return scenario;
}

/// One who takes the lock again while two others want it: a waiter that was woken is overtaken. The
/// waiters are mortal.
template <class Env>
Scenario overtaking(Account<Env>& account) {
  Scenario scenario = booking(account, 3);
  scenario.name = "woken, overtaken, killed";
  scenario.threads[0].body = [&account] {
    book(account);
    book(account);
  };
  scenario.threads[1].mortal = true;
  scenario.check = nullptr;
  return scenario;
}

class MutexScheduled : public Scheduled {
 protected:
  Account<ScheduledEnv> account_;
};

// -------------------------------------------------------------------------------------------------
// Nobody dies

TEST_F(MutexScheduled, ExcludesAndWakes) {
  expect_holds_within_bounds(booking(account_, 2), {.preemptions = 4, .old_values = 3});
  expect_holds_within_bounds(booking(account_, 3), {.old_values = 2});
  expect_holds_by_chance(booking(account_, 4), {});
}

TEST_F(MutexScheduled, ExcludesAndWakesOneWhoComesBack) {
  expect_holds_within_bounds(overtaking(account_), {.old_values = 2});
  expect_holds_by_chance(overtaking(account_), {});
}

TEST(MutexMutant, WithoutReleaseIsFound) {
  Account<WeakerEnv<Order::release>> account;
  expect_found(booking(account, 2), {.strategy = Strategy::random}, "data race on");
}

TEST(MutexMutant, WithoutAcquireIsFound) {
  Account<WeakerEnv<Order::acquire>> account;
  expect_found(booking(account, 2), {.strategy = Strategy::pct}, "data race on");
}

using MutexMutantScheduled = Scheduled;

TEST_F(MutexMutantScheduled, ThatWakesNobodyIsFound) {
  Account<SilentEnv> account;
  expect_found(booking(account, 2), {.strategy = Strategy::exhaustive}, "lost wake-up");
}

TEST_F(MutexMutantScheduled, WhoseTakersForgetTheWaitersIsFound) {
  Account<ForgetfulEnv<Order::acquire>> account;
  expect_found(booking(account, 3), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(MutexMutantScheduled, ThatTakesTheLivingForDeadIsFound) {
  Account<HastyEnv> account;
  expect_found(booking(account, 2), {.strategy = Strategy::random}, "");
}

// -------------------------------------------------------------------------------------------------
// Deaths

TEST_F(MutexScheduled, AnOwnerMayDieAtEachPoint) {
  expect_holds_within_bounds(booking(account_, 2, 1), {.preemptions = 3, .deaths = 1});
  expect_holds_within_bounds(booking(account_, 3, 1), {.preemptions = 1, .deaths = 1});
  expect_holds_by_chance(booking(account_, 4, 3), {.deaths = 3});
}

TEST_F(MutexScheduled, AnOwnerMayDieUnheardAndASliceFindsOut) {
  const ExploreOptions unheard{
      .preemptions = 3, .deaths = 1, .timeouts = 4, .kernel = KernelHelp::none};
  expect_holds_within_bounds(booking(account_, 2, 1), unheard);
  expect_holds_by_chance(booking(account_, 3, 2),
                         {.deaths = 2, .timeouts = 8, .kernel = KernelHelp::none});
}

TEST_F(MutexScheduled, WhoWasWokenOvertakenAndKilledTakesNoWakeUpAlong) {
  expect_holds_within_bounds(overtaking(account_), {.preemptions = 1, .deaths = 1});
  expect_holds_by_chance(overtaking(account_), {.deaths = 1});
}

TEST_F(MutexMutantScheduled, WhoseWakersForgetTheWaitersLosesTheWakeUpOfAKilledOne) {
  Account<ForgetfulEnv<Order::release>> account;
  expect_found(overtaking(account), {.strategy = Strategy::random, .deaths = 1}, "lost wake-up");
}

TEST_F(MutexScheduled, WhereTheKernelWakesLessASliceMakesUpForIt) {
  expect_holds_by_chance(overtaking(account_),
                         {.deaths = 1, .timeouts = 4, .kernel = KernelHelp::to_zero});
}

// -------------------------------------------------------------------------------------------------
// Deadlines

TEST_F(MutexScheduled, WhoGivesUpTakesNoWakeUpAlong) {
  Scenario scenario = booking(account_, 3);
  scenario.name = "one gives up";
  scenario.threads[1].body = [this] {
    const Status s = account_.mutex.acquire(ScheduledEnv::now() + 1ms);
    if (s == Status::ok) account_.mutex.unlock();
    require(s == Status::ok || s == Status::timeout, "neither taken nor given up");
  };
  scenario.check = nullptr;
  expect_holds_within_bounds(scenario, {.early_timeouts = 1});
  expect_holds_by_chance(scenario, {.early_timeouts = 2});
}

}  // namespace
}  // namespace sluice::tests
