// SPDX-License-Identifier: Apache-2.0
//
// What users rely on in a Value, by threads, forked children, and processes that meet by name (rows
// VA, and what the library adds to them).
//
//   VA2   plain shared storage for std::atomic_ref: Shared<T>
//   VA3   two numbers under one lock are a struct in a Shared<T>; a Value has no lock to hold
//   VA4   no increment is lost

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <vector>

#include "sluice/ipc/shared.h"
#include "sluice/ipc/value.h"
#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/way_names.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Of 72 bytes, all of which follow from the number.
struct Block {
  static constexpr std::string_view kTypeName = "test.Block";
  std::array<std::int64_t, 9> words;

  static Block of(std::int64_t n) {
    Block block;
    for (std::size_t i = 0; i < block.words.size(); ++i) {
      block.words[i] = n * static_cast<std::int64_t>(i + 1);
    }
    return block;
  }
  [[nodiscard]] std::int64_t number() const { return words[0]; }
  [[nodiscard]] bool is_whole() const { return *this == of(words[0]); }
  bool operator==(const Block&) const = default;
};

/// Seven bytes of padding, which another store leaves otherwise.
struct Padded {
  static constexpr std::string_view kTypeName = "test.Padded";
  std::int64_t wide;
  char narrow;
  bool operator==(const Padded&) const = default;
};

// -------------------------------------------------------------------------------------------------
// In three ways: others work on the object while this one does

struct ByThreads {
  static constexpr const char* kName = "Threads";

  template <class Object, class... Args>
  static void run(std::function<void(Object&)> theirs, std::function<void(Object&)> ours,
                  int others, const Args&... args) {
    Object object(args...);
    std::vector<std::jthread> parties;
    for (int i = 0; i < others; ++i) {
      parties.emplace_back([&] { run_reporting([&] { theirs(object); }); });
    }
    ours(object);
  }
};

struct ByFork {
  static constexpr const char* kName = "Fork";

  template <class Object, class... Args>
  static void run(std::function<void(Object&)> theirs, std::function<void(Object&)> ours,
                  int others, const Args&... args) {
    Object object(args...);
    std::vector<std::unique_ptr<ChildParty>> parties;
    for (int i = 0; i < others; ++i) {
      parties.push_back(std::make_unique<ChildParty>([&] { theirs(object); }));
    }
    ours(object);
    for (const auto& party : parties) party->finish();
  }
};

struct ByName {
  static constexpr const char* kName = "Name";

  template <class Object, class... Args>
  static void run(std::function<void(Object&)> theirs, std::function<void(Object&)> ours,
                  int others, const Args&... args) {
    Gate made;
    std::vector<std::unique_ptr<ChildParty>> parties;
    for (int i = 0; i < others; ++i) {
      parties.push_back(std::make_unique<ChildParty>([&] {  // forked first: it inherits nothing
        made.wait();
        auto object = Object::open("three-ways");
        theirs(object);
      }));
    }
    auto object = Object::create("three-ways", args...);
    for (int i = 0; i < others; ++i) made.open();
    ours(object);
    for (const auto& party : parties) party->finish();
  }
};

using AllWays = testing::Types<ByThreads, ByFork, ByName>;

template <class Way>
class ValueRows : public testing::Test {};
TYPED_TEST_SUITE(ValueRows, AllWays, WayNames);

constexpr int kTimes = 20'000;

/// The parties that have come, in the upper half, lest one is done before the next begins.
constexpr std::int64_t kCome = std::int64_t{1} << 32;
constexpr int kMany = 400'000;

TYPED_TEST(ValueRows, VA4_FourPartiesLoseNoIncrement) {
  TypeParam::template run<Value<std::int64_t>>(
      [](Value<std::int64_t>& value) {
        value.fetch_add(kCome);
        while (value.load() / kCome < 4) sched_yield();
        for (int i = 0; i < kMany; ++i) value.fetch_add(1);
        value.fetch_add(kCome);
      },
      [](Value<std::int64_t>& value) {
        std::int64_t seen = value.load();
        while (seen / kCome < 8) ASSERT_EQ(value.wait(seen, seen, 60s), Status::ok);
        EXPECT_EQ(seen % kCome, 4 * kMany);
      },
      4, std::int64_t{0});
}

