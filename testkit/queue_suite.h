// SPDX-License-Identifier: Apache-2.0
//
// QueueSuite: a GoogleTest suite for any queue: the checks of testkit/queue_checks.h, one test
// each. What the queue can't do is skipped, and the test says why.
//
//   #include "sluice/testkit/queue_suite.h"
//   using namespace sluice::testkit;                       // the macro wants the bare name
//   INSTANTIATE_TYPED_TEST_SUITE_P(MyQueue, QueueSuite, QueueKit<MyAdapter>);
//
//   SLUICE_TESTKIT_PROFILE=full   looks twenty times as long
//   SLUICE_TEST_SEED=7            other random choices
//
// Units, threads, death, cost: as testkit/queue_checks.h. Errors: failures of the test, with what
// is wrong, the seed, and the line that repeats it.

#ifndef SLUICE_TESTKIT_QUEUE_SUITE_H_
#define SLUICE_TESTKIT_QUEUE_SUITE_H_

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/queue_checks.h"

namespace sluice::testkit {

/// The fixture of all its tests, to be instantiated with a QueueKit.
template <class Kit>
class QueueSuite : public testing::Test {
 protected:
  /// Runs the check of this name in a process of its own: the test passes, fails, or is skipped.
  void run(std::string_view name) {
    const QueueCheck check = find_check<Kit>(name);
    if (check.left_out != nullptr) GTEST_SKIP() << check.left_out;
    const CheckOptions options = CheckOptions::from_environment();
    const std::string wrong = check.run(options);
    EXPECT_TRUE(wrong.empty()) << wrong << "\nagain: SLUICE_TEST_SEED=" << options.seed;
  }
};

TYPED_TEST_SUITE_P(QueueSuite);

TYPED_TEST_P(QueueSuite, Sequential) { this->run("sequential"); }
TYPED_TEST_P(QueueSuite, Boundaries) { this->run("boundaries"); }
TYPED_TEST_P(QueueSuite, Batches) { this->run("batches"); }
TYPED_TEST_P(QueueSuite, AlignedItems) { this->run("aligned_items"); }
TYPED_TEST_P(QueueSuite, MoveOnlyItems) { this->run("move_only_items"); }
TYPED_TEST_P(QueueSuite, LargeItems) { this->run("large_items"); }
TYPED_TEST_P(QueueSuite, ThrowingItems) { this->run("throwing_items"); }
TYPED_TEST_P(QueueSuite, Lives) { this->run("lives"); }
TYPED_TEST_P(QueueSuite, ProducerOrder) { this->run("producer_order"); }
TYPED_TEST_P(QueueSuite, ExactlyOnce) { this->run("exactly_once"); }
TYPED_TEST_P(QueueSuite, WholeItems) { this->run("whole_items"); }
TYPED_TEST_P(QueueSuite, BatchesOfThreads) { this->run("batches_of_threads"); }
TYPED_TEST_P(QueueSuite, LivesOfThreads) { this->run("lives_of_threads"); }
TYPED_TEST_P(QueueSuite, Size) { this->run("size"); }
TYPED_TEST_P(QueueSuite, SleepingPop) { this->run("sleeping_pop"); }
TYPED_TEST_P(QueueSuite, SleepingPush) { this->run("sleeping_push"); }
TYPED_TEST_P(QueueSuite, ManySleepers) { this->run("many_sleepers"); }
TYPED_TEST_P(QueueSuite, WaitingTraffic) { this->run("waiting_traffic"); }
TYPED_TEST_P(QueueSuite, Close) { this->run("close"); }
TYPED_TEST_P(QueueSuite, CloseDuringTraffic) { this->run("close_during_traffic"); }

REGISTER_TYPED_TEST_SUITE_P(QueueSuite, Sequential, Boundaries, Batches, AlignedItems,
                            MoveOnlyItems, LargeItems, ThrowingItems, Lives, ProducerOrder,
                            ExactlyOnce, WholeItems, BatchesOfThreads, LivesOfThreads, Size,
                            SleepingPop, SleepingPush, ManySleepers, WaitingTraffic, Close,
                            CloseDuringTraffic);

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_SUITE_H_
