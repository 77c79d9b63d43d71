// SPDX-License-Identifier: Apache-2.0
//
// The reader/writer lock that ships, under the scheduler: exclusion, wake-ups, deaths, readers
// without a cell. Beside each property a mutant in which it must be seen to fail.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/shared_mutex.h"
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
using testkit::Membarrier;
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

/// The writer takes its word, and does not wait for that to be seen before it looks at the cells.
struct NoFenceEnv : ScheduledEnv {
  static void fence() noexcept {}
};

/// The reader announces itself, and looks for a writer too early.
struct HastyReaderEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order order) noexcept {
    if (order == Order::seq_cst) order = Order::acq_rel;  // the fault
    return ScheduledEnv::cas(word, expected, desired, order);
  }
};

/// Stores are done with no order: the one by which a reader leaves its cell.
struct LooseEnv : ScheduledEnv {
  template <class T>
  static void store(Word<T>& word, T value, Order /*order*/) noexcept {
    ScheduledEnv::store(word, value, Order::relaxed);  // the fault
  }
};

/// No wake call on a 32-bit word arrives: the event counts', not the writer's lock's.
struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& word, int count) noexcept {
    return sizeof(T) == 4 ? 0 : ScheduledEnv::futex_wake(word, count);
  }
};

struct NoHeavyBarrierEnv : ScheduledEnv {
  static bool heavy_barrier() noexcept { return true; }
};

/// Says of the living that they are dead.
struct RashEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

/// Takes nobody for dead.
struct TrustingEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

/// `phase` keeps one value: nobody's death matters, or everybody's after the first writer.
template <std::uint32_t kStuckAt>
struct StuckEnv : ScheduledEnv {
  template <class T>
  static void store(Word<T>& word, T value, Order order) noexcept {
    if constexpr (sizeof(T) == 4) {
      if (value != kStuckAt && value <= 1) return;
    }
    ScheduledEnv::store(word, value, order);
  }
};

// -------------------------------------------------------------------------------------------------
// What is explored

template <class Env, std::size_t kReaders>
struct Page {
  using Environment = Env;
  BasicSharedMutex<Env, kReaders> lock;
  Word<std::uint32_t> halfway;       ///< written while the lock is held
  ScheduledData<int> first, second;  ///< equal, but while somebody writes
  ScheduledData<int> deaths_heard;   ///< repairs; guarded by the lock, held for writing
};

template <class P>
void write(P& page) {
  const Status s = page.lock.acquire();
  require(s == Status::ok || s == Status::owner_died, "the lock was not taken");
  if (s == Status::owner_died) {
    page.deaths_heard += 1;
    page.second = page.first;
    page.lock.mark_consistent();
  }
  require(page.first == page.second, "two write, or a writer's death went unnoticed");
  page.first += 1;
  P::Environment::store(page.halfway, 7U, Order::relaxed);  // nobody reads it
  page.second += 1;
  page.lock.unlock();
}

/// A reader that finds a writer dead repairs as a writer, and reads then.
template <class P>
void read(P& page) {
  Status s = page.lock.acquire_shared();
  for (int i = 0; s == Status::owner_died && i < 3; ++i) {
    write(page);
    s = page.lock.acquire_shared();
  }
  require(s == Status::ok, "the share was not taken");
  require(page.first == page.second, "read while it was written, or after a writer's death");
  page.lock.unlock_shared();
}

template <class P>
Scenario with(P& page, std::string name) {
  Scenario scenario{.name = std::move(name)};
  scenario.setup = [&page] { renew(page); };
  scenario.names = {{"lock", page.lock}, {"first", page.first}, {"second", page.second}};
  return scenario;
}

/// `readers` that read once each, and `writers` that write. The first of each may be killed.
template <class P>
Scenario sharing(P& page, int readers, int writers, int mortal_readers = 0,
                 int mortal_writers = 0) {
  Scenario scenario =
      with(page, std::to_string(readers) + " read, " + std::to_string(writers) + " write");
  if (mortal_readers != 0) scenario.name += ", mortal readers";
  if (mortal_writers != 0) scenario.name += ", mortal writers";
  for (int i = 0; i < readers; ++i) {
    scenario.threads.push_back({[&page] { read(page); }, i < mortal_readers});
  }
  for (int i = 0; i < writers; ++i) {
    scenario.threads.push_back({[&page] { write(page); }, i < mortal_writers});
  }
  return scenario;
}

class SharedMutexScheduled : public Scheduled {
 protected:
  Page<ScheduledEnv, 2> page_;
  Page<ScheduledEnv, 1> narrow_;
};

using SharedMutexMutant = Scheduled;

// -------------------------------------------------------------------------------------------------
// Nobody dies

TEST_F(SharedMutexScheduled, ExcludesAndWakes) {
  expect_holds_within_bounds(sharing(page_, 1, 1), {.preemptions = 2, .old_values = 2});
  expect_holds_within_bounds(sharing(page_, 2, 1), {.preemptions = 1});
  expect_holds_by_chance(sharing(page_, 2, 2), {});
}

