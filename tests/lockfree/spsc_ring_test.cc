// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/spsc_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/error.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

// The layout that the header documents: what processes of different builds agree on.
constexpr std::size_t kCapacityAt = 0, kCellSizeAt = 8, kItemsInCellAt = 12, kTailAt = 128,
                      kHeadAt = 256, kCellsAt = 384;
constexpr std::size_t kLine = 64;

/// A formatted ring and its two sides.
template <class T>
struct Ring {
  using Type = SpscRing<T>;
  explicit Ring(std::size_t capacity) : memory(Type::bytes_for(capacity)) {
    Type::format(memory, capacity);
    producer.emplace(memory.span());
    consumer.emplace(memory.span());
  }
  void new_producer() { producer.emplace(memory.span()); }
  void new_consumer() { consumer.emplace(memory.span()); }

  Memory memory;
  std::optional<typename Type::Producer> producer;
  std::optional<typename Type::Consumer> consumer;
};

TEST(SpscRing, HoldsExactlyTheCapacityAskedFor) {
  for (const std::size_t capacity : {1, 2, 3, 5, 7, 8, 14, 15, 16, 17, 100, 1000}) {
    Ring<std::uint32_t> ring(capacity);
    EXPECT_EQ(ring.producer->capacity(), capacity);
    EXPECT_EQ(ring.consumer->capacity(), capacity);
    // Several laps, so that no place in the storage is special.
    std::uint32_t in = 0, out = 0, value = 0;
    for (int lap = 0; lap < 5; ++lap) {
      for (std::size_t i = 0; i < capacity; ++i)
        ASSERT_EQ(ring.producer->try_push(in++), Status::ok);
      EXPECT_EQ(ring.producer->try_push(in), Status::full) << "capacity " << capacity;
      EXPECT_EQ(ring.producer->status(), Status::full);
      EXPECT_EQ(SpscRing<std::uint32_t>::size(ring.memory), capacity);
      for (std::size_t i = 0; i < capacity; ++i) {
        ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
        ASSERT_EQ(value, out++);
      }
      EXPECT_EQ(ring.consumer->try_pop(value), Status::empty);
      EXPECT_EQ(ring.consumer->try_peek(), nullptr);
      EXPECT_EQ(SpscRing<std::uint32_t>::size(ring.memory), 0U);
    }
  }
}

TEST(SpscRing, EachPopMakesRoomForOnePush) {
  Ring<int> ring(3);
  int value = 0;
  for (int i = 0; i < 3; ++i) ASSERT_EQ(ring.producer->try_push(i), Status::ok);
  for (int i = 3; i < 50; ++i) {
    ASSERT_EQ(ring.producer->try_push(i), Status::full);
    ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
    ASSERT_EQ(value, i - 3);
    ASSERT_EQ(ring.producer->try_push(i), Status::ok);
  }
}

struct alignas(64) Aligned {
  std::uint64_t id;
  std::array<std::byte, 60> rest;
};
struct alignas(128) MostAligned {
  std::uint64_t id;
};
struct Item24 {
  std::array<std::uint64_t, 3> words;
};
struct Odd {
  std::array<char, 13> text;
};
struct NotDefaultConstructible {
  explicit NotDefaultConstructible(int n) : number(n) {}
  int number;
};

template <class T>
class SpscRingOf : public testing::Test {};
struct Quarter {
  std::array<std::uint64_t, 2> words;
};
struct alignas(16) Half {
  std::array<std::uint64_t, 4> words;
};
using Payloads =
    testing::Types<char, std::uint64_t, Odd, Quarter, Item24, Half, Aligned, MostAligned>;
TYPED_TEST_SUITE(SpscRingOf, Payloads);

