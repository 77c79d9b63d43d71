// SPDX-License-Identifier: Apache-2.0
//
// The newest value that ships, under the scheduler: no value is torn, none that was stored is lost
// or comes back after a newer one, no wake-up is lost, a lapped reader gets its slot; with deaths.
// Beside each a mutant in which it must be seen to fail.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "sluice/lockfree/latest.h"
#include "sluice/lockfree/latest_slots.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using internal::Word;
using testkit::ExploreOptions;
using testkit::renew;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

/// Two words, so that it can be torn.
struct Pair {
  std::uint64_t number, inverse;

  static Pair of(std::uint64_t n) { return {n, ~n}; }
  [[nodiscard]] bool is_whole() const {
    return inverse == ~number || (number == 0 && inverse == 0);
  }
};

/// kHopes = 0: a reader asks for a pin at once.
template <class Env, int kHopes = 2>
using Newest = BasicLatest<Pair, Env, internal::LatestSlots<Pair, Env, kHopes>>;

// -------------------------------------------------------------------------------------------------
// Environments with one fault. The orders in them are what is tested.

/// Loads or stores of one order are done with none.
template <Order kForgotten>
struct WeakerEnv : ScheduledEnv {
  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    return ScheduledEnv::load(word, order == kForgotten ? Order::relaxed : order);  // the fault
  }
  template <class T>
  static void store(Word<T>& word, T value, Order order) noexcept {
    ScheduledEnv::store(word, value, order == kForgotten ? Order::relaxed : order);  // the fault
  }
};

/// Tells words by where they lie in the Latest that is explored.
struct LocatingEnv : ScheduledEnv {
  static inline const char* latest = nullptr;

  template <class T>
  static std::ptrdiff_t offset_of(const Word<T>& word) noexcept {
    return reinterpret_cast<const char*>(&word) - latest;
  }
  static bool is_turn(std::ptrdiff_t at) noexcept { return at >= 128 && at % 64 == sizeof(Pair); }
  static bool is_pin(std::ptrdiff_t at) noexcept { return at == 8 || at == 16; }
};

/// Says of each turn that it is what `newest` was: a reader that does not check.
struct CredulousEnv : LocatingEnv {
  static inline std::uint64_t newest = 0;

  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    const T value = ScheduledEnv::load(word, order);
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      if (offset_of(word) == 0 && order == Order::acquire) newest = value;
      if (is_turn(offset_of(word))) return newest;  // the fault
    }
    return value;
  }
};

/// A writer that grants slots, and then writes there.
struct FaithlessEnv : LocatingEnv {
  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    const T value = ScheduledEnv::load(word, order);
    const bool by_writer = is_pin(offset_of(word)) && order == Order::seq_cst;
    return by_writer && (value & T{12}) == T{8} ? value & ~T{12} : value;  // the fault
  }
};

/// No mutant: counts the copies that readers make, each of which ends with a look at the turn.
struct CountingEnv : LocatingEnv {
  static inline int copies = 0;

  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    if (is_turn(offset_of(word))) ++copies;
    return ScheduledEnv::load(word, order);
  }
};

/// Writers that do not wake sleepers.
struct SilentEnv : ScheduledEnv {
  template <class T>
  static int futex_wake(Word<T>& /*word*/, int /*count*/) noexcept {
    return 0;
  }
};

// -------------------------------------------------------------------------------------------------
// What is explored

/// Loads `times` times; what one writer stores in ascending order never comes in another.
template <class Latest>
void read(const Latest& latest, int times) {
  std::uint64_t last = 0;
  for (int i = 0; i < times; ++i) {
    Pair pair = {};
    require(latest.try_load(pair) == Status::ok, "corrupt");
    require(pair.is_whole(), "torn");
    require(pair.number >= last, "an older value after a newer one");
    last = pair.number;
  }
}

