// SPDX-License-Identifier: Apache-2.0
//
// Histories of queues, written by hand and drawn by lot: what is judged of them, and how that is
// explained. Small ones are compared with a judge that simply tries everything.

#include "sluice/testkit/queue_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/timed_call.h"

namespace {

using sluice::testkit::describe;
using sluice::testkit::draw;
using sluice::testkit::History;
using sluice::testkit::item;
using sluice::testkit::judge_history;
using sluice::testkit::judge_redelivering;
using sluice::testkit::Judgement;
using sluice::testkit::kNever;
using sluice::testkit::linear_search;
using sluice::testkit::Linearizable;
using sluice::testkit::QueueCall;
using sluice::testkit::QueueModel;
using sluice::testkit::QueueOrder;
using sluice::testkit::QueueTraits;
using sluice::testkit::TimedCall;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr QueueTraits kFifo{.order = QueueOrder::fifo, .bounded = false};
constexpr QueueTraits kPerProducer{.order = QueueOrder::per_producer_fifo, .bounded = false};
constexpr QueueTraits kLifo{.order = QueueOrder::lifo, .bounded = false};
constexpr QueueTraits kPriority{.order = QueueOrder::priority, .bounded = false};
constexpr QueueTraits kBounded{.order = QueueOrder::fifo, .bounded = true};

using Timed = TimedCall<QueueCall>;
Timed push(std::uint32_t party, std::uint64_t value, std::int64_t from, std::int64_t to = kNever) {
  return {party, {QueueCall::Kind::push, value, true}, from, to, to != kNever};
}
Timed full(std::uint32_t party, std::int64_t from, std::int64_t to) {
  return {party, {QueueCall::Kind::push, item(9, 9), false}, from, to};
}
Timed pop(std::uint32_t party, std::uint64_t value, std::int64_t from, std::int64_t to) {
  return {party, {QueueCall::Kind::pop, value, true}, from, to};
}
Timed empty(std::uint32_t party, std::int64_t from, std::int64_t to) {
  return {party, {QueueCall::Kind::pop, 0, false}, from, to};
}
Timed pending_pop(std::uint32_t party, std::int64_t from) {
  return {party, {QueueCall::Kind::pop, 0, true}, from, kNever, false};
}
Timed size(std::uint32_t party, std::uint64_t items, std::int64_t from, std::int64_t to) {
  return {party, {QueueCall::Kind::size, items, true}, from, to};
}

Linearizable answer(const History& history, const QueueTraits& traits, std::size_t capacity = 8) {
  const Judgement judgement = judge_history(history, traits, capacity);
  EXPECT_EQ(judgement.answer == Linearizable::no, !judgement.culprits.empty());
  return judgement.answer;
}
std::string why(const History& history, const QueueTraits& traits, std::size_t capacity = 8) {
  const Judgement judgement = judge_history(history, traits, capacity);
  EXPECT_EQ(judgement.answer, Linearizable::no);
  return judgement.why;
}

TEST(JudgeHistory, NoCallsAreRight) { EXPECT_EQ(answer({}, kFifo), Linearizable::yes); }

TEST(JudgeHistory, APopThatOverlapsThePushMayHaveItsItem) {
  EXPECT_EQ(answer({push(0, 1, 0, 10), pop(1, 1, 5, 7)}, kFifo), Linearizable::yes);
  EXPECT_EQ(answer({push(0, 1, 0, 10), pop(1, 1, 5, 7), empty(1, 8, 9)}, kFifo), Linearizable::yes);
}

TEST(JudgeHistory, PushesThatOverlapHaveNoOrder) {
  for (const QueueTraits& traits : {kFifo, kLifo, kPerProducer}) {
    EXPECT_EQ(answer({push(0, item(0, 0), 0, 10), push(1, item(1, 0), 5, 15),
                      pop(2, item(0, 0), 20, 30), pop(2, item(1, 0), 40, 50)},
                     traits),
              Linearizable::yes);
    EXPECT_EQ(answer({push(0, item(0, 0), 0, 10), push(1, item(1, 0), 5, 15),
                      pop(2, item(1, 0), 20, 30), pop(2, item(0, 0), 40, 50)},
                     traits),
              Linearizable::yes);
  }
}

const History kInOrder = {push(0, 1, 0, 1), push(0, 2, 2, 3), pop(1, 1, 4, 5), pop(1, 2, 6, 7)};
const History kReversed = {push(0, 1, 0, 1), push(0, 2, 2, 3), pop(1, 2, 4, 5), pop(1, 1, 6, 7)};

TEST(JudgeHistory, EachOrderIsHeldTo) {
  EXPECT_EQ(answer(kInOrder, kFifo), Linearizable::yes);
  EXPECT_EQ(answer(kInOrder, kPerProducer), Linearizable::yes);
  EXPECT_EQ(answer(kInOrder, kPriority), Linearizable::yes);
  EXPECT_EQ(answer(kReversed, kLifo), Linearizable::yes);
  EXPECT_EQ(why(kReversed, kFifo),
            "0:2 overtook 0:1: it went in after 0:1 was in, and it came out first; 0:1 came out "
            "later.");
  EXPECT_THAT(why(kReversed, kPerProducer), HasSubstr("0:2 overtook 0:1"));
  EXPECT_THAT(why(kReversed, kPriority), HasSubstr("0:2 came out though 0:1, which is smaller"));
  EXPECT_THAT(why(kInOrder, kLifo), HasSubstr("0:1 came out from beneath 0:2"));
}

TEST(JudgeHistory, PerProducerTheOthersHaveNoOrder) {
  const History history = {push(0, item(0, 0), 0, 1), push(1, item(1, 0), 2, 3),
                           pop(2, item(1, 0), 4, 5), pop(2, item(0, 0), 6, 7)};
  EXPECT_EQ(answer(history, kPerProducer), Linearizable::yes);
  EXPECT_EQ(answer(history, kFifo), Linearizable::no);
}

TEST(JudgeHistory, WhoNeverComesOutIsOvertakenToo) {
  EXPECT_THAT(why({push(0, 1, 0, 1), push(0, 2, 2, 3), pop(1, 2, 4, 5)}, kFifo),
              HasSubstr("it came out first; 0:1 never came out."));
}

TEST(JudgeHistory, ItemsComeFromPushes) {
  EXPECT_EQ(why({pop(0, item(3, 4), 0, 1)}, kFifo), "3:4 was popped, but nobody has pushed it.");
  EXPECT_EQ(why({push(0, 1, 0, 1), pop(1, 1, 2, 3), pop(2, 1, 2, 3)}, kFifo),
            "0:1 was popped twice, but pushed once.");
  EXPECT_EQ(why({pop(1, 1, 0, 1), push(0, 1, 2, 3)}, kFifo),
            "0:1 was popped before its push began.");
}

TEST(JudgeHistory, EmptyMustBeTrue) {
  EXPECT_EQ(why({push(0, 1, 0, 1), empty(1, 2, 3), pop(1, 1, 4, 5)}, kFifo),
            "pop() -> empty of party 1, although 0:1 was in the queue from before it began until "
            "after it had returned.");
  // The second is in before the first is out.
  const History relay = {push(0, 1, 0, 1), empty(1, 2, 30), push(0, 2, 5, 10), pop(2, 1, 15, 20),
                         pop(2, 2, 40, 50)};
  EXPECT_EQ(
      why(relay, kFifo),
      "pop() -> empty of party 1, although 0:1 or 0:2 was in the queue at each moment of it.");
  History gap = relay;
  gap[2].to = 15;  // maybe it is not
  EXPECT_EQ(answer(gap, kFifo), Linearizable::yes);
}

TEST(JudgeHistory, AnEmptyQueueThatHasLostAnItemIsSaidToHaveLostIt) {
  EXPECT_EQ(why({push(0, 1, 0, 1), empty(1, 2, 3)}, kFifo),
            "pop() -> empty of party 1, although 0:1 was in the queue from before it began until "
            "after it had returned; 0:1 never came out.");
}

TEST(JudgeHistory, FullMustBeTrue) {
  EXPECT_EQ(answer({push(0, 1, 0, 1), push(0, 2, 2, 3), full(0, 4, 5)}, kBounded, 2),
            Linearizable::yes);
  EXPECT_EQ(answer({push(0, 1, 0, 1), push(0, 2, 2, 9), full(1, 4, 5)}, kBounded, 2),
            Linearizable::yes);
  EXPECT_THAT(why({push(0, 1, 0, 1), full(0, 4, 5)}, kBounded, 2), HasSubstr("there was room"));
  EXPECT_THAT(
      why({push(0, 1, 0, 1), push(0, 2, 2, 3), pop(0, 1, 4, 5), full(0, 6, 7)}, kBounded, 2),
      HasSubstr("there was room"));
  EXPECT_THAT(why({push(0, 1, 0, 1), push(0, 2, 2, 3), push(1, 3, 4, 5)}, kBounded, 2),
              HasSubstr("the queue was full: it holds 2 items; 0:3 never came out."));
}

TEST(JudgeHistory, SizeMustBeTrue) {
  EXPECT_EQ(answer({push(0, 1, 0, 10), size(1, 0, 2, 3), size(1, 1, 4, 5)}, kFifo),
            Linearizable::yes);
  EXPECT_EQ(answer({push(0, 1, 0, 10), size(1, 1, 2, 3), size(1, 0, 4, 5)}, kFifo),
            Linearizable::no);
  EXPECT_THAT(why({push(0, 1, 0, 1), size(1, 2, 2, 3)}, kFifo), HasSubstr("size() -> 2"));
}

TEST(JudgeHistory, APendingPushMayHaveHappenedOrNot) {
  EXPECT_EQ(answer({push(0, 1, 0), pop(1, 1, 10, 20)}, kFifo), Linearizable::yes);
  EXPECT_EQ(answer({push(0, 1, 0), empty(1, 10, 20), empty(1, 30, 40)}, kFifo), Linearizable::yes);
  EXPECT_EQ(answer({push(0, 1, 0), empty(1, 10, 20), pop(1, 1, 30, 40)}, kFifo), Linearizable::yes);
  EXPECT_EQ(answer({pop(1, 1, 10, 20), push(0, 1, 21)}, kFifo), Linearizable::no);
}

TEST(JudgeHistory, APendingPopMayHaveTakenAnItemOrNot) {
  const History two = {push(0, 1, 0, 1), push(0, 2, 2, 3), pending_pop(1, 4)};
  History taken = two;
  taken.push_back(pop(2, 2, 10, 20));
  EXPECT_EQ(answer(taken, kFifo), Linearizable::yes);
  History left = two;
  left.push_back(pop(2, 1, 10, 20));
  EXPECT_EQ(answer(left, kFifo), Linearizable::yes);
  // But it takes one at most, and none before it began.
  taken.push_back(empty(2, 30, 40));
  EXPECT_EQ(answer(taken, kFifo), Linearizable::yes);
  left.push_back(empty(2, 30, 40));
  left.push_back(pop(2, 2, 50, 60));
  EXPECT_EQ(answer(left, kFifo), Linearizable::no);
  EXPECT_EQ(answer({push(0, 1, 0, 1), push(0, 2, 2, 3), pop(2, 2, 4, 5), pending_pop(1, 6)}, kFifo),
            Linearizable::no);
}

TEST(JudgeHistory, TheShortestWrongBeginningIsFound) {
  History history = kReversed;
  for (int i = 0; i < 10; ++i) {
    const auto n = static_cast<std::uint64_t>(i);
    history.push_back(push(0, 100 + n, 10 + 10 * i, 12 + 10 * i));
    history.push_back(pop(1, 100 + n, 13 + 10 * i, 14 + 10 * i));
  }
  const Judgement judgement = judge_history(history, kFifo, 8);
  EXPECT_EQ(judgement.certain_at, 5);  // 2 is out, and 1 not yet
  EXPECT_THAT(judgement.culprits, ElementsAre(0, 1, 2));
  // Right before it: two pushes, and a pop that has not happened.
  ASSERT_EQ(judgement.order.size(), 2u);
  EXPECT_EQ(judgement.order[0].index, 0u);
  EXPECT_EQ(judgement.order[1].index, 1u);
}

/// Each two of the items can lie in some order, but all three can't. 3 went in after 2, and is
/// still in: so 2 came out before 3 went in. By then 1 was in, so 3 lies upon it; and 1 comes out.
const History kWrongStack = {push(0, 1, 0, 30), push(1, 2, 0, 5), push(1, 3, 10, 50),
                             pop(2, 2, 45, 80), pop(0, 1, 90, 110)};

TEST(JudgeHistory, WhatOnlyTheSearchFindsIsCutDownToWhatIsNeeded) {
  History history = kWrongStack;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const auto at = static_cast<std::int64_t>(2 * i);
    history.push_back(push(3, 100 + i, at, at + 1));
    history.push_back(pop(4, 100 + i, at, at + 1));
  }
  const Judgement judgement = judge_history(history, kLifo, 8);
  EXPECT_EQ(judgement.answer, Linearizable::no);
  EXPECT_GT(judgement.states, 0u);  // it was searched
  EXPECT_THAT(judgement.culprits, UnorderedElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(judgement.why,
            "No order of these 5 calls is one that a lifo queue allows; all were tried.");
  History possible = kWrongStack;
  possible[0].to = 50;
  EXPECT_EQ(answer(possible, kLifo), Linearizable::yes);
}

TEST(JudgeHistory, RefusesWhatIsNoHistory) {
  EXPECT_THROW((void)judge_history({push(0, 1, 0, 1), push(1, 1, 2, 3)}, kFifo, 8),
               std::invalid_argument);
  EXPECT_THROW((void)judge_history({push(0, 1, 0, 5), push(0, 2, 4, 6)}, kFifo, 8),
               std::invalid_argument);
  EXPECT_THROW((void)judge_history({push(0, 1, 5, 4)}, kFifo, 8), std::invalid_argument);
}

TEST(JudgeHistory, OverTheLimitItIsUndecided) {
  History history;
  for (std::uint32_t party = 0; party < 8; ++party) {
    for (std::uint32_t i = 0; i < 30; ++i) history.push_back(push(party, item(party, i), i, i + 1));
  }
  const Judgement judgement = judge_history(history, kFifo, 8, {.states = 10});
  EXPECT_EQ(judgement.answer, Linearizable::undecided);
  EXPECT_THAT(describe(history, judgement), HasSubstr("over its limit"));
}

TEST(JudgeHistory, ARefusalThatACallOfTheOtherSideOverlapsCanBeLeftOut) {
  const History stalled = {push(0, 1, 0, 100), push(1, 2, 10, 20), empty(2, 30, 40),
                           pop(2, 1, 110, 120)};
  EXPECT_EQ(answer(stalled, kFifo), Linearizable::no);
  const History believed = without_overlapped_refusals(stalled);
  EXPECT_EQ(believed.size(), 3u);
  EXPECT_EQ(answer(believed, kFifo), Linearizable::yes);
  const History quiet = {push(0, 1, 0, 10), empty(1, 20, 30)};
  EXPECT_EQ(without_overlapped_refusals(quiet).size(), 2u);
}

TEST(JudgeRedelivering, AKilledPartyMayHaveHeldOneItem) {
  const History held = {push(0, 1, 0, 1),  push(0, 2, 2, 3),  push(0, 3, 4, 5), pending_pop(1, 6),
                        pop(2, 3, 10, 20), pop(2, 1, 30, 40), pop(2, 2, 50, 60)};
  EXPECT_EQ(judge_redelivering(held, kFifo, 8).answer, Linearizable::no);  // two were held
  History one = held;
  one.erase(one.begin());
  one.erase(one.begin() + 4);  // the pop of 1
  EXPECT_EQ(judge_history(one, kFifo, 8).answer, Linearizable::no);
  EXPECT_EQ(judge_redelivering(one, kFifo, 8).answer, Linearizable::yes);
  one[2].from = 70;  // nobody was there to hold it
  EXPECT_EQ(judge_redelivering(one, kFifo, 8).answer, Linearizable::no);
}

TEST(JudgeHistory, WhatAKilledTakerHeldMayTakeRoom) {
  const History held = {push(0, 1, 0, 10), push(0, 2, 20, 30), pending_pop(2, 40),  full(0, 50, 60),
                        pop(1, 2, 70, 80), pop(1, 1, 90, 100), push(0, 3, 110, 120)};
  EXPECT_EQ(judge_history(held, kBounded, 2).answer, Linearizable::no);
  EXPECT_EQ(judge_redelivering(held, kBounded, 2).answer, Linearizable::yes);
  History late = held;
  late.insert(late.begin() + 6, full(0, 105, 108));  // it is out
  EXPECT_EQ(judge_redelivering(late, kBounded, 2).answer, Linearizable::no);
}

TEST(JudgeHistory, DescribesWhoCalledWhatWhen) {
  const Judgement judgement = judge_history(kReversed, kFifo, 8);
  const std::string text = describe(kReversed, judgement);
  EXPECT_THAT(text, HasSubstr("0:2 overtook 0:1"));
  EXPECT_THAT(text, HasSubstr("> party 0  push(0:1)"));
  EXPECT_THAT(text, HasSubstr("> party 1  pop() -> 0:2"));
  EXPECT_THAT(text, HasSubstr("[2]"));
}

TEST(JudgeHistory, ShowsThirtyCallsAtMost) {
  History history;
  for (std::uint32_t i = 0; i < 100; ++i) history.push_back(push(0, i, i * 10, i * 10 + 5));
  history.push_back(pop(1, 50, 2000, 2010));
  const Judgement judgement = judge_history(history, kFifo, 8);
  const auto window = window_of(history, judgement);
  EXPECT_EQ(window.size(), 30u);
  for (const std::size_t culprit : judgement.culprits) {
    EXPECT_TRUE(std::ranges::binary_search(window, culprit));
  }
  EXPECT_THAT(draw(history, judgement, "a <title>"), HasSubstr("81 other calls are not drawn"));
}

// Everything is tried, with nothing but the definition.
class Everything {
 public:
  Everything(const History& history, std::uint64_t items) : history_(history), items_(items) {}