TYPED_TEST(ValueRows, VA4_NorOneOfALargeValue) {
  TypeParam::template run<Value<Block>>(
      [](Value<Block>& value) {
        const auto add = [](std::int64_t n) {
          return [n](const Block& block) { return Block::of(block.number() + n); };
        };
        value.update(add(kCome));
        while (value.load().number() / kCome < 4) sched_yield();
        for (int i = 0; i < kTimes; ++i) value.update(add(1));
        value.update(add(kCome));
      },
      [](Value<Block>& value) {
        Block seen = value.load();
        while (seen.number() / kCome < 8) ASSERT_EQ(value.wait(seen, seen, 60s), Status::ok);
        EXPECT_EQ(seen, Block::of(8 * kCome + 4 * kTimes));
      },
      4, Block::of(0));
}

// `value += 1`, a read and a write, does not compile.
template <class T>
concept HasAddAssign = requires(Value<T>& value) { value += 1; };
static_assert(!HasAddAssign<int> && !HasAddAssign<double>);
static_assert(!std::is_convertible_v<Value<int>, int>);

TYPED_TEST(ValueRows, NobodySeesHalfAValueNorAnOlderOne) {
  TypeParam::template run<Value<Block>>(
      [](Value<Block>& value) {
        for (std::int64_t i = 1; i <= kTimes; ++i) value.store(Block::of(i));
      },
      [](Value<Block>& value) {
        std::int64_t last = 0;
        while (last < kTimes) {
          const Block seen = value.load();
          ASSERT_TRUE(seen.is_whole());
          ASSERT_GE(seen.number(), last);
          last = seen.number();
        }
      },
      1, Block::of(0));
}

TYPED_TEST(ValueRows, EveryOperationIsOneStepForTheOthers) {
  // Each party takes tickets by other means; none is given out twice, none is lost.
  TypeParam::template run<Value<std::uint64_t>>(
      [](Value<std::uint64_t>& value) {
        for (std::uint64_t bit = 0; bit < 16; ++bit) {
          std::uint64_t expected = value.load();
          while (!value.compare_exchange(expected, expected + (std::uint64_t{1} << 32))) continue;
          value.fetch_or(std::uint64_t{1} << bit);
        }
        value.fetch_add(std::uint64_t{1} << 48);
      },
      [](Value<std::uint64_t>& value) {
        std::uint64_t seen = value.load();
        while (seen >> 48 != 3) ASSERT_EQ(value.wait(seen, seen, 60s), Status::ok);
        EXPECT_EQ(seen, 3UL << 48 | 48UL << 32 | 0xffff);
        EXPECT_EQ(value.fetch_and(0xff), seen);
        EXPECT_EQ(value.fetch_xor(0xf0), 0xffU);
        EXPECT_EQ(value.fetch_sub(0x10), 0x0fU);
        EXPECT_EQ(value.exchange(7), ~std::uint64_t{0});
      },
      3, std::uint64_t{0});
}

TYPED_TEST(ValueRows, ComparesValuesAndNotPadding) {
  TypeParam::template run<Value<Padded>>(
      [](Value<Padded>& value) {
        Padded dirty;
        std::memset(static_cast<void*>(&dirty), 0xee, sizeof dirty);
        dirty.wide = 1;
        dirty.narrow = 'a';
        value.store(dirty);
      },
      [](Value<Padded>& value) {
        Padded expected;
        std::memset(static_cast<void*>(&expected), 0x11, sizeof expected);
        expected.wide = 0;
        expected.narrow = 0;
        static_cast<void>(value.wait(expected, 60s));
        expected.wide = 1;
        expected.narrow = 'a';
        EXPECT_TRUE(value.compare_exchange(expected, {2, 'b'}));
        EXPECT_FALSE(value.compare_exchange(expected, {3, 'c'}));
        EXPECT_EQ(expected, (Padded{2, 'b'}));
      },
      1, Padded{0, 0});
}

