// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/word.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/sync/env.h"

namespace sluice::tests {
namespace {

using internal::attach_object;
using internal::RealEnv;
using internal::Word;

struct Pair {
  Word<std::uint64_t> first;
  Word<std::uint32_t> second;
};

struct Memory {
  alignas(64) std::array<std::byte, 64> bytes = {};
  std::span<std::byte> from(std::size_t offset) { return std::span(bytes).subspan(offset); }
};

TEST(AttachObject, FindsTheObjectAtTheStart) {
  Memory memory;
  Pair* const pair = attach_object<Pair>(memory.from(0));
  ASSERT_NE(pair, nullptr);
  RealEnv::store(pair->second, 7U, std::memory_order_relaxed);  // relaxed: one thread
  EXPECT_EQ(memory.bytes[8], std::byte{7});
}

TEST(AttachObject, RefusesMemoryThatIsTooSmall) {
  Memory memory;
  EXPECT_NE(attach_object<Pair>(memory.from(0).first(sizeof(Pair))), nullptr);
  EXPECT_EQ(attach_object<Pair>(memory.from(0).first(sizeof(Pair) - 1)), nullptr);
  EXPECT_EQ(attach_object<Pair>({}), nullptr);
}

TEST(AttachObject, RefusesMemoryThatIsNotAligned) {
  Memory memory;
  EXPECT_NE(attach_object<Pair>(memory.from(8)), nullptr);
  EXPECT_EQ(attach_object<Pair>(memory.from(4)), nullptr);
}

TEST(AttachObject, CountsWithoutOverflowing) {
  Memory memory;
  using Item = Word<std::uint64_t>;
  EXPECT_NE(attach_object<Item>(memory.from(0), 8), nullptr);
  EXPECT_EQ(attach_object<Item>(memory.from(0), 9), nullptr);
  EXPECT_EQ(attach_object<Item>(memory.from(0), SIZE_MAX / 4), nullptr);
}

TEST(RealEnv, OperatesOnWordsAtomically) {
  Word<std::uint32_t> word;
  // Relaxed throughout: one thread.
  RealEnv::store(word, 5U, std::memory_order_relaxed);
  EXPECT_EQ(RealEnv::fetch_add(word, 2U, std::memory_order_relaxed), 5U);
  EXPECT_EQ(RealEnv::fetch_or(word, 8U, std::memory_order_relaxed), 7U);
  std::uint32_t expected = 1;
  EXPECT_FALSE(RealEnv::cas(word, expected, 9U, std::memory_order_relaxed));
  EXPECT_EQ(expected, 15U) << "a failed swap tells what it found";
  EXPECT_TRUE(RealEnv::cas(word, expected, 9U, std::memory_order_relaxed));
  EXPECT_EQ(RealEnv::load(word, std::memory_order_relaxed), 9U);
}

}  // namespace
}  // namespace sluice::tests