TYPED_TEST(SpscRingOf, ItemsOfAnySizeAndAlignmentArriveWholeAndAligned) {
  Ring<TypeParam> ring(5);
  for (int i = 0; i < 40; ++i) {
    TypeParam item;
    std::memset(&item, i + 1, sizeof item);
    ASSERT_EQ(ring.producer->try_push(item), Status::ok);
    const TypeParam* const there = ring.consumer->try_peek();
    ASSERT_NE(there, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(there) % alignof(TypeParam), 0U);
    internal::clear_padding(item);  // which stays in the producer's process
    EXPECT_EQ(std::memcmp(there, &item, sizeof item), 0);
    ring.consumer->release();
  }
}

TEST(SpscRing, TakesTypesWithoutADefaultConstructor) {
  Ring<NotDefaultConstructible> ring(2);
  EXPECT_EQ(ring.producer->try_push(NotDefaultConstructible(7)), Status::ok);
  NotDefaultConstructible out(0);
  EXPECT_EQ(ring.consumer->try_pop(out), Status::ok);
  EXPECT_EQ(out.number, 7);
}

// -------------------------------------------------------------------------------------------------
// In place

TEST(SpscRing, WhatIsClaimedAndNotCommittedDoesNotExist) {
  Ring<int> ring(2);
  int* const slot = ring.producer->try_claim();
  ASSERT_NE(slot, nullptr);
  *slot = 41;
  EXPECT_EQ(ring.consumer->try_peek(), nullptr);
  EXPECT_EQ(ring.producer->try_claim(), slot) << "claiming again is claiming the same";
  *slot = 42;
  ring.producer->commit();
  ASSERT_NE(ring.consumer->try_peek(), nullptr);
  EXPECT_EQ(*ring.consumer->try_peek(), 42);
}

TEST(SpscRing, WhatIsPeekedAndNotReleasedStays) {
  Ring<int> ring(2);
  EXPECT_EQ(ring.producer->try_push(1), Status::ok);
  EXPECT_EQ(ring.producer->try_push(2), Status::ok);
  const int* const first = ring.consumer->try_peek();
  EXPECT_EQ(ring.consumer->try_peek(), first);
  EXPECT_EQ(ring.producer->try_push(3), Status::full) << "its slot is not free";
  ring.consumer->release();
  EXPECT_EQ(*ring.consumer->try_peek(), 2);
  EXPECT_EQ(ring.producer->try_push(3), Status::ok);
}

// -------------------------------------------------------------------------------------------------
// Batches

TEST(SpscRing, ABatchGoesInAsFarAsThereIsRoomAndInOrder) {
  Ring<int> ring(5);
  const std::vector<int> in = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(ring.producer->try_push_n({}), 0U);
  EXPECT_EQ(ring.producer->try_push_n(std::span(in).first(3)), 3U);
  EXPECT_EQ(ring.producer->try_push_n(std::span(in).subspan(3)), 2U);
  EXPECT_EQ(ring.producer->try_push_n(std::span(in)), 0U);
  EXPECT_EQ(ring.producer->status(), Status::full);
  std::vector<int> out(3);
  EXPECT_EQ(ring.consumer->try_pop_n(out), 3U);
  EXPECT_EQ(out, (std::vector{1, 2, 3}));
  out.assign(10, -1);
  EXPECT_EQ(ring.consumer->try_pop_n(out), 2U);
  EXPECT_EQ(out, (std::vector{4, 5, -1, -1, -1, -1, -1, -1, -1, -1}));
  EXPECT_EQ(ring.consumer->try_pop_n(out), 0U);
  EXPECT_EQ(ring.consumer->try_pop_n({}), 0U);
}

TEST(SpscRing, BatchesAndSinglesMix) {
  Ring<int> ring(3);
  int in = 0, out = 0;
  for (int i = 0; i < 100; ++i) {
    const std::array batch = {in, in + 1};
    in += static_cast<int>(ring.producer->try_push_n(batch));
    if (ring.producer->try_push(in) == Status::ok) ++in;
    std::array<int, 2> popped = {};
    const std::size_t n = ring.consumer->try_pop_n(popped);
    for (std::size_t k = 0; k < n; ++k) ASSERT_EQ(popped[k], out++);
    int one = 0;
    if (ring.consumer->try_pop(one) == Status::ok) {
      ASSERT_EQ(one, out++);
    }
  }
  EXPECT_GT(out, 200);
}

