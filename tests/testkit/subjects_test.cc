// SPDX-License-Identifier: Apache-2.0
//
// The subjects are what they say they are: which of the kit's concepts each fulfils, and that what
// is for processes is one queue in all of them, with its bytes in shared().

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/subjects/boost_subjects.h"
#include "sluice/testkit/subjects/ipc_subjects.h"
#include "sluice/testkit/subjects/lockfree_subjects.h"
#include "sluice/testkit/subjects/moodycamel_subjects.h"
#include "sluice/testkit/subjects/outcome.h"
#include "sluice/testkit/subjects/std_subjects.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using namespace testkit;  // what is tested is a list of its names

using U = std::uint64_t;
using OnlyMoves = std::unique_ptr<int>;

static_assert(LocalAdapter<StdQueueSubject<OnlyMoves>> && BlockingAdapter<StdQueueSubject<U>>);
static_assert(ClosableAdapter<StdQueueSubject<U>> && SizedAdapter<StdQueueSubject<U>>);
static_assert(BatchAdapter<StdQueueSubject<U>> && !BatchAdapter<StdQueueSubject<OnlyMoves>>);

static_assert(LocalAdapter<BoostQueueSubject<U>> && !Carries<BoostQueueSubject, std::string>);
static_assert(LocalAdapter<BoostStackSubject<U>> && !Carries<BoostStackSubject, std::string>);
static_assert(LocalAdapter<BoostSpscSubject<std::string>> && BatchAdapter<BoostSpscSubject<U>>);
static_assert(SharedAdapter<BoostSharedQueueSubject<U>>);
static_assert(SharedAdapter<BoostSharedSpscSubject<U>>);

static_assert(LocalAdapter<MoodycamelSubject<OnlyMoves>> && BatchAdapter<MoodycamelSubject<U>>);
static_assert(LocalAdapter<MoodycamelTokenSubject<OnlyMoves>>);
static_assert(BatchAdapter<MoodycamelTokenSubject<U>::Party>);
static_assert(BlockingAdapter<MoodycamelBlockingSubject<OnlyMoves>>);
static_assert(!ClosableAdapter<MoodycamelBlockingSubject<U>>);

static_assert(LocalAdapter<SpscRingSubject<U>> && SharedAdapter<SpscRingSubject<U>>);
static_assert(LocalAdapter<MpmcRingSubject<U>> && SharedAdapter<MpmcRingSubject<U>>);
static_assert(BatchAdapter<MpmcRingSubject<U>> && BatchAdapter<MpmcRingSubject<U>::Party>);
static_assert(!Carries<SpscRingSubject, std::string> && !Carries<MpmcRingSubject, std::string>);
static_assert(LocalAdapter<IndexStackSubject<OnlyMoves>> && !ProcessAdapter<IndexStackSubject<U>>);
static_assert(BlockingAdapter<UnboundedQueueSubject<OnlyMoves>>);
static_assert(ClosableAdapter<UnboundedQueueSubject<U>>);

static_assert(!Carries<QueueSubject, std::string> && Carries<RecordQueueSubject, std::string>);
static_assert(!Carries<RecordQueueSubject, OnlyMoves> && !Carries<DequeSubject, int*>);
static_assert(BatchAdapter<QueueSubject<U>> && BatchAdapter<LifoQueueSubject<U>>);

/// The queues of ipc/, each tested alike.
template <class Subject>
class InheritedSubjects : public testing::Test {};
using Inherited = testing::Types<QueueSubject<U>, RecordQueueSubject<U>, LifoQueueSubject<U>,
                                 PriorityQueueSubject<U>, DequeSubject<U>, JoinableQueueSubject<U>>;
TYPED_TEST_SUITE(InheritedSubjects, Inherited);

TYPED_TEST(InheritedSubjects, WaitAndClose) {
  static_assert(InheritedAdapter<TypeParam> && BlockingAdapter<TypeParam>);
  static_assert(ClosableAdapter<TypeParam>);
  TypeParam queue(3);
  EXPECT_TRUE(queue.push(7));
  queue.close();
  EXPECT_FALSE(queue.try_push(8));
  EXPECT_FALSE(queue.push(8));
  U item = 0;
  EXPECT_TRUE(queue.pop(item));
  EXPECT_EQ(item, 7U);
  EXPECT_FALSE(queue.pop(item));
  EXPECT_FALSE(queue.try_pop(item));
}

TYPED_TEST(InheritedSubjects, SharedBytesAreThoseOfTheQueue) {
  TypeParam queue(3);
  const std::span<const std::byte> bytes = queue.shared();
  const auto now = [&] { return std::vector<std::byte>(bytes.begin(), bytes.end()); };
  const std::vector<std::byte> empty = now();
  ASSERT_TRUE(queue.try_push(7));
  const std::vector<std::byte> pushed = now();
  EXPECT_NE(pushed, empty);
  U item = 0;
  ASSERT_TRUE(queue.try_pop(item));
  EXPECT_NE(now(), pushed);
}

TYPED_TEST(InheritedSubjects, WhatIsWrongIsThrown) {
  TypeParam queue(3);
  ASSERT_TRUE(queue.try_push(7));
  const std::span<const std::byte> bytes = queue.shared();
  std::fill_n(const_cast<std::byte*>(bytes.data()), bytes.size(), std::byte{0x5a});
  U item = 0;
  EXPECT_THROW(static_cast<void>(queue.try_pop(item)), Error);
}

TYPED_TEST(InheritedSubjects, AreOneQueueInForkedChildren) {
  TypeParam queue(3);
  U item = 0;
  {
    ChildParty child([&] {
      EXPECT_TRUE(queue.try_push(7));
      EXPECT_TRUE(queue.try_push(9));
      EXPECT_TRUE(queue.try_pop(item));
    });
    child.finish();
  }
  EXPECT_TRUE(queue.try_pop(item));
  EXPECT_FALSE(queue.try_pop(item));
}

/// What is made in memory that processes share.
template <class Subject>
class SharedSubjects : public testing::Test {};
using Shared = testing::Types<SpscRingSubject<U>, MpmcRingSubject<U>, BoostSharedQueueSubject<U>,
                              BoostSharedSpscSubject<U>>;
TYPED_TEST_SUITE(SharedSubjects, Shared);

TYPED_TEST(SharedSubjects, AreOneQueueInForkedChildren) {
  const std::size_t bytes = TypeParam::bytes(64);
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  TypeParam::make(memory, 64);
  {
    ChildParty child([&] {
      TypeParam queue(memory, 64);
      for (U i = 0; i < 64; ++i) EXPECT_TRUE(queue.try_push(i));
      EXPECT_FALSE(queue.try_push(64));
    });
    child.finish();
  }
  TypeParam queue(memory, 64);
  U item = 0;
  for (U i = 0; i < 64; ++i) EXPECT_TRUE(queue.try_pop(item) && item == i);
  EXPECT_FALSE(queue.try_pop(item));
  munmap(memory, bytes);
}

TEST(Outcome, AnErrorIsNoAnswer) {
  EXPECT_TRUE(internal::outcome_for_kit(Status::ok));
  for (const Status s : {Status::full, Status::empty, Status::closed}) {
    EXPECT_FALSE(internal::outcome_for_kit(s));
  }
  for (const Status s : {Status::corrupt, Status::busy, Status::foreign_registry}) {
    EXPECT_THROW(internal::outcome_for_kit(s), Error);
  }
}

}  // namespace
}  // namespace sluice::tests
