// SPDX-License-Identifier: Apache-2.0
//
// Each check of testkit/queue_checks.h finds what it is there for, and says so in words; and what
// does not apply to a queue is left out, with the reason.

#include "sluice/testkit/queue_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <new>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/tracked.h"
#include "sluice/tests/testkit/mutex_queue.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testkit::CheckOptions;
using testkit::CheckProfile;
using testkit::Ledger;
using testkit::QueueCheck;
using testkit::QueueKit;
using testkit::QueueOrder;
using testkit::QueueTraits;
using testkit::Throwing;
using testkit::Tracked;

using Fifo = MutexKit<QueueOrder::fifo>;

/// What never comes need not be waited for long.
constexpr CheckOptions kOptions{.patience = 300ms};

struct Finding {
  const char* check;
  Fault fault;
  const char* words;
};

std::ostream& operator<<(std::ostream& out, const Finding& finding) {
  return out << finding.check << ", " << finding.words;
}

class EachCheck : public testing::TestWithParam<Finding> {};

TEST_P(EachCheck, FindsWhatItIsThereFor) {
  const Finding& finding = GetParam();
  const WithFault broken(finding.fault);
  const std::string wrong = testkit::find_check<Fifo>(finding.check).run(kOptions);
  EXPECT_NE(wrong, "");
  EXPECT_THAT(wrong, HasSubstr(finding.words));
}

INSTANTIATE_TEST_SUITE_P(
    OneThread, EachCheck,
    testing::Values(
        Finding{"sequential", Fault::loses_one, ", the oldest "},
        Finding{"sequential", Fault::swaps_two, "; call "},
        Finding{"sequential", Fault::loses_lock, "() does not come back"},
        Finding{"sequential", Fault::throws_when_full, "sequential threw: no room at all"},
        Finding{"sequential", Fault::dies, "was killed by signal 9"},
        Finding{"boundaries", Fault::holds_one_less, "-> full, with 1 of 2 in it"},
        Finding{"boundaries", Fault::holds_one_more, "-> ok, with 1 of 1 in it"},
        Finding{"boundaries", Fault::stale_size, "size() -> 2, with 1 of 1 in it"},
        Finding{"batches", Fault::batch_forgets_last, "with "},
        // A sanitizer may say it in its own words.
        Finding{"aligned_items", Fault::misaligns, ""},
        Finding{"move_only_items", Fault::hollows, "made for 1: pop() -> "},
        Finding{"large_items", Fault::halves, "made for 1: pop() -> "},
        Finding{"throwing_items", Fault::gives_shells, "an item without a value"},
        Finding{"lives", Fault::leaks_on_close, "1 item was never destroyed, among them 0:0"},
        Finding{"lives", Fault::leaks, "1 item was never destroyed"},
        Finding{"lives", Fault::destroys_twice, "an item was destroyed twice"}));

INSTANTIATE_TEST_SUITE_P(
    Threads, EachCheck,
    testing::Values(
        Finding{"producer_order", Fault::swaps_two, "one thread popped 0:998 after 0:999"},
        Finding{"exactly_once", Fault::loses_one, "lost "},
        Finding{"exactly_once", Fault::duplicates_one, "popped 0:999 twice"},
        Finding{"exactly_once", Fault::loses_lock, "nobody goes on for 600 ms: 64 pushed (still"},
        Finding{"exactly_once", Fault::throws_when_full, "a thread threw: no room at all"},
        Finding{"whole_items", Fault::tears, "an item was torn"},
        Finding{"batches_of_threads", Fault::batch_forgets_last, "lost "},
        Finding{"lives_of_threads", Fault::destroys_twice, "an item was destroyed twice"},
        Finding{"size", Fault::wrong_size, "size() -> 65 during work, of a queue for 64"},
        Finding{"size", Fault::loses_one, "at rest, with "}));

INSTANTIATE_TEST_SUITE_P(
    Waiting, EachCheck,
    testing::Values(
        Finding{"sleeping_pop", Fault::never_wakes_pop, "pop() still sleeps 300 ms after a push"},
        Finding{"sleeping_pop", Fault::duplicates_one, "came back before anything was pushed"},
        Finding{"sleeping_push", Fault::never_wakes_push, "push() still sleeps 300 ms after a pop"},
        Finding{"sleeping_push", Fault::loses_one, "push() came back while the queue was full"},
        Finding{"many_sleepers", Fault::forgets_to_wake_pop, "pop() still sleep 300 ms after"},
        Finding{"many_sleepers", Fault::batch_wakes_one, "3 of 4 pop() still sleep 300 ms after a"},
        Finding{"many_sleepers", Fault::never_wakes_push, "4 of 4 push() still sleep 300 ms after"},
        Finding{"waiting_traffic", Fault::never_wakes_pop, "nobody goes on for 600 ms: "},
        Finding{"waiting_traffic", Fault::drops_when_closed, "lost "},
        Finding{"close", Fault::forgets_close, "4 of 4 pop() still sleep 300 ms after close()"},
        Finding{"close", Fault::pushes_when_closed, "push(0:100) -> ok, with 0 of 4 in it, closed"},
        Finding{"close", Fault::drops_when_closed, "pop() -> empty, with 1 of 4 in it, closed"},
        Finding{"close_during_traffic", Fault::drops_when_closed, "lost "}));

// -------------------------------------------------------------------------------------------------
// What is looked at

