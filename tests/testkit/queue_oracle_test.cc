// SPDX-License-Identifier: Apache-2.0
//
// What the crash tests of queues make of what they find: the deeds of a kill point, and the ledger
// of a stress.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "sluice/testkit/item_ledger.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_deeds.h"

namespace {

using sluice::internal::ItemLedger;
using sluice::internal::judge;
using sluice::internal::may_be_full;
using sluice::internal::QueueDeeds;
using sluice::internal::QueueEvidence;
using sluice::internal::QueueNumbers;
using sluice::internal::QueueParty;
using sluice::testkit::item;
using sluice::testkit::QueueOrder;

std::uint64_t of(QueueParty party, std::uint32_t n) {
  return item(static_cast<std::uint32_t>(party), n);
}
std::uint64_t first(std::uint32_t n) { return of(QueueParty::start, n); }
std::uint64_t by_victim(std::uint32_t n) { return of(QueueParty::victim, n); }
std::uint64_t own() { return of(QueueParty::survivor, 1); }

/// Two items in it at first; the survivor has pushed one.
class Deeds : public testing::Test {
 protected:
  std::string verdict(const QueueNumbers& found, QueueOrder order = QueueOrder::fifo) {
    return judge(evidence(found, order));
  }
  QueueEvidence evidence(const QueueNumbers& found, QueueOrder order = QueueOrder::fifo) {
    return {.traits = {.order = order},
            .start = {first(1), first(2)},
            .victim = victim,
            .other = other,
            .own = 1,
            .found = found};
  }
  void expect_wrong(const QueueNumbers& found, const std::string& what) {
    const std::string wrong = verdict(found);
    EXPECT_NE(wrong.find(what), std::string::npos) << wrong;
  }

  QueueDeeds victim, other;
};

TEST_F(Deeds, WhatWasPushedComesOut) {
  EXPECT_EQ(verdict({first(1), first(2), own()}), "");
  expect_wrong({first(2), own()}, "acknowledged, and lost: [1:1]");
  expect_wrong({first(1), first(2)}, "acknowledged, and lost: [4:1]");
  expect_wrong({first(1), first(2), first(2), own()}, "came out twice");
  expect_wrong({first(1), first(2), first(3), own()}, "never pushed");
}

TEST_F(Deeds, APushUnderWayMayHaveBeen) {
  victim.begin_push(1);
  EXPECT_EQ(verdict({first(1), first(2), own()}), "");
  EXPECT_EQ(verdict({first(1), first(2), by_victim(1), own()}), "");
  EXPECT_EQ(verdict({first(1), first(2), own(), by_victim(1)}), "") << "at any time";
  expect_wrong({first(1), by_victim(1), first(2), own()}, "out of order");
  expect_wrong({first(1), first(2), by_victim(2), own()}, "never pushed");
}

TEST_F(Deeds, APushThatReturnedHasBeen) {
  victim.begin_push(1);
  victim.end_push(1);
  EXPECT_EQ(verdict({first(1), first(2), by_victim(1), own()}), "");
  expect_wrong({first(1), first(2), own()}, "lost: [2:1]");
  expect_wrong({first(1), first(2), own(), by_victim(1)}, "out of order");
}

TEST_F(Deeds, APushThatWasRefusedHasNotBeen) {
  victim.begin_push(1);
  victim.end_push(0);
  EXPECT_EQ(verdict({first(1), first(2), own()}), "");
  expect_wrong({first(1), first(2), by_victim(1), own()}, "never pushed");
}

TEST_F(Deeds, APopUnderWayMayTakeOne) {
  victim.begin_pop(1);
  EXPECT_EQ(verdict({first(1), first(2), own()}), "");
  EXPECT_EQ(verdict({first(2), own()}), "");
  EXPECT_EQ(verdict({first(2), first(1), own()}), "") << "offered again";
  expect_wrong({own()}, "acknowledged, and lost: [1:1 1:2]");
  expect_wrong({own(), first(2), first(1)}, "out of order");
}

TEST_F(Deeds, WhatAPopReturnedNeverComesAgain) {
  victim.begin_pop(1);
  victim.took(first(1), true);
  victim.end_pop();
  EXPECT_EQ(verdict({first(2), own()}), "");
  expect_wrong({first(1), first(2), own()}, "came again");
  expect_wrong({own()}, "lost: [1:2]");
  other.took(first(1), true);
  expect_wrong({first(2), own()}, "popped twice");
}

TEST_F(Deeds, ATornItemIsWrong) {
  victim.took(first(1), false);
  expect_wrong({first(2), own()}, "torn");
}

TEST_F(Deeds, EachOrderIsHeldTo) {
  EXPECT_EQ(verdict({own(), first(2), first(1)}, QueueOrder::lifo), "");
  EXPECT_NE(verdict({first(2), first(1), own()}, QueueOrder::lifo), "");
  EXPECT_EQ(verdict({own(), first(1), first(2)}, QueueOrder::per_producer_fifo), "");
  EXPECT_NE(verdict({own(), first(2), first(1)}, QueueOrder::per_producer_fifo), "");
  EXPECT_EQ(verdict({first(1), first(2), own()}, QueueOrder::priority), "");
  EXPECT_NE(verdict({own(), first(1), first(2)}, QueueOrder::priority), "");
}

TEST_F(Deeds, RoomIsWhatNobodyMayHave) {
  EXPECT_TRUE(may_be_full(evidence({}), 3));
  EXPECT_FALSE(may_be_full(evidence({}), 4));
  victim.begin_push(1);
  EXPECT_TRUE(may_be_full(evidence({}), 4));
  other.took(first(1), true);
  EXPECT_FALSE(may_be_full(evidence({}), 4));
  victim.begin_pop(1);
  EXPECT_TRUE(may_be_full(evidence({}), 4)) << "behind what the victim has, no room is made";
}

// -------------------------------------------------------------------------------------------------
// The ledger

class Ledger : public testing::Test {
 protected:
  std::uint64_t push() {
    const std::uint64_t number = ledger.begin_push(0);
    ledger.end_push(0);
    return number;
  }
  std::string pop(std::uint64_t number) {
    ledger.begin_pop(0);
    return ledger.end_pop(0, number);
  }

