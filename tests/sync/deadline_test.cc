// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/deadline.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <stdexcept>

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;

TEST(Deadline, FromADurationIsThatMuchLaterThanNow) {
  const auto before = Clock::now();
  const Deadline deadline = 50ms;
  EXPECT_GE(deadline.time(), before + 50ms);
  EXPECT_LE(deadline.time(), Clock::now() + 50ms);
  EXPECT_FALSE(deadline.passed());
}

TEST(Deadline, ZeroAndNegativeDurationsMeanTryOnce) {
  EXPECT_TRUE(Deadline(0s).is_now());
  EXPECT_TRUE(Deadline(-1ns).is_now());
  EXPECT_TRUE(Deadline(std::chrono::hours::min()).is_now());
  EXPECT_TRUE(Deadline(std::chrono::duration<double>(-0.5)).is_now());
  EXPECT_TRUE(Deadline(0s).passed());
}

TEST(Deadline, HugeDurationsMeanNever) {
  EXPECT_TRUE(Deadline(std::chrono::hours::max()).is_never());
  EXPECT_TRUE(Deadline(std::chrono::nanoseconds::max()).is_never());
  EXPECT_TRUE(Deadline(std::chrono::duration<double>(1e300)).is_never());
  EXPECT_TRUE(
      Deadline(std::chrono::duration<float>(std::numeric_limits<float>::infinity())).is_never());
  EXPECT_TRUE(Deadline(std::chrono::years::max()).is_never());
}

TEST(Deadline, ALongButPossibleDurationIsNotNever) {
  const Deadline deadline = std::chrono::hours(24 * 365 * 100);
  EXPECT_FALSE(deadline.is_never());
  EXPECT_FALSE(deadline.passed());
}

TEST(Deadline, RoundsFractionsUpSoThatNoWaitIsShort) {
  using Picoseconds = std::chrono::duration<std::int64_t, std::pico>;
  const auto before = Clock::now();
  EXPECT_GE(Deadline(Picoseconds(1)).time(), before + 1ns);
  EXPECT_GE(Deadline(std::chrono::duration<double, std::nano>(0.25)).time(), before + 1ns);
}

TEST(Deadline, RefusesADurationThatIsNotANumber) {
  const std::chrono::duration<double> not_a_number(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW(Deadline{not_a_number}, std::invalid_argument);
}

TEST(Deadline, NeverNeverPasses) {
  EXPECT_FALSE(Deadline::never().passed());
  EXPECT_FALSE(Deadline::never().passed(Clock::time_point::max()));
}

TEST(Deadline, FromATimePointIsThatTimePoint) {
  const auto at = Clock::now() + 1s;
  EXPECT_EQ(Deadline(at).time(), at);
  EXPECT_FALSE(Deadline(at).passed(at - 1ns));
  EXPECT_TRUE(Deadline(at).passed(at));
}

TEST(Deadline, OrdersByTime) {
  EXPECT_LT(Deadline::now(), Deadline(1s));
  EXPECT_LT(Deadline(1s), Deadline(1h));
  EXPECT_LT(Deadline(1h), Deadline::never());
}

}  // namespace
}  // namespace sluice::tests
