// SPDX-License-Identifier: Apache-2.0
//
// Recorded histories: good queues are judged good, faults are found, said and drawn.

#include "sluice/testkit/linearizability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "sluice/testkit/history.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/tests/testkit/history_subjects.h"

namespace {

using sluice::testkit::check_linearizable;
using sluice::testkit::HistoryOptions;
using sluice::testkit::HistoryVerdict;
using sluice::testkit::JudgeOptions;
using sluice::testkit::Linearizable;
using sluice::testkit::QueueCall;
using sluice::testkit::QueueOrder;
using sluice::testkit::record_history;
using sluice::testkit::Recording;
using sluice::testkit::Refusals;
using sluice::tests::Fault;
using sluice::tests::Faulty;
using std::chrono::milliseconds;
using testing::HasSubstr;

template <class A>
HistoryVerdict check(const HistoryOptions& options, const JudgeOptions& judging = {}) {
  HistoryVerdict verdict = check_linearizable<A>(options, judging);
  std::cout << options.name << ": " << verdict << '\n';
  return verdict;
}

/// A no, with a picture, after many rounds if need be.
template <class A>
HistoryVerdict find(const HistoryOptions& options) {
  HistoryVerdict verdict = check<A>(options, {.rounds = 200});
  EXPECT_EQ(verdict.answer, Linearizable::no);
  EXPECT_TRUE(std::filesystem::exists(verdict.picture));
  EXPECT_THAT(verdict.html, HasSubstr("</svg>"));
  EXPECT_THAT(verdict.text, HasSubstr("SLUICE_TEST_SEED=" + std::to_string(verdict.seed)));
  return verdict;
}

TEST(CheckLinearizable, QueuesUnderALockAre) {
  for (const std::size_t capacity : {4, 64}) {
    const auto fifo = check<sluice::tests::LockedFifo>(
        {.name = "a deque under a lock", .capacity = capacity, .size_percent = 10});
    EXPECT_EQ(fifo.answer, Linearizable::yes);
    EXPECT_EQ(fifo.calls, 10'000u);
    const auto lifo = check<sluice::tests::LockedLifo>(
        {.name = "a stack under a lock", .capacity = capacity, .size_percent = 10});
    EXPECT_EQ(lifo.answer, Linearizable::yes);
  }
}

TEST(CheckLinearizable, SoAreThoseOfBoost) {
  EXPECT_EQ(check<sluice::tests::BoostFifo>({.name = "boost queue"}).answer, Linearizable::yes);
  EXPECT_EQ(check<sluice::tests::BoostLifo>({.name = "boost stack"}).answer, Linearizable::yes);
}

TEST(CheckLinearizable, OurRingIsButForRefusalsWhileAnotherIsAtIt) {
  const auto verdict =
      check<sluice::tests::Mpmc>({.name = "MpmcRing"}, {.refusals = Refusals::overlapped});
  EXPECT_EQ(verdict.answer, Linearizable::yes);
}

TEST(CheckLinearizable, MoodycamelKeepsTheOrderOfEachProducerAlone) {
  using PerProducer = sluice::tests::MoodyQueue<QueueOrder::per_producer_fifo>;
  const auto own = check<PerProducer>({.name = "ConcurrentQueue, per producer"},
                                      {.refusals = Refusals::overlapped});
  EXPECT_EQ(own.answer, Linearizable::yes);
  const auto all =
      find<sluice::tests::MoodyQueue<QueueOrder::fifo>>({.name = "ConcurrentQueue, fifo"});
  EXPECT_THAT(all.text, HasSubstr("overtook"));
}

TEST(CheckLinearizable, ARingForTwoGetsTwo) {
  const auto verdict = check<sluice::tests::OneEach>({.name = "a ring for two", .capacity = 8});
  EXPECT_EQ(verdict.answer, Linearizable::yes);
  EXPECT_EQ(verdict.calls, 10u * 2 * 250);
}

TEST(CheckLinearizable, FindsALostItem) {
  EXPECT_THAT(find<Faulty<Fault::loses>>({.name = "loses an item"}).text,
              HasSubstr("never came out"));
}

TEST(CheckLinearizable, FindsADuplicate) {
  EXPECT_THAT(find<Faulty<Fault::duplicates>>({.name = "duplicates an item"}).text,
              HasSubstr("was popped twice"));
}

TEST(CheckLinearizable, FindsAStackWithATornPop) {
  find<sluice::tests::TwoSteps>({.name = "a torn pop"});
}

TEST(CheckLinearizable, FindsAnEarlyEmpty) {
  EXPECT_THAT(find<Faulty<Fault::gives_up>>({.name = "gives up"}).text,
              HasSubstr("pop() -> empty"));
}

TEST(CheckLinearizable, FindsAQueueThatKeepsOnlyTheOrderOfProducers) {
  EXPECT_THAT(find<Faulty<Fault::two_queues>>({.name = "two queues"}).text, HasSubstr("overtook"));
  const auto own = check<Faulty<Fault::two_queues, QueueOrder::per_producer_fifo>>(
      {.name = "two queues, per producer"});
  EXPECT_EQ(own.answer, Linearizable::yes);
}

TEST(CheckLinearizable, FindsASizeThatIsLate) {
  EXPECT_THAT(find<sluice::tests::CountsLate>({.name = "counts late", .size_percent = 30}).text,
              HasSubstr("size() -> "));
}

TEST(CheckLinearizable, SaysWhereAQueueHangs) {
  const auto verdict =
      find<Faulty<Fault::hangs>>({.name = "hangs", .hang_after = milliseconds(500)});
  EXPECT_THAT(verdict.text, HasSubstr("hung"));
  EXPECT_THAT(verdict.text, HasSubstr("> party"));
  EXPECT_THAT(verdict.text, HasSubstr("never"));
}

TEST(CheckLinearizable, SaysWhatACrashingOneDidLast) {
  const auto verdict = find<Faulty<Fault::crashes>>({.name = "crashes"});
  EXPECT_THAT(verdict.text, HasSubstr("killed by signal 6"));
  EXPECT_THAT(verdict.text, HasSubstr("> party"));
}

TEST(CheckLinearizable, SaysWhatWasThrown) {
  EXPECT_THAT(find<Faulty<Fault::throws>>({.name = "throws"}).text, HasSubstr("threw: odd"));
}

TEST(CheckLinearizable, WorksBetweenProcesses) {
  const auto verdict = check<sluice::tests::Mpmc>({.name = "MpmcRing", .processes = true},
                                                  {.refusals = Refusals::overlapped});
  EXPECT_EQ(verdict.answer, Linearizable::yes);
  EXPECT_EQ(verdict.calls, 10'000u);
  const auto local = check_linearizable<sluice::tests::LockedFifo>({.processes = true});
  EXPECT_EQ(local.answer, Linearizable::no);
  EXPECT_THAT(local.text, HasSubstr("can't be used between processes"));
}

// What a killed consumer held is offered again; what others took meanwhile has overtaken it.
TEST(CheckLinearizable, TheKilledMayHaveDoneWhatTheyHadBegun) {
  const auto verdict =
      check<sluice::tests::Mpmc>({.name = "MpmcRing, killed", .processes = true, .kills = 3},
                                 {.refusals = Refusals::overlapped, .redelivers = true});
  EXPECT_EQ(verdict.answer, Linearizable::yes);
  EXPECT_GT(verdict.kills, 0u);
  EXPECT_EQ(verdict.pending, verdict.kills);
}

TEST(RecordHistory, KilledPartiesLeaveOnePendingCallAtMost) {
  std::size_t pending = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const Recording recording =
        record_history<sluice::tests::Mpmc>({.calls = 400, .processes = true, .kills = 3}, seed);
    EXPECT_EQ(recording.wrong, "");
    std::set<std::uint32_t> ended;
    for (const auto& timed : recording.calls) {
      EXPECT_LE(timed.from, timed.to);
      EXPECT_EQ(timed.is_pending(), !timed.answered);
      EXPECT_FALSE(ended.contains(timed.party));
      if (timed.is_pending()) ended.insert(timed.party);
    }
    EXPECT_LE(ended.size(), recording.kills);
    pending += ended.size();
  }
  EXPECT_GT(pending, 0u);
}

TEST(RecordHistory, CallsOfPartiesOverlap) {
  const Recording recording = record_history<sluice::tests::LockedFifo>({}, 1);
  std::size_t overlapping = 0;
  for (const auto& a : recording.calls) {
    for (const auto& b : recording.calls) {
      if (a.party < b.party && !a.precedes(b) && !b.precedes(a)) ++overlapping;
    }
  }
  EXPECT_EQ(recording.calls.size(), 1000u);
  EXPECT_GT(overlapping, 10u);
}

TEST(RecordHistory, TheSeedChoosesTheCalls) {
  const auto kinds = [](std::uint64_t seed) {
    const Recording recording =
        record_history<sluice::tests::LockedFifo>({.parties = 1, .push_percent = 30}, seed);
    std::string text;
    for (const auto& timed : recording.calls) {
      text += timed.call.kind == QueueCall::Kind::push ? 'u' : 'o';
    }
    return text;
  };
  EXPECT_EQ(kinds(3), kinds(3));
  EXPECT_NE(kinds(3), kinds(4));
}

TEST(RecordHistory, RefusesWhatMakesNoSense) {
  using sluice::tests::LockedFifo;
  EXPECT_THROW((void)record_history<LockedFifo>({.parties = 0}, 1), std::invalid_argument);
  EXPECT_THROW((void)record_history<LockedFifo>({.calls = 0}, 1), std::invalid_argument);
  EXPECT_THROW((void)record_history<LockedFifo>({.kills = 1}, 1), std::invalid_argument);
}

}  // namespace
