// SPDX-License-Identifier: Apache-2.0
//
// Latch: its counting and its misuse; and what it lets through, by threads, forked children, and
// processes that meet by name, killed ones included.

#include "sluice/sync/latch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

#include "sluice/sync/deadline.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

constinit Latch g_latch(3);  // needs no dynamic initialisation

std::string text_of(const Latch& latch) {
  std::ostringstream out;
  out << latch;
  return out.str();
}

TEST(Latch, OpensWhenAllHaveCome) {
  Latch latch(3);
  EXPECT_FALSE(latch.try_wait());
  latch.count_down();
  latch.count_down(0);
  EXPECT_EQ(latch.left(), 2U);
  EXPECT_EQ(latch.wait(Deadline::now()), Status::timeout);
  latch.count_down(2);
  EXPECT_TRUE(latch.try_wait());
  EXPECT_EQ(latch.wait(Deadline::now()), Status::ok);
  EXPECT_TRUE(latch.wait_for(0s));
  latch.wait();
}

TEST(Latch, ZeroIsOpen) {
  EXPECT_TRUE(Latch().try_wait());
  EXPECT_TRUE(Latch(0).try_wait());
  EXPECT_EQ(g_latch.left(), 3U);
}

TEST(Latch, MisuseChangesNothing) {
  Latch latch(2);
  EXPECT_THROW(latch.count_down(3), std::logic_error);
  EXPECT_THROW(latch.count_down(-1), std::logic_error);
  EXPECT_THROW(latch.count_down(std::numeric_limits<std::ptrdiff_t>::max()), std::logic_error);
  EXPECT_THROW(latch.count_down(std::ptrdiff_t{1} << 32), std::logic_error);
  EXPECT_THROW(latch.arrive_and_wait(3), std::logic_error);
  EXPECT_THROW(static_cast<void>(latch.arrive_and_wait(Deadline::now(), 3)), std::logic_error);
  EXPECT_EQ(latch.left(), 2U);
  latch.count_down(2);
  EXPECT_THROW(latch.count_down(), std::logic_error);
  EXPECT_TRUE(latch.try_wait());
  EXPECT_THROW(Latch(-1), std::logic_error);
  EXPECT_THROW(Latch(Latch::max() + 1), std::logic_error);
  EXPECT_EQ(Latch(Latch::max()).left(), static_cast<std::uint32_t>(Latch::max()));
}

TEST(Latch, WaitsAtLeastAsLongAsItSays) {
  Latch latch(2);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(latch.wait(20ms), Status::timeout);
  EXPECT_FALSE(latch.wait_for(20ms));
  EXPECT_FALSE(latch.wait_until(std::chrono::steady_clock::now() + 20ms));
  EXPECT_EQ(latch.arrive_and_wait(20ms), Status::timeout);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 80ms);
  EXPECT_EQ(latch.left(), 1U);
}

TEST(Latch, AnyBytesAreALatch) {
  Latch latch;
  constexpr std::uint64_t kBytes = 0xdead'beef'ffff'ffff;
  std::memcpy(static_cast<void*>(&latch), &kBytes, sizeof kBytes);
  EXPECT_EQ(latch.wait(1ms), Status::timeout);
  latch.count_down();
  EXPECT_EQ(latch.left(), 0xffff'fffeU);
  latch.count_down(0xffff'fffe);
  EXPECT_TRUE(latch.try_wait());
}

TEST(Latch, PrintsItselfInOneLine) {
  Latch latch(2);
  EXPECT_EQ(text_of(latch), "Latch: 2 to come");
  const ScopedWaitPolicy asleep({.mode = WaitMode::block});
  EXPECT_FALSE(latch.wait_for(1ms));
  EXPECT_EQ(text_of(latch), "Latch: 2 to come; others may be waiting");
  latch.count_down(2);
  EXPECT_EQ(text_of(latch), "Latch: open");
}

// -------------------------------------------------------------------------------------------------
// With others

struct Shared {
  Latch ready{5};
  Latch done{5};
  int written[5];  ///< plain: the latch orders
  std::atomic<int> passed;
};

/// Waits without slices that would help: a wake-up that is lost is seen to be lost.
void sleep_long() {
  set_wait_policy({.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h});
}

template <class Way>
class LatchBehaviour : public testing::Test {
 public:
  Stage<Way, Shared> stage_;
};

TYPED_TEST_SUITE(LatchBehaviour, Ways, WayNames);

TYPED_TEST(LatchBehaviour, NobodyPassesBeforeAllHaveCome) {
  auto& stage = this->stage_;
  for (int i = 0; i < 5; ++i) {
    const int party = stage.start([i](Shared& shared) {
      if (i % 2 == 0) sleep_long();
      shared.written[i] = 1;
      if (i == 4) {
        EXPECT_EQ(shared.passed, 0);
      }
      shared.ready.arrive_and_wait();
      ++shared.passed;
      for (const int written : shared.written) EXPECT_EQ(written, 1);
      EXPECT_EQ(shared.done.arrive_and_wait(60s), Status::ok);
    });
    if (i % 2 == 0 && i != 4) stage.wait_until_asleep(party);
  }
  stage.finish();
  EXPECT_EQ(stage->passed, 5);
  EXPECT_TRUE(stage->ready.try_wait() && stage->done.try_wait());
}

TYPED_TEST(LatchBehaviour, AllAreWokenByTheLast) {
  auto& stage = this->stage_;
  for (int i = 0; i < 5; ++i) {
    const int party = stage.start([](Shared& shared) {
      sleep_long();
      EXPECT_EQ(shared.ready.wait(60s), Status::ok);
      ++shared.passed;
    });
    stage.wait_until_asleep(party);
  }
  stage->ready.count_down(4);
  usleep(10000);
  EXPECT_EQ(stage->passed, 0);
  stage->ready.count_down();
  stage.finish();
  EXPECT_EQ(stage->passed, 5);
}

template <class Way>
class LatchDeath : public LatchBehaviour<Way> {};
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(LatchDeath, Processes, WayNames);

/// As the header says: it never comes, and the deadline ends the wait.
TYPED_TEST(LatchDeath, WhoIsKilledBeforeItCountedDownNeverComes) {
  auto& stage = this->stage_;
  for (int i = 0; i < 4; ++i) stage->ready.count_down();
  const int victim = stage.start([](Shared& shared) {
    static_cast<void>(shared.done.wait(60s));  // killed here
    shared.ready.count_down();
  });
  stage.wait_until_asleep(victim);
  stage.kill(victim);
  EXPECT_EQ(stage->ready.wait(100ms), Status::timeout);
  EXPECT_EQ(stage->ready.left(), 1U);
  stage->ready.count_down();  // by whoever takes its place
  EXPECT_EQ(stage->ready.wait(Deadline::now()), Status::ok);
}

TYPED_TEST(LatchDeath, AKilledWaiterHindersNobody) {
  auto& stage = this->stage_;
  const auto waiter = [&] {
    const int party = stage.start([](Shared& shared) {
      sleep_long();
      shared.ready.wait();
      ++shared.passed;
    });
    stage.wait_until_asleep(party);
    return party;
  };
  const int victim = waiter();
  waiter();
  stage.kill(victim);
  stage->ready.count_down(5);
  stage.finish();
  EXPECT_EQ(stage->passed, 1);
}

}  // namespace
}  // namespace sluice::tests
