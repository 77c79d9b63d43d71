// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include <cstdint>

#include "adapter.h"
#include "sluice/testkit/linearizability.h"
#include "sluice/testkit/property_suite.h"
#include "sluice/testkit/queue_fuzz.h"
#include "sluice/testkit/queue_suite.h"

using namespace sluice::testkit;  // the macros want bare names

INSTANTIATE_TYPED_TEST_SUITE_P(Mine, QueueSuite, QueueKit<Adapter>);
INSTANTIATE_TYPED_TEST_SUITE_P(Mine, QueueProperties, Adapter<std::uint64_t>);

TEST(Mine, IsLinearizable) {
  const HistoryVerdict verdict = check_linearizable<Adapter<std::uint64_t>>();
  EXPECT_NE(verdict.answer, Linearizable::no) << verdict.text;
}

TEST(Mine, DoesWhatTheModelDoes) { EXPECT_EQ(check_fuzz_calls<Adapter>({.cases = 2000}), ""); }
