// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/mpmc_ring.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/lockfree/cell_word.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using internal::CellWord;
using State = CellWord::State;

// The layout that the header documents: what processes of different builds agree on.
constexpr std::size_t kCapacityAt = 0, kCellSizeAt = 8, kIncarnationAt = 16, kTailAt = 128,
                      kHeadAt = 256, kCellsAt = 384;

/// A formatted ring and a handle of each kind.
template <class T>
struct Ring {
  using Type = MpmcRing<T>;
  explicit Ring(std::size_t capacity) : memory(Type::bytes_for(capacity)) {
    Type::format(memory, capacity);
    producer.emplace(memory.span());
    consumer.emplace(memory.span());
  }

  [[nodiscard]] std::vector<T> drain() {
    std::vector<T> items;
    T item = {};
    while (consumer->try_pop(item) == Status::ok) items.push_back(item);
    EXPECT_EQ(consumer->status(), Status::empty);
    return items;
  }
  void push(std::initializer_list<T> items) {
    for (const T& item : items) ASSERT_EQ(producer->try_push(item), Status::ok);
  }

  Memory memory;
  std::optional<typename Type::Producer> producer;
  std::optional<typename Type::Consumer> consumer;
};

using Numbers = std::vector<std::uint64_t>;
/// Of a cell of such a ring.
constexpr std::size_t word_at(std::size_t cell) { return kCellsAt + 16 * cell; }

TEST(MpmcRing, HoldsExactlyTheCapacityAskedFor) {
  for (const std::size_t capacity : {1, 2, 3, 5, 7, 8, 100, 1000}) {
    Ring<std::uint32_t> ring(capacity);
    EXPECT_EQ(ring.producer->capacity(), capacity);
    EXPECT_EQ(ring.consumer->capacity(), capacity);
    std::uint32_t in = 0, out = 0, value = 0;
    for (int lap = 0; lap < 5; ++lap) {
      for (std::size_t i = 0; i < capacity; ++i) {
        EXPECT_EQ(ring.producer->size(), i);
        ASSERT_EQ(ring.producer->try_push(in++), Status::ok);
        EXPECT_FALSE(MpmcRing<std::uint32_t>::empty(ring.memory));
      }
      EXPECT_EQ(ring.producer->try_push(in), Status::full) << "capacity " << capacity;
      EXPECT_EQ(ring.producer->status(), Status::full);
      EXPECT_TRUE(MpmcRing<std::uint32_t>::full(ring.memory));
      EXPECT_EQ(MpmcRing<std::uint32_t>::size(ring.memory), capacity);
      for (std::size_t i = 0; i < capacity; ++i) {
        ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
        ASSERT_EQ(value, out++);
        EXPECT_FALSE(ring.consumer->full());
      }
      EXPECT_EQ(ring.consumer->try_pop(value), Status::empty);
      EXPECT_EQ(ring.consumer->status(), Status::empty);
      EXPECT_TRUE(ring.consumer->empty());
    }
  }
}

struct alignas(64) Aligned {
  std::uint64_t id;
  std::array<std::byte, 56> rest;
};
struct alignas(128) MostAligned {
  std::array<std::byte, 128> all;
};
struct Odd {
  std::array<char, 13> text;
};
struct Large {
  std::array<char, 1000> text;
};

template <class T>
class MpmcRingOf : public testing::Test {};
using Payloads = testing::Types<char, std::uint64_t, Odd, Aligned, MostAligned, Large>;
TYPED_TEST_SUITE(MpmcRingOf, Payloads);

TYPED_TEST(MpmcRingOf, ItemsOfAnySizeAndAlignmentArriveWholeAndAligned) {
  Ring<TypeParam> ring(5);
  for (int i = 0; i < 40; ++i) {
    TypeParam item;
    std::memset(&item, i + 1, sizeof item);
    ASSERT_EQ(ring.producer->try_push(item), Status::ok);
    const TypeParam* const there = ring.consumer->try_peek();
    ASSERT_NE(there, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(there) % alignof(TypeParam), 0U);
    EXPECT_EQ(std::memcmp(there, &item, sizeof item), 0);
    TypeParam out = {};
    ASSERT_EQ(ring.consumer->try_pop(out), Status::ok);
    EXPECT_EQ(std::memcmp(&out, &item, sizeof item), 0);
  }
}

struct Padded {
  std::uint8_t small;
  std::uint64_t large;
};

