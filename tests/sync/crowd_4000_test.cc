// SPDX-License-Identifier: Apache-2.0

#include <gtest/gtest.h>

#include "sluice/tests/sync/crowd.h"

namespace sluice::tests {
namespace {

TEST(Crowd, Of4000IsCheapToAskAfterAndToHaveAsleep) { expect_a_crowd_to_be_cheap(4000); }

}  // namespace
}  // namespace sluice::tests