  [[nodiscard]] bool allows(const QueueModel& model) {
    used_.assign(history_.size(), false);
    return try_all(model);
  }

 private:
  [[nodiscard]] bool is_before(std::size_t a, std::size_t b) const {
    return history_[a].precedes(history_[b]) || (history_[a].party == history_[b].party && a < b);
  }

  bool try_all(const QueueModel& model) {
    bool is_done = true;
    for (std::size_t i = 0; i < history_.size(); ++i) {
      if (!used_[i] && !history_[i].is_pending()) is_done = false;
    }
    if (is_done) return true;
    for (std::size_t i = 0; i < history_.size(); ++i) {
      if (used_[i]) continue;
      bool may_come = true;
      for (std::size_t j = 0; j < history_.size(); ++j) {
        if (!used_[j] && j != i && is_before(j, i)) may_come = false;
      }
      if (may_come && try_next(model, i)) return true;
    }
    return false;
  }

  bool try_next(const QueueModel& model, std::size_t index) {
    const Timed& timed = history_[index];
    std::vector<QueueCall> calls = {timed.call};
    if (!timed.answered && timed.call.kind == QueueCall::Kind::pop) {
      calls.clear();
      for (std::uint64_t i = 0; i < items_; ++i) calls.push_back({QueueCall::Kind::pop, i, true});
    }
    used_[index] = true;
    for (const QueueCall& call : calls) {
      QueueModel after = model;
      if (after.step(call) && try_all(after)) {
        used_[index] = false;
        return true;
      }
    }
    used_[index] = false;
    return false;
  }