TEST_F(SharedMutexScheduled, ExcludesAndWakesWhereAReaderFindsNoCell) {
  expect_holds_within_bounds(sharing(narrow_, 2, 1), {.preemptions = 1});
  expect_holds_by_chance(sharing(narrow_, 4, 2), {});
}

TEST_F(SharedMutexScheduled, HoldsWhereBarriersAreFences) {
  const ExploreOptions fences{.membarrier = Membarrier::unregistered};
  expect_holds_within_bounds(sharing(page_, 1, 1), fences);
  expect_holds_by_chance(sharing(page_, 2, 2), fences);
}

/// For those who come after a first refusal: the bit `fence` is set in both event counts.
TEST_F(SharedMutexScheduled, HoldsWhereBarriersAreRefused) {
  Scenario scenario = sharing(page_, 2, 2);
  scenario.setup = [this] {
    renew(page_);
    constexpr std::array<std::uint32_t, 2> kFence{2, 2};
    std::memcpy(reinterpret_cast<std::byte*>(&page_.lock) + 16, kFence.data(), sizeof kFence);
  };
  const ExploreOptions refused{.membarrier = Membarrier::refused};
  expect_holds_by_chance(scenario, refused);
  scenario.threads.pop_back();
  expect_holds_within_bounds(scenario, {.preemptions = 1, .membarrier = Membarrier::refused});
}

TEST_F(SharedMutexScheduled, LosesSlicesToTheFirstRefusal) {
  expect_holds_within_bounds(sharing(page_, 1, 1),
                             {.timeouts = 4, .membarrier = Membarrier::refused});
}

TEST_F(SharedMutexScheduled, AReaderReadsAgainWhileAWriterWaits) {
  Scenario scenario = sharing(page_, 1, 1);
  scenario.name = "a nested share";
  scenario.threads[0].body = [this] {
    require(page_.lock.acquire_shared() == Status::ok, "the first share");
    require(page_.lock.acquire_shared() == Status::ok, "the second share");
    page_.lock.unlock_shared();
    require(page_.first == page_.second, "the first share was given back with the second");
    page_.lock.unlock_shared();
  };
  expect_holds_within_bounds(scenario, {});
  expect_holds_by_chance(scenario, {});
}

/// Both hold their share at the same time, one of them without a cell.
TEST_F(SharedMutexScheduled, ReadersMeetInside) {
  Scenario scenario = with(narrow_, "two readers meet");
  Word<std::uint32_t> here;
  scenario.setup = [&] {
    renew(narrow_);
    renew(here);
  };
  const auto meet = [&] {
    require(narrow_.lock.acquire_shared() == Status::ok, "the share");
    ScheduledEnv::fetch_add(here, 1U, Order::relaxed);
    while (ScheduledEnv::load(here, Order::relaxed) != 2) ScheduledEnv::yield();
    narrow_.lock.unlock_shared();
  };
  scenario.threads = {{meet}, {meet}};
  expect_holds_within_bounds(scenario, {});
  expect_holds_by_chance(scenario, {});
}

TEST_F(SharedMutexMutant, WithoutTheWritersFenceIsFound) {
  Page<NoFenceEnv, 2> page;
  expect_found(sharing(page, 1, 1), {.strategy = Strategy::exhaustive, .preemptions = 3},
               "data race on");
}

TEST_F(SharedMutexMutant, WhoseReadersLookTooEarlyIsFound) {
  Page<HastyReaderEnv, 2> page;
  expect_found(sharing(page, 1, 1), {.strategy = Strategy::random}, "data race on");
}

TEST_F(SharedMutexMutant, WhoseReadersLeaveWithoutReleaseIsFound) {
  Page<LooseEnv, 2> page;
  expect_found(sharing(page, 1, 1), {.strategy = Strategy::random}, "data race on");
}

TEST_F(SharedMutexMutant, WhoseReaderWithoutACellLeavesTheDoorOpenIsFound) {
  Page<StuckEnv<1>, 1> page;
  expect_found(sharing(page, 3, 1), {.strategy = Strategy::random}, "data race on");
}

