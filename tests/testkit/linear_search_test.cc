// SPDX-License-Identifier: Apache-2.0
//
// The search for an order, over models that are no queues.

#include "sluice/testkit/linear_search.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sluice/testkit/timed_call.h"

namespace {

using sluice::testkit::Advice;
using sluice::testkit::kNever;
using sluice::testkit::linear_search;
using sluice::testkit::Linearizable;
using sluice::testkit::SearchPoint;
using sluice::testkit::TimedCall;
using std::chrono::milliseconds;

/// The example of the header: each call adds one, and gave what was there before.
struct Counter {
  using call_type = int;
  bool step(int gave) { return gave == value++; }
  [[nodiscard]] std::size_t hash() const { return static_cast<std::size_t>(value); }
  bool operator==(const Counter&) const = default;
  int value = 0;
};

/// A register: a read of what is there, or a write.
struct Register {
  struct Access {
    bool writes;
    int value;
  };
  using call_type = Access;
  bool step(Access access) {
    if (access.writes) value = access.value;
    return value == access.value;
  }
  [[nodiscard]] std::size_t hash() const { return 0; }  // the worst one
  bool operator==(const Register&) const = default;
  int value = 0;
};
using Accesses = std::vector<TimedCall<Register::Access>>;

TEST(LinearSearch, FindsTheOrderOfCallsThatOverlap) {
  const std::vector<TimedCall<int>> calls = {{0, 1, 10, 30}, {1, 0, 20, 40}};
  const auto found = linear_search(calls, Counter());
  EXPECT_EQ(found.answer, Linearizable::yes);
  ASSERT_EQ(found.order.size(), 2u);
  EXPECT_EQ(found.order[0].index, 1u);
  EXPECT_EQ(found.order[1].index, 0u);
}

TEST(LinearSearch, TheTimesBindTheOrder) {
  const std::vector<TimedCall<int>> calls = {{0, 1, 10, 19}, {1, 0, 20, 40}};
  const auto found = linear_search(calls, Counter());
  EXPECT_EQ(found.answer, Linearizable::no);
  EXPECT_TRUE(found.order.empty());
}

TEST(LinearSearch, CallsThatShareAnInstantOverlap) {
  const std::vector<TimedCall<int>> calls = {{0, 1, 10, 20}, {1, 0, 20, 40}};
  EXPECT_EQ(linear_search(calls, Counter()).answer, Linearizable::yes);
}

TEST(LinearSearch, ThoseOfOnePartyDoNot) {
  const std::vector<TimedCall<int>> calls = {{0, 1, 10, 20}, {0, 0, 20, 40}};
  EXPECT_EQ(linear_search(calls, Counter()).answer, Linearizable::no);
}

TEST(LinearSearch, APendingCallMayHaveHappened) {
  const std::vector<TimedCall<int>> calls = {{0, 0, 10, kNever}, {1, 1, 20, 30}};
  const auto found = linear_search(calls, Counter());
  EXPECT_EQ(found.answer, Linearizable::yes);
  EXPECT_EQ(found.order.size(), 2u);
}

TEST(LinearSearch, OrNot) {
  const std::vector<TimedCall<int>> calls = {{0, 0, 10, kNever}, {1, 0, 20, 30}};
  EXPECT_EQ(linear_search(calls, Counter()).answer, Linearizable::yes);
}

TEST(LinearSearch, ButNotBeforeItBegan) {
  const std::vector<TimedCall<int>> calls = {{1, 1, 20, 30}, {0, 0, 31, kNever}};
  EXPECT_EQ(linear_search(calls, Counter()).answer, Linearizable::no);
}

TEST(LinearSearch, AReadThatMayComeNextDoesNotHideALaterOne) {
  // Reads of 0 and of 1 overlap the write of 1: each on its side of it.
  const Accesses calls = {{0, {true, 1}, 0, 100}, {1, {false, 0}, 10, 20}, {1, {false, 1}, 30, 40}};
  EXPECT_EQ(linear_search(calls, Register()).answer, Linearizable::yes);
  const Accesses turned = {
      {0, {true, 1}, 0, 100}, {1, {false, 1}, 10, 20}, {1, {false, 0}, 30, 40}};
  EXPECT_EQ(linear_search(turned, Register()).answer, Linearizable::no);
}

/// All write at once, each a value of its own, many times, and a read finds what nobody wrote.
Accesses a_hard_no(std::uint32_t parties) {
  Accesses calls;
  for (std::uint32_t party = 0; party < parties; ++party) {
    for (int i = 0; i < 6; ++i) {
      calls.push_back({party, {true, static_cast<int>(party) + 1}, i * 10, i * 10 + 10});
    }
  }
  calls.push_back({parties, {false, -1}, 100, 110});
  return calls;
}

TEST(LinearSearch, TriesNoStateTwice) {
  const auto found = linear_search(a_hard_no(3), Register(), {.time = milliseconds(60'000)});
  EXPECT_EQ(found.answer, Linearizable::no);
  // Of each party 0 to 6 calls have come, and the value is one of three.
  EXPECT_LE(found.states, 7u * 7 * 7 * 3 + 1);
}

TEST(LinearSearch, IsUndecidedBeyondItsLimits) {
  EXPECT_EQ(linear_search(a_hard_no(6), Register(), {.states = 1000}).answer,
            Linearizable::undecided);
  const auto late = linear_search(a_hard_no(6), Register(), {.time = milliseconds(0)});
  EXPECT_EQ(late.answer, Linearizable::undecided);
  EXPECT_LE(late.states, 64u);
}

TEST(LinearSearch, AGuideKeepsItFromWhatIsDead) {
  const Accesses calls = {{0, {true, 1}, 0, 10}, {1, {true, 2}, 0, 10}, {2, {false, 1}, 20, 30}};
  const auto last_is_one = [](const SearchPoint& point, const Register&, std::size_t index,
                              const Register::Access&) {
    return index == 0 && point.done[1] == 0 ? Advice::dead : Advice::open;
  };
  const auto found = linear_search(calls, Register(), {}, last_is_one);
  EXPECT_EQ(found.answer, Linearizable::yes);
  EXPECT_EQ(found.states, 4u);
  EXPECT_EQ(linear_search(calls, Register()).answer, Linearizable::yes);
}

}  // namespace
