// SPDX-License-Identifier: Apache-2.0
//
// Mutex and RecursiveMutex as they ship, under the scheduler: exclusion, wake-ups, deaths, the end
// of a lock's use. Beside each property a mutant, made by an environment that does one thing wrong,
// in which it must be seen to fail.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstring>
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

/// Whoever ends the lock's use tells nobody.
struct SilentEndEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int count) noexcept {
    return count == INT_MAX ? 0 : ScheduledEnv::futex_wake(word, count);
  }
};

/// Says of the living that they are dead.
struct HastyEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

// -------------------------------------------------------------------------------------------------
// What is explored

template <class Env, Relock kRelock = Relock::refused>
struct Account {
  BasicMutex<Env, kRelock> mutex;
  ScheduledData<int> inside;  ///< 1 while somebody changes `total`
  ScheduledData<int> total;
  Word<std::uint32_t> left;  ///< 1: the first thread is done with the lock
};

/// Changes what the lock protects, with the lock held after acquire() said `s`, and gives it back;
/// repairs if an owner has died. A recursive lock is taken once more in the middle.
template <class Env, Relock kRelock>
void book_holding(Account<Env, kRelock>& account, Status s) {
  if (s == Status::owner_died) {
    account.inside = 0;
    account.mutex.mark_consistent();
  }
  require(account.inside == 0, "two inside, or an owner's death went unnoticed");
  account.inside = 1;
  if constexpr (kRelock == Relock::counted) {
    account.mutex.lock();
    require(account.mutex.recursion_count() == 2, "not taken twice");
    account.mutex.unlock();
  }
  account.total += 1;
  account.inside = 0;
  account.mutex.unlock();
}

template <class Env, Relock kRelock>
void book(Account<Env, kRelock>& account) {
  const Status s = account.mutex.acquire();
  require(s == Status::ok || s == Status::owner_died, "the lock was not taken");
  book_holding(account, s);
}

