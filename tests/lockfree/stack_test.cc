// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/stack.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "sluice/lockfree/stack_word.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using internal::StackWords;
using Indices = std::vector<std::uint32_t>;

// The layout that the header documents.
constexpr std::size_t kCapacityAt = 0, kIncarnationAt = 8, kHeadAt = 128, kNodesAt = 256;
constexpr std::size_t owner_at(std::size_t node) { return kNodesAt + 16 * node; }
constexpr std::size_t next_at(std::size_t node) { return owner_at(node) + 8; }

struct Formatted {
  explicit Formatted(std::size_t capacity) : memory(IndexStack::bytes_for(capacity)) {
    IndexStack::format(memory, capacity);
  }
  Memory memory;
};
struct Stack : Formatted {
  explicit Stack(std::size_t capacity) : Formatted(capacity), stack(memory) {}
  Indices pop_all() {
    Indices all;
    std::uint32_t index = 0;
    while (stack.try_pop(index) == Status::ok) all.push_back(index);
    return all;
  }
  IndexStack stack;
};

TEST(IndexStack, KnowsWhoHoldsAnyOfIt) {
  Stack s(3);
  const Tag me = participant::self();
  EXPECT_FALSE(s.stack.has_holder(me));
  std::uint32_t index = 0;
  EXPECT_EQ(s.stack.try_pop(index), Status::ok);
  EXPECT_TRUE(s.stack.has_holder(me));
  EXPECT_FALSE(s.stack.has_holder(me + 1));
  EXPECT_EQ(s.stack.push(index), Status::ok);
  EXPECT_FALSE(s.stack.has_holder(me));
  // Somebody has taken the top, and has not come to sign for it.
  s.memory.poke(kHeadAt, StackWords(3).taken(1, 5, me + 1));
  EXPECT_TRUE(s.stack.has_holder(me + 1));
}

TEST(IndexStack, IsEmptyWhenAllAreTaken) {
  Stack s(3);
  Indices all;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(s.stack.empty());
    std::uint32_t index = 0;
    EXPECT_EQ(s.stack.try_pop(index), Status::ok);
    all.push_back(index);
  }
  EXPECT_TRUE(s.stack.empty());
  EXPECT_EQ(s.stack.push(all[1]), Status::ok);
  EXPECT_FALSE(s.stack.empty());
}

TEST(IndexStack, HandsOutEachIndexOnceAndTheLastPushedFirst) {
  Stack s(4);
  EXPECT_EQ(s.stack.capacity(), 4U);
  EXPECT_EQ(s.stack.size(), 4U);
  EXPECT_EQ(s.pop_all(), (Indices{0, 1, 2, 3}));
  std::uint32_t index = 0;
  EXPECT_EQ(s.stack.try_pop(index), Status::empty);
  EXPECT_EQ(s.stack.size(), 0U);
  for (const std::uint32_t i : {2, 0, 3}) EXPECT_EQ(s.stack.push(i), Status::ok);
  EXPECT_EQ(s.stack.size(), 3U);
  EXPECT_EQ(s.pop_all(), (Indices{3, 0, 2}));
}

TEST(IndexStack, AnyCapacity) {
  for (const std::size_t capacity : {1, 2, 3, 1023, 1024, 1 << 20}) {
    Stack s(capacity);
    for (std::uint32_t round = 0; round < 2; ++round) {
      const Indices all = s.pop_all();
      ASSERT_EQ(all.size(), capacity);
      ASSERT_EQ(s.stack.owner_of(static_cast<std::uint32_t>(capacity) - 1), participant::self());
      for (std::size_t i = capacity; i-- > 0;) ASSERT_EQ(s.stack.push(all[i]), Status::ok);
    }
  }
}

TEST(IndexStack, KnowsItsHolder) {
  Stack s(2);
  EXPECT_EQ(s.stack.owner_of(0), participant::kNobody);
  std::uint32_t index = 9;
  ASSERT_EQ(s.stack.try_pop(index), Status::ok);
  EXPECT_EQ(index, 0U);
  EXPECT_EQ(s.stack.owner_of(0), participant::self());
  EXPECT_EQ(s.stack.owner_of(1), participant::kNobody);
  EXPECT_EQ(s.stack.owner_of(2), participant::kNobody);
  EXPECT_THROW(static_cast<void>(s.stack.push(1)), std::logic_error);
  EXPECT_THROW(static_cast<void>(s.stack.push(7)), std::logic_error);
  EXPECT_EQ(s.stack.push(0), Status::ok);
  EXPECT_THROW(static_cast<void>(s.stack.push(0)), std::logic_error);
  EXPECT_EQ(s.stack.owner_of(0), participant::kNobody);
}

