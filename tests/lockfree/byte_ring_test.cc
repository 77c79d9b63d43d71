// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/byte_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "sluice/sync/error.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using Bytes = std::vector<std::byte>;

// The layout that the header documents: what processes of different builds agree on.
constexpr std::size_t kCapacityAt = 0, kTailAt = 128, kHeadAt = 256, kBytesAt = 384;
constexpr std::uint64_t kCommitted = std::uint64_t{1} << 63, kPad = std::uint64_t{1} << 62;

constexpr std::uint64_t header_of(std::uint64_t length, std::uint32_t type) {
  return kCommitted | length << 32 | type;
}

/// A formatted ring and its two sides.
struct Ring {
  explicit Ring(std::size_t capacity) : memory(ByteRing::bytes_for(capacity)) {
    ByteRing::format(memory, capacity);
    producer.emplace(memory.span());
    consumer.emplace(memory.span());
  }
  void new_producer() { producer.emplace(memory.span()); }
  void new_consumer() { consumer.emplace(memory.span()); }

  /// Takes the oldest record out; empty if there is none.
  std::optional<Bytes> take(std::uint32_t* type = nullptr) {
    const auto record = consumer->try_peek();
    if (!record) return std::nullopt;
    if (type != nullptr) *type = record->type;
    Bytes copy(record->payload.begin(), record->payload.end());
    consumer->release();
    return copy;
  }

  /// Writes and takes records until the next one would begin at byte `offset` of the storage.
  void stand_at(std::size_t offset) {
    while (memory.peek<std::uint64_t>(kTailAt) % producer->capacity() != offset) {
      ASSERT_EQ(producer->try_write(0, {}), Status::ok);
      ASSERT_TRUE(take());
    }
  }

  Memory memory;
  std::optional<ByteRing::Producer> producer;
  std::optional<ByteRing::Consumer> consumer;
};

/// Bytes that look like committed headers wherever one looks at them.
Bytes treacherous(std::size_t size) {
  Bytes bytes(size);
  const std::uint64_t header = header_of(8, 0x66666666);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(header >> (8 * (i % 8)));
  }
  return bytes;
}

// -------------------------------------------------------------------------------------------------
// Room

TEST(ByteRing, RoundsItsCapacityUpToAPowerOfTwo) {
  const std::array<std::array<std::size_t, 2>, 6> cases = {
      {{1, 128}, {128, 128}, {129, 256}, {1000, 1024}, {1024, 1024}, {1025, 2048}}};
  for (const auto& [asked, got] : cases) {
    const Ring ring(asked);
    EXPECT_EQ(ring.producer->capacity(), got);
    EXPECT_EQ(ring.consumer->capacity(), got);
    EXPECT_EQ(ByteRing::capacity(ring.memory), got);
    EXPECT_EQ(ring.producer->max_record(), got / 2 - 16);
    EXPECT_EQ(ByteRing::max_record(ring.memory), got / 2 - 16);
  }
}

TEST(ByteRing, TheLongestRecordFitsWhereverAnEmptyRingStandsAndOneByteMoreNever) {
  for (const std::size_t capacity : {128, 256, 1024}) {
    for (std::size_t offset = 0; offset < capacity; offset += 8) {
      Ring ring(capacity);
      ring.stand_at(offset);
      const Bytes longest(ring.producer->max_record(), std::byte{0x11});
      ASSERT_EQ(ring.producer->try_write(3, longest), Status::ok) << "at " << offset;
      ASSERT_EQ(ring.take(), longest) << "at " << offset;
      ASSERT_EQ(ring.producer->try_write(3, Bytes(longest.size() + 1)), Status::too_large);
      ASSERT_FALSE(ring.producer->try_claim(SIZE_MAX));
      ASSERT_EQ(ring.producer->status(), Status::too_large);
    }
  }
}