// -------------------------------------------------------------------------------------------------
// Take-over: what a successor finds in the memory alone

TEST(SpscRing, SuccessorsOfBothSidesGoOnAtEveryFillLevelAndOffset) {
  for (const std::size_t capacity : {1, 2, 3, 4, 6, 7, 8, 9, 15}) {
    for (std::size_t offset = 0; offset < 2 * capacity + 2; ++offset) {
      for (std::size_t level = 0; level <= capacity; ++level) {
        Ring<std::size_t> ring(capacity);
        std::size_t in = 0, out = 0, value = 0;
        for (; in < offset; ++in, ++out) {
          ASSERT_EQ(ring.producer->try_push(in), Status::ok);
          ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
        }
        for (; in < offset + level; ++in) ASSERT_EQ(ring.producer->try_push(in), Status::ok);
        ring.new_producer();
        ring.new_consumer();
        for (; in < offset + capacity; ++in) ASSERT_EQ(ring.producer->try_push(in), Status::ok);
        ASSERT_EQ(ring.producer->try_push(in), Status::full);
        for (; out < in; ++out) {
          ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
          ASSERT_EQ(value, out);
        }
        ASSERT_EQ(ring.consumer->try_pop(value), Status::empty);
      }
    }
  }
}

TEST(SpscRing, ASuccessorFindsWhatWasCommittedBehindTheHint) {
  // A producer killed between its commit and its note of it; `behind` of them in a row.
  for (std::size_t behind = 1; behind <= 5; ++behind) {
    Ring<int> ring(5);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(ring.producer->try_push(i), Status::ok);
    ring.memory.poke(kTailAt, std::uint64_t{5 - behind});
    ring.new_producer();
    EXPECT_EQ(ring.producer->try_push(5), Status::full) << behind;
    int value = 0;
    for (int i = 0; i < 5; ++i) {
      ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
      ASSERT_EQ(value, i);
    }
    EXPECT_EQ(ring.producer->try_push(5), Status::ok);
    ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
    EXPECT_EQ(value, 5);
  }
}

TEST(SpscRing, ASuccessorFindsItsPlaceWhenTheConsumerHasPassedTheHint) {
  Ring<int> ring(4);
  int value = 0;
  for (int i = 0; i < 3; ++i) ASSERT_EQ(ring.producer->try_push(i), Status::ok);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
  ring.memory.poke(kTailAt, std::uint64_t{2});
  ring.new_producer();
  ASSERT_EQ(ring.producer->try_push(3), Status::ok);
  ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
  EXPECT_EQ(value, 3);
}

TEST(SpscRing, AnItemThatWasNotAcknowledgedIsDeliveredAgain) {
  Ring<int> ring(4);
  EXPECT_EQ(ring.producer->try_push(1), Status::ok);
  ASSERT_NE(ring.consumer->try_peek(), nullptr);
  ring.new_consumer();
  int value = 0;
  EXPECT_EQ(ring.consumer->try_pop(value), Status::ok);
  EXPECT_EQ(value, 1);
}

TEST(SpscRing, PositionsMayPassWhatTheWordOfACellCanCount) {
  // The word of a cell is the low half of a position: started shortly before they wrap, with cells
  // as the lap before has left them.
  for (const std::size_t capacity : {1, 3, 4, 30}) {
    Ring<std::uint64_t> ring(capacity);
    const std::uint64_t start = (std::uint64_t{1} << 32) - 6;
    for (std::size_t at = kCellsAt; at < ring.memory.span().size(); at += kLine) {
      ring.memory.poke(at, static_cast<std::uint32_t>(start - 50));
    }
    ring.memory.poke(kTailAt, start);
    ring.memory.poke(kHeadAt, start);
    ring.new_producer();
    ring.new_consumer();
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
      ASSERT_EQ(ring.consumer->try_pop(value), Status::empty) << i;
      ASSERT_EQ(ring.producer->try_push(i), Status::ok);
      if (i % 3 == 0) ring.new_producer();
      ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
      ASSERT_EQ(value, i);
    }
  }
}