/// Any row of pops and pushes through several handles is that of a vector.
RC_GTEST_PROP(IndexStackProperty, BehavesAsAVector, (std::vector<std::uint8_t> steps)) {
  const auto capacity = *rc::gen::inRange<std::uint32_t>(1, 6);
  Formatted formatted(capacity);
  std::vector<std::unique_ptr<IndexStack>> handles;
  for (int i = 0; i < 2; ++i) handles.push_back(std::make_unique<IndexStack>(formatted.memory));
  Indices inside, held;
  for (std::uint32_t i = capacity; i-- > 0;) inside.push_back(i);
  for (const std::uint8_t step : steps) {
    IndexStack& stack = *handles[step % 2];
    if (step % 3 == 0 && !held.empty()) {
      const auto which = held.begin() + step % static_cast<long>(held.size());
      RC_ASSERT(stack.push(*which) == Status::ok);
      inside.push_back(*which);
      held.erase(which);
    } else {
      std::uint32_t index = 0;
      const Status status = stack.try_pop(index);
      RC_ASSERT(status == (inside.empty() ? Status::empty : Status::ok));
      if (status == Status::ok) {
        RC_ASSERT(index == inside.back());
        inside.pop_back();
        held.push_back(index);
      }
    }
    RC_ASSERT(stack.size() == inside.size());
    RC_ASSERT(stack.reclaim() == 0U);
    for (const std::uint32_t i : held) RC_ASSERT(stack.owner_of(i) == participant::self());
    for (const std::uint32_t i : inside) RC_ASSERT(stack.owner_of(i) == participant::kNobody);
  }
}