TEST(ByteRing, FullIsFullUntilSomethingIsReleased) {
  Ring ring(128);
  std::uint32_t in = 0, out = 0;
  for (int round = 0; round < 100; ++round) {
    while (ring.producer->try_write(in, Bytes(5, static_cast<std::byte>(in))) == Status::ok) ++in;
    ASSERT_EQ(ring.producer->status(), Status::full);
    ASSERT_EQ(ring.producer->try_write(in, Bytes(5)), Status::full);
    ASSERT_NE(in, out);
    std::uint32_t type = 0;
    ASSERT_EQ(ring.take(&type), Bytes(5, static_cast<std::byte>(out)));
    ASSERT_EQ(type, out++);
  }
  while (out < in) ASSERT_EQ(ring.take(), Bytes(5, static_cast<std::byte>(out++)));
  EXPECT_FALSE(ring.consumer->try_peek());
  EXPECT_EQ(ring.consumer->status(), Status::empty);
}

// -------------------------------------------------------------------------------------------------
// Records

TEST(ByteRing, RecordsOfEveryLengthArriveWholeWithTheirType) {
  Ring ring(256);
  for (std::size_t size = 0; size <= ring.producer->max_record(); ++size) {
    Bytes payload(size);
    for (std::size_t i = 0; i < size; ++i) payload[i] = static_cast<std::byte>(i * 7 + size);
    const auto type = static_cast<std::uint32_t>(0xffffffff - size);
    ASSERT_EQ(ring.producer->try_write(type, payload), Status::ok);
    std::uint32_t got = 0;
    ASSERT_EQ(ring.take(&got), payload);
    ASSERT_EQ(got, type);
  }
}

TEST(ByteRing, ARecordOfLengthZeroIsARecord) {
  Ring ring(128);
  EXPECT_EQ(ring.producer->try_write(0, {}), Status::ok);
  ASSERT_TRUE(ring.consumer->try_peek());
  EXPECT_TRUE(ring.consumer->try_peek()->payload.empty());
  EXPECT_EQ(ring.take(), Bytes{});
  EXPECT_FALSE(ring.take());
}

TEST(ByteRing, OneAndTwoRecordsFitWithAPadAtEveryOffset) {
  // At every place of the ring, every two lengths that fit: with a pad, without, and just so.
  constexpr std::size_t kCapacity = 128;
  for (std::size_t offset = 0; offset < kCapacity; offset += 8) {
    for (std::size_t first = 0; first <= 48; first += 4) {
      for (std::size_t second = 0; second <= 48; second += 4) {
        Ring ring(kCapacity);
        ring.stand_at(offset);
        const Bytes a(first, std::byte{0xaa}), b(second, std::byte{0xbb});
        ASSERT_EQ(ring.producer->try_write(1, a), Status::ok) << offset << ' ' << first;
        const Status status = ring.producer->try_write(2, b);
        ASSERT_EQ(ring.take(), a);
        if (status == Status::full) {
          ASSERT_EQ(ring.producer->try_write(2, b), Status::ok);
        } else {
          ASSERT_EQ(status, Status::ok);
        }
        ASSERT_EQ(ring.take(), b) << "at " << offset << " after " << first;
        ASSERT_FALSE(ring.consumer->try_peek());
        ASSERT_EQ(ring.consumer->status(), Status::empty);
      }
    }
  }
}

TEST(ByteRing, OldBytesAreNeverReadAsARecord) {
  // Payloads full of what looks like headers, in every combination of offset and length; behind
  // the last record there must be nothing, wherever it ended.
  for (std::size_t offset = 0; offset < 256; offset += 8) {
    for (std::size_t size = 0; size <= 112; ++size) {
      Ring ring(256);
      ring.stand_at(offset);
      for (int i = 0; i < 6; ++i) {
        const Bytes payload = treacherous(i % 2 == 0 ? 112 : size);
        ASSERT_EQ(ring.producer->try_write(1, payload), Status::ok);
        ASSERT_EQ(ring.take(), payload);
        ASSERT_FALSE(ring.consumer->try_peek()) << "at " << offset << ", length " << size;
        ASSERT_EQ(ring.consumer->status(), Status::empty);
        if (i % 3 == 2) ring.new_producer();
      }
    }
  }
}

// -------------------------------------------------------------------------------------------------
// In place