// -------------------------------------------------------------------------------------------------
// Set-up errors and hostile bytes

TEST(SpscRing, RefusesImpossibleCapacities) {
  using R = SpscRing<int>;
  EXPECT_THROW(static_cast<void>(R::bytes_for(0)), Error);
  EXPECT_THROW(static_cast<void>(R::bytes_for(R::kMaxCapacity + 1)), Error);
  EXPECT_THROW(static_cast<void>(R::bytes_for(SIZE_MAX)), Error);
  EXPECT_NO_THROW(static_cast<void>(R::bytes_for(R::kMaxCapacity)));
}

TEST(SpscRing, RefusesMemoryThatIsTooSmallOrMisaligned) {
  using R = SpscRing<int>;
  const std::size_t size = R::bytes_for(10);
  const Memory memory(size + 64);
  EXPECT_THROW(R::format(memory.span().first(size - 1), 10), Error);
  EXPECT_THROW(R::format(memory.span().subspan(64, size), 10), Error);
  EXPECT_THROW(R::format({}, 10), Error);
  R::format(memory.span().first(size), 10);
  EXPECT_THROW(R::Producer(memory.span().first(size - 1)), Error);
  EXPECT_THROW(R::Consumer(memory.span().first(383)), Error);
  EXPECT_THROW(R::Consumer(memory.span().first(0)), Error);
  EXPECT_NO_THROW(R::Producer(memory.span().first(size)));
}

TEST(SpscRing, RefusesARingOfAnotherItemSizeOrNoRing) {
  const Memory memory(8192);
  std::ranges::fill(memory.span(), std::byte{0});
  EXPECT_THROW(SpscRing<int>::Producer{memory}, Error) << "zeros";
  SpscRing<std::uint64_t>::format(memory, 4);
  EXPECT_THROW(SpscRing<char>::Consumer{memory}, Error);
  EXPECT_THROW(SpscRing<Aligned>::Producer{memory}, Error);
  std::ranges::fill(memory.span(), std::byte{0xff});
  EXPECT_THROW(SpscRing<int>::Producer{memory}, Error) << "ones";
}