TEST(QueueChecks, EachHasANameOfItsOwn) {
  std::set<std::string> names;
  for (const QueueCheck& check : testkit::queue_checks<Fifo>()) names.insert(check.name);
  EXPECT_EQ(names.size(), testkit::queue_checks<Fifo>().size());
  EXPECT_EQ(testkit::find_check<Fifo>("close").name, std::string("close"));
  EXPECT_THROW(testkit::find_check<Fifo>("closed"), std::invalid_argument);
}

TEST(QueueChecks, AQueueThatCanDoAllIsLookedAtByAll) {
  for (const QueueCheck& check : testkit::queue_checks<Fifo>()) {
    EXPECT_EQ(check.left_out, nullptr) << check.name << ": " << check.left_out;
  }
}

/// As little as can be tested.
template <std::same_as<std::uint64_t> T>
struct Little {
  using value_type = T;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::lifo, .bounded = false, .producers = 1, .consumers = 1};
  explicit Little(std::size_t) {}
  bool try_push(T item) { return items.push_back(item), true; }
  bool try_pop(T& item) {
    if (items.empty()) return false;
    item = items.back();
    items.pop_back();
    return true;
  }
  std::deque<T> items;
};

TEST(QueueChecks, WhatAQueueCanNotDoIsLeftOutAndSaidToBe) {
  std::vector<std::string> run;
  for (const QueueCheck& check : testkit::queue_checks<QueueKit<Little>>()) {
    if (check.left_out == nullptr) run.emplace_back(check.name);
    EXPECT_EQ(check.left_out == nullptr ? "" : check.check(kOptions), "") << check.name;
  }
  EXPECT_THAT(run, testing::ElementsAre("sequential", "boundaries", "exactly_once"));
  const QueueCheck close = testkit::find_check<QueueKit<Little>>("close");
  EXPECT_STREQ(close.left_out, "it has no close()");
}

// It is not one for threads, and this one process is enough to see it.
TEST(QueueChecks, RunInThisProcessIfTold) {
  CheckOptions options = kOptions;
  options.in_child = false;
  EXPECT_EQ(testkit::find_check<QueueKit<Little>>("sequential").run(options), "");
  const WithFault broken(Fault::throws_when_full);
  EXPECT_EQ(testkit::find_check<Fifo>("boundaries").run(options),
            "boundaries threw: no room at all");
}

TEST(CheckOptions, AreWhatTheEnvironmentSays) {
  const auto with = [](const char* name, const char* value) {
    setenv(name, value, 1);
    const CheckOptions options = CheckOptions::from_environment();
    unsetenv(name);
    return options;
  };
  unsetenv("SLUICE_TESTKIT_PROFILE");
  unsetenv("SLUICE_TEST_SEED");
  EXPECT_EQ(CheckOptions::from_environment().profile, CheckProfile::quick);
  EXPECT_EQ(with("SLUICE_TESTKIT_PROFILE", "full").profile, CheckProfile::full);
  EXPECT_EQ(with("SLUICE_TESTKIT_PROFILE", "quick").profile, CheckProfile::quick);
  EXPECT_EQ(with("SLUICE_TEST_SEED", "77").seed, 77U);
  EXPECT_THROW(with("SLUICE_TESTKIT_PROFILE", "fulll"), std::invalid_argument);
  unsetenv("SLUICE_TESTKIT_PROFILE");
  EXPECT_THROW(with("SLUICE_TEST_SEED", "seven"), std::invalid_argument);
  unsetenv("SLUICE_TEST_SEED");
}

// -------------------------------------------------------------------------------------------------
// The items that count themselves

TEST(Tracked, CountsItself) {
  Ledger::reset();
  {
    Tracked a(7);
    const Tracked b = a;
    Tracked c;
    c = std::move(a);
    EXPECT_EQ(Ledger::alive(), 3U);
    EXPECT_EQ(b.id(), 7U);
    EXPECT_EQ(c.id(), 7U);
    EXPECT_EQ(a.id(), Tracked::kNone);  // NOLINT(bugprone-use-after-move): that is the question
    EXPECT_EQ(Ledger::verdict(), "3 items were never destroyed, among them 0:7");
  }
  EXPECT_EQ(Ledger::alive(), 0U);
  EXPECT_EQ(Ledger::verdict(), "");
}

TEST(Tracked, TellsOfMisuse) {
  alignas(Tracked) std::byte memory[sizeof(Tracked)] = {};
  auto* const item = reinterpret_cast<Tracked*>(memory);
  Ledger::reset();
  static_cast<void>(item->id());
  EXPECT_THAT(Ledger::wrong(), HasSubstr("an item was read where none lives"));
  Ledger::reset();
  ::new (memory) Tracked(5);
  ::new (memory) Tracked(6);
  EXPECT_EQ(Ledger::wrong(), "an item was made on top of a living one, 0:5");
  Ledger::reset();
  std::destroy_at(item);
  EXPECT_THAT(Ledger::wrong(), HasSubstr("an item was destroyed twice"));
  Ledger::reset();
}

TEST(Throwing, ThrowsWhenToldToAndIsCountedThen) {
  Ledger::reset();
  {
    const Throwing a(3);
    Throwing::throw_at(2);
    const Throwing b = a;
    EXPECT_THROW(static_cast<void>(Throwing(a)), testkit::ItemThrew);
    const Throwing c = a;
    EXPECT_EQ(Ledger::alive(), 3U);
    EXPECT_EQ(c.id(), 3U);
  }
  EXPECT_EQ(Ledger::verdict(), "");
}

}  // namespace
}  // namespace sluice::tests