TEST(ByteRing, WhatIsClaimedAndNotCommittedDoesNotExist) {
  Ring ring(256);
  auto room = ring.producer->try_claim(100);
  ASSERT_TRUE(room);
  EXPECT_EQ(room->size(), 100U);
  std::ranges::copy(treacherous(100), room->begin());
  EXPECT_FALSE(ring.consumer->try_peek());
  room = ring.producer->try_claim(5);
  ASSERT_TRUE(room) << "claiming again replaces the claim";
  std::ranges::fill(*room, std::byte{5});
  ring.producer->commit(9, 5);
  std::uint32_t type = 0;
  EXPECT_EQ(ring.take(&type), Bytes(5, std::byte{5}));
  EXPECT_EQ(type, 9U);
  EXPECT_FALSE(ring.take());
}

TEST(ByteRing, AClaimThatNobodyCommittedLeavesNothingToItsSuccessor) {
  for (std::size_t offset = 0; offset < 256; offset += 8) {
    Ring ring(256);
    ring.stand_at(offset);
    const auto room = ring.producer->try_claim(ring.producer->max_record());
    ASSERT_TRUE(room);
    std::ranges::copy(treacherous(room->size()), room->begin());
    ring.new_producer();
    ASSERT_FALSE(ring.consumer->try_peek()) << "at " << offset;
    ASSERT_EQ(ring.producer->try_write(1, treacherous(10)), Status::ok);
    ASSERT_EQ(ring.take(), treacherous(10));
    ASSERT_FALSE(ring.consumer->try_peek()) << "at " << offset;
  }
}

TEST(ByteRing, LessMayBeCommittedThanWasClaimed) {
  for (std::size_t offset = 0; offset < 256; offset += 8) {
    for (const std::size_t used : {0, 1, 8, 55, 56}) {
      Ring ring(256);
      ring.stand_at(offset);
      const auto room = ring.producer->try_claim(56);
      ASSERT_TRUE(room);
      std::ranges::copy(treacherous(56), room->begin());
      ring.producer->commit(1, used);
      const Bytes all = treacherous(56);
      ASSERT_EQ(ring.take(), Bytes(all.begin(), all.begin() + static_cast<long>(used)));
      ASSERT_FALSE(ring.consumer->try_peek());
      ASSERT_EQ(ring.producer->try_write(2, treacherous(30)), Status::ok);
      ASSERT_EQ(ring.take(), treacherous(30));
    }
  }
}

TEST(ByteRing, WhatIsPeekedAndNotReleasedStaysAndIsNotOverwritten) {
  Ring ring(128);
  EXPECT_EQ(ring.producer->try_write(1, Bytes(40, std::byte{1})), Status::ok);
  const auto first = ring.consumer->try_peek();
  ASSERT_TRUE(first);
  while (ring.producer->try_write(2, Bytes(8, std::byte{2})) == Status::ok) continue;
  EXPECT_TRUE(std::ranges::all_of(first->payload, [](std::byte b) { return b == std::byte{1}; }));
  EXPECT_EQ(ring.consumer->try_peek()->payload.data(), first->payload.data());
}

// -------------------------------------------------------------------------------------------------
// Take-over: what a successor finds in the memory alone

TEST(ByteRing, SuccessorsOfBothSidesGoOnAfterEveryStep) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Ring ring(256);
    std::vector<Bytes> in;
    std::size_t out = 0;
    for (int step = 0; step < 60; ++step) {
      const Bytes payload = treacherous(random() % (ring.producer->max_record() + 1));
      if (ring.producer->try_write(static_cast<std::uint32_t>(in.size()), payload) == Status::ok) {
        in.push_back(payload);
      }
      if (random() % 2 == 0) ring.new_producer();
      if (random() % 2 == 0) ring.new_consumer();
      if (random() % 2 == 0) {
        std::uint32_t type = 0;
        if (const auto got = ring.take(&type)) {
          ASSERT_EQ(type, out);
          ASSERT_EQ(*got, in[out++]);
        }
      }
    }
    while (const auto got = ring.take()) ASSERT_EQ(*got, in[out++]);
    ASSERT_EQ(out, in.size());
  }
}