TEST_F(SharedMutexMutant, ThatWakesNobodyIsFound) {
  Page<SilentEnv, 2> page;
  expect_found(sharing(page, 1, 1), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(SharedMutexMutant, WithoutTheHeavyBarrierIsFound) {
  Page<NoHeavyBarrierEnv, 2> page;
  expect_found(sharing(page, 1, 1), {.strategy = Strategy::random}, "lost wake-up");
}

TEST_F(SharedMutexMutant, ThatTakesTheLivingForDeadIsFound) {
  Page<RashEnv, 2> page;
  expect_found(sharing(page, 1, 1), {.strategy = Strategy::random}, "");
}

// -------------------------------------------------------------------------------------------------
// Deaths

constexpr unsigned kSlices = 6;  // who waits for the dead finds out at the end of one

TEST_F(SharedMutexScheduled, AReaderMayDieAtEachPoint) {
  expect_holds_within_bounds(sharing(page_, 1, 1, 1),
                             {.preemptions = 2, .deaths = 1, .timeouts = kSlices});
  expect_holds_by_chance(sharing(page_, 3, 1, 2), {.deaths = 2, .timeouts = kSlices});
  expect_holds_by_chance(sharing(narrow_, 3, 1, 2), {.deaths = 2, .timeouts = kSlices});
}

TEST_F(SharedMutexScheduled, AWriterMayDieAtEachPoint) {
  expect_holds_within_bounds(sharing(page_, 1, 2, 0, 1),
                             {.preemptions = 1, .deaths = 1, .timeouts = kSlices});
  ExploreOptions two{.deaths = 2, .timeouts = 2 * kSlices};
  expect_holds_by_chance(sharing(narrow_, 3, 1, 1, 1), two);
  two.kernel = KernelHelp::none;
  expect_holds_by_chance(sharing(page_, 2, 2, 1, 2), two);
}

/// Writers that wait while somebody reads for good, and die or give up.
template <class P>
Scenario waiting_writers(P& page) {
  using Env = typename P::Environment;
  Scenario scenario = with(page, "writers die while they wait");
  scenario.setup = [&page] {
    renew(page);
    write(page);  // an earlier writer, which has left in good order
  };
  const auto stay = [&page] {
    require(page.lock.acquire_shared() == Status::ok, "the reader was told");
    Env::store(page.halfway, 2U, Order::release);  // for those who come later
  };
  const auto give_up = [&page] {
    while (Env::load(page.halfway, Order::acquire) != 2) Env::yield();  // see above
    const Status s = page.lock.acquire(Env::now() + 1ms);
    require(s == Status::timeout, "a writer got in, or was told of a death that does not matter");
  };
  const auto read_beside = [&page] {
    require(page.lock.acquire_shared() == Status::ok,
            "a reader was told of a death that does not matter");
    page.lock.unlock_shared();
  };
  scenario.threads = {{stay}, {give_up, true}, {read_beside}, {give_up, true}};
  scenario.check = [&page](const ScheduleEnd& end) -> std::string {
    if (end.died[1] || end.died[3]) return "";
    return page.lock.report().state == LockReport::State::free ? "" : "the lock was left";
  };
  return scenario;
}

TEST_F(SharedMutexScheduled, AWriterThatDiesWaitingLeavesNoMark) {
  expect_holds_by_chance(waiting_writers(page_), {.deaths = 2, .timeouts = 2 * kSlices});
}

TEST_F(SharedMutexMutant, WhoseEveryDeadWriterCountsIsFound) {
  Page<StuckEnv<1>, 2> page;
  expect_found(waiting_writers(page),
               {.strategy = Strategy::random, .deaths = 2, .timeouts = 2 * kSlices}, "a ");
}

TEST_F(SharedMutexMutant, ThatTakesNobodyForDeadIsFound) {
  Page<TrustingEnv, 2> page;
  expect_found(sharing(page, 1, 1, 1),
               {.strategy = Strategy::random, .deaths = 1, .timeouts = kSlices}, "lost wake-up");
}

TEST_F(SharedMutexMutant, ThatForgetsThatAWriterWasWritingIsFound) {
  Page<StuckEnv<0>, 2> page;
  expect_found(sharing(page, 1, 1, 0, 1),
               {.strategy = Strategy::random, .deaths = 1, .timeouts = kSlices},
               "read while it was written, or after a writer's death");
}

// -------------------------------------------------------------------------------------------------
// Deadlines

TEST_F(SharedMutexScheduled, WhoGivesUpLeavesNothingBehind) {
  Scenario scenario = sharing(page_, 2, 2);
  scenario.name = "a reader and a writer give up";
  scenario.threads[0].body = [this] {
    const Status s = page_.lock.acquire_shared(ScheduledEnv::now() + 1ms);
    if (s == Status::ok) page_.lock.unlock_shared();
    require(s == Status::ok || s == Status::timeout, "neither taken nor given up");
  };
  scenario.threads[2].body = [this] {
    const Status s = page_.lock.acquire(ScheduledEnv::now() + 1ms);
    if (s == Status::ok) page_.lock.unlock();
    require(s == Status::ok || s == Status::timeout, "neither taken nor given up");
  };
  scenario.check = [this](const ScheduleEnd&) -> std::string {
    if (page_.lock.readers() != 0) return "a cell was left";
    return page_.lock.report().state == LockReport::State::free ? "" : "the lock was left";
  };
  expect_holds_by_chance(scenario, {.early_timeouts = 2});
}

}  // namespace
}  // namespace sluice::tests