  const History& history_;
  std::uint64_t items_;
  std::vector<bool> used_;
};

/// Calls of two parties and more, with times that meet often, items 0, 1, ..., and calls that are
/// likely to have been right.
class Lot {
 public:
  Lot(std::uint64_t seed, std::size_t most_calls, std::size_t most_parties)
      : random_(seed), calls_(most_calls), parties_(most_parties) {}

  History draw() {
    History history;
    items_ = 0;
    std::vector<std::uint64_t> inside;
    std::vector<std::int64_t> clocks(2 + below(parties_ - 1));
    const std::size_t calls = 2 + below(calls_ - 1);
    std::vector<bool> ended(clocks.size());
    const bool is_late = below(2) == 0;
    for (std::size_t i = 0; i < calls; ++i) {
      const std::size_t party = below(clocks.size());
      if (ended[party]) continue;
      Timed timed = call(inside);
      timed.party = static_cast<std::uint32_t>(party);
      timed.from = clocks[party] + static_cast<std::int64_t>(below(is_late ? 4 : 2));
      timed.to = timed.from + static_cast<std::int64_t>(below(5));
      clocks[party] = timed.to;
      const bool is_full = timed.call.kind == QueueCall::Kind::push && !timed.call.ok;
      if (below(8) == 0 && !is_full) {
        ended[party] = true;
        timed.to = kNever;
        timed.answered = below(3) == 0;
        if (!timed.answered) timed.call.ok = true;
      }
      history.push_back(timed);
    }
    return history;
  }
  [[nodiscard]] std::uint64_t items() const { return items_; }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  Timed call(std::vector<std::uint64_t>& inside) {
    const std::uint64_t kind = below(16);
    if (kind < 7) {
      inside.push_back(items_);
      return push(0, items_++, 0, 0);
    }
    if (kind < 13 && !inside.empty()) {
      const auto at = inside.begin() + static_cast<std::ptrdiff_t>(below(inside.size()));
      const std::uint64_t value = *at;
      inside.erase(at);
      return pop(0, value, 0, 0);
    }
    if (kind == 13 && items_ > 0) return pop(0, below(items_ + 1), 0, 0);  // by any chance
    if (kind == 14) return size(0, below(3), 0, 0);
    if (kind == 15) return full(0, 0, 0);
    return empty(0, 0, 0);
  }

