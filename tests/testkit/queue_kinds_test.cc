// SPDX-License-Identifier: Apache-2.0
//
// Healthy queues of all kinds: neither crash tests nor fuzzing say anything of them.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "sluice/testkit/checked_item.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_crash.h"
#include "sluice/testkit/queue_crash_options.h"
#include "sluice/testkit/queue_fuzz.h"
#include "sluice/testkit/shared_queue.h"
#include "sluice/testkit/test_seed.h"
#include "sluice/tests/testkit/small_kinds.h"
#include "sluice/tests/testkit/small_queues.h"

namespace {

using sluice::testkit::check_fuzz;
using sluice::testkit::check_kill_stress;
using sluice::testkit::check_step_kill;
using sluice::testkit::CheckedItem;
using sluice::testkit::is_whole;
using sluice::testkit::make_item;
using sluice::testkit::number_in;
using sluice::testkit::OfKitItems;
using sluice::testkit::SharedQueue;
using sluice::testkit::test_seed;
using sluice::tests::Inherited;
using sluice::tests::Locked;
using sluice::tests::Priorities;
using sluice::tests::SpscAdapter;
using sluice::tests::Stack;

template <class A>
class QueueOfAKind : public testing::Test {};

using Kinds = testing::Types<SpscAdapter<CheckedItem>, Stack<CheckedItem>, Priorities<CheckedItem>,
                             Inherited<CheckedItem>, Locked<std::uint64_t>>;
TYPED_TEST_SUITE(QueueOfAKind, Kinds);

TYPED_TEST(QueueOfAKind, SurvivesStepKill) {
  EXPECT_EQ(check_step_kill<TypeParam>({.seed = test_seed()}), "");
}

TYPED_TEST(QueueOfAKind, SurvivesKillStress) {
  EXPECT_EQ(check_kill_stress<TypeParam>({.seed = test_seed()}), "");
}

TYPED_TEST(QueueOfAKind, SurvivesFuzzing) {
  EXPECT_EQ(check_fuzz<TypeParam>(test_seed(), 1000), "");
}

/// Carries numbers, and nothing else.
template <class T>
  requires std::is_same_v<T, std::uint64_t>
struct Numbers : Locked<T> {
  using Locked<T>::Locked;
};

TEST(KitItems, AreWhatTheQueueCanCarry) {
  EXPECT_TRUE((std::is_same_v<OfKitItems<Locked>::value_type, CheckedItem>));
  EXPECT_TRUE((std::is_same_v<OfKitItems<Numbers>::value_type, std::uint64_t>));
  EXPECT_EQ(check_fuzz<Numbers>(1, 10), "");
}

TEST(KitItems, ATornOneIsNotWhole) {
  auto item = make_item<CheckedItem>(7);
  EXPECT_TRUE(is_whole(item));
  EXPECT_EQ(number_in(item), 7U);
  item.triple = 24;
  EXPECT_FALSE(is_whole(item));
  EXPECT_FALSE(is_whole(CheckedItem{8, ~std::uint64_t{7}, 21}));
}

// -------------------------------------------------------------------------------------------------
// SharedQueue

template <class A>
class ASharedQueue : public testing::Test {};

using BothWays = testing::Types<Locked<std::uint64_t>, Inherited<std::uint64_t>>;
TYPED_TEST_SUITE(ASharedQueue, BothWays);

TYPED_TEST(ASharedQueue, GoesBackToItsStartAndToAnImage) {
  SharedQueue<TypeParam> queue(3);
  ASSERT_TRUE(queue.attach().try_push(7));
  const auto with_7 = queue.image();
  std::uint64_t item = 0;
  queue.reset();
  EXPECT_FALSE(queue.attach().try_pop(item));
  queue.restore(with_7);
  EXPECT_TRUE(queue.attach().try_pop(item));
  EXPECT_EQ(item, 7U);
  EXPECT_FALSE(queue.attach().try_pop(item));
}

TEST(GuardedMemory, FindsWhoWritesBehindIt) {
  const sluice::internal::GuardedMemory memory(100);
  EXPECT_EQ(memory.bytes().size(), 100U);
  EXPECT_TRUE(memory.margin_is_whole());
  std::byte* const begin = memory.bytes().data();
  begin[100] = std::byte{1};
  EXPECT_FALSE(memory.margin_is_whole());
}

TEST(GuardedMemoryDeathTest, FaultsFarOutside) {
  const sluice::internal::GuardedMemory memory(100);
  std::byte* const begin = memory.bytes().data();
  EXPECT_DEATH(begin[4096] = std::byte{1}, "");
  EXPECT_DEATH(begin[-1] = std::byte{1}, "");
  EXPECT_DEATH(begin[0xffff'ffff] = std::byte{1}, "");
}

}  // namespace