/// One stores 1 to `stores`, and `readers` load `loads` times each.
template <class Latest>
Scenario reading(Latest& latest, std::uint64_t stores, int readers, int loads) {
  Scenario scenario{.name = std::to_string(stores) + " stores, " + std::to_string(readers) +
                            " load " + std::to_string(loads)};
  scenario.setup = [&] { renew(latest); };
  scenario.threads.push_back({[&latest, stores] {
    for (std::uint64_t i = 1; i <= stores; ++i) {
      require(latest.store(Pair::of(i), Deadline::never()) == Status::ok, "not stored");
    }
  }});
  for (int i = 0; i < readers; ++i) {
    scenario.threads.push_back({[&latest, loads] { read(latest, loads); }});
  }
  scenario.check = [&latest, stores](const ScheduleEnd& end) -> std::string {
    const std::uint64_t found = latest.load().number;
    const bool right = end.died[0] ? found <= stores : found == stores;
    return right ? "" : "found at the end: " + std::to_string(found);
  };
  scenario.names = {{"latest", latest}};
  return scenario;
}

/// `writers` add one each, and one reads; the first `mortal` writers may be killed.
template <class Latest>
Scenario adding(Latest& latest, int writers, int mortal) {
  Scenario scenario{.name = std::to_string(writers) + " add, mortal: " + std::to_string(mortal)};
  scenario.setup = [&] { renew(latest); };
  const auto add = [&latest] {
    const auto one_more = [](const Pair& p) { return Pair::of(p.number + 1); };
    require(latest.update(one_more, Deadline::never()) == Status::ok, "not added");
  };
  for (int i = 0; i < writers; ++i) scenario.threads.push_back({add, i < mortal});
  scenario.threads.push_back({[&latest] { read(latest, 2); }});
  scenario.check = [&latest, writers](const ScheduleEnd& end) -> std::string {
    int alive = 0;
    for (int i = 0; i < writers; ++i) alive += end.died[static_cast<std::size_t>(i)] ? 0 : 1;
    const int found = static_cast<int>(latest.load().number);
    return found >= alive && found <= writers ? "" : "added: " + std::to_string(found);
  };
  scenario.names = {{"latest", latest}};
  return scenario;
}

/// One waits until the value is `stores`, which another makes it, one by one.
template <class Latest>
Scenario waiting(Latest& latest, std::uint64_t stores) {
  Scenario scenario = reading(latest, stores, 0, 0);
  scenario.name = "one waits for " + std::to_string(stores) + " stores";
  scenario.threads.push_back({[&latest, stores] {
    Pair seen = {};
    while (seen.number != stores) {
      const Pair old = seen;
      require(latest.wait(old, seen, Deadline::never()) == Status::ok, "waited in vain");
      require(seen.is_whole() && seen.number > old.number, "woken for nothing");
    }
  }});
  return scenario;
}

class LatestScheduled : public Scheduled {
 protected:
  Newest<ScheduledEnv> latest_;
  Newest<ScheduledEnv, 0> eager_;
};

using LatestMutant = Scheduled;

// -------------------------------------------------------------------------------------------------
// Readers

TEST_F(LatestScheduled, IsNeverTorn) {
  expect_holds_within_bounds(reading(latest_, 2, 1, 2), {.preemptions = 4, .old_values = 3});
  expect_holds_within_bounds(reading(latest_, 4, 1, 1), {.preemptions = 3, .old_values = 2});
  expect_holds_by_chance(reading(latest_, 9, 1, 2), {});
  expect_holds_by_chance(reading(latest_, 4, 2, 2), {});
}

TEST_F(LatestMutant, ThatDoesNotCheckTheTurnIsFound) {
  static Newest<CredulousEnv> latest;
  LocatingEnv::latest = reinterpret_cast<const char*>(&latest);
  expect_found(reading(latest, 4, 1, 1), {.strategy = Strategy::exhaustive}, "torn");
  expect_found(reading(latest, 4, 1, 1), {.strategy = Strategy::pct}, "torn");
}

TEST_F(LatestMutant, WithoutAcquireIsFound) {
  Newest<WeakerEnv<Order::acquire>> latest;
  expect_found(reading(latest, 1, 1, 1), {.strategy = Strategy::random}, "torn");
}