TEST(ByteRing, ASuccessorFindsRecordsThatWereCommittedBehindTheHint) {
  // A producer killed between its commit and its note of it, with and without a pad before it.
  for (std::size_t offset = 0; offset < 128; offset += 8) {
    Ring ring(128);
    ring.stand_at(offset);
    const auto hint = ring.memory.peek<std::uint64_t>(kTailAt);
    ASSERT_EQ(ring.producer->try_write(1, treacherous(30)), Status::ok);
    ring.memory.poke(kTailAt, hint);
    ring.new_producer();
    const Status second = ring.producer->try_write(2, treacherous(9));
    ASSERT_EQ(ring.take(), treacherous(30)) << "at " << offset;
    if (second == Status::ok) {
      ASSERT_EQ(ring.take(), treacherous(9)) << "at " << offset;
    }
    ASSERT_FALSE(ring.consumer->try_peek());
  }
}

TEST(ByteRing, ASuccessorFindsItsPlaceWhenTheConsumerHasPassedTheHint) {
  for (std::size_t offset = 0; offset < 128; offset += 8) {
    Ring ring(128);
    ring.stand_at(offset);
    const auto hint = ring.memory.peek<std::uint64_t>(kTailAt);
    ASSERT_EQ(ring.producer->try_write(1, treacherous(30)), Status::ok);
    ASSERT_TRUE(ring.take());
    ring.memory.poke(kTailAt, hint);
    ring.new_producer();
    ASSERT_EQ(ring.producer->try_write(2, treacherous(9)), Status::ok);
    ASSERT_EQ(ring.take(), treacherous(9)) << "at " << offset;
  }
}

TEST(ByteRing, ARecordThatWasNotAcknowledgedIsDeliveredAgain) {
  Ring ring(128);
  EXPECT_EQ(ring.producer->try_write(1, treacherous(20)), Status::ok);
  ASSERT_TRUE(ring.consumer->try_peek());
  ring.new_consumer();
  EXPECT_EQ(ring.take(), treacherous(20));
}

TEST(ByteRing, PositionsMayPassTwoToThe32) {
  Ring ring(128);
  const std::uint64_t start = (std::uint64_t{1} << 32) - 64;
  ring.memory.poke(kTailAt, start);
  ring.memory.poke(kHeadAt, start);
  ring.new_producer();
  ring.new_consumer();
  for (std::uint32_t i = 0; i < 50; ++i) {
    ASSERT_EQ(ring.producer->try_write(i, treacherous(i % 49)), Status::ok);
    ASSERT_EQ(ring.take(), treacherous(i % 49));
  }
}

// -------------------------------------------------------------------------------------------------
// Set-up errors and hostile bytes

TEST(ByteRing, RefusesImpossibleCapacities) {
  EXPECT_THROW(static_cast<void>(ByteRing::bytes_for(0)), Error);
  EXPECT_THROW(static_cast<void>(ByteRing::bytes_for(ByteRing::kMaxCapacity + 1)), Error);
  EXPECT_THROW(static_cast<void>(ByteRing::bytes_for(SIZE_MAX)), Error);
  EXPECT_NO_THROW(static_cast<void>(ByteRing::bytes_for(ByteRing::kMaxCapacity)));
}

TEST(ByteRing, RefusesMemoryThatIsTooSmallOrMisaligned) {
  const std::size_t size = ByteRing::bytes_for(1024);
  const Memory memory(size + 64);
  EXPECT_THROW(ByteRing::format(memory.span().first(size - 1), 1024), Error);
  EXPECT_THROW(ByteRing::format(memory.span().subspan(64, size), 1024), Error);
  ByteRing::format(memory.span().first(size), 1024);
  EXPECT_THROW(ByteRing::Producer(memory.span().first(size - 1)), Error);
  EXPECT_THROW(ByteRing::Consumer(memory.span().first(383)), Error);
  EXPECT_THROW(ByteRing::Consumer(memory.span().first(0)), Error);
  EXPECT_FALSE(ByteRing::counters(memory.span().first(383)));
}