TEST(MpmcRing, PaddingStaysInItsProcess) {
  Ring<Padded> ring(1);
  Padded item;
  std::memset(static_cast<void*>(&item), 0x5a, sizeof item);
  item.small = 1;
  item.large = 2;
  ASSERT_EQ(ring.producer->try_push(item), Status::ok);
  for (std::size_t i = 1; i < 8; ++i) {
    EXPECT_EQ(ring.memory.peek<std::uint8_t>(kCellsAt + 8 + i), 0) << "byte " << i;
  }
}

TEST(MpmcRing, BatchesGoRoundTheEndOfTheMemory) {
  Ring<std::uint64_t> ring(200);
  Numbers in(150), out(200);
  for (std::uint64_t next = 0; next < 3000;) {
    std::ranges::generate(in, [&] { return next++; });
    ASSERT_EQ(ring.producer->try_push_n(in), in.size());
    ASSERT_EQ(ring.producer->size(), in.size());
    ASSERT_EQ(ring.consumer->try_pop_n(out), in.size());
    ASSERT_TRUE(std::ranges::equal(in, std::span(out).first(in.size())));
  }
}

TEST(MpmcRing, BatchesAndSingleItemsMix) {
  Ring<std::uint64_t> ring(10);
  std::mt19937 random(1);
  std::uint64_t in = 0, out = 0;
  for (int i = 0; i < 20000; ++i) {
    Numbers items(random() % 8);
    std::ranges::generate(items, [n = in]() mutable { return n++; });
    const std::size_t room = 10 - (in - out);
    ASSERT_EQ(ring.producer->try_push_n(items), std::min(room, items.size()));
    in += std::min(room, items.size());
    if (random() % 2 == 0 && in != out) {
      // Given back, at which it is offered again.
      ASSERT_EQ(*ring.consumer->try_peek(), out);
      ring.consumer->put_back();
    }
    items.assign(random() % 8, 0);
    const std::size_t popped = ring.consumer->try_pop_n(items);
    ASSERT_EQ(popped, std::min<std::size_t>(in - out, items.size()));
    for (std::size_t k = 0; k < popped; ++k) ASSERT_EQ(items[k], out++);
    ASSERT_EQ(ring.producer->size(), in - out);
  }
}

TEST(MpmcRing, BatchesStopAtTheEnd) {
  Ring<std::uint64_t> ring(5);
  const Numbers in = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(ring.producer->try_push_n(in), 5U);
  EXPECT_EQ(ring.producer->status(), Status::full);
  Numbers out(3);
  EXPECT_EQ(ring.consumer->try_pop_n(out), 3U);
  EXPECT_EQ(out, (Numbers{1, 2, 3}));
  EXPECT_EQ(ring.producer->try_push_n(std::span(in).subspan(5)), 2U);
  out.resize(9);
  EXPECT_EQ(ring.consumer->try_pop_n(out), 4U);
  EXPECT_EQ(ring.consumer->status(), Status::empty);
  out.resize(4);
  EXPECT_EQ(out, (Numbers{4, 5, 6, 7}));
  EXPECT_EQ(ring.producer->try_push_n({}), 0U);
  EXPECT_EQ(ring.consumer->try_pop_n({}), 0U);
}

// -------------------------------------------------------------------------------------------------
// Several handles

TEST(MpmcRing, ManyHandlesTakeTurns) {
  Ring<std::uint64_t> ring(10);
  // Some are used seldom, and find the others far ahead.
  std::vector<std::unique_ptr<MpmcRing<std::uint64_t>::Producer>> producers;
  std::vector<std::unique_ptr<MpmcRing<std::uint64_t>::Consumer>> consumers;
  for (int i = 0; i < 4; ++i) {
    producers.push_back(std::make_unique<MpmcRing<std::uint64_t>::Producer>(ring.memory.span()));
    consumers.push_back(std::make_unique<MpmcRing<std::uint64_t>::Consumer>(ring.memory.span()));
  }
  std::mt19937 random(1);
  std::geometric_distribution<std::size_t> seldom(0.7);
  std::uint64_t in = 0, out = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::size_t which = std::min<std::size_t>(seldom(random), 3);
    if (random() % 2 == 0) {
      const Status status = producers[which]->try_push(in);
      ASSERT_EQ(status, in - out == 10 ? Status::full : Status::ok);
      if (status == Status::ok) ++in;
    } else {
      std::uint64_t value = 0;
      const Status status = consumers[which]->try_pop(value);
      ASSERT_EQ(status, in == out ? Status::empty : Status::ok);
      if (status == Status::ok) {
        ASSERT_EQ(value, out++);
      }
    }
    ASSERT_EQ(ring.producer->size(), in - out);
  }
}

