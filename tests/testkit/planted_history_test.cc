// SPDX-License-Identifier: Apache-2.0
//
// The planted bugs that show in histories alone: each found within ten seconds by the judge of
// histories, while the twin without the bug is linearizable.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>

#include "sluice/testkit/history.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/linearizability.h"
#include "sluice/testkit/planted/locked_queue.h"
#include "sluice/testkit/planted/racing_queues.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::check_linearizable;
using testkit::HistoryOptions;
using testkit::HistoryVerdict;
using testkit::Linearizable;

constexpr auto kBudget = 10s;
using Item = std::uint64_t;

template <class Planted>
void expect_caught(const HistoryOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  HistoryVerdict verdict;
  for (std::uint64_t seed = 1; std::chrono::steady_clock::now() - begin < kBudget; seed += 10) {
    verdict = check_linearizable<Planted>(options, {.seed = seed});
    if (verdict.answer == Linearizable::no) break;
  }
  const auto time = std::chrono::steady_clock::now() - begin;
  std::cout << std::chrono::duration_cast<std::chrono::milliseconds>(time).count()
            << " ms: " << verdict << '\n';
  EXPECT_EQ(verdict.answer, Linearizable::no) << "the judge does not see this bug";
  EXPECT_LT(time, kBudget);
}

template <class Whole>
void expect_passes(const HistoryOptions& options) {
  const HistoryVerdict verdict = check_linearizable<Whole>(options, {.rounds = 30});
  EXPECT_NE(verdict.answer, Linearizable::no) << "a false alarm: " << verdict;
  EXPECT_LT(verdict.undecided, 3U) << verdict;
}

TEST(PlantedHistory, CountsLate) {
  const HistoryOptions options{.name = "counts late", .size_percent = 20};
  expect_caught<testkit::CountsLate<Item>>(options);
  expect_passes<testkit::WholeLockedQueue<Item>>(options);
}

TEST(PlantedHistory, EmptyWhenBusy) {
  const HistoryOptions options{.name = "empty when busy", .push_percent = 70};
  expect_caught<testkit::EmptyWhenBusy<Item>>(options);
  expect_passes<testkit::WholeLockedQueue<Item>>(options);
}

TEST(PlantedHistory, Reorders) {
  const HistoryOptions options{.name = "reorders"};
  expect_caught<testkit::Reorders<Item>>(options);
  expect_passes<testkit::KeepsOrder<Item>>(options);
}

}  // namespace
}  // namespace sluice::tests