  ItemLedger ledger{1, 1};
};

TEST_F(Ledger, EachItemOnce) {
  const std::uint64_t one = push();
  EXPECT_EQ(ledger.waiting(), 1U);
  EXPECT_NE(ledger.judge(true).find("1 acknowledged items are lost"), std::string::npos);
  EXPECT_EQ(pop(one), "");
  EXPECT_EQ(ledger.waiting(), 0U);
  EXPECT_EQ(ledger.judge(true), "");
  EXPECT_EQ(pop(one), "");
  EXPECT_NE(ledger.judge(true).find("came out twice"), std::string::npos);
  EXPECT_NE(pop(item(0, 9)), "");
  EXPECT_NE(pop(item(3, 1)), "");
}

TEST_F(Ledger, APushUnderWayMayHaveBeen) {
  const std::uint64_t one = ledger.begin_push(0);
  ledger.settle_producer(0);
  EXPECT_EQ(ledger.judge(true), "");
  EXPECT_EQ(pop(one), "");
  EXPECT_EQ(ledger.judge(true), "");
}

TEST_F(Ledger, ADeathInAPopExcusesOneOfThoseThatWereThere) {
  for (int i = 0; i < 10; ++i) push();
  for (std::uint32_t n = 2; n <= 9; ++n) EXPECT_EQ(pop(item(0, n)), "");
  ledger.begin_pop(0);
  ledger.settle_consumer(0, 3);
  EXPECT_NE(ledger.judge(true), "") << "one death, and two are missing";
  EXPECT_EQ(pop(item(0, 10)), "");
  EXPECT_NE(ledger.judge(true), "") << "the first had long been taken when that one died";
  ledger.begin_pop(0);
  ledger.settle_consumer(0, 10);
  EXPECT_EQ(ledger.judge(true), "");
}

TEST_F(Ledger, EachDeathExcusesOneOnly) {
  for (int i = 0; i < 10; ++i) push();
  for (std::uint32_t n = 3; n <= 10; ++n) EXPECT_EQ(pop(item(0, n)), "");
  for (int i = 0; i < 2; ++i) {
    EXPECT_NE(ledger.judge(true), "");
    ledger.begin_pop(0);
    ledger.settle_consumer(0, 0);
  }
  EXPECT_EQ(ledger.judge(true), "");
}

TEST_F(Ledger, OrderIsHeldToWhereItIsPromised) {
  const std::uint64_t one = push();
  const std::uint64_t two = push();
  EXPECT_EQ(pop(two), "");
  EXPECT_EQ(pop(one), "");
  EXPECT_NE(ledger.judge(true).find("out of order"), std::string::npos);
  EXPECT_EQ(ledger.judge(false), "");
  ledger.begin_pop(0);
  ledger.settle_consumer(0, 0);
  EXPECT_EQ(ledger.judge(true), "") << "it may have been offered again";
}

TEST_F(Ledger, BeginsAnew) {
  push();
  ledger.reset();
  EXPECT_EQ(ledger.judge(true), "");
  EXPECT_EQ(push(), item(0, 1));
}

}  // namespace