TEST(MpmcRing, AHandleThatHasRestedForAgesFindsItsPlace) {
  // More laps than a cell's word counts.
  Ring<std::uint64_t> ring(1);
  MpmcRing<std::uint64_t>::Producer other_producer(ring.memory.span());
  MpmcRing<std::uint64_t>::Consumer other_consumer(ring.memory.span());
  std::uint64_t value = 0;
  for (std::uint64_t i = 0; i < (std::uint64_t{1} << 22) + 5; ++i) {
    ASSERT_EQ(ring.producer->try_push(i), Status::ok);
    ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
  }
  ASSERT_NE(ring.producer->try_claim(), nullptr);
  EXPECT_EQ(other_consumer.try_pop(value), Status::empty);
  EXPECT_EQ(other_producer.try_push(1), Status::full);
  ring.producer->abort();
  EXPECT_EQ(other_producer.try_push(7), Status::ok);
  EXPECT_EQ(other_consumer.try_pop(value), Status::ok);
  EXPECT_EQ(value, 7U);
}

TEST(MpmcRing, AnUnfinishedPushHoldsUpWhatCameAfterIt) {
  Ring<std::uint64_t> ring(4);
  MpmcRing<std::uint64_t>::Producer other(ring.memory.span());
  std::uint64_t* const slot = other.try_claim();
  ASSERT_NE(slot, nullptr);
  EXPECT_EQ(other.try_claim(), slot);
  ring.push({2});
  // However often it is looked for: a living process is at work.
  for (int i = 0; i < 200; ++i) EXPECT_EQ(ring.drain(), Numbers());
  EXPECT_FALSE(ring.consumer->empty());
  *slot = 1;
  other.commit();
  EXPECT_EQ(ring.drain(), (Numbers{1, 2}));
}

TEST(MpmcRing, AnAbortedPushIsPassedOver) {
  Ring<std::uint64_t> ring(3);
  for (int round = 0; round < 5; ++round) {
    ring.push({1});
    {
      MpmcRing<std::uint64_t>::Producer other(ring.memory.span());
      ASSERT_NE(other.try_claim(), nullptr);
      if (round % 2 == 0) other.abort();  // or its end does it
    }
    ring.push({2});
    EXPECT_EQ(ring.drain(), (Numbers{1, 2}));
    EXPECT_TRUE(ring.consumer->empty());
  }
}

TEST(MpmcRing, AnyNumberOfHolesIsPassedOver) {
  for (const std::size_t capacity : {1, 3, 100}) {
    Ring<std::uint64_t> ring(capacity);
    for (int i = 0; i < 80'000; ++i) {
      ASSERT_NE(ring.producer->try_claim(), nullptr);
      ring.producer->abort();
    }
    EXPECT_TRUE(ring.consumer->empty());
    ring.push({7});
    EXPECT_EQ(ring.producer->size(), 1U);
    EXPECT_EQ(ring.drain(), (Numbers{7}));
  }
}

TEST(MpmcRing, ALeasedItemIsNobodyElsesAndHoldsUpOnlyARound) {
  Ring<std::uint64_t> ring(3);
  ring.push({1, 2, 3});
  MpmcRing<std::uint64_t>::Consumer other(ring.memory.span());
  ASSERT_EQ(*other.try_peek(), 1U);
  ASSERT_EQ(*other.try_peek(), 1U);
  EXPECT_EQ(ring.drain(), (Numbers{2, 3}));
  EXPECT_EQ(ring.producer->try_push(4), Status::full);  // its cell is the next
  for (int i = 0; i < 200; ++i) EXPECT_EQ(ring.drain(), Numbers());
  other.release();
  ring.push({4, 5, 6});
  EXPECT_EQ(ring.drain(), (Numbers{4, 5, 6}));
}