TEST(SpscRing, AHostileCapacityNeverReachesBeyondTheMemory) {
  for (const std::uint64_t capacity :
       {std::uint64_t{0}, std::uint64_t{17}, std::uint64_t{1} << 30, (std::uint64_t{1} << 30) + 1,
        std::uint64_t{1} << 61, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    Ring<int> ring(16);
    ring.memory.poke(kCapacityAt, capacity);
    EXPECT_THROW(SpscRing<int>::Producer{ring.memory}, Error) << capacity;
    EXPECT_THROW(SpscRing<int>::Consumer{ring.memory}, Error) << capacity;
    EXPECT_THROW(static_cast<void>(SpscRing<int>::size(ring.memory)), Error) << capacity;
    // Who has attached already keeps his own copy.
    for (int i = 0; i < 100; ++i) {
      int value = 0;
      ASSERT_EQ(ring.producer->try_push(i), Status::ok);
      ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
    }
  }
}

TEST(SpscRing, AHostileHeadIsCorruptAndNothingIsOverwritten) {
  for (const std::uint64_t head : {std::uint64_t{5}, std::uint64_t{1000}, ~std::uint64_t{0}}) {
    Ring<int> ring(4);
    for (int i = 0; i < 4; ++i) ASSERT_EQ(ring.producer->try_push(i), Status::ok);
    ring.memory.poke(kHeadAt, head);
    EXPECT_EQ(ring.producer->try_push(9), Status::corrupt) << head;
    EXPECT_EQ(ring.producer->status(), Status::corrupt);
    EXPECT_EQ(ring.producer->try_claim(), nullptr);
    int value = 0;
    for (int i = 0; i < 4; ++i) {
      ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
      ASSERT_EQ(value, i);
    }
  }
}

/// Whatever the bytes, calls end, stay inside the memory (see ~Memory, and the sanitizers), and say
/// something that they can say.
TEST(SpscRing, AnyBytesInTheMappingAreHarmless) {
  std::mt19937_64 random(20250601);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t capacity = 1 + random() % 9;
    Ring<std::uint32_t> ring(capacity);
    const auto hostile = [&]() -> std::uint64_t {
      switch (random() % 4) {
        case 0:
          return random();
        case 1:
          return random() % 20;
        case 2:
          return 0 - random() % 20;
        default:
          return (std::uint64_t{1} << 32) + random() % 40 - 20;
      }
    };
    for (std::size_t at = kCellsAt; at + 8 <= ring.memory.span().size(); at += 8) {
      if (random() % 2 == 0) ring.memory.poke(at, hostile());
    }
    ring.memory.poke(kTailAt, hostile());
    ring.memory.poke(kHeadAt, hostile());
    ring.new_producer();
    ring.new_consumer();
    std::vector<std::uint32_t> batch(100);
    EXPECT_LE(SpscRing<std::uint32_t>::size(ring.memory), capacity);
    EXPECT_LE(ring.producer->try_push_n(batch), capacity);
    EXPECT_LE(ring.consumer->try_pop_n(batch), 100U);
    const Status pushed = ring.producer->try_push(1);
    EXPECT_TRUE(pushed == Status::ok || pushed == Status::full || pushed == Status::corrupt);
    const Status popped = ring.consumer->try_pop(batch[0]);
    EXPECT_TRUE(popped == Status::ok || popped == Status::empty);
  }
}

TEST(SpscRing, KeepsTheLayoutThatTheHeaderDocuments) {
  Ring<std::uint64_t> ring(3);
  EXPECT_EQ(SpscRing<std::uint64_t>::bytes_for(3), kCellsAt + 2 * kLine);
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kCapacityAt), 3U);
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kCellSizeAt), kLine);
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kItemsInCellAt), 7U);
  std::uint64_t value = 0;
  EXPECT_EQ(ring.producer->try_push(0x1122334455667788), Status::ok);
  EXPECT_EQ(ring.producer->try_push(2), Status::ok);
  EXPECT_EQ(ring.consumer->try_pop(value), Status::ok);
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kHeadAt), 1U);
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kCellsAt), 2U) << "positions 0 and 1 of cell 0";
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kCellsAt + 8), 0x1122334455667788U);
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kCellsAt + 16), 2U);
  for (std::uint64_t i = 2; i < 16 * 7 + 1; ++i) {
    EXPECT_EQ(ring.consumer->try_pop(value), Status::ok);
    EXPECT_EQ(ring.producer->try_push(i), Status::ok);
  }
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kCellsAt + kLine), 16U * 7) << "cell 15, full";
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kCellsAt), 16U * 7 + 1) << "cell 16, its first item";
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kTailAt), 16U * 7);
}

TEST(SpscRing, AnItemOfMoreThanHalfALineHasACellOfItsOwn) {
  struct Large {
    std::array<std::uint64_t, 5> words;
  };
  Ring<Large> ring(3);
  EXPECT_EQ(SpscRing<Large>::bytes_for(3), kCellsAt + 3 * 48);
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kCellSizeAt), 48U);
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kItemsInCellAt), 1U);
  EXPECT_EQ(ring.producer->try_push({{1, 2, 3, 4, 5}}), Status::ok);
  EXPECT_EQ(ring.producer->try_push({{6, 7, 8, 9, 10}}), Status::ok);
  EXPECT_EQ(ring.memory.peek<std::uint32_t>(kCellsAt + 48), 2U);
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kCellsAt + 48 + 8), 6U);
}

