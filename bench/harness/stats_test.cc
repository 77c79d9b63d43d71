// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/stats.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "sluice/bench/harness/histogram.h"

namespace sluice::bench {
namespace {

const Reading kCalm{.before = 100, .after = 110};
const Reading kMoved{.before = 100, .after = 121};

Sample sample(double value, double limit, double witness = 100) {
  return {.value = value, .limit = limit, .witness = witness};
}

TEST(Quantile, InterpolatesBetweenNeighbours) {
  const std::vector<double> values = {10, 20, 30, 50};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 10);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 25);
  EXPECT_DOUBLE_EQ(quantile(values, 0.75), 35);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 50);
}

TEST(Summarize, FindsMedianQuartilesAndEnds) {
  const Summary odd = summarize({9, 1, 5, 3, 7});
  EXPECT_DOUBLE_EQ(odd.median, 5);
  EXPECT_DOUBLE_EQ(odd.q1, 3);
  EXPECT_DOUBLE_EQ(odd.q3, 7);
  EXPECT_DOUBLE_EQ(odd.min, 1);
  EXPECT_DOUBLE_EQ(odd.max, 9);
  EXPECT_EQ(odd.runs, 5u);
  EXPECT_DOUBLE_EQ(summarize({4, 1, 3, 2}).median, 2.5);
}

TEST(Summarize, OfOneValueIsThatValue) {
  const Summary one = summarize({42});
  EXPECT_DOUBLE_EQ(one.median, 42);
  EXPECT_DOUBLE_EQ(one.q1, 42);
  EXPECT_DOUBLE_EQ(one.q3, 42);
  EXPECT_EQ(one.runs, 1u);
}

TEST(Summarize, OfNothingHasNoRuns) { EXPECT_EQ(summarize({}).runs, 0u); }

TEST(Reading, MayMoveByAFifthEitherWay) {
  EXPECT_TRUE((Reading{100, 119.9}.steady()));
  EXPECT_TRUE((Reading{119.9, 100}.steady()));
  EXPECT_FALSE((Reading{100, 120.1}.steady()));
  EXPECT_FALSE((Reading{120.1, 100}.steady()));
  EXPECT_FALSE((Reading{0, 0}.steady())) << "measured nothing";
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  EXPECT_FALSE((Reading{kInfinite, kInfinite}.steady())) << "measured nothing, as a rate";
}

TEST(Series, DropsAndCountsARepetitionWhoseYardstickMoved) {
  Series series;
  EXPECT_TRUE(series.add(sample(50, 100), {{kCalm}}));
  EXPECT_FALSE(series.add(sample(9000, 100), {{kMoved}}));
  EXPECT_TRUE(series.add(sample(70, 100), {{kCalm}}));
  EXPECT_EQ(series.dropped(), 1u);
  EXPECT_EQ(series.value().runs, 2u);
  EXPECT_DOUBLE_EQ(series.value().max, 70);
}

TEST(Series, DropsWhenAnyOfSeveralYardsticksMoved) {
  Series series;
  const std::vector<Reading> second_moved = {kCalm, kMoved};
  EXPECT_FALSE(series.add(sample(50, 100), second_moved));
  EXPECT_EQ(series.dropped(), 1u);
}

TEST(Series, KeepsASlowSubjectWhileTheYardstickIsCalm) {
  Series series;
  for (const double value : {50.0, 51.0, 5000.0}) series.add(sample(value, 100), {{kCalm}});
  EXPECT_EQ(series.dropped(), 0u);
  EXPECT_DOUBLE_EQ(series.value().max, 5000);
}

TEST(Series, TakesRatiosRepetitionByRepetition) {
  // The machine was twice as slow in the second one, for subject and yardstick alike.
  Series series;
  series.add(sample(50, 100), {{kCalm}});
  series.add(sample(100, 200), {{kCalm}});
  EXPECT_DOUBLE_EQ(series.ratio().min, 0.5);
  EXPECT_DOUBLE_EQ(series.ratio().max, 0.5);
}

TEST(Quotient, ComparesOnlyWhatMetTheSameMachine) {
  // a is twice b wherever both were measured; b was measured in the slow place more often, so that
  // the medians alone would say otherwise.
  Series a;
  a.add(sample(20, 1, 100), {{kCalm}});
  a.add(sample(22, 1, 100), {{kCalm}});
  a.add(sample(200, 1, 500), {{kCalm}});
  Series b;
  b.add(sample(10, 1, 105), {{kCalm}});
  b.add(sample(100, 1, 510), {{kCalm}});
  b.add(sample(100, 1, 490), {{kCalm}});
  EXPECT_LT(a.value().median, b.value().median);
  const Summary times = quotient(a, b);
  EXPECT_EQ(times.runs, 4u);
  EXPECT_DOUBLE_EQ(times.median, 2);
}

TEST(Quotient, OfSeriesThatNeverMetSaysNothing) {
  Series a;
  a.add(sample(20, 1, 100), {{kCalm}});
  Series b;
  b.add(sample(10, 1, 500), {{kCalm}});
  EXPECT_EQ(quotient(a, b).runs, 0u);
  EXPECT_EQ(quotient(a, Series()).runs, 0u);
}

TEST(Histogram, IsExactForSmallValues) {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 100; ++value) histogram.add(value);
  EXPECT_DOUBLE_EQ(histogram.quantile(0.50), 50);
  EXPECT_DOUBLE_EQ(histogram.quantile(0.99), 99);
  EXPECT_DOUBLE_EQ(histogram.quantile(1), 100);
}

TEST(Histogram, KeepsLargeValuesToOnePartIn128) {
  for (std::uint64_t value = 1; value < UINT64_MAX / 7; value = value * 7 + 3) {
    Histogram histogram;
    histogram.add(value);
    const double found = histogram.quantile(0.5);
    const auto real = static_cast<double>(value);
    EXPECT_LE(found, real);
    EXPECT_GT(found, real * (1 - 1.0 / 128));
  }
  Histogram histogram;
  histogram.add(UINT64_MAX);
  EXPECT_GT(histogram.quantile(0.5), 1.8e19);
}

TEST(Histogram, KnowsAPercentileOnlyWithValuesBeyondIt) {
  Histogram histogram;
  for (int i = 0; i < 999; ++i) histogram.add(5);
  EXPECT_TRUE(histogram.knows(0.99));
  EXPECT_FALSE(histogram.knows(0.999));
  histogram.add(5);
  histogram.add(5);
  EXPECT_TRUE(histogram.knows(0.999));
}

}  // namespace
}  // namespace sluice::bench