TEST(MpmcRing, AnItemPutBackIsOfferedAtItsOldPlace) {
  Ring<std::uint64_t> ring(4);
  ring.push({1, 2, 3});
  {
    MpmcRing<std::uint64_t>::Consumer other(ring.memory.span());
    ASSERT_EQ(*other.try_peek(), 1U);
    std::uint64_t value = 0;
    ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
    EXPECT_EQ(value, 2U);
    other.put_back();
    ASSERT_EQ(*other.try_peek(), 1U);
  }  // its end puts it back as well
  // At the latest when nothing else is left.
  Numbers rest = ring.drain();
  std::ranges::sort(rest);
  EXPECT_EQ(rest, (Numbers{1, 3}));
}

TEST(MpmcRing, WhatWasPutBackComesOutThoughMoreAndMoreComesIn) {
  Ring<std::uint64_t> ring(4096);
  ring.push({0});
  MpmcRing<std::uint64_t>::Consumer other(ring.memory.span());
  ASSERT_EQ(*other.try_peek(), 0U);
  std::uint64_t value = 0;
  for (std::uint64_t i = 1; i < 10; ++i) {
    ring.push({i});
    ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
    ASSERT_EQ(value, i);
  }
  other.put_back();
  ring.push({10});
  int pops = 0;
  do {
    ring.push({11});
    ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
  } while (value != 0 && ++pops < 1000);
  EXPECT_EQ(value, 0U);
}

/// All pushes and pops of several threads: each producer's items in order, each once.
TEST(MpmcRing, ThreadsGetEachItemOnceAndEachProducersInOrder) {
  constexpr std::uint64_t kThreads = 3, kItems = 10'000;
  for (const std::size_t capacity : {1, 7, 256}) {
    Ring<std::uint64_t> ring(capacity);
    std::atomic<std::uint64_t> left = kThreads * kItems;
    std::vector<std::uint64_t> seen(kThreads * kItems);
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        MpmcRing<std::uint64_t>::Producer producer(ring.memory.span());
        for (std::uint64_t i = 0; i < kItems;) {
          const Status status = producer.try_push(t * kItems + i);
          if (status == Status::ok) {
            ++i;
          } else {
            ASSERT_EQ(status, Status::full);
            std::this_thread::yield();
          }
        }
      });
      threads.emplace_back([&] {
        MpmcRing<std::uint64_t>::Consumer consumer(ring.memory.span());
        std::array<std::uint64_t, kThreads> next = {};
        while (left != 0) {
          std::uint64_t value = 0;
          const Status status = consumer.try_pop(value);
          if (status != Status::ok) {
            ASSERT_EQ(status, Status::empty);
            std::this_thread::yield();
            continue;
          }
          --left;
          ASSERT_LT(value, kThreads * kItems);
          ++seen[value];
          ASSERT_GE(value % kItems, next[value / kItems]) << "out of order";
          next[value / kItems] = value % kItems + 1;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::ranges::count(seen, 1U), static_cast<long>(seen.size()));
  }
}

// -------------------------------------------------------------------------------------------------
// The dead

/// Runs `body` in a child, which is dead when this returns.
template <class Body>
void in_a_child(Body body) {
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(EXIT_SUCCESS);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0);
}

using SharedMemory = testkit::SharedArea<std::array<std::byte, 4096>>;

/// A ring that forked children share.
struct SharedRing {
  using Type = MpmcRing<std::uint64_t>;
  explicit SharedRing(std::size_t capacity) {
    Type::format(*memory, capacity);
    producer.emplace(*memory);
    consumer.emplace(*memory);
  }
  /// How many calls it takes until a pop succeeds.
  int calls_until_popped(std::uint64_t expected) {
    std::uint64_t value = 0;
    int calls = 1;
    while (consumer->try_pop(value) != Status::ok && calls < 1000) ++calls;
    EXPECT_EQ(value, expected);
    return calls;
  }
  void dies_pushing() {
    in_a_child([this] {
      Type::Producer victim(*memory);
      if (victim.try_claim() == nullptr) abort();
      _exit(EXIT_SUCCESS);
    });
  }
  void dies_popping() {
    in_a_child([this] {
      Type::Consumer victim(*memory);
      if (victim.try_peek() == nullptr) abort();
      _exit(EXIT_SUCCESS);
    });
  }

  SharedMemory memory;
  std::optional<Type::Producer> producer;
  std::optional<Type::Consumer> consumer;
};