TEST(ByteRing, AHostileCapacityIsRefusedAndDoesNotReachWhoHasAttached) {
  for (const std::uint64_t capacity :
       {std::uint64_t{0}, std::uint64_t{64}, std::uint64_t{129}, std::uint64_t{512},
        std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    Ring ring(256);
    ring.memory.poke(kCapacityAt, capacity);
    EXPECT_THROW(ByteRing::Producer{ring.memory}, Error) << capacity;
    EXPECT_THROW(ByteRing::Consumer{ring.memory}, Error) << capacity;
    EXPECT_THROW(static_cast<void>(ByteRing::capacity(ring.memory)), Error) << capacity;
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(ring.producer->try_write(1, treacherous(50)), Status::ok);
      ASSERT_EQ(ring.take(), treacherous(50));
    }
  }
}

TEST(ByteRing, AHostileHeaderIsCorruptAndIsNotFollowed) {
  const std::array<std::uint64_t, 8> headers = {
      1,  // neither free nor committed
      std::uint64_t{8} << 32,
      ~std::uint64_t{0},         // a pad at the start
      kCommitted | kPad,         //
      header_of(121, 0),         // one byte beyond the storage
      header_of(0x3fffffff, 0),  // the longest that can be written
      header_of(128, 0),         //
      std::uint64_t{1} << 62,    // a pad without a commit
  };
  for (const std::uint64_t header : headers) {
    Ring ring(128);
    ring.memory.poke(kBytesAt, header);
    EXPECT_FALSE(ring.consumer->try_peek());
    EXPECT_EQ(ring.consumer->status(), Status::corrupt) << std::hex << header;
    EXPECT_THROW(ring.new_producer(), Error) << std::hex << header;
  }
}

TEST(ByteRing, APadThatLeadsNowhereIsCorrupt) {
  Ring ring(128);
  ring.stand_at(64);
  ring.memory.poke(kBytesAt + 64, kCommitted | kPad);
  for (const std::uint64_t at_start :
       {std::uint64_t{0}, kCommitted | kPad, header_of(200, 1), std::uint64_t{7}}) {
    ring.memory.poke(kBytesAt, at_start);
    EXPECT_FALSE(ring.consumer->try_peek());
    EXPECT_EQ(ring.consumer->status(), Status::corrupt) << std::hex << at_start;
  }
}

TEST(ByteRing, AHostileHeadIsCorruptForTheProducerAndNothingIsOverwritten) {
  for (const std::uint64_t head :
       {std::uint64_t{4096}, std::uint64_t{1} << 63, ~std::uint64_t{255}}) {
    Ring ring(128);
    int written = 0;
    while (ring.producer->try_write(1, Bytes(8, std::byte{7})) == Status::ok) ++written;
    ring.memory.poke(kHeadAt, head);
    EXPECT_EQ(ring.producer->try_write(2, Bytes(8)), Status::corrupt) << std::hex << head;
    for (int i = 0; i < written; ++i) ASSERT_EQ(ring.take(), Bytes(8, std::byte{7}));
  }
}

TEST(ByteRing, HostileCountersAreRefusedByASuccessor) {
  const auto successors_fail = [](std::uint64_t head, std::uint64_t tail) {
    Ring ring(128);
    ring.memory.poke(kHeadAt, head);
    ring.memory.poke(kTailAt, tail);
    EXPECT_THROW(ring.new_producer(), Error) << head << ' ' << tail;
  };
  successors_fail(0, 136);
  successors_fail(0, 3);
  successors_fail(5, 5);
  successors_fail(0, std::uint64_t{1} << 62);
  Ring odd(128);
  odd.memory.poke(kHeadAt, std::uint64_t{3});
  EXPECT_THROW(odd.new_consumer(), Error);
}

