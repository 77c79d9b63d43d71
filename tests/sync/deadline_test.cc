// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/deadline.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <ratio>
#include <stdexcept>
#include <type_traits>

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;

// A bare number could be any unit.
static_assert(!std::is_convertible_v<int, Deadline> && !std::is_constructible_v<Deadline, int>);
static_assert(!std::is_convertible_v<std::chrono::system_clock::time_point, Deadline>,
              "a wall clock may be set back");
static_assert(std::is_convertible_v<std::chrono::minutes, Deadline>);
static_assert(std::is_convertible_v<std::chrono::duration<double>, Deadline>);
static_assert(std::is_convertible_v<Clock::time_point, Deadline>);

TEST(Deadline, OfADurationLiesThatFarAhead) {
  const auto before = Clock::now();
  const Deadline deadline = 250ms;
  const auto after = Clock::now();
  EXPECT_GE(deadline.time(), before + 250ms);
  EXPECT_LE(deadline.time(), after + 250ms);
  EXPECT_FALSE(deadline.is_now());
  EXPECT_FALSE(deadline.is_never());
  EXPECT_FALSE(deadline.passed());
}

TEST(Deadline, PassesWhenItsTimeIsReachedAndNotBefore) {
  const auto at = Clock::now();
  const Deadline deadline = at;
  EXPECT_FALSE(deadline.passed(at - 1ns));
  EXPECT_TRUE(deadline.passed(at));
  EXPECT_TRUE(deadline.passed(at + 1ns));
  EXPECT_TRUE(deadline.passed());
}

TEST(Deadline, OfZeroOrNegativeTimeMeansNow) {
  for (const Deadline d :
       {Deadline(0s), Deadline(-1ns), Deadline(-1h), Deadline(Clock::duration::min()),
        Deadline(std::chrono::duration<double>(-0.5)),
        Deadline(std::chrono::duration<double>(-INFINITY)), Deadline(std::chrono::hours::min())}) {
    EXPECT_TRUE(d.is_now());
    EXPECT_TRUE(d.passed());
    EXPECT_EQ(d, Deadline::now());
  }
}

TEST(Deadline, BeyondTheClockMeansNever) {
  for (const Deadline d :
       {Deadline(Clock::duration::max()), Deadline(std::chrono::hours::max()),
        Deadline(std::chrono::years(10000)), Deadline(std::chrono::duration<double>(1e300)),
        Deadline(std::chrono::duration<double>(INFINITY)), Deadline(std::chrono::seconds::max()),
        Deadline(std::chrono::duration<std::uint64_t>(UINT64_MAX))}) {
    EXPECT_TRUE(d.is_never());
    EXPECT_FALSE(d.passed());
    EXPECT_EQ(d, Deadline::never());
  }
}

TEST(Deadline, LongButPossibleTimesAreKept) {
  const Deadline century = std::chrono::years(100);
  EXPECT_FALSE(century.is_never());
  EXPECT_GE(century.time() - Clock::now(), std::chrono::years(99));
}

TEST(Deadline, OfWhatIsNotANumberIsRefused) {
  const std::chrono::duration<double> nan(std::nan(""));
  EXPECT_THROW(Deadline{nan}, std::invalid_argument);
  const std::chrono::duration<float, std::milli> small_nan(std::nanf(""));
  EXPECT_THROW(Deadline{small_nan}, std::invalid_argument);
}

TEST(Deadline, FractionsOfANanosecondAreRoundedUp) {
  using Picoseconds = std::chrono::duration<long, std::pico>;
  const auto shortest = [](auto duration) {
    const auto before = Clock::now();
    const Deadline deadline = duration;
    EXPECT_FALSE(deadline.is_now()) << "a little is not nothing";
    return deadline.time() - before;
  };
  EXPECT_GE(shortest(Picoseconds(1)), 1ns);
  EXPECT_GE(shortest(Picoseconds(1001)), 2ns);
  EXPECT_GE(shortest(std::chrono::duration<double>(1e-12)), 1ns);
  EXPECT_GE(shortest(std::chrono::duration<double, std::nano>(1.5)), 2ns);
}

TEST(Deadline, NowHasPassedAndNeverHasNot) {
  EXPECT_TRUE(Deadline::now().is_now());
  EXPECT_TRUE(Deadline::now().passed());
  EXPECT_TRUE(Deadline::now().passed(Clock::time_point::min()));
  EXPECT_FALSE(Deadline::now().is_never());
  EXPECT_TRUE(Deadline::never().is_never());
  EXPECT_FALSE(Deadline::never().is_now());
  EXPECT_FALSE(Deadline::never().passed(Clock::time_point::max()));
}

TEST(Deadline, OfAnotherClockLiesAsFarAheadAsThatClockSays) {
  using Wall = std::chrono::system_clock;
  const auto before = Clock::now();
  const Deadline deadline = Deadline::until(Wall::now() + 250ms);
  EXPECT_GT(deadline.time(), before + 200ms) << "a wall clock may be set while we look";
  EXPECT_LE(deadline.time(), Clock::now() + 250ms);
  EXPECT_EQ(Deadline::until(Wall::now() - 1s), Deadline::now());
  const auto at = before + 1h;
  EXPECT_GE(Deadline::until(at).time(), at) << "never early";
}

TEST(Deadline, TheEndsOfOtherClocksDoNotOverflow) {
  using Wall = std::chrono::system_clock;
  EXPECT_EQ(Deadline::until(Wall::time_point::min()), Deadline::now());
  EXPECT_EQ(Deadline::until(std::chrono::sys_seconds::min()), Deadline::now());
  EXPECT_EQ(Deadline::until(std::chrono::sys_days::min()), Deadline::now());
  EXPECT_EQ(Deadline::until(Clock::time_point::min()), Deadline::now());
  EXPECT_TRUE(Deadline::until(std::chrono::sys_seconds::max()).is_never());
  EXPECT_TRUE(Deadline::until(std::chrono::sys_days::max()).is_never());
  EXPECT_TRUE(Deadline::until(Clock::time_point::max()).is_never());
  EXPECT_GT(Deadline::until(Wall::time_point::max()), Deadline(1'000'000h));
}

TEST(Deadline, IsOrdered) {
  EXPECT_LT(Deadline::now(), Deadline(1h));
  EXPECT_LT(Deadline(1h), Deadline(2h));
  EXPECT_LT(Deadline(2h), Deadline::never());
  const auto at = Clock::now();
  EXPECT_EQ(Deadline(at), Deadline(at));
  EXPECT_GE(Deadline(at), Deadline(at - 1ns));
}

TEST(Deadline, IsFixedOnceMade) {
  const Deadline deadline = 5ms;
  const Deadline copy = deadline;
  while (!deadline.passed()) continue;
  EXPECT_TRUE(copy.passed()) << "one deadline covers several calls";
  EXPECT_EQ(copy, deadline);
}

}  // namespace
}  // namespace sluice::tests