TEST(MpmcRingDeath, AnUnfinishedPushIsPassedOver) {
  SharedRing ring(4);
  for (std::uint64_t round = 1; round < 6; ++round) {
    ring.dies_pushing();
    ASSERT_EQ(ring.producer->try_push(round), Status::ok);
    EXPECT_LE(ring.calls_until_popped(round), 65);
  }
  ring.dies_pushing();
  ASSERT_EQ(ring.producer->try_push(7), Status::ok);
  ring.consumer->suspect_claims();
  EXPECT_EQ(ring.calls_until_popped(7), 1);
}

TEST(MpmcRingDeath, AnUnacknowledgedItemIsOfferedAgain) {
  SharedRing ring(4);
  for (std::uint64_t round = 1; round < 6; ++round) {
    ASSERT_EQ(ring.producer->try_push(round), Status::ok);
    ring.dies_popping();
    EXPECT_LE(ring.calls_until_popped(round), 65);
  }
  ASSERT_EQ(ring.producer->try_push(7), Status::ok);
  ring.dies_popping();
  ring.consumer->suspect_claims();
  EXPECT_EQ(ring.calls_until_popped(7), 1);
}

TEST(MpmcRingDeath, AnUnacknowledgedItemComesThoughMoreAndMoreComesIn) {
  SharedRing ring(100);
  ASSERT_EQ(ring.producer->try_push(1), Status::ok);
  ring.dies_popping();
  std::uint64_t value = 0;
  int pops = 0;
  while (value != 1 && ++pops < 10'000) {
    static_cast<void>(ring.producer->try_push(2));
    static_cast<void>(ring.consumer->try_pop(value));
  }
  EXPECT_EQ(value, 1U);
}

TEST(MpmcRingDeath, AProducerMayMakeRoomToo) {
  SharedRing ring(2);
  ASSERT_EQ(ring.producer->try_push(1), Status::ok);
  ring.dies_pushing();
  // The unfinished push is in the way of the next round.
  std::uint64_t value = 0;
  ASSERT_EQ(ring.consumer->try_pop(value), Status::ok);
  ASSERT_EQ(ring.producer->try_push(3), Status::ok);
  int calls = 1;
  while (ring.producer->try_push(4) != Status::ok && calls < 1000) ++calls;
  EXPECT_EQ(calls, 65);
  EXPECT_EQ(ring.calls_until_popped(3), 1);
  EXPECT_EQ(ring.calls_until_popped(4), 1);
}

TEST(MpmcRingDeath, EachClaimOfTheDeadIsUndone) {
  SharedRing ring(8);
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_EQ(ring.producer->try_push(i), Status::ok);
    if (i % 2 == 1) ring.dies_pushing();
  }
  for (int i = 0; i < 2; ++i) ring.dies_popping();
  for (std::uint64_t i = 0; i < 4; ++i) {
    ring.consumer->suspect_claims();
    EXPECT_EQ(ring.calls_until_popped(i), 1);
  }
}

TEST(MpmcRingDeath, AForkedChildUsesWhatItInherits) {
  SharedRing ring(4);
  ASSERT_EQ(ring.producer->try_push(1), Status::ok);
  ASSERT_NE(ring.producer->try_claim(), nullptr);
  in_a_child([&] {
    // Its end must not undo its parent's claim.
    ring.producer.reset();
    std::uint64_t value = 0;
    if (ring.consumer->try_pop(value) != Status::ok || value != 1) abort();
    if (ring.consumer->try_peek() != nullptr) abort();
  });
  *ring.producer->try_claim() = 2;
  ring.producer->commit();
  EXPECT_EQ(ring.calls_until_popped(2), 1);
  // A claim of a child is the child's, who is dead.
  ASSERT_EQ(ring.producer->try_push(3), Status::ok);
  in_a_child([&] {
    if (ring.consumer->try_peek() == nullptr) abort();
    _exit(EXIT_SUCCESS);
  });
  ring.consumer->suspect_claims();
  EXPECT_EQ(ring.calls_until_popped(3), 1);
}

// -------------------------------------------------------------------------------------------------
// Other registries, and hostile bytes

TEST(MpmcRing, OfAnotherRegistryIsRefused) {
  Ring<std::uint64_t> ring(3);
  const auto mine = ring.memory.peek<std::uint32_t>(kIncarnationAt);
  EXPECT_NE(mine, 0U);
  ring.memory.poke(kIncarnationAt, mine + 1);
  try {
    MpmcRing<std::uint64_t>::Producer other(ring.memory.span());
    FAIL() << "attached";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Status::foreign_registry) << error.what();
  }
}