TEST_F(LatestMutant, WithoutReleaseIsFound) {
  Newest<WeakerEnv<Order::release>> latest;
  expect_found(reading(latest, 1, 1, 1), {.strategy = Strategy::random}, "torn");
}

TEST_F(LatestScheduled, AReaderThatAsksGetsASlotOfItsOwn) {
  expect_holds_within_bounds(reading(eager_, 4, 1, 1), {.preemptions = 3, .old_values = 2});
  expect_holds_by_chance(reading(eager_, 9, 1, 2), {});
  expect_holds_by_chance(reading(eager_, 6, 3, 1), {});  // one more than there are pins
}

TEST_F(LatestScheduled, ALappedReaderMakesFiveCopiesAtMost) {
  static Newest<CountingEnv> latest;
  LocatingEnv::latest = reinterpret_cast<const char*>(&latest);
  Scenario scenario = reading(latest, 20, 0, 0);
  scenario.name = "20 stores, one counts its copies";
  static int most = 0;
  scenario.threads.push_back({[&] {
    CountingEnv::copies = 0;
    read(latest, 1);
    most = std::max(most, CountingEnv::copies);
    require(CountingEnv::copies <= 5, "too many copies");
  }});
  expect_holds_by_chance(scenario, {});
  expect_holds_within_bounds(scenario, {.preemptions = 2});
  EXPECT_GE(most, 3) << "no schedule lapped the reader twice";
}

TEST_F(LatestMutant, WhoseWritersDoNotKeepWhatTheyGrantedIsFound) {
  static Newest<FaithlessEnv, 0> latest;
  LocatingEnv::latest = reinterpret_cast<const char*>(&latest);
  expect_found(reading(latest, 6, 1, 1), {.strategy = Strategy::pct, .depth = 4}, "torn");
}

// -------------------------------------------------------------------------------------------------
// Deaths

TEST_F(LatestScheduled, AWriterMayDieAtEachPoint) {
  expect_holds_within_bounds(adding(latest_, 2, 1), {.preemptions = 1, .deaths = 1});
  expect_holds_by_chance(adding(latest_, 3, 2), {.deaths = 2});
  Scenario scenario = reading(latest_, 4, 1, 2);
  scenario.threads[0].mortal = true;
  expect_holds_by_chance(scenario, {.deaths = 1});
}

TEST_F(LatestScheduled, AReaderMayDieWithAPin) {
  Scenario scenario = reading(eager_, 5, 2, 1);
  scenario.threads[1].mortal = true;
  scenario.name += ", one of them mortal";
  expect_holds_by_chance(scenario, {.deaths = 1});
}

// -------------------------------------------------------------------------------------------------
// Waiting

TEST_F(LatestScheduled, LosesNoWakeUp) {
  expect_holds_within_bounds(waiting(latest_, 1), {.preemptions = 4, .old_values = 3});
  expect_holds_by_chance(waiting(latest_, 3), {});
}

TEST_F(LatestScheduled, LosesNoWakeUpOfAWord) {
  using Count =
      BasicLatest<std::uint64_t, ScheduledEnv, internal::LatestParts<std::uint64_t, ScheduledEnv>>;
  static Count count;
  Scenario scenario{.name = "one waits for two that add"};
  scenario.setup = [&] { renew(count); };
  const auto add = [&] { count.fetch_add(1); };
  scenario.threads = {{add}, {add}, {[&] {
                        std::uint64_t seen = 0;
                        while (seen != 2) {
                          const std::uint64_t old = seen;
                          require(count.wait(old, seen, Deadline::never()) == Status::ok, "ended");
                        }
                      }}};
  expect_holds_within_bounds(scenario, {.preemptions = 2});
  expect_holds_by_chance(scenario, {});
}

TEST_F(LatestMutant, ThatWakesNobodyIsFound) {
  Newest<SilentEnv> latest;
  expect_found(waiting(latest, 1), {.strategy = Strategy::exhaustive}, "lost wake-up");
}

}  // namespace
}  // namespace sluice::tests