/// Whatever the bytes, calls end, stay inside the memory (see ~Memory, and the sanitizers), and say
/// something that they can say.
TEST(ByteRing, AnyBytesInTheMappingAreHarmless) {
  std::mt19937_64 random(20250602);
  int attached = 0;
  for (int round = 0; round < 20000; ++round) {
    Ring ring(128);
    const auto hostile = [&]() -> std::uint64_t {
      switch (random() % 5) {
        case 0:
          return random();
        case 1:
          return 8 * (random() % 32);
        case 2:
          return kCommitted | (random() % 3 == 0 ? kPad : 0) | (random() % 130) << 32;
        case 3:
          return 0;
        default:
          return 0 - 8 * (random() % 32);
      }
    };
    for (std::size_t at = kBytesAt; at + 8 <= ring.memory.span().size(); at += 8) {
      if (random() % 2 == 0) ring.memory.poke(at, hostile());
    }
    ring.memory.poke(kTailAt, hostile());
    ring.memory.poke(kHeadAt, hostile());
    const auto use = [&] {
      for (int i = 0; i < 40; ++i) {
        if (const auto record = ring.consumer->try_peek()) {
          const std::span<const std::byte> all = ring.memory.span();
          ASSERT_GE(record->payload.data(), all.data() + kBytesAt);
          ASSERT_LE(record->payload.data() + record->payload.size(), all.data() + all.size());
          ring.consumer->release();
        }
        static_cast<void>(ring.producer->try_write(1, treacherous(random() % 49)));
      }
    };
    use();
    try {
      ring.new_producer();
      ring.new_consumer();
      ++attached;
      use();
    } catch (const Error& e) {
      ASSERT_EQ(e.code(), Status::corrupt);
    }
    static_cast<void>(ByteRing::counters(ring.memory));
  }
  EXPECT_GT(attached, 100) << "some of it looked right";
}

TEST(ByteRing, KeepsTheLayoutThatTheHeaderDocuments) {
  Ring ring(128);
  EXPECT_EQ(ByteRing::bytes_for(128), kBytesAt + 128);
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kCapacityAt), 128U);
  EXPECT_EQ(ring.producer->try_write(0x01020304, Bytes(3, std::byte{0xcc})), Status::ok);
  EXPECT_EQ(ring.producer->try_write(5, {}), Status::ok);
  EXPECT_TRUE(ring.take());
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kBytesAt), header_of(3, 0x01020304));
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kBytesAt + 8) & 0xffffff, 0xccccccU);
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kBytesAt + 16), header_of(0, 5));
  EXPECT_EQ(ring.memory.peek<std::uint64_t>(kBytesAt + 24), 0U) << "not written yet";
  const auto counters = ByteRing::counters(ring.memory);
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->capacity, 128U);
  EXPECT_EQ(counters->tail, 24U);
  EXPECT_EQ(counters->records_in, 2U);
  EXPECT_EQ(counters->head, 16U);
  EXPECT_EQ(counters->records_out, 1U);
}

// -------------------------------------------------------------------------------------------------
// Two threads

TEST(ByteRing, TwoThreadsExchangeEachRecordOnceInOrder) {
  for (const std::size_t capacity : {128, 4096}) {
    // In the small ring the threads take turns at nearly every record, and where the CPUs are busy
    // each turn costs a time slice.
    const std::uint32_t count = capacity == 128 ? 2000 : 50000;
    Ring ring(capacity);
    const auto size_of = [&](std::uint32_t i) {
      return i * 2654435761U % (ring.producer->max_record() + 1);
    };
    const std::jthread producing([&] {
      for (std::uint32_t i = 0; i < count;) {
        if (const auto room = ring.producer->try_claim(size_of(i))) {
          std::ranges::fill(*room, static_cast<std::byte>(i));
          ring.producer->commit(i, room->size());
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
    for (std::uint32_t i = 0; i < count;) {
      const auto record = ring.consumer->try_peek();
      if (!record) {
        ASSERT_EQ(ring.consumer->status(), Status::empty);
        std::this_thread::yield();
        continue;
      }
      ASSERT_EQ(record->type, i);
      ASSERT_EQ(record->payload.size(), size_of(i));
      ASSERT_TRUE(std::ranges::all_of(record->payload, [&](std::byte b) {
        return b == static_cast<std::byte>(i);
      })) << "torn";
      ring.consumer->release();
      ++i;
    }
    EXPECT_FALSE(ring.consumer->try_peek());
  }
}

}  // namespace
}  // namespace sluice::tests
