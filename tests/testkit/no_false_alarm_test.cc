// SPDX-License-Identifier: Apache-2.0
//
// The kit says nothing against queues that work: each column of the table that a subject is not
// known to fail, with the quick profile and ten seeds, or as many as SLUICE_ALARM_SEEDS says. What
// is undecided is counted, and no alarm. Not here: the kills at each step, for which the seed of
// the quick profile changes nothing (tests/testkit/planted_crash_test.cc,
// //testkit/subjects:table).

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "sluice/testkit/subjects/table.h"
#include "sluice/tests/testkit/alarm_families.h"

namespace sluice::tests {
namespace {

using testkit::Cell;
using testkit::Found;
using testkit::Row;
using testkit::Verdict;

std::uint64_t seeds() {
  const char* const told = std::getenv("SLUICE_ALARM_SEEDS");
  return told == nullptr ? 10 : std::stoull(told);
}

class NoFalseAlarm : public testing::TestWithParam<AlarmFamily> {};

TEST_P(NoFalseAlarm, OfAFamily) {
  unsigned passed = 0;
  unsigned undecided = 0;
  for (const Row& row : GetParam()()) {
    for (const Cell& cell : row.cells) {
      if (cell.column == "killed at each step" || row.known.contains(cell.column)) continue;
      for (std::uint64_t seed = 1; seed <= seeds() && cell.check; ++seed) {
        const Found found = run(row, cell, {.seed = seed, .quick = true});
        EXPECT_NE(found.verdict, Verdict::fails) << "a false alarm, seed " << seed << ": " << found;
        passed += found.verdict == Verdict::passes ? 1 : 0;
        undecided += found.verdict == Verdict::undecided ? 1 : 0;
      }
    }
  }
  std::cout << passed << " passed, " << undecided << " undecided\n";
  EXPECT_GT(passed, 0U);
}

INSTANTIATE_TEST_SUITE_P(Subjects, NoFalseAlarm, testing::ValuesIn(alarm_families()));

}  // namespace
}  // namespace sluice::tests
