// SPDX-License-Identifier: Apache-2.0

#include "sluice/tests/support/bodies.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <stdexcept>

#include "sluice/ipc/pipe.h"
#include "sluice/sync/status.h"

namespace sluice::tests {
namespace {

template <class Way>
class Bodies : public testing::Test {};
TYPED_TEST_SUITE(Bodies, AllWays, WayNames);

TYPED_TEST(Bodies, ConnectsTheTwoSides) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        for (int i = 0; i < 1000; ++i) ASSERT_EQ(tx.send(i), Status::ok);
      },
      [](Receiver& rx) {
        for (int i = 0; i < 1000; ++i) ASSERT_EQ(rx.recv<int>(), i);
        EXPECT_EQ(rx.recv<int>(), std::nullopt);
        EXPECT_EQ(rx.status(), Status::closed);
      });
}

TYPED_TEST(Bodies, AConsumerThatLeavesEarlyDoesNotLeaveTheProducerHanging) {
  TypeParam::run(
      1 << 12,
      [](Sender& tx) {
        Status status = Status::ok;
        while (status == Status::ok) status = tx.send(1);
        EXPECT_EQ(status, Status::closed);
      },
      [](Receiver& rx) { EXPECT_EQ(rx.recv<int>(), 1); });
}

TYPED_TEST(Bodies, AFailureOfTheProducerIsAFailureOfTheTest) {
  // All threads: EXPECT_NONFATAL_FAILURE alone hears only the calling one.
  EXPECT_NONFATAL_FAILURE_ON_ALL_THREADS(
      TypeParam::run(
          1 << 12, [](Sender&) { EXPECT_EQ(1, 2) << "planted"; },
          [](Receiver& rx) { EXPECT_EQ(rx.recv<int>(), std::nullopt); }),
      "planted");
}

TYPED_TEST(Bodies, AnExceptionOfTheProducerIsAFailureOfTheTest) {
  EXPECT_NONFATAL_FAILURE_ON_ALL_THREADS(
      TypeParam::run(
          1 << 12, [](Sender&) { throw std::runtime_error("planted"); },
          [](Receiver& rx) { EXPECT_EQ(rx.recv<int>(), std::nullopt); }),
      "the other side threw: planted");
}

template <class Way>
class ProcessBodies : public testing::Test {};
using ProcessWays = testing::Types<OverFork, OverName>;
TYPED_TEST_SUITE(ProcessBodies, ProcessWays, WayNames);

TYPED_TEST(ProcessBodies, ADeathOfTheProducerIsAFailureOfTheTest) {
  EXPECT_NONFATAL_FAILURE(TypeParam::run(
                              1 << 12,
                              [](Sender& tx) {
                                static_cast<void>(tx.send(1));
                                kill(getpid(), SIGKILL);
                              },
                              [](Receiver& rx) {
                                EXPECT_EQ(rx.recv<int>(), 1);
                                EXPECT_EQ(rx.recv<int>(), std::nullopt);
                                EXPECT_EQ(rx.status(), Status::peer_died);
                              }),
                          "wait status of the child");
}

// Over fork alone: the name of a pipe whose last user was killed stays until it is next used.
TEST(OverFork, AnExceptionOfTheConsumerEndsTheProducer) {
  const auto run = [] {
    OverFork::run(
        1 << 12, [](Sender&) { pause(); }, [](Receiver&) { throw std::runtime_error("planted"); });
  };
  EXPECT_THROW(run(), std::runtime_error);
}

}  // namespace
}  // namespace sluice::tests
