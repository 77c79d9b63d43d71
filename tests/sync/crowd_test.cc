// SPDX-License-Identifier: Apache-2.0

#include "sluice/tests/sync/crowd.h"

#include <gtest/gtest.h>

namespace sluice::tests {
namespace {

TEST(Crowd, Of500IsCheapToAskAfterAndToHaveAsleep) { expect_a_crowd_to_be_cheap(500); }

}  // namespace
}  // namespace sluice::tests
