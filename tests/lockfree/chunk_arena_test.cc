// SPDX-License-Identifier: Apache-2.0
//
// One process's view of an arena: sizes, references, misuse, hostile bytes.

#include "sluice/lockfree/chunk_arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "sluice/lockfree/arena_layout.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Classes = std::vector<ArenaClass>;

const Classes kTwo = {{.chunk_bytes = 64, .count = 10}, {.chunk_bytes = 1000, .count = 3}};
constexpr std::size_t kIncarnation = 8, kSizes = 16, kWords = 192;

/// Memory with an arena in it.
struct Formatted {
  explicit Formatted(const Classes& classes) : memory(ChunkArena::bytes_for(classes)) {
    ChunkArena::format(memory, classes);
  }
  Memory memory;
};

/// What is said by a call that throws `Exception`.
template <class Exception, class Fn>
std::string refusal(Fn fn) {
  try {
    fn();
  } catch (const Exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

std::vector<ArenaRef> allocate_all(ChunkArena& arena, std::size_t bytes) {
  std::vector<ArenaRef> refs;
  ArenaRef ref;
  while (arena.try_allocate(bytes, ref) == Status::ok) refs.push_back(ref);
  return refs;
}

TEST(ChunkArena, HE1_ChunksAreAlignedAndDoNotOverlap) {
  const Formatted formatted(kTwo);
  ChunkArena arena(formatted.memory);
  std::vector<ArenaRef> refs = allocate_all(arena, 1);
  EXPECT_EQ(refs.size(), 13U) << "where the small ones are used up, large ones will do";
  std::set<std::byte*> begins;
  std::byte* end = nullptr;
  for (const ArenaRef ref : refs) begins.insert(arena.bytes(ref).data());
  EXPECT_EQ(begins.size(), 13U);
  std::sort(refs.begin(), refs.end(), [](auto a, auto b) { return a.index < b.index; });
  for (const ArenaRef ref : refs) {
    const std::span<std::byte> bytes = arena.bytes(ref);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64, 0U);
    EXPECT_EQ(bytes.size(), ref.index < 10 ? 64U : 1024U);
    EXPECT_TRUE(end == nullptr || end == bytes.data()) << "no gap, no overlap";
    end = bytes.data() + bytes.size();
    std::fill(bytes.begin(), bytes.end(), std::byte{0xab});
  }
  EXPECT_EQ(end, formatted.memory.span().data() + formatted.memory.span().size());
  for (const ArenaRef ref : refs) arena.free(ref);
  EXPECT_EQ(arena.report().free, 13U);
}

TEST(ChunkArena, HE1_ARandomRunKeepsItsBooks) {
  const Formatted formatted({{64, 30}, {256, 30}, {4096, 20}});
  ChunkArena arena(formatted.memory);
  struct Block {
    ArenaRef ref;
    std::byte mark;
  };
  std::vector<Block> blocks;
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same each time
  std::lognormal_distribution<> sizes(5, 1.2);
  for (int i = 0; i < 20'000; ++i) {
    if (blocks.size() == 50 || (!blocks.empty() && random() % 2 == 0)) {
      const std::size_t at = random() % blocks.size();
      for (const std::byte b : arena.bytes(blocks[at].ref)) ASSERT_EQ(b, blocks[at].mark);
      arena.free(blocks[at].ref);
      blocks[at] = blocks.back();
      blocks.pop_back();
    } else {
      const auto size = static_cast<std::size_t>(std::min(sizes(random), 4096.0));
      ArenaRef ref;
      if (arena.try_allocate(size, ref) != Status::ok) continue;
      const auto mark = static_cast<std::byte>(i);
      const std::span<std::byte> bytes = arena.bytes(ref);
      ASSERT_GE(bytes.size(), size);
      std::fill(bytes.begin(), bytes.end(), mark);
      blocks.push_back({ref, mark});
    }
    if (i % 1000 == 0) {
      const ArenaReport report = arena.report();
      EXPECT_EQ(report.owned, blocks.size());
      EXPECT_EQ(report.free + report.owned, 80U);
    }
  }
  for (const Block& block : blocks) arena.free(block.ref);
  const ArenaReport report = arena.report();
  EXPECT_EQ(report.free, report.chunks);
  EXPECT_TRUE(report.sizes_intact);
}

TEST(ChunkArena, SaysWhenItCannotGiveAny) {
  const Formatted formatted(kTwo);
  ChunkArena arena(formatted.memory);
  ArenaRef ref;
  EXPECT_EQ(arena.try_allocate(1025, ref), Status::too_large);
  EXPECT_EQ(allocate_all(arena, 1024).size(), 3U);
  EXPECT_EQ(arena.try_allocate(65, ref), Status::full);
  EXPECT_EQ(ref, ArenaRef{});
  EXPECT_EQ(arena.try_allocate(0, ref), Status::ok) << "there are small ones";
  EXPECT_THAT(refusal<Error>([&] { arena.allocate(65); }),
              AllOf(HasSubstr("allocate 65 bytes"), HasSubstr("13 chunks: 9 free, 4 owned")));
  EXPECT_THAT(refusal<Error>([&] { arena.allocate(1025); }),
              AllOf(HasSubstr("allocate 1025 bytes"), HasSubstr("at most 1024 bytes")));
}

TEST(ChunkArena, WhatWasFreedLastIsAllocatedNext) {
  const Formatted formatted({{64, 1000}});
  ChunkArena arena(formatted.memory);
  const std::vector<ArenaRef> refs = allocate_all(arena, 64);
  arena.free(refs[500]);
  const ArenaRef again = arena.allocate(64);
  EXPECT_EQ(again.index, refs[500].index);
  EXPECT_NE(again.generation, refs[500].generation);
}

TEST(ChunkArena, AReferenceIsOfOneLife) {
  const Formatted formatted({{64, 1}});
  ChunkArena arena(formatted.memory);
  const ArenaRef first = arena.allocate(1);
  EXPECT_TRUE(arena.is_mine(first));
  EXPECT_EQ(arena.bytes(first).size(), 64U);
  arena.free(first);
  EXPECT_TRUE(arena.bytes(first).empty());
  const ArenaRef second = arena.allocate(1);
  EXPECT_FALSE(arena.is_mine(first));
  EXPECT_TRUE(arena.bytes(first).empty());
  EXPECT_TRUE(arena.is_mine(second));
}

TEST(ChunkArena, MisuseIsRefusedAndChangesNothing) {
  const Formatted formatted({{64, 2}});
  ChunkArena arena(formatted.memory);
  const auto refused = [&](ArenaRef ref) {
    return refusal<std::logic_error>([&] { arena.free(ref); });
  };
  const ArenaRef gone = arena.allocate(1);
  arena.free(gone);
  EXPECT_THAT(refused(gone), AllOf(HasSubstr("free: chunk"), HasSubstr("it is free"))) << "twice";
  EXPECT_THROW(arena.send(gone), std::logic_error);
  EXPECT_THROW(arena.give(gone, participant::self()), std::logic_error);
  EXPECT_THAT(refused({}), HasSubstr("there is no such chunk"));
  EXPECT_THAT(refused({.index = 2, .generation = 1}), HasSubstr("chunk 2 of 2"));
  const ArenaRef mine = arena.allocate(1);
  EXPECT_EQ(mine.index, gone.index);
  EXPECT_THAT(refused(gone), HasSubstr("it was freed since: this is its life 2, not 1"));
  EXPECT_THAT(refusal<std::logic_error>([&] { arena.give(mine, participant::kNobody); }),
              HasSubstr("nobody"));
  EXPECT_THROW(arena.free({.index = mine.index, .generation = mine.generation + (1U << 30)}),
               std::logic_error);
  EXPECT_TRUE(arena.is_mine(mine));
  arena.send(mine);
  EXPECT_THAT(refused(mine), HasSubstr("it is in transit, sent by participant"));
  EXPECT_EQ(arena.report().in_transit, 1U);
}

TEST(ChunkArena, AnothersChunkIsNotFreed) {
  Formatted formatted({{64, 2}});
  ChunkArena arena(formatted.memory);
  const ArenaRef ref = arena.allocate(1);
  arena.give(ref, 4'000'000'000);
  EXPECT_THAT(refusal<std::logic_error>([&] { arena.free(ref); }),
              HasSubstr("it is participant 4000000000's"));
  formatted.memory.poke(kWords + 8 * ref.index, std::uint64_t{1} << 34 | std::uint64_t{3} << 32);
  EXPECT_THAT(refusal<std::logic_error>([&] { arena.free(ref); }), HasSubstr("damaged"));
}

TEST(ChunkArena, WhatIsInTransitIsTakenOnce) {
  const Formatted formatted({{64, 2}});
  ChunkArena arena(formatted.memory);
  const ArenaRef ref = arena.allocate(1);
  EXPECT_EQ(arena.take(ref), Status::stale) << "it was not sent";
  arena.send(ref);
  EXPECT_FALSE(arena.is_mine(ref));
  EXPECT_EQ(arena.take({.index = ref.index, .generation = ref.generation + 1}), Status::stale);
  EXPECT_EQ(arena.take(ref), Status::ok);
  EXPECT_EQ(arena.take(ref), Status::stale);
  EXPECT_TRUE(arena.is_mine(ref));
  EXPECT_EQ(arena.take({}), Status::corrupt);
  arena.free(ref);
}

TEST(ChunkArena, WhatADeadProcessHadIsTakenByWhoHasTheReference) {
  const Formatted formatted({{64, 2}});
  ChunkArena arena(formatted.memory);
  const ArenaRef ref = arena.allocate(1);
  arena.give(ref, 4'000'000'000);  // who never was is dead
  EXPECT_EQ(arena.take({.index = ref.index, .generation = ref.generation + 1}), Status::stale);
  EXPECT_EQ(arena.take(ref), Status::ok);
  EXPECT_EQ(arena.take(ref), Status::stale) << "it is mine already";
  EXPECT_TRUE(arena.is_mine(ref));
}

TEST(ChunkArena, OnlyWhatNobodyRefersToIsReclaimed) {
  Formatted formatted({{64, 4}});
  ChunkArena arena(formatted.memory);
  std::vector<ArenaRef> refs = allocate_all(arena, 1);
  std::sort(refs.begin(), refs.end(), [](auto a, auto b) { return a.index < b.index; });
  arena.send(refs[0]);  // by one who lives
  for (std::size_t i = 1; i < 3; ++i) {
    formatted.memory.poke(kWords + 8 * i, std::uint64_t{1} << 34 | std::uint64_t{2} << 32 |
                                              4'000'000'000);  // by dead ones
  }
  EXPECT_EQ(arena.report().in_transit_of_dead, 2U);
  std::vector<ArenaRef> asked;
  EXPECT_EQ(arena.reclaim_in_transit([&](ArenaRef ref) {
    asked.push_back(ref);
    return ref == refs[1];
  }),
            1U);
  EXPECT_EQ(asked, (std::vector<ArenaRef>{refs[1], refs[2]}));
  EXPECT_EQ(arena.take(refs[1]), Status::ok) << "it was in a queue";
  EXPECT_EQ(arena.take(refs[2]), Status::stale);
  EXPECT_EQ(arena.take(refs[0]), Status::ok);
  EXPECT_EQ(arena.report().free, 1U);
}

TEST(ChunkArena, SizesThatAreRefused) {
  for (const Classes& classes :
       {Classes{}, Classes(17, {64, 1}), Classes{{64, 1}, {64, 1}}, Classes{{128, 1}, {64, 1}},
        Classes{{0, 1}}, Classes{{64, 0}}, Classes{{1 << 30, 1 << 28}, {UINT32_MAX, 1}},
        Classes{{64, UINT32_MAX}}, Classes{{1, 1}, {2, 1}}}) {
    EXPECT_THROW(ChunkArena::bytes_for(classes), Error);
  }
  Memory small(ChunkArena::bytes_for(kTwo) - 1);
  EXPECT_THROW(ChunkArena::format(small, kTwo), Error);
  Memory room(ChunkArena::bytes_for(kTwo) + 64);
  EXPECT_THROW(ChunkArena::format(room.span().subspan(8), kTwo), Error);
}

TEST(ChunkArena, HostileSizesAreRefusedAtAttach) {
  const auto refused = [](std::size_t offset, std::uint32_t value) {
    Formatted formatted(kTwo);
    formatted.memory.poke(offset, value);
    EXPECT_THROW(ChunkArena arena(formatted.memory), Error) << offset << ' ' << value;
  };
  refused(0, 1);
  for (const std::uint32_t value : {0U, 17U, UINT32_MAX}) refused(12, value);
  for (const std::uint32_t value : {0U, 4096U, UINT32_MAX}) refused(kSizes, value);
  for (const std::uint32_t value : {0U, 11U, 1U << 28, UINT32_MAX}) refused(kSizes + 4, value);
  Memory empty(64);
  EXPECT_THROW(ChunkArena arena(empty.span().first(0)), Error);
}

TEST(ChunkArena, HostileBytesDuringUseStayWhereTheyAre) {
  Formatted formatted(kTwo);
  ChunkArena arena(formatted.memory);
  const ArenaRef ref = arena.allocate(1000);
  formatted.memory.poke(kSizes + 8, UINT32_MAX);
  EXPECT_EQ(arena.bytes(ref).size(), 1024U) << "sizes were copied at attach";
  EXPECT_FALSE(arena.report().sizes_intact);
  std::mt19937_64 random(5);  // NOLINT(cert-msc51-cpp): the same each time
  for (int i = 0; i < 20'000; ++i) {
    formatted.memory.poke(kWords + 8 * (random() % 13), random() >> (random() % 64));
    ArenaRef any = {.index = static_cast<std::uint32_t>(random() % 20),
                    .generation = static_cast<std::uint32_t>(random() % 8)};
    if (random() % 2 == 0) static_cast<void>(arena.try_allocate(random() % 1100, any));
    const std::span<std::byte> bytes = arena.bytes(any);
    std::fill(bytes.begin(), bytes.end(), std::byte{1});  // Memory has a fence
    static_cast<void>(arena.take(any));
    if (arena.is_mine(any) && random() % 2 == 0) arena.send(any);
    if (arena.is_mine(any)) arena.free(any);
    if (i % 64 == 0) {
      arena.reclaim_in_transit([&](ArenaRef ref) { return ref.index >= 13 || random() % 2 == 0; });
    }
  }
  const ArenaReport report = arena.report();
  EXPECT_EQ(report.free + report.owned + report.owned_by_dead + report.in_transit + report.damaged,
            13U);
}

TEST(ChunkArena, AReferenceBehindTheLastChunkIsNone) {
  Formatted formatted(kTwo);
  ChunkArena arena(formatted.memory);
  const ArenaRef ref = arena.allocate(1000);
  const auto mine = formatted.memory.peek<std::uint64_t>(kWords + 8 * ref.index);
  for (std::size_t at = kWords + 8 * 13; at < formatted.memory.span().size(); at += 8) {
    formatted.memory.poke(at, mine);  // where the words of further chunks would be
  }
  for (const std::uint32_t index : {13U, 14U, 100U, 1U << 28, UINT32_MAX}) {
    const ArenaRef none = {.index = index, .generation = ref.generation};
    EXPECT_TRUE(arena.bytes(none).empty()) << index;
    EXPECT_EQ(arena.take(none), Status::corrupt) << index;
    EXPECT_FALSE(arena.is_mine(none)) << index;
    EXPECT_THROW(arena.free(none), std::logic_error) << index;
    EXPECT_THROW(arena.send(none), std::logic_error) << index;
  }
}

TEST(ChunkArena, HE4_ADamagedChunkIsGivenToNobody) {
  Formatted formatted({{64, 3}});
  ChunkArena arena(formatted.memory);
  arena.free(arena.allocate(1));
  formatted.memory.poke(kWords, std::uint64_t{3} << 32);  // no such state
  formatted.memory.poke(kWords + 8, std::uint64_t{77});   // free, but somebody's
  EXPECT_EQ(arena.report().damaged, 2U);
  EXPECT_EQ(allocate_all(arena, 1).size(), 1U);
  arena.reset();
  EXPECT_EQ(arena.report().free, 3U);
}

TEST(ChunkArena, OwnersThatNobodyKnowsAreDead) {
  Formatted formatted({{64, 3}});
  ChunkArena arena(formatted.memory);
  for (std::size_t i = 0; i < 3; ++i) {
    formatted.memory.poke(kWords + 8 * i,
                          std::uint64_t{1} << 32 | (i == 0 ? 0 : 4'000'000'000 + i));
  }
  EXPECT_EQ(arena.report().owned_by_dead, 3U);
  EXPECT_EQ(allocate_all(arena, 1).size(), 3U);
}

TEST(ChunkArena, OfAnotherRegistryNothingIsTakenOver) {
  Formatted formatted({{64, 2}});
  ChunkArena arena(formatted.memory);
  const ArenaRef ref = arena.allocate(1);
  formatted.memory.poke(kIncarnation, std::uint32_t{0x12345678});
  ArenaRef other;
  EXPECT_EQ(arena.try_allocate(1, other), Status::foreign_registry);
  EXPECT_EQ(arena.take(ref), Status::foreign_registry);
  EXPECT_EQ(arena.reclaim_in_transit(), 0U);
  EXPECT_FALSE(arena.is_mine(ref)) << "the tag in its word is somebody else's there";
  EXPECT_THROW(arena.free(ref), Error);
  EXPECT_THROW(arena.allocate(1), Error);
  arena.reset();
  EXPECT_FALSE(arena.is_mine(ref));
  EXPECT_EQ(allocate_all(arena, 1).size(), 2U);
}

TEST(ChunkArena, PrintsItself) {
  Formatted formatted({{64, 3}});
  ChunkArena arena(formatted.memory);
  arena.send(arena.allocate(1));
  arena.allocate(1);
  std::ostringstream out;
  out << arena;
  EXPECT_EQ(out.str(), "arena: 3 chunks: 1 free, 1 owned, 0 of dead owners, 1 in transit");
}

}  // namespace
}  // namespace sluice::tests
