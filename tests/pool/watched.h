// SPDX-License-Identifier: Apache-2.0
//
// Watched: a fixture under which a test that hangs is ended by SIGALRM, which names the test in
// GoogleTest's last line, long before the runner gives up.

#ifndef SLUICE_TESTS_POOL_WATCHED_H_
#define SLUICE_TESTS_POOL_WATCHED_H_

#include <gtest/gtest.h>
#include <unistd.h>

namespace sluice::tests {

class Watched : public testing::Test {
 protected:
  static constexpr unsigned kSeconds = 50;

  Watched() { alarm(kSeconds); }
  ~Watched() override { alarm(0); }
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_POOL_WATCHED_H_
