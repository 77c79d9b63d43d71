// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/word.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <type_traits>

#include "sluice/sync/env.h"

namespace sluice::tests {
namespace {

using internal::attach_object;
using internal::Mappable;
using internal::RealEnv;
using internal::Word;

struct Control {
  Word<std::uint64_t> a;
  Word<std::uint32_t> b;
};
struct WithDestructor {
  ~WithDestructor() {}
  int x;
};
struct WithVirtual {
  virtual void f() {}
};
static_assert(Mappable<Control> && Mappable<Word<std::uint32_t>> && Mappable<std::uint64_t>);
static_assert(!Mappable<WithDestructor> && !Mappable<WithVirtual> && !Mappable<std::string>);
static_assert(!std::is_copy_constructible_v<Word<int>> && !std::is_copy_assignable_v<Word<int>>);

TEST(Word, StartsAsZeroWithoutBeingAsked) {
  alignas(8) std::array<std::byte, sizeof(Control)> memory;
  memory.fill(std::byte{0xff});
  auto* const control = new (memory.data()) Control;  // not Control(): as a local variable is made
  EXPECT_EQ(RealEnv::load(control->a, std::memory_order_relaxed), 0U);  // relaxed: one thread
  EXPECT_EQ(RealEnv::load(control->b, std::memory_order_relaxed), 0U);  // as above
}

TEST(AttachObject, GivesTheObjectAtTheStartOfTheMemory) {
  alignas(64) std::array<std::byte, 64> memory = {};
  Control* const control = attach_object<Control>(memory);
  ASSERT_NE(control, nullptr);
  EXPECT_EQ(static_cast<void*>(control), memory.data());
  RealEnv::store(control->b, 0x01020304U, std::memory_order_relaxed);  // relaxed: one thread
  EXPECT_EQ(memory[8], std::byte{4});
}

TEST(AttachObject, RefusesMemoryThatIsTooSmall) {
  alignas(64) std::array<std::byte, 64> memory = {};
  EXPECT_EQ(attach_object<Control>(std::span(memory).first(sizeof(Control) - 1)), nullptr);
  EXPECT_EQ(attach_object<Control>({}), nullptr);
  EXPECT_NE(attach_object<Control>(std::span(memory).first(sizeof(Control))), nullptr);
}

TEST(AttachObject, RefusesMemoryThatIsMisaligned) {
  alignas(64) std::array<std::byte, 64> memory = {};
  for (std::size_t offset = 1; offset < 8; ++offset) {
    EXPECT_EQ(attach_object<Control>(std::span(memory).subspan(offset)), nullptr) << offset;
  }
  EXPECT_NE(attach_object<Control>(std::span(memory).subspan(8)), nullptr);
}

TEST(AttachObject, CountsAndDoesNotOverflow) {
  alignas(64) std::array<std::byte, 64> memory = {};
  EXPECT_NE(attach_object<std::uint64_t>(memory, 8), nullptr);
  EXPECT_EQ(attach_object<std::uint64_t>(memory, 9), nullptr);
  EXPECT_EQ(attach_object<std::uint64_t>(memory, SIZE_MAX), nullptr);
  EXPECT_EQ(attach_object<std::uint64_t>(memory, SIZE_MAX / 8 + 2), nullptr) << "wraps to 8 bytes";
}

TEST(RealEnv, ChangesWordsAsAnAtomicDoes) {
  // One thread: no order matters.
  constexpr auto kAnyOrder = std::memory_order_relaxed;
  Word<std::uint32_t> word;
  RealEnv::store(word, 5U, kAnyOrder);
  EXPECT_EQ(RealEnv::load(word, kAnyOrder), 5U);
  EXPECT_EQ(RealEnv::fetch_add(word, 3U, kAnyOrder), 5U);
  EXPECT_EQ(RealEnv::fetch_or(word, 16U, kAnyOrder), 8U);
  std::uint32_t expected = 1;
  EXPECT_FALSE(RealEnv::cas(word, expected, 9U, kAnyOrder));
  EXPECT_EQ(expected, 24U) << "what was found";
  EXPECT_TRUE(RealEnv::cas(word, expected, 9U, kAnyOrder));
  EXPECT_EQ(RealEnv::load(word, kAnyOrder), 9U);
}

}  // namespace
}  // namespace sluice::tests