  std::mt19937_64 random_;
  std::size_t calls_, parties_;
  std::uint64_t items_ = 0;
};

/// Items as one producer's, or as each party's own.
History renamed(History history) {
  std::vector<std::uint64_t> names(history.size() + 1, item(99, 0));
  for (auto& timed : history) {
    if (timed.call.kind == QueueCall::Kind::push && timed.call.ok) {
      names[timed.call.value] = item(timed.party, static_cast<std::uint32_t>(timed.call.value));
    }
  }
  for (auto& timed : history) {
    const bool is_push = timed.call.kind == QueueCall::Kind::push;
    const bool is_pop = timed.call.kind == QueueCall::Kind::pop && timed.answered;
    if ((is_push || is_pop) && timed.call.ok) timed.call.value = names[timed.call.value];
  }
  return history;
}

class JudgeSmallHistories : public testing::TestWithParam<QueueOrder> {};

TEST_P(JudgeSmallHistories, AsSomebodyWhoTriesEverything) {
  Lot lot(20, 6, 3);
  std::size_t right = 0;
  std::size_t wrong = 0;
  for (int round = 0; round < 10'000; ++round) {
    const History history = lot.draw();
    const bool is_bounded = round % 2 == 0;
    const QueueTraits traits{.order = GetParam(), .bounded = is_bounded};
    const QueueModel model(traits, 2);
    const bool expected = Everything(history, lot.items()).allows(model);
    ++(expected ? right : wrong);
    const Linearizable says = expected ? Linearizable::yes : Linearizable::no;
    const Judgement judgement = judge_history(history, traits, 2);
    ASSERT_EQ(linear_search(history, model).answer, says) << "round " << round;
    ASSERT_EQ(judgement.answer, says) << "round " << round << ": " << describe(history, judgement);
    if (!expected) continue;
    // The order that it names is one.
    QueueModel replayed(traits, 2);
    for (const auto& placed : judgement.order) ASSERT_TRUE(replayed.step(placed.call));
  }
  EXPECT_GT(right, 1000u);
  EXPECT_GT(wrong, 1000u);
}

TEST_P(JudgeSmallHistories, AndLongerOnesAsTheSearchWithoutAGuide) {
  Lot lot(21, 14, 5);
  for (int round = 0; round < 6'000; ++round) {
    const History history = renamed(lot.draw());
    const QueueTraits traits{.order = GetParam(), .bounded = round % 2 == 0};
    const QueueModel model(traits, 2);
    const auto plain = linear_search(history, model);
    const Judgement judgement = judge_history(history, traits, 2);
    ASSERT_EQ(judgement.answer, plain.answer)
        << "round " << round << ": " << describe(history, judgement);
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, JudgeSmallHistories,
                         testing::Values(QueueOrder::fifo, QueueOrder::per_producer_fifo,
                                         QueueOrder::lifo, QueueOrder::priority),
                         testing::PrintToStringParamName());

}  // namespace