TYPED_TEST(ValueRows, AWaitEndsWithAnotherValueOrAtItsDeadlineAndNotBefore) {
  TypeParam::template run<Value<Block>>(
      [](Value<Block>& value) {
        ASSERT_EQ(value.wait(Block::of(0), 60s), Status::ok);
        value.store(Block::of(2));
      },
      [](Value<Block>& value) {
        for (const auto timeout : {0ms, 7ms, 60ms}) {
          const auto start = Clock::now();
          EXPECT_EQ(value.wait(Block::of(0), timeout), Status::timeout);
          EXPECT_GE(Clock::now() - start, timeout);
        }
        EXPECT_EQ(value.wait(Block::of(0), -1s), Status::timeout);
        value.store(Block::of(1));
        EXPECT_EQ(value.wait(Block::of(1)).number(), 2);
        EXPECT_EQ(value.wait(Block::of(1), Deadline::now()), Status::ok) << "it is another already";
      },
      1, Block::of(0));
}

TYPED_TEST(ValueRows, VA2_PlainStorageForAtomicRef) {
  static_assert(alignof(std::int64_t) >= std::atomic_ref<std::int64_t>::required_alignment);
  TypeParam::template run<Shared<std::int64_t>>(
      [](Shared<std::int64_t>& number) {
        const std::atomic_ref<std::int64_t> word(*number);
        for (int i = 0; i < kTimes; ++i) word.fetch_add(1);
        word.fetch_add(std::int64_t{1} << 40);
      },
      [](Shared<std::int64_t>& number) {
        const std::atomic_ref<std::int64_t> word(*number);
        while (word.load() >> 40 != 3) sched_yield();
        EXPECT_EQ(*number & 0xffff'ffff, 3 * kTimes);
      },
      3);
}

/// Two numbers under one lock.
struct Both {
  static constexpr std::string_view kTypeName = "test.Both";
  Mutex mutex;
  std::int64_t left = 0, right = 0;
  int done = 0;
};

TYPED_TEST(ValueRows, VA3_TwoNumbersUnderOneLock) {
  TypeParam::template run<Shared<Both>>(
      [](Shared<Both>& both) {
        for (int i = 0; i < 2000; ++i) {
          const std::scoped_lock hold(both->mutex);
          ++both->left;
          --both->right;
        }
        const std::scoped_lock hold(both->mutex);
        ++both->done;
      },
      [](Shared<Both>& both) {
        for (int done = 0; done < 3;) {
          const std::scoped_lock hold(both->mutex);
          ASSERT_EQ(both->left + both->right, 0) << "nobody sees half a step";
          done = both->done;
        }
        EXPECT_EQ(both->left, 6000);
      },
      3);
}

// -------------------------------------------------------------------------------------------------
// Killed and stopped writers

template <class Object>
Process writer_inside_an_update(Object make, Gate& inside) {
  return Process("writer", [=, &inside] {
    auto value = make();
    value.update([&](Block& block) {
      block.words[0] = -1;
      inside.open();
      for (;;) pause();
    });
  });
}

TEST(ValueDeath, ReadersDoNotWaitForAStoppedOrDeadWriterAndWritersOnlyForTheStopped) {
  auto value = Value<Block>::create("writers-die", Block::of(5));
  Gate inside;
  Process writer =
      writer_inside_an_update([] { return Value<Block>::open("writers-die"); }, inside);
  inside.wait();
  kill(writer.pid(), SIGSTOP);
  ASSERT_TRUE(wait_for_state(writer.pid(), 'T'));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(value.load(), Block::of(5));
  EXPECT_EQ(value.wait(Block::of(4), Deadline::now()), Status::ok);
  EXPECT_EQ(value.store(Block::of(6), 20ms), Status::timeout) << "it lives";
  EXPECT_EQ(value.load(), Block::of(5)) << "nothing was stored";
  writer.kill();
  writer.join();
  EXPECT_EQ(value.load(), Block::of(5)) << "the update never happened";
  EXPECT_EQ(value.store(Block::of(7), 20s), Status::ok);
  EXPECT_EQ(value.load(), Block::of(7));
}

}  // namespace
}  // namespace sluice::tests