template <class Attach>
Status status_of(Attach attach) {
  try {
    attach();
  } catch (const Error& error) {
    return error.code() == Status::corrupt ? Status::corrupt : Status::busy;
  }
  return Status::ok;
}

TEST(MpmcRing, IsCheckedWhenAttaching) {
  Ring<std::uint64_t> ring(5);
  const auto attach = [&] { MpmcRing<std::uint64_t>::Producer other(ring.memory.span()); };
  EXPECT_EQ(status_of(attach), Status::ok);
  for (const std::uint64_t capacity :
       {std::uint64_t{0}, std::uint64_t{6}, ~std::uint64_t{0}, std::uint64_t{1} << 60}) {
    ring.memory.poke(kCapacityAt, capacity);
    EXPECT_EQ(status_of(attach), Status::corrupt) << capacity;
  }
  ring.memory.poke(kCapacityAt, std::uint64_t{5});
  ring.memory.poke(kCellSizeAt, std::uint64_t{24});
  EXPECT_EQ(status_of(attach), Status::corrupt);
  const auto short_of = [&] {
    MpmcRing<std::uint64_t>::Consumer other(ring.memory.span().first(kCellsAt));
  };
  EXPECT_EQ(status_of(short_of), Status::corrupt);
}

TEST(MpmcRing, RefusesImpossibleSizes) {
  Memory memory(1024);
  EXPECT_THROW(MpmcRing<char>::bytes_for(0), Error);
  EXPECT_THROW(MpmcRing<char>::bytes_for(MpmcRing<char>::kMaxCapacity + 1), Error);
  EXPECT_THROW(MpmcRing<std::uint64_t>::format(memory, 100), Error);
  EXPECT_THROW(MpmcRing<char>::format(memory.span().subspan(8), 5), Error);
}

TEST(MpmcRing, ACellThatIsBehindItsPlaceIsCorrupt) {
  Ring<std::uint64_t> ring(2);
  ring.push({1, 2});
  EXPECT_EQ(ring.drain(), (Numbers{1, 2}));
  ring.memory.poke(word_at(0), CellWord::make(0, State::empty));
  std::uint64_t value = 0;
  EXPECT_EQ(ring.consumer->try_pop(value), Status::corrupt);
  EXPECT_EQ(ring.producer->try_push(3), Status::corrupt);
  EXPECT_EQ(ring.producer->status(), Status::corrupt);
}

TEST(MpmcRing, AWalkWithoutEndIsCorrupt) {
  // All cells far ahead of every cursor.
  Ring<std::uint64_t> ring(3);
  for (std::size_t i = 0; i < 3; ++i) {
    ring.memory.poke(word_at(i), CellWord::make(1U << 28, State::full));
  }
  std::uint64_t value = 0;
  EXPECT_EQ(ring.consumer->try_pop(value), Status::corrupt);
  EXPECT_EQ(ring.producer->try_push(3), Status::corrupt);
  EXPECT_LE(ring.producer->size(), 3U);
}

TEST(MpmcRing, UnknownOwnersAreDead) {
  Ring<std::uint64_t> ring(3);
  ring.memory.poke(word_at(0), CellWord::claimed(0, State::writing, 0));
  ring.memory.poke(word_at(1), CellWord::claimed(0, State::writing, 0x7fffffff));
  ring.push({1});
  ring.consumer->suspect_claims();
  EXPECT_EQ(ring.drain(), (Numbers{1}));
}

TEST(MpmcRing, SurvivesAnyBytes) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 600; ++round) {
    Ring<std::uint64_t> ring(4);
    std::uint64_t value = 0;
    for (int step = 0; step < 40; ++step) {
      const std::size_t at = std::array<std::size_t, 6>{
          kTailAt, kHeadAt, word_at(0), word_at(1), word_at(2), word_at(3)}[random() % 6];
      switch (random() % 4) {
        case 0:
          ring.memory.poke(at, random() % 2 == 0 ? random() : random() % 64);
          break;
        case 1:
          ring.memory.poke(at, CellWord::claimed(random() % 8, static_cast<State>(random() % 4),
                                                 random() % 2 == 0 ? 0 : 12345, random() % 64 + 1));
          break;
        case 2:
          static_cast<void>(ring.producer->try_push_n(std::array{random(), random()}));
          break;
        default:
          if (random() % 8 == 0) ring.consumer->suspect_claims();
          static_cast<void>(ring.consumer->try_pop(value));
      }
      EXPECT_LE(ring.consumer->size(), 4U);
    }
  }
}