/// `parties` threads that book; the first `mortal` of them may be killed.
template <class Env, Relock kRelock>
Scenario booking(Account<Env, kRelock>& account, int parties, int mortal = 0) {
  Scenario scenario{.name = std::to_string(parties) + " book"};
  if (mortal != 0) scenario.name += ", " + std::to_string(mortal) + " of them mortal";
  scenario.setup = [&] { renew(account); };
  for (int i = 0; i < parties; ++i) {
    scenario.threads.push_back({[&account] { book(account); }, i < mortal});
  }
  scenario.check = [&account, parties](const ScheduleEnd& end) -> std::string {
    int alive = parties;
    for (const bool died : end.died) alive -= died ? 1 : 0;
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

/// `parties` book, unless another has destroyed the lock meanwhile; the first may be killed.
template <class Env>
Scenario destroying(Account<Env>& account, int parties) {
  Scenario scenario = booking(account, parties, 1);
  scenario.name = std::to_string(parties) + " book, another destroys";
  for (auto& thread : scenario.threads) {
    thread.body = [&account] {
      const Status s = account.mutex.acquire();
      if (s == Status::closed) return;
      require(s == Status::ok || s == Status::owner_died, "neither taken nor closed");
      book_holding(account, s);
    };
  }
  scenario.threads.push_back({[&account] {
    Status s = Status::busy;
    while ((s = account.mutex.destroy()) == Status::busy) Env::yield();
    require(s == Status::ok, "neither destroyed nor busy");
    account.inside = 2;  // from now on its own
    require(account.mutex.acquire() == Status::closed, "taken, and destroyed");
    require(account.inside == 2, "somebody inside, and destroyed");
  }});
  scenario.check = nullptr;
  return scenario;
}

/// The first may be killed. Once it is done or dead, another resets the lock, and goes on with it
/// as if nothing had been. `beside` others wait for it meanwhile.
template <class Env>
Scenario resetting(Account<Env>& account, int beside) {
  Scenario scenario = booking(account, 1 + beside, 1);
  scenario.name = "one books, another resets, " + std::to_string(beside) + " wait";
  scenario.threads[0].body = [&account] {
    book(account);
    // Release: for the one who resets, and looks with acquire.
    Env::store(account.left, 1U, Order::release);
  };
  scenario.threads.push_back({[&account, beside] {
    const auto in_use = [&] {
      return Env::load(account.left, Order::acquire) == 0 &&  // as above
             Env::probe(1) != Liveness::dead;
    };
    while (in_use()) Env::yield();
    const Status s = account.mutex.reset();
    if (beside != 0) return;
    require(s == Status::ok, "not reset, and nobody has it");
    account.inside = 0;
    require(account.mutex.acquire() == Status::ok, "still marked, or held");
    book_holding(account, Status::ok);
  }});
  scenario.check = nullptr;
  return scenario;
}

/// The lock is held by one of another registry. One makes it this registry's, others try to take it
/// all the time.
template <class Env>
Scenario taking_over(Account<Env>& account) {
  Scenario scenario = booking(account, 2);
  scenario.name = "2 book once another has taken over a foreign lock";
  scenario.setup = [&account] {
    renew(account);
    const std::uint64_t foreign[] = {std::uint64_t{99} << 32 | 99, 99};
    static_assert(sizeof foreign == sizeof account.mutex);
    std::memcpy(static_cast<void*>(&account.mutex), foreign, sizeof foreign);
  };
  for (auto& thread : scenario.threads) {
    thread.body = [&account] {
      Status s = Status::ok;
      while ((s = account.mutex.acquire()) == Status::foreign_registry) Env::yield();
      require(s == Status::ok, "not as new");
      book_holding(account, s);
    };
  }
  scenario.threads.push_back({[&account] {
    account.inside = 0;
    require(account.mutex.reset() == Status::ok, "not reset");
  }});
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

// -------------------------------------------------------------------------------------------------
// RecursiveMutex

class RecursiveMutexScheduled : public Scheduled {
 protected:
  Account<ScheduledEnv, Relock::counted> account_;
};

TEST_F(RecursiveMutexScheduled, ExcludesAndWakes) {
  expect_holds_within_bounds(booking(account_, 2), {.preemptions = 4, .old_values = 2});
  expect_holds_within_bounds(booking(account_, 3), {.preemptions = 1});
  expect_holds_by_chance(booking(account_, 4), {});
}

TEST_F(RecursiveMutexScheduled, AnOwnerMayDieAtEachPoint) {
  expect_holds_within_bounds(booking(account_, 2, 1), {.preemptions = 2, .deaths = 1});
  expect_holds_by_chance(booking(account_, 4, 3), {.deaths = 3});
  expect_holds_by_chance(booking(account_, 3, 2),
                         {.deaths = 2, .timeouts = 8, .kernel = KernelHelp::none});
}

TEST(RecursiveMutexMutant, WithoutReleaseIsFound) {
  Account<WeakerEnv<Order::release>, Relock::counted> account;
  expect_found(booking(account, 2), {.strategy = Strategy::random}, "data race on");
}

// -------------------------------------------------------------------------------------------------
// The end of its use

TEST_F(MutexScheduled, IsDestroyedWhenNobodyHoldsItAndAllAreTold) {
  expect_holds_within_bounds(destroying(account_, 1), {.preemptions = 3});
  expect_holds_within_bounds(destroying(account_, 2), {.preemptions = 1, .deaths = 1});
  expect_holds_by_chance(destroying(account_, 3), {});
  expect_holds_by_chance(destroying(account_, 2), {.deaths = 1});
  expect_holds_by_chance(destroying(account_, 1), {.deaths = 1, .kernel = KernelHelp::none});
}

TEST_F(MutexMutantScheduled, WhoseDestroyerTellsNobodyIsFound) {
  Account<SilentEndEnv> account;
  expect_found(destroying(account, 3), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(MutexMutantScheduled, ThatIsDestroyedUnderTheLivingIsFound) {
  Account<HastyEnv> account;
  expect_found(destroying(account, 1), {.strategy = Strategy::random}, "");
}

TEST_F(MutexMutantScheduled, ThatIsDestroyedWithoutAcquireIsFound) {
  Account<WeakerEnv<Order::acq_rel>> account;
  expect_found(destroying(account, 1), {.strategy = Strategy::random}, "data race on");
}

TEST_F(MutexScheduled, IsFreeAndUnmarkedAfterAReset) {
  for (const KernelHelp kernel : {KernelHelp::full, KernelHelp::none}) {
    expect_holds_within_bounds(resetting(account_, 0),
                               {.preemptions = 3, .deaths = 1, .kernel = kernel});
    expect_holds_by_chance(resetting(account_, 0), {.deaths = 1, .kernel = kernel});
  }
}

TEST_F(MutexScheduled, ThatIsResetTellsWhoSleepsForTheDead) {
  const ExploreOptions unheard{.preemptions = 2, .deaths = 1, .kernel = KernelHelp::none};
  expect_holds_within_bounds(resetting(account_, 1), unheard);
  expect_holds_by_chance(resetting(account_, 2), unheard);
}

TEST_F(MutexScheduled, OfAnotherRegistryIsAsNewAfterAReset) {
  expect_holds_by_chance(taking_over(account_), {});
}

TEST_F(MutexMutantScheduled, ThatIsResetWithoutReleaseIsFound) {
  Account<WeakerEnv<Order::acq_rel>> account;
  expect_found(resetting(account, 1),
               {.strategy = Strategy::random, .deaths = 1, .kernel = KernelHelp::none},
               "data race on");
}

TEST_F(MutexMutantScheduled, WhoseResetTellsNobodyIsFound) {
  Account<SilentEndEnv> account;
  expect_found(resetting(account, 1),
               {.strategy = Strategy::random, .deaths = 1, .kernel = KernelHelp::none},
               "lost wake-up");
}

}  // namespace
}  // namespace sluice::tests
