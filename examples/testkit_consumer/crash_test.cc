// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include "adapter.h"
#include "sluice/testkit/queue_crash.h"

using namespace sluice::testkit;

TEST(Mine, SurvivesADeathAtEachInstruction) { EXPECT_EQ(check_step_kill<Adapter>(), ""); }
TEST(Mine, SurvivesDeathsAtRandom) { EXPECT_EQ(check_kill_stress<Adapter>(), ""); }
