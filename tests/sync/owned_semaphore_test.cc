// SPDX-License-Identifier: Apache-2.0
//
// OwnedSemaphore: whose a permit is, and what becomes of it when that process dies (row SE11), by
// threads, forked children, and processes that meet by name; and what it shares with Semaphore
// (rows SE1, SE2, SE4, SE5, SE8 to SE10).

#include "sluice/sync/owned_semaphore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/semaphore_guard.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Within which the living go on: ten times the 100 ms that are promised on an idle machine.
constexpr auto kLimit = 1s;

/// For sleepers whom nothing but a wake-up helps.
constexpr WaitPolicy kNoSlices = {.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};

struct Gates {
  OwnedSemaphore<8> one{1};
  OwnedSemaphore<2> two;
  OwnedSemaphore<1024> many{300};
  std::atomic<int> step;
  std::atomic<int> taken;
};

void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

template <class Way>
class OwnedSemaphoreBehaviour : public testing::Test {
 public:
  template <class Body>
  void elsewhere(Body body) {
    stage_.start(std::move(body));
    stage_.finish();
    stage_.forget_finished();
  }

  Stage<Way, Gates> stage_;
};

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};
using Ways = testing::Types<ByThreads, ByFork, ByName>;
TYPED_TEST_SUITE(OwnedSemaphoreBehaviour, Ways, WayNames);

TYPED_TEST(OwnedSemaphoreBehaviour, SE1_SE4_CountsItsPermitsAndHasNoMore) {
  this->elsewhere([](Gates& gates) {
    auto& two = gates.two;
    for (int round = 0; round < 100; ++round) {
      EXPECT_EQ(two.value(), 2U);
      two.acquire();
      EXPECT_EQ(two.value(), 1U);
      EXPECT_TRUE(two.try_acquire());
      EXPECT_EQ(two.value(), 0U);
      EXPECT_FALSE(two.try_acquire());
      two.release();
      two.release();
    }
    EXPECT_THROW(two.release(), std::logic_error);
    EXPECT_EQ(two.value(), 2U);
    for (int i = 0; i < 300; ++i) EXPECT_TRUE(gates.many.try_acquire());
    EXPECT_FALSE(gates.many.try_acquire());
    for (int i = 0; i < 300; ++i) gates.many.release();
    EXPECT_THROW(gates.many.release(), std::logic_error);
  });
  EXPECT_EQ(this->stage_->two.value(), 2U);
  EXPECT_EQ(this->stage_->many.value(), 300U);
}

TYPED_TEST(OwnedSemaphoreBehaviour, SE2_SE8_TriesAreAnsweredAtOnceAndDeadlinesAreKept) {
  auto& stage = this->stage_;
  stage->one.acquire();
  this->elsewhere([](Gates& gates) {
    const auto at_once = time_of([&] {
      EXPECT_FALSE(gates.one.try_acquire());
      EXPECT_EQ(gates.one.acquire(Deadline::now()), Status::timeout);
      EXPECT_FALSE(gates.one.try_acquire_for(-1s));
      EXPECT_FALSE(gates.one.try_acquire_until(Clock::now() - 1s));
    });
    EXPECT_LT(at_once, kLimit);
    const auto waited = time_of([&] { EXPECT_FALSE(gates.one.try_acquire_for(50ms)); });
    EXPECT_GE(waited, 50ms);
    EXPECT_LT(waited, 50ms + kLimit);
    const auto until = std::chrono::system_clock::now() + 50ms;
    EXPECT_FALSE(gates.one.try_acquire_until(until));
    EXPECT_GE(std::chrono::system_clock::now(), until);
  });
  stage->one.release();
}

TYPED_TEST(OwnedSemaphoreBehaviour, SE9_ScopesTakeAndGiveBack) {
  this->elsewhere([](Gates& gates) {
    {
      const SemaphoreGuard hold(gates.one);
      EXPECT_EQ(gates.one.value(), 0U);
      const SemaphoreGuard none(gates.one, 1ms);
      EXPECT_EQ(none.status(), Status::timeout);
    }
    EXPECT_EQ(gates.one.value(), 1U);
  });
}

TYPED_TEST(OwnedSemaphoreBehaviour, SE10_TheTextSaysHowManyAreFree) {
  auto& stage = this->stage_;
  const auto text = [&] { return (std::ostringstream() << stage->one).str(); };
  EXPECT_EQ(text(), "OwnedSemaphore: 1 of 1");
  stage->one.acquire();
  const int waiter = stage.start([](Gates& gates) {
    const ScopedWaitPolicy policy(kNoSlices);
    gates.one.acquire();
    gates.one.release();
  });
  while (!stage->one.maybe_waiting()) stage.wait_until_asleep(waiter);
  EXPECT_EQ(text(), "OwnedSemaphore: 0 of 1; others may be waiting");
  stage->one.release();
  stage.finish();
}

