// SPDX-License-Identifier: Apache-2.0
//
// QueueProperties, DequeProperties, JoinableProperties: GoogleTest faces of the properties of
// testkit/queue_properties.h, testkit/deque_properties.h and testkit/joinable_properties.h.
//
//   #include "sluice/testkit/property_suite.h"
//   using namespace sluice::testkit;                       // the macro wants the bare name
//   INSTANTIATE_TYPED_TEST_SUITE_P(MyQueue, QueueProperties, MyAdapter<std::uint64_t>);
//   INSTANTIATE_TYPED_TEST_SUITE_P(MyDeque, DequeProperties, MyDequeAdapter);
//
//   SLUICE_TESTKIT_PROFILE=full   10,000 programs
//   SLUICE_TEST_SEED=7            other ones
//
// Units, threads, death, cost: as those headers say. Errors: failures of the test, with the code
// that shows them.

#ifndef SLUICE_TESTKIT_PROPERTY_SUITE_H_
#define SLUICE_TESTKIT_PROPERTY_SUITE_H_

#include <gtest/gtest.h>

#include <string>

#include "sluice/testkit/check_options.h"
#include "sluice/testkit/deque_properties.h"
#include "sluice/testkit/joinable_properties.h"
#include "sluice/testkit/queue_properties.h"

namespace sluice::testkit {

/// The suite of check_queue_properties(), for a QueueAdapter of numbers.
template <class A>
class QueueProperties : public testing::Test {};
TYPED_TEST_SUITE_P(QueueProperties);

TYPED_TEST_P(QueueProperties, AnySequenceOfCalls) {
  const std::string wrong = check_queue_properties<TypeParam>(CheckOptions::from_environment());
  EXPECT_TRUE(wrong.empty()) << wrong;
}

// Of the three suites most users want one: what is not instantiated is no mistake.
REGISTER_TYPED_TEST_SUITE_P(QueueProperties, AnySequenceOfCalls);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(QueueProperties);

/// The suite of check_deque_properties(), for a DequeAdapter.
template <class A>
class DequeProperties : public testing::Test {};
TYPED_TEST_SUITE_P(DequeProperties);

TYPED_TEST_P(DequeProperties, AnySequenceOfCalls) {
  const std::string wrong = check_deque_properties<TypeParam>(CheckOptions::from_environment());
  EXPECT_TRUE(wrong.empty()) << wrong;
}

REGISTER_TYPED_TEST_SUITE_P(DequeProperties, AnySequenceOfCalls);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DequeProperties);

/// The suite of check_joinable_properties(), for a JoinableAdapter.
template <class A>
class JoinableProperties : public testing::Test {};
TYPED_TEST_SUITE_P(JoinableProperties);

TYPED_TEST_P(JoinableProperties, AnySequenceOfCalls) {
  const std::string wrong = check_joinable_properties<TypeParam>(CheckOptions::from_environment());
  EXPECT_TRUE(wrong.empty()) << wrong;
}

REGISTER_TYPED_TEST_SUITE_P(JoinableProperties, AnySequenceOfCalls);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(JoinableProperties);

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_PROPERTY_SUITE_H_