TEST(SpscRing, SmallItemsTakeLessThanTheirWordsWould) {
  EXPECT_LE(SpscRing<std::uint64_t>::bytes_for(1024), kCellsAt + 1024 * 10);
  EXPECT_LE(SpscRing<char>::bytes_for(1024), kCellsAt + 1024 * 5 / 4);
}

TEST(SpscRing, RefusesTheLayoutOfOneItemToASlot) {
  Ring<std::uint64_t> ring(4);
  ring.memory.poke(kCellSizeAt, std::uint64_t{16});
  EXPECT_THROW(SpscRing<std::uint64_t>::Producer{ring.memory}, Error);
  // Of the same size, without a number of items.
  ring.memory.poke(kCellSizeAt, std::uint64_t{64});
  EXPECT_THROW(SpscRing<std::uint64_t>::Consumer{ring.memory}, Error);
}

TEST(SpscRing, AWordThatIsNoPositionInItsCellMeansThatNothingIsThere) {
  for (const std::uint32_t word : {3U, 8U, 1000U, ~std::uint32_t{0}, 1U << 31}) {
    Ring<std::uint64_t> ring(20);
    for (std::uint64_t i = 0; i < 3; ++i) ASSERT_EQ(ring.producer->try_push(i), Status::ok);
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < 3; ++i) ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
    ring.memory.poke(kCellsAt, word);
    EXPECT_EQ(ring.consumer->try_pop(value), Status::empty) << word;
    std::array<std::uint64_t, 20> values = {};
    EXPECT_EQ(ring.consumer->try_pop_n(values), 0U) << word;
    EXPECT_EQ(SpscRing<std::uint64_t>::size(ring.memory), 0U) << word;
  }
}

// -------------------------------------------------------------------------------------------------
// Two threads

TEST(SpscRing, TwoThreadsExchangeEachItemOnceInOrder) {
  for (const std::size_t capacity : {1, 3, 64}) {
    // In a small ring the threads take turns at nearly every item, and where the CPUs are busy each
    // turn costs a time slice.
    const std::uint64_t count = capacity < 64 ? 1000 : 50000;
    Ring<Aligned> ring(capacity);
    const std::jthread producing([&] {
      for (std::uint64_t i = 0; i < count;) {
        Aligned item = {i, {}};
        item.rest.fill(static_cast<std::byte>(i));
        if (ring.producer->try_push(item) == Status::ok) {
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
    for (std::uint64_t i = 0; i < count;) {
      Aligned item;
      if (ring.consumer->try_pop(item) == Status::empty) {
        std::this_thread::yield();
        continue;
      }
      ASSERT_EQ(item.id, i);
      ASSERT_EQ(item.rest.front(), static_cast<std::byte>(i));
      ASSERT_EQ(item.rest.back(), static_cast<std::byte>(i)) << "torn";
      ++i;
    }
    EXPECT_EQ(ring.consumer->try_peek(), nullptr);
  }
}

TEST(SpscRing, TwoThreadsExchangeBatches) {
  constexpr std::uint64_t kCount = 100000;
  Ring<std::uint64_t> ring(50);
  const std::jthread producing([&] {
    std::mt19937 random(1);
    std::array<std::uint64_t, 16> batch;
    for (std::uint64_t next = 0; next < kCount;) {
      const std::size_t size = std::min<std::uint64_t>(random() % 17, kCount - next);
      for (std::size_t i = 0; i < size; ++i) batch[i] = next + i;
      const std::size_t pushed = ring.producer->try_push_n(std::span(batch).first(size));
      if (pushed == 0) std::this_thread::yield();
      next += pushed;
    }
  });
  std::mt19937 random(2);
  std::array<std::uint64_t, 16> batch;
  for (std::uint64_t next = 0; next < kCount;) {
    const std::size_t popped = ring.consumer->try_pop_n(std::span(batch).first(random() % 17));
    if (popped == 0) std::this_thread::yield();
    for (std::size_t i = 0; i < popped; ++i) ASSERT_EQ(batch[i], next++);
  }
}

}  // namespace
}  // namespace sluice::tests