TEST(IndexStack, NoTwoThreadsHoldTheSame) {
  constexpr std::uint32_t kCapacity = 5;
  Formatted formatted(kCapacity);
  std::array<std::atomic<int>, kCapacity> held = {};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      IndexStack stack(formatted.memory);
      std::mt19937 random(t);
      Indices mine;
      for (int i = 0; i < 20'000; ++i) {
        std::uint32_t index = 0;
        if (random() % 2 == 0 && stack.try_pop(index) == Status::ok) {
          ASSERT_EQ(held[index].exchange(1), 0);
          mine.push_back(index);
        } else if (!mine.empty()) {
          ASSERT_EQ(held[mine.back()].exchange(0), 1);
          ASSERT_EQ(stack.push(mine.back()), Status::ok);
          mine.pop_back();
        }
      }
      for (const std::uint32_t i : mine) {
        held[i] = 0;
        ASSERT_EQ(stack.push(i), Status::ok);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(IndexStack(formatted.memory).size(), kCapacity);
}

// -------------------------------------------------------------------------------------------------
// The dead

using SharedMemory = testkit::SharedArea<std::array<std::byte, 4096>>;

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

/// A child dies with so many.
void dies_with(SharedMemory& memory, int count) {
  in_a_child([&] {
    IndexStack stack(*memory);
    std::uint32_t index = 0;
    for (int i = 0; i < count; ++i) {
      if (stack.try_pop(index) != Status::ok) abort();
    }
    _exit(EXIT_SUCCESS);
  });
}

TEST(IndexStackDeath, WhatTheDeadHeldIsGivenBack) {
  SharedMemory memory;
  IndexStack::format(*memory, 5);
  IndexStack stack(*memory);
  std::uint32_t mine = 0;
  ASSERT_EQ(stack.try_pop(mine), Status::ok);
  for (int round = 0; round < 5; ++round) {
    dies_with(memory, 3);
    EXPECT_EQ(stack.size(), 1U);
    EXPECT_EQ(stack.reclaim(), 3U);
    EXPECT_EQ(stack.size(), 4U);
    EXPECT_EQ(stack.reclaim(), 0U);
  }
  EXPECT_EQ(stack.owner_of(mine), participant::self());
  EXPECT_EQ(stack.push(mine), Status::ok);
  EXPECT_EQ(stack.size(), 5U);
}

TEST(IndexStackDeath, WhoFindsNothingAsksInTheEnd) {
  SharedMemory memory;
  IndexStack::format(*memory, 3);
  IndexStack stack(*memory);
  dies_with(memory, 3);
  std::uint32_t index = 0;
  int calls = 1;
  while (stack.try_pop(index) != Status::ok && calls < 1000) ++calls;
  EXPECT_EQ(calls, 64);
  EXPECT_EQ(stack.size(), 2U);
}

TEST(IndexStackDeath, AChildDoesNotHoldWhatItsParentHolds) {
  SharedMemory memory;
  IndexStack::format(*memory, 3);
  IndexStack stack(*memory);
  std::uint32_t index = 0;
  ASSERT_EQ(stack.try_pop(index), Status::ok);
  in_a_child([&] {
    try {
      static_cast<void>(stack.push(index));
    } catch (const std::logic_error&) {
      _exit(EXIT_SUCCESS);
    }
    abort();
  });
  EXPECT_EQ(stack.reclaim(), 0U);
  EXPECT_EQ(stack.push(index), Status::ok);
}

// -------------------------------------------------------------------------------------------------
// Other registries, and hostile bytes

Status status_of_attaching(const Memory& memory) {
  try {
    IndexStack other(memory);
  } catch (const Error& error) {
    return error.code() == Status::corrupt            ? Status::corrupt
           : error.code() == Status::foreign_registry ? Status::foreign_registry
                                                      : Status::busy;
  }
  return Status::ok;
}

TEST(IndexStack, IsCheckedWhenAttaching) {
  Stack s(5);
  EXPECT_EQ(status_of_attaching(s.memory), Status::ok);
  for (const std::uint64_t capacity : {std::uint64_t{0}, std::uint64_t{6}, ~std::uint64_t{0}}) {
    s.memory.poke(kCapacityAt, capacity);
    EXPECT_EQ(status_of_attaching(s.memory), Status::corrupt) << capacity;
  }
  s.memory.poke(kCapacityAt, std::uint64_t{5});
  s.memory.poke(kIncarnationAt, s.memory.peek<std::uint32_t>(kIncarnationAt) + 1);
  EXPECT_EQ(status_of_attaching(s.memory), Status::foreign_registry);
}

TEST(IndexStack, RefusesImpossibleSizes) {
  Memory memory(512);
  EXPECT_THROW(IndexStack::bytes_for(0), Error);
  EXPECT_THROW(IndexStack::bytes_for(IndexStack::kMaxCapacity + 1), Error);
  EXPECT_THROW(IndexStack::format(memory, 17), Error);
  EXPECT_THROW(IndexStack::format(memory.span().subspan(8), 2), Error);
}

TEST(IndexStack, AnIndexThatIsNoneIsCorrupt) {
  Stack s(4);
  std::uint32_t index = 0;
  s.memory.poke(next_at(0), std::uint32_t{5});
  ASSERT_EQ(s.stack.try_pop(index), Status::ok);
  EXPECT_EQ(s.stack.try_pop(index), Status::corrupt);
  s.memory.poke(kHeadAt, ~std::uint64_t{0});
  EXPECT_EQ(s.stack.try_pop(index), Status::corrupt);
}

TEST(IndexStack, SurvivesAnyBytes) {
  std::mt19937_64 random(7);
  const StackWords words(4);
  for (int round = 0; round < 2000; ++round) {
    Stack s(4);
    for (int step = 0; step < 30; ++step) {
      std::uint32_t index = 0;
      switch (random() % 6) {
        case 0:
          s.memory.poke(kHeadAt, random() % 2 == 0 ? random() : words.taken(random() % 4, 1, 1));
          break;
        case 1:
          s.memory.poke(owner_at(random() % 4), random());
          break;
        case 2:
          s.memory.poke(next_at(random() % 4), static_cast<std::uint32_t>(random() % 8));
          break;
        case 3:
          index = random() % 4;
          if (s.stack.owner_of(index) == participant::self()) {
            static_cast<void>(s.stack.push(index));
          }
          break;
        case 4:
          static_cast<void>(s.stack.reclaim());
          break;
        default:
          if (s.stack.try_pop(index) == Status::ok) {
            EXPECT_LT(index, 4U);
          }
      }
      EXPECT_LE(s.stack.size(), 4U);
    }
  }
}

}  // namespace
}  // namespace sluice::tests