// -------------------------------------------------------------------------------------------------
// Somebody is stopped for a moment in the midst of a call

/// Has a look at a cell held up while others go on: the next one, or the one after that.
struct HeldUpEnv : internal::RealLockEnv {
  static inline const std::byte* cells = nullptr;
  static inline std::function<void()> meanwhile;
  static inline int looks_before = 0;

  template <class T>
  static T load(const internal::Word<T>& word, std::memory_order order) noexcept {
    const bool is_look = meanwhile && reinterpret_cast<const std::byte*>(&word) >= cells;
    if (is_look && looks_before-- == 0) std::exchange(meanwhile, nullptr)();
    return RealLockEnv::load(word, order);
  }
};

/// Others get through more laps than a call looks at, while a producer and a consumer of this one
/// are in it.
class HeldUp : public testing::TestWithParam<int> {
 protected:
  using Slow = BasicMpmcRing<std::uint64_t, HeldUpEnv>;
  static constexpr std::size_t kCapacity = 64;
  static constexpr std::uint64_t kItems = 4 * (64 * kCapacity + 65536);

  HeldUp() : producer_(ring_.memory.span()), consumer_(ring_.memory.span()) {
    HeldUpEnv::cells = ring_.memory.span().data() + kCellsAt;
    HeldUpEnv::looks_before = GetParam();
  }
  ~HeldUp() override { HeldUpEnv::meanwhile = nullptr; }

  void let_others_go_on(std::uint64_t left_in) {
    HeldUpEnv::meanwhile = [this, left_in] {
      std::uint64_t item = 0;
      for (std::uint64_t i = 0; i < kItems; ++i) {
        ASSERT_EQ(ring_.producer->try_push(i), Status::ok);
        ASSERT_EQ(ring_.consumer->try_pop(item), Status::ok);
      }
      for (std::uint64_t i = 0; i < left_in; ++i) {
        ASSERT_EQ(ring_.producer->try_push(i), Status::ok);
      }
    };
  }

  Ring<std::uint64_t> ring_{kCapacity};
  Slow::Producer producer_;
  Slow::Consumer consumer_;
};

TEST_P(HeldUp, AConsumerFindsTheOldestItem) {
  std::uint64_t item = 99;
  let_others_go_on(2);
  ASSERT_EQ(consumer_.try_pop(item), Status::ok);
  EXPECT_EQ(item, 0u);
  EXPECT_EQ(ring_.drain(), Numbers{1});
}

TEST_P(HeldUp, AConsumerFindsNothing) {
  std::uint64_t item = 99;
  let_others_go_on(0);
  EXPECT_EQ(consumer_.try_pop(item), Status::empty);
}

TEST_P(HeldUp, AConsumerThatHasPassedWhatAnotherHadFindsTheOldestItem) {
  ring_.push({7, 8});
  ASSERT_NE(ring_.consumer->try_peek(), nullptr);
  std::uint64_t item = 99;
  ASSERT_EQ(consumer_.try_pop(item), Status::ok);
  EXPECT_EQ(item, 8u);
  ring_.consumer->release();
  let_others_go_on(1);
  ASSERT_EQ(consumer_.try_pop(item), Status::ok);
  EXPECT_EQ(item, 0u);
}

TEST_P(HeldUp, AProducerFindsRoom) {
  ring_.push({7});  // which it has to pass
  EXPECT_EQ(ring_.drain(), Numbers{7});
  let_others_go_on(1);
  ASSERT_EQ(producer_.try_push(5), Status::ok);
  EXPECT_EQ(ring_.drain(), (Numbers{0, 5}));
}

TEST_P(HeldUp, TheSizeIsThatOfThatMoment) {
  ring_.push({7});
  std::uint64_t item = 99;
  ASSERT_EQ(ring_.consumer->try_pop(item), Status::ok);
  let_others_go_on(3);
  EXPECT_EQ(producer_.size(), 3u);
}

INSTANTIATE_TEST_SUITE_P(AtOnceAndLater, HeldUp, testing::Values(0, 1));

}  // namespace
}  // namespace sluice::tests