TYPED_TEST(OwnedSemaphoreBehaviour, OnlyTheProcessThatTookItGivesItBack) {
  auto& stage = this->stage_;
  stage->one.acquire();
  this->elsewhere([](Gates& gates) {
    if (TypeParam::kProcesses) {
      EXPECT_THROW(gates.one.release(), std::logic_error);
      attach();
      EXPECT_THROW(gates.one.release(), std::logic_error);
      EXPECT_EQ(gates.one.value(), 0U);
    } else {
      EXPECT_NO_THROW(gates.one.release()) << "a thread of the same process";
      gates.one.acquire();
    }
  });
  stage->one.release();
  EXPECT_EQ(stage->one.value(), 1U);
}

/// SE5: never more inside than there are permits, and nobody is left waiting.
TYPED_TEST(OwnedSemaphoreBehaviour, SE5_ManyTakeAndGiveBackAndNeverTooMany) {
  auto& stage = this->stage_;
  for (int party = 0; party < 8; ++party) {
    stage.start([party](Gates& gates) {
      const ScopedWaitPolicy policy(party % 2 == 0 ? kNoSlices : WaitPolicy{});
      for (int i = 0; i < 2000; ++i) {
        const SemaphoreGuard hold(gates.two);
        EXPECT_LE(++gates.taken, 2);
        if (i % 8 == 0) sched_yield();
        --gates.taken;
      }
    });
  }
  stage.finish();
  EXPECT_EQ(stage->two.value(), 2U);
}

