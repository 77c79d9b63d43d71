// SPDX-License-Identifier: Apache-2.0
//
// PoolFixture: a test of a pool that ends, one way or another: what hangs is killed with a message,
// and what a pool leaves behind fails the test.

#ifndef SLUICE_TESTS_SUPPORT_POOL_FIXTURE_H_
#define SLUICE_TESTS_SUPPORT_POOL_FIXTURE_H_

#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice {

class PoolFixture : public ::testing::Test {
 protected:
  static constexpr unsigned kSeconds = 50;

  void SetUp() override { alarm(kSeconds); }  // its default action ends the process, and names it
  void TearDown() override { alarm(0); }
};

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_POOL_FIXTURE_H_