TYPED_TEST(OwnedSemaphoreBehaviour, EachWaitModeWaitsUntilThereIsAPermit) {
  auto& stage = this->stage_;
  stage->one.acquire();
  for (const WaitMode mode : {WaitMode::spin, WaitMode::adaptive, WaitMode::block}) {
    stage.start([mode](Gates& gates) {
      const ScopedWaitPolicy policy({.mode = mode});
      ++gates.step;
      const SemaphoreGuard hold(gates.one);
      EXPECT_EQ(++gates.taken, 1);
      --gates.taken;
    });
  }
  await(stage->step, 3);
  usleep(100'000);  // some slices, in which the owner is asked after
  EXPECT_EQ(stage->taken, 0);
  stage->one.release();
  stage.finish();
}

// -------------------------------------------------------------------------------------------------
// Deaths

template <class Way>
class OwnedSemaphoreDeath : public OwnedSemaphoreBehaviour<Way> {
 public:
  /// Takes a permit of `one`, or both of `two`, and holds on to them.
  int start_holder() {
    auto& stage = this->stage_;
    stage->step = 0;
    const int holder = stage.start([](Gates& gates) {
      gates.one.acquire();
      gates.two.acquire();
      gates.two.acquire();
      gates.step = 1;
      for (;;) pause();
    });
    await(stage->step, 1);
    return holder;
  }
};
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(OwnedSemaphoreDeath, Processes, WayNames);

TYPED_TEST(OwnedSemaphoreDeath, SE11_APermitOfTheDeadIsTakenOverOnTheSpot) {
  auto& stage = this->stage_;
  for (int round = 0; round < 5; ++round) {
    const int holder = this->start_holder();
    EXPECT_FALSE(stage->one.try_acquire());
    stage.kill(holder);
    EXPECT_TRUE(stage->one.try_acquire()) << "also without waiting";
    EXPECT_FALSE(stage->one.try_acquire()) << "one permit, not two";
    EXPECT_EQ(stage->two.acquire(Deadline::now()), Status::ok);
    EXPECT_EQ(stage->two.acquire(kLimit), Status::ok);
    EXPECT_EQ(stage->two.acquire(1ms), Status::timeout);
    stage->one.release();
    stage->two.release();
    stage->two.release();
    EXPECT_THROW(stage->two.release(), std::logic_error);
    stage.forget_finished();
  }
}

TYPED_TEST(OwnedSemaphoreDeath, SE11_WhoWaitsHasItWithinAHundredMilliseconds) {
  auto& stage = this->stage_;
  std::vector<Clock::duration> pauses;
  for (int round = 0; round < 9; ++round) {
    const int holder = this->start_holder();
    const int waiter = stage.start([](Gates& gates) {
      gates.step = 2;
      EXPECT_EQ(gates.one.acquire(20s), Status::ok);
      gates.step = 3;
      gates.one.release();
    });
    await(stage->step, 2);
    stage.wait_until_asleep(waiter);
    usleep(20'000 * static_cast<useconds_t>(round));  // into longer and longer slices
    EXPECT_EQ(stage->step, 2);
    const auto killed = Clock::now();
    stage.kill(holder);
    await(stage->step, 3);
    pauses.push_back(Clock::now() - killed);
    EXPECT_LT(pauses.back(), kLimit);
    stage.finish(waiter);
    stage.forget_finished();
  }
  std::sort(pauses.begin(), pauses.end());
  const auto ms = [](Clock::duration d) {
    return std::chrono::duration<double, std::milli>(d).count();
  };
  std::cout << "from the kill to the permit: median " << ms(pauses[4]) << " ms, at most "
            << ms(pauses.back()) << " ms\n";
  EXPECT_LT(pauses.front(), 100ms);
}

TYPED_TEST(OwnedSemaphoreDeath, AKilledWaiterTakesNothingFromTheOthers) {
  auto& stage = this->stage_;
  for (int round = 0; round < 10; ++round) {
    stage->one.acquire();
    const auto wait = [](Gates& gates) {
      gates.one.acquire();
      gates.one.release();
    };
    const int victim = stage.start(wait);
    const int other = stage.start(wait);
    stage.wait_until_asleep(victim);
    stage.wait_until_asleep(other);
    if (round % 2 == 0) stage.kill(victim);
    stage->one.release();
    if (round % 2 == 1) stage.kill(victim);
    stage.finish(other);
    EXPECT_TRUE(stage->one.try_acquire_for(kLimit));
    stage->one.release();
    stage.forget_finished();
  }
}

// -------------------------------------------------------------------------------------------------
// What lies in memory

/// The words of a semaphore, as sync/owned_semaphore.h draws them.
struct Bytes {
  std::uint32_t freed, incarnation, withheld, unused;
  std::uint64_t permits[2];
};
static_assert(sizeof(Bytes) == sizeof(OwnedSemaphore<2>));

Bytes bytes_of(const OwnedSemaphore<2>& semaphore) {
  Bytes bytes{};
  std::memcpy(&bytes, static_cast<const void*>(&semaphore), sizeof bytes);
  return bytes;
}
void overwrite(OwnedSemaphore<2>& semaphore, const Bytes& bytes) {
  std::memcpy(static_cast<void*>(&semaphore), &bytes, sizeof bytes);
}

TEST(OwnedSemaphore, OfAnotherRegistryIsRefusedUntilReset) {
  OwnedSemaphore<2> semaphore;
  semaphore.acquire();
  Bytes bytes = bytes_of(semaphore);
  EXPECT_EQ(semaphore.reset(), Status::busy) << "held by this process";
  ++bytes.incarnation;
  overwrite(semaphore, bytes);
  EXPECT_EQ(semaphore.acquire(1h), Status::foreign_registry);
  EXPECT_THROW(semaphore.acquire(), Error);
  EXPECT_THROW(static_cast<void>(semaphore.try_acquire()), Error);
  EXPECT_THROW(semaphore.release(), Error) << "a number like this process's, of another registry";
  EXPECT_EQ(std::memcmp(static_cast<const void*>(&semaphore), &bytes, sizeof bytes), 0)
      << "nothing is taken over";
  EXPECT_EQ(semaphore.reset(), Status::ok);
  EXPECT_EQ(semaphore.value(), 2U);
  semaphore.acquire();
  semaphore.release();
}

TEST(OwnedSemaphore, AnOwnerThatNeverWasIsDead) {
  OwnedSemaphore<2> semaphore;
  semaphore.acquire();
  semaphore.release();
  Bytes bytes = bytes_of(semaphore);
  bytes.permits[0] = 0x1234567'7fffffffU;
  bytes.permits[1] = ~std::uint64_t{0};
  overwrite(semaphore, bytes);
  EXPECT_EQ(semaphore.value(), 0U);
  EXPECT_TRUE(semaphore.try_acquire());
  EXPECT_TRUE(semaphore.try_acquire_for(kLimit));
  EXPECT_FALSE(semaphore.try_acquire());
  semaphore.release();
  semaphore.release();
  EXPECT_EQ(semaphore.value(), 2U);
}

TEST(OwnedSemaphore, MoreWithheldThanThereAreIsNone) {
  OwnedSemaphore<2> semaphore;
  Bytes bytes = bytes_of(semaphore);
  bytes.withheld = ~std::uint32_t{0};
  overwrite(semaphore, bytes);
  EXPECT_EQ(semaphore.bound(), 0U);
  EXPECT_FALSE(semaphore.try_acquire());
  EXPECT_EQ(semaphore.acquire(1ms), Status::timeout);
  EXPECT_THROW(semaphore.release(), std::logic_error);
}

}  // namespace
}  // namespace sluice::tests
