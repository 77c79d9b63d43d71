// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/latest.h"

#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "sluice/lockfree/latest_slots.h"
#include "sluice/lockfree/value_bytes.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/futex.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/tests/lockfree/memory.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

/// A value whose tearing shows, of any size from 16 bytes on.
template <std::size_t kSize>
struct Block {
  std::array<std::uint64_t, kSize / 8> words;

  static Block of(std::uint64_t n) {
    Block block;
    for (std::size_t i = 0; i < block.words.size(); ++i) block.words[i] = n * (i + 1);
    return block;
  }
  [[nodiscard]] std::uint64_t number() const { return words[0]; }
  [[nodiscard]] bool is_whole() const { return words == of(words[0]).words; }
};

struct Odd {
  std::array<unsigned char, 13> bytes;
  bool operator==(const Odd&) const = default;
};

struct Padded {
  char letter;
  std::int64_t number;
  short last;
  bool operator==(const Padded& o) const {
    return letter == o.letter && number == o.number && last == o.last;
  }
};

struct SmallPadded {
  char letter;
  std::int32_t number;
  bool operator==(const SmallPadded&) const = default;
};

struct NoDefault {
  explicit NoDefault(int n) : first(n), second(2 * n), third(3 * n) {}
  long first, second, third;
};

enum class Colour : std::uint16_t { red, green };

// The layout that the headers document: what processes of different builds agree on.
constexpr std::size_t kNewestAt = 0, kPinsAt = 8, kWritingAt = 64, kSlotsAt = 128;

/// A Latest in memory of its own, with foreign bytes on both sides.
template <class T>
struct Placed {
  using Type = Latest<T>;
  Placed() : memory(sizeof(Type)) { std::ranges::fill(memory.span(), std::byte{0}); }
  Type* operator->() { return &Type::in(memory); }
  Type& operator*() { return Type::in(memory); }
  Memory memory;
};

// -------------------------------------------------------------------------------------------------
// Values of all sizes

template <class T>
void expect_loads_what_was_stored(const T& zero, const T& one, const T& two) {
  Placed<T> latest;
  const auto same = [](const T& a, const T& b) { return internal::same_value(a, b); };
  EXPECT_TRUE(same(latest->load(), zero)) << "zeroed memory";
  latest->store(one);
  EXPECT_TRUE(same(latest->load(), one));
  EXPECT_TRUE(same(latest->load(), one)) << "a load takes nothing away";
  EXPECT_TRUE(same(latest->exchange(two), one));
  EXPECT_TRUE(same(latest->load(), two));
  T expected = one;
  EXPECT_FALSE(latest->compare_exchange(expected, zero));
  EXPECT_TRUE(same(expected, two)) << "told what it is";
  EXPECT_TRUE(same(latest->load(), two));
  EXPECT_TRUE(latest->compare_exchange(expected, one));
  EXPECT_TRUE(same(expected, two));
  EXPECT_TRUE(same(latest->load(), one));
  EXPECT_TRUE(same(latest->update([&](T& now) { now = two; }), two));
  EXPECT_TRUE(same(latest->load(), two));
  EXPECT_TRUE(same(latest->update([&](const T&) { return one; }), one));
  for (int i = 0; i < 20; ++i) {  // each slot several times
    latest->store(i % 2 == 0 ? two : one);
    EXPECT_TRUE(same(latest->load(), i % 2 == 0 ? two : one));
  }
  EXPECT_TRUE(same(Latest<T>(two).load(), two));
}

TEST(Latest, LoadsWhatWasStored) {
  expect_loads_what_was_stored<bool>(false, true, false);
  expect_loads_what_was_stored<char>(0, 'a', 'b');
  expect_loads_what_was_stored<std::int16_t>(0, -1, 2);
  expect_loads_what_was_stored<std::uint32_t>(0, 1, UINT32_MAX);
  expect_loads_what_was_stored<std::int64_t>(0, INT64_MIN, INT64_MAX);
  expect_loads_what_was_stored<float>(0, 1.5F, -3);
  expect_loads_what_was_stored<double>(0, 1e300, -1e-300);
  expect_loads_what_was_stored<long double>(0, 1e300L, -1e-300L);
  expect_loads_what_was_stored<Colour>(Colour::red, Colour::green, Colour::red);
  expect_loads_what_was_stored<SmallPadded>({0, 0}, {'a', -1}, {'b', 2});
  expect_loads_what_was_stored<Padded>({0, 0, 0}, {'a', -1, 5}, {'b', 2, 7});
  expect_loads_what_was_stored<Odd>({}, {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}}, {{99}});
  expect_loads_what_was_stored<std::array<char, 3>>({}, {'a', 'b', 'c'}, {'d', 'e', 'f'});
  expect_loads_what_was_stored(Block<16>::of(0), Block<16>::of(1), Block<16>::of(2));
  expect_loads_what_was_stored(Block<64>::of(0), Block<64>::of(1), Block<64>::of(2));
  expect_loads_what_was_stored(Block<1000>::of(0), Block<1000>::of(1), Block<1000>::of(2));
  expect_loads_what_was_stored(Block<65536>::of(0), Block<65536>::of(1), Block<65536>::of(2));
}

TEST(Latest, TakesTypesWithoutADefaultConstructor) {
  Latest<NoDefault> latest(NoDefault(1));
  EXPECT_EQ(latest.load().third, 3);
  latest.store(NoDefault(4));
  EXPECT_EQ(latest.exchange(NoDefault(5)).second, 8);
  EXPECT_EQ(latest.update([](NoDefault& n) { ++n.first; }).first, 6);
}

TEST(Latest, IsAMemberThatStartsAsZeroes) {
  static constinit Latest<std::uint32_t> word;
  static constinit Latest<Block<64>> block;
  EXPECT_EQ(word.load(), 0U);
  EXPECT_EQ(block.load().words, Block<64>::of(0).words);
  static_assert(internal::Mappable<Latest<Block<64>>> && internal::Mappable<Latest<bool>>);
  static_assert(!std::is_copy_constructible_v<Latest<int>> &&
                !std::is_move_assignable_v<Latest<Block<64>>>);
}

TEST(Latest, RefusesMemoryThatIsTooSmallOrMisaligned) {
  using Type = Latest<Block<64>>;
  const Memory memory(sizeof(Type) + 8);
  std::ranges::fill(memory.span(), std::byte{0});
  EXPECT_THROW(Type::in(memory.span().first(sizeof(Type) - 1)), Error);
  EXPECT_THROW(Type::in(memory.span().subspan(8)), Error);
  EXPECT_THROW(Type::in({}), Error);
  EXPECT_NO_THROW(Type::in(memory.span()));
}

TEST(Latest, MayLieAnywhere) {
  Placed<Block<64>> first;
  first->store(Block<64>::of(7));
  const Placed<Block<64>> second;
  std::ranges::copy(first.memory.span(), second.memory.span().begin());
  EXPECT_EQ(Latest<Block<64>>::in(second.memory).load().number(), 7U);
}

template <class T>
concept HasFetchAdd = requires(Latest<T> l, T v) { l.fetch_add(v); };
template <class T>
concept HasPlus = requires(Latest<T> l, T v) { l += v; };
template <class T>
concept Possible = requires { typename Latest<T>; };

TEST(Latest, VA4_WhatCantBeDoneInOneStepDoesNotCompile) {
  static_assert(HasFetchAdd<int> && HasFetchAdd<double> && HasFetchAdd<long double>);
  static_assert(!HasFetchAdd<bool> && !HasFetchAdd<Colour> && !HasFetchAdd<Odd>);
  static_assert(!HasPlus<int>, "no += that reads and writes in two steps");
  static_assert(!Possible<std::string> && !Possible<int*> && !Possible<const int>);
}

// -------------------------------------------------------------------------------------------------
// Arithmetic

TEST(Latest, FetchesAsStdAtomicDoes) {
  Latest<int> n(5);
  EXPECT_EQ(n.fetch_add(3), 5);
  EXPECT_EQ(n.fetch_sub(10), 8);
  EXPECT_EQ(n.load(), -2);
  n.store(INT32_MAX);
  EXPECT_EQ(n.fetch_add(1), INT32_MAX);
  EXPECT_EQ(n.load(), INT32_MIN);
  EXPECT_EQ(n.fetch_sub(INT32_MIN), INT32_MIN);
  EXPECT_EQ(n.load(), 0);
  Latest<std::uint8_t> bits(0b1100);
  EXPECT_EQ(bits.fetch_or(0b0011), 0b1100);
  EXPECT_EQ(bits.fetch_and(0b0110), 0b1111);
  EXPECT_EQ(bits.fetch_xor(0b1010), 0b0110);
  EXPECT_EQ(bits.load(), 0b1100);
  EXPECT_EQ(bits.fetch_add(0xff), 0b1100);
  EXPECT_EQ(bits.load(), 0b1011) << "wraps within its byte";
  Latest<double> real(1.5);
  EXPECT_EQ(real.fetch_add(1), 1.5);
  EXPECT_EQ(real.fetch_sub(4), 2.5);
  EXPECT_EQ(real.load(), -1.5);
  Latest<long double> wide(1.5);
  EXPECT_EQ(wide.fetch_add(1), 1.5L);
  EXPECT_EQ(wide.load(), 2.5L);
}

// -------------------------------------------------------------------------------------------------
// Padding and comparison

template <class T>
bool contains(const Placed<T>& latest, unsigned char byte) {
  return std::ranges::find(latest.memory.span(), std::byte{byte}) != latest.memory.span().end();
}

template <class T>
void expect_keeps_padding_to_itself(const T& value) {
  T secret = value;
  std::memset(static_cast<void*>(&secret), 0xa5, sizeof secret);
  secret.letter = value.letter;
  secret.number = value.number;
  if constexpr (requires { secret.last; }) secret.last = value.last;
  Placed<T> latest;
  latest->store(secret);
  EXPECT_FALSE(contains(latest, 0xa5)) << "store";
  latest->exchange(secret);
  latest->update([&](T& now) { std::memcpy(static_cast<void*>(&now), &secret, sizeof now); });
  EXPECT_FALSE(contains(latest, 0xa5)) << "update";
  T expected = secret;
  EXPECT_TRUE(latest->compare_exchange(expected, secret)) << "by value, not by padding";
  EXPECT_FALSE(contains(latest, 0xa5)) << "compare_exchange";
  EXPECT_EQ(latest->wait(secret, 1ms), Status::timeout) << "by value, not by padding";
}

TEST(Latest, PaddingNeverLeavesTheProcess) {
  expect_keeps_padding_to_itself(SmallPadded{'a', 1});
  expect_keeps_padding_to_itself(Padded{'a', 1, 2});
}

TEST(Latest, ComparesByTheTypesOwnOperator) {
  Latest<double> real(0.0);
  double expected = -0.0;
  EXPECT_TRUE(real.compare_exchange(expected, std::numeric_limits<double>::quiet_NaN()));
  expected = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(real.compare_exchange(expected, 1));
  EXPECT_EQ(real.wait(std::numeric_limits<double>::quiet_NaN(), Deadline::never()), Status::ok);
}

TEST(Latest, WhatHasNoEqualityIsNotComparable) {
  struct Floats {
    float a, b, c;
  };
  struct Gap {
    char a;
    int b;
  };
  static_assert(!ComparableValue<Floats> && !ComparableValue<Gap>);
  static_assert(ComparableValue<Block<64>> && ComparableValue<Padded> && ComparableValue<float>);
  Latest<Floats> latest;  // and yet a Latest, as long as nothing is compared
  latest.store({1, 2, 3});
  EXPECT_EQ(latest.load().c, 3);
}

// -------------------------------------------------------------------------------------------------
// update()

template <class T>
void expect_stays_if_fn_throws(const T& before, const T& other) {
  Latest<T> latest(before);
  EXPECT_THROW(latest.update([&](T& now) {
    now = other;
    throw std::runtime_error("no");
  }),
               std::runtime_error);
  EXPECT_TRUE(internal::same_value(latest.load(), before));
  EXPECT_EQ(latest.store(other, Deadline::now()), Status::ok) << "nobody is left at it";
}

TEST(Latest, AnUpdateThatThrowsLeavesTheValue) {
  expect_stays_if_fn_throws<int>(1, 2);
  expect_stays_if_fn_throws(Block<64>::of(1), Block<64>::of(2));
}

TEST(Latest, WritingItInsideItsOwnUpdateIsAnError) {
  Latest<Block<64>> latest(Block<64>::of(1));
  EXPECT_THROW(latest.update([&](Block<64>&) { latest.store(Block<64>::of(2)); }),
               std::logic_error);
  Status inside = Status::ok;
  latest.update([&](Block<64>& now) {
    inside = latest.store(Block<64>::of(2), Deadline::now());
    EXPECT_EQ(latest.load().number(), 1U) << "reading is none";
    now = Block<64>::of(3);
  });
  EXPECT_EQ(inside, Status::timeout);
  EXPECT_EQ(latest.load().number(), 3U);
}

TEST(Latest, AChildForkedInsideAnUpdateDoesNotFinishIt) {
  Latest<Block<64>> latest(Block<64>::of(1));
  pid_t child = -1;
  bool is_refused = false;
  try {
    latest.update([&](Block<64>& now) {
      child = fork();
      now = Block<64>::of(2);
    });
  } catch (const std::logic_error&) {
    is_refused = true;
  }
  if (child == 0) _exit(is_refused && latest.load().number() == 1 ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(is_refused);
  EXPECT_EQ(latest.load().number(), 2U) << "the parent does";
}

TEST(Latest, AWriterWaitsForAnotherUntilItsDeadline) {
  Latest<Block<64>> latest(Block<64>::of(1));
  latest.update([&](Block<64>& now) {
    std::thread([&] {
      Block<64> found = Block<64>::of(0);
      bool exchanged = false;
      const auto start = std::chrono::steady_clock::now();
      EXPECT_EQ(latest.store(Block<64>::of(9), 20ms), Status::timeout);
      EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
      EXPECT_EQ(latest.exchange(Block<64>::of(9), found, 1ms), Status::timeout);
      EXPECT_EQ(latest.compare_exchange(found, found, exchanged, 1ms), Status::timeout);
      EXPECT_EQ(latest.update([](Block<64>&) { FAIL(); }, 1ms), Status::timeout);
      EXPECT_EQ(latest.load().number(), 1U) << "readers do not wait";
    }).join();
    now = Block<64>::of(2);
  });
  EXPECT_EQ(latest.load().number(), 2U);
}

// -------------------------------------------------------------------------------------------------
// wait()

template <class T>
void expect_waits_for_another(const T& zero, const T& one) {
  Latest<T> latest(zero);
  T now = zero;
  EXPECT_EQ(latest.wait(one, now, Deadline::never()), Status::ok) << "it is another already";
  EXPECT_TRUE(internal::same_value(now, zero));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(latest.wait(zero, 20ms), Status::timeout);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  EXPECT_EQ(latest.wait(zero, Deadline::now()), Status::timeout);
  std::thread waiter([&] { EXPECT_TRUE(internal::same_value(latest.wait(zero), one)); });
  latest.store(zero);  // no change
  latest.store(one);
  waiter.join();
}

TEST(Latest, WaitsUntilItIsAnother) {
  expect_waits_for_another<int>(0, 1);
  expect_waits_for_another(Block<64>::of(0), Block<64>::of(1));
}

/// Waits for a change of `old` as a sleeper whose slices are so long that only a wake-up helps.
template <class T>
void sleep_until_another(const Latest<T>& latest, const T& old) {
  const ScopedWaitPolicy policy(
      {.mode = WaitMode::block, .first_slice = 20s, .longest_slice = 20s});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(latest.wait(old, Deadline::never()), Status::ok);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 15s) << "nobody woke it";
}

/// `change` is made while a thread sleeps for it, most likely.
template <class T>
void expect_wakes(const T& old, const std::function<void(Latest<T>&)>& change) {
  Latest<T> latest(old);
  std::atomic<pid_t> id = 0;
  std::thread waiter([&] {
    id = gettid();
    sleep_until_another(latest, old);
  });
  while (id == 0) std::this_thread::yield();
  EXPECT_TRUE(wait_until_asleep(id));
  change(latest);
  waiter.join();
}

TEST(Latest, EveryChangeWakes) {
  expect_wakes<int>(1, [](auto& latest) { latest.store(2); });
  expect_wakes<int>(1, [](auto& latest) { latest.exchange(2); });
  expect_wakes<int>(1, [](auto& latest) { latest.update([](int& n) { ++n; }); });
  expect_wakes<int>(1, [](auto& latest) { latest.fetch_add(1); });
  expect_wakes<int>(1, [](auto& latest) { latest.fetch_or(2); });
  expect_wakes<int>(1, [](auto& latest) { latest.fetch_and(0); });
  const auto one = Block<64>::of(1);
  const auto two = Block<64>::of(2);
  expect_wakes<Block<64>>(one, [&](auto& latest) { latest.store(two); });
  expect_wakes<Block<64>>(one, [&](auto& latest) { latest.exchange(two); });
  expect_wakes<Block<64>>(one, [&](auto& latest) {
    Block<64> expected = one;
    EXPECT_TRUE(latest.compare_exchange(expected, two));
  });
}

/// Counts what would be a system call.
struct CountingEnv : internal::RealLockEnv {
  static inline std::atomic<int> calls = 0;

  static bool heavy_barrier() noexcept { return ++calls, RealLockEnv::heavy_barrier(); }
  template <class T>
  static internal::FutexWait futex_wait(internal::Word<T>& word, std::uint32_t expected,
                                        Deadline::TimePoint until) noexcept {
    return ++calls, RealLockEnv::futex_wait(word, expected, until);
  }
  template <class T>
  static int futex_wake(internal::Word<T>& word, int count) noexcept {
    return ++calls, RealLockEnv::futex_wake(word, count);
  }
  static Liveness probe(std::uint32_t tag) noexcept { return ++calls, RealLockEnv::probe(tag); }
  static Deadline::TimePoint now() noexcept { return ++calls, RealLockEnv::now(); }
};

template <class T>
void expect_makes_no_system_call(const T& one, const T& two) {
  BasicLatest<T, CountingEnv, internal::LatestParts<T, CountingEnv>> latest;
  CountingEnv::calls = 0;
  for (int i = 0; i < 100; ++i) {
    latest.store(one);
    T found = latest.load();
    latest.exchange(two);
    latest.compare_exchange(found, one);
    latest.update([](T&) {});
    EXPECT_EQ(latest.wait(one, Deadline::never()), Status::ok);
  }
  EXPECT_EQ(CountingEnv::calls, 0);
}

TEST(Latest, MakesNoSystemCallWhileNobodySleeps) {
  expect_makes_no_system_call<int>(1, 2);
  expect_makes_no_system_call(Block<64>::of(1), Block<64>::of(2));
}

// -------------------------------------------------------------------------------------------------
// Several at once

TEST(Latest, VA4_LosesNoIncrement) {
  constexpr int kThreads = 4, kTimes = 100000;
  struct Count {
    long n, minus_n;
  };
  Latest<int> number;
  Latest<double> real;
  Latest<Count> count;
  std::vector<std::jthread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kTimes; ++i) {
        number.fetch_add(1);
        real.fetch_add(1);
        count.update([](Count& c) { c = {c.n + 1, c.minus_n - 1}; });
      }
    });
  }
  threads.clear();
  EXPECT_EQ(number.load(), kThreads * kTimes);
  EXPECT_EQ(real.load(), kThreads * kTimes);
  EXPECT_EQ(count.load().n, kThreads * kTimes);
  EXPECT_EQ(count.load().minus_n, -kThreads * kTimes);
}

/// Two write numbers that grow, each its own; readers see whole values, and none twice in the wrong
/// order.
template <std::size_t kSize>
void expect_never_torn(std::chrono::milliseconds time) {
  Latest<Block<kSize>> latest;
  std::atomic<bool> stop = false;
  std::vector<std::jthread> threads;
  for (std::uint64_t w = 0; w < 2; ++w) {
    threads.emplace_back([&, w] {
      for (std::uint64_t n = 2; !stop; n += 2) latest.store(Block<kSize>::of(n + w));
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&] {
      std::array<std::uint64_t, 2> last = {};
      while (!stop) {
        const Block<kSize> block = latest.load();
        ASSERT_TRUE(block.is_whole());
        const std::uint64_t n = block.number();
        ASSERT_GE(n, last[n % 2]) << "an older value after a newer one";
        last[n % 2] = n;
      }
    });
  }
  std::this_thread::sleep_for(time);
  stop = true;
}

TEST(Latest, IsNeverTorn) {
  expect_never_torn<16>(300ms);
  expect_never_torn<64>(300ms);
  expect_never_torn<1024>(300ms);
  expect_never_torn<65536>(300ms);
}

/// Readers that ask for a pin each time: their slow path, by the dozen.
TEST(Latest, ReadersThatAskForASlotAreNeverTornEither) {
  using Env = internal::RealLockEnv;
  using Eager = BasicLatest<Block<256>, Env, internal::LatestSlots<Block<256>, Env, 0>>;
  static Eager latest;
  std::atomic<bool> stop = false;
  std::vector<std::jthread> threads;
  threads.emplace_back([&] {
    for (std::uint64_t n = 1; !stop; ++n) latest.store(Block<256>::of(n));
  });
  for (int r = 0; r < 4; ++r) {
    threads.emplace_back([&] {
      std::uint64_t last = 0;
      while (!stop) {
        const Block<256> block = latest.load();
        ASSERT_TRUE(block.is_whole());
        ASSERT_GE(block.number(), last);
        last = block.number();
      }
    });
  }
  std::this_thread::sleep_for(500ms);
  stop = true;
}

/// Has each copy that a reader makes overtaken by stores, before it is checked.
struct LappingEnv : internal::RealLockEnv {
  static inline const std::byte* latest = nullptr;
  static inline std::function<void()> lap;
  static inline int copies = 0;

  template <class T>
  static T load(const internal::Word<T>& word, std::memory_order order) noexcept {
    const auto at = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&word) - latest);
    const bool is_turn = at > kSlotsAt && at % 128 == 64;
    if (is_turn) ++copies, lap();
    return RealLockEnv::load(word, order);
  }
};

class LappedReader : public testing::Test {
 protected:
  using Type = BasicLatest<Block<64>, LappingEnv, internal::LatestSlots<Block<64>, LappingEnv>>;

  LappedReader() : memory_(sizeof(Type)) {
    std::ranges::fill(memory_.span(), std::byte{0});
    LappingEnv::latest = memory_.span().data();
    LappingEnv::lap = [this] {
      for (int i = 0; i < 5; ++i) latest().store(Block<64>::of(++stored_));
    };
  }
  Type& latest() { return Type::in(memory_); }

  /// Loads, and says how many copies that took. What it gets is not older than the call.
  int copies_of_a_load() {
    const std::uint64_t before = stored_;
    LappingEnv::copies = 0;
    const Block<64> block = latest().load();
    EXPECT_TRUE(block.is_whole());
    EXPECT_GE(block.number(), before);
    return LappingEnv::copies;
  }

  Memory memory_;
  std::uint64_t stored_ = 0;
};

TEST_F(LappedReader, IsDoneAfterFiveCopies) {
  for (int i = 0; i < 20; ++i) EXPECT_LE(copies_of_a_load(), 5);
  EXPECT_GE(LappingEnv::copies, 3) << "it was not overtaken";
}

TEST_F(LappedReader, TakesAwayWhatTheDeadKeep) {
  constexpr std::uint64_t kGranted = (1 << 4) | 8;
  memory_.poke(kPinsAt, kGranted);
  memory_.poke(kPinsAt + 8, kGranted | 1);
  for (int i = 0; i < 4; ++i) latest().store(Block<64>::of(++stored_));  // elsewhere
  const int copies = copies_of_a_load();
  EXPECT_GT(copies, 5);
  EXPECT_LE(copies, 70);
  for (int i = 0; i < 20; ++i) EXPECT_LE(copies_of_a_load(), 5) << "and leaves it free";
}

// -------------------------------------------------------------------------------------------------
// Hostile bytes

TEST(Latest, ATurnThatDoesNotFitIsCorruptAndEndsAtOnce) {
  Placed<Block<64>> latest;
  latest->store(Block<64>::of(5));
  latest.memory.poke(kNewestAt, std::uint64_t{1234567});
  Block<64> value;
  EXPECT_EQ(latest->try_load(value), Status::corrupt);
  EXPECT_EQ(latest->wait(Block<64>::of(5), value, Deadline::never()), Status::corrupt);
  EXPECT_THROW(static_cast<void>(latest->load()), Error);
  latest->store(Block<64>::of(6));
  EXPECT_EQ(latest->load().number(), 6U) << "a writer mends it";
}

TEST(Latest, PinsThatNobodyHoldsLeaveWritersASlot) {
  for (std::uint64_t a = 0; a < 16; ++a) {
    for (std::uint64_t b = 0; b < 16; ++b) {
      Placed<Block<64>> latest;
      latest.memory.poke(kPinsAt, a);
      latest.memory.poke(kPinsAt + 8, b);
      for (std::uint64_t n = 1; n < 9; ++n) {
        ASSERT_EQ(latest->store(Block<64>::of(n), Deadline::now()), Status::ok);
        ASSERT_EQ(latest->load().number(), n) << a << ' ' << b;
      }
    }
  }
}

/// Whatever the bytes, calls end, stay inside the memory (see ~Memory, and the sanitizers), and say
/// something that they can say.
TEST(Latest, AnyBytesInTheMappingAreHarmless) {
  std::mt19937_64 random(20250601);
  for (int round = 0; round < 3000; ++round) {
    Placed<Block<64>> latest;
    latest->store(Block<64>::of(1));
    for (std::size_t at = 0; at + 8 <= sizeof(Latest<Block<64>>); at += 8) {
      const bool in_lock = at >= kWritingAt && at < kWritingAt + sizeof(Mutex);
      if (random() % 3 == 0 && !in_lock) {
        latest.memory.poke(at, random() % 2 == 0 ? random() : random() % 32);
      }
    }
    Block<64> value;
    const Status loaded = latest->try_load(value);
    EXPECT_TRUE(loaded == Status::ok || loaded == Status::corrupt);
    static_cast<void>(latest->wait(Block<64>::of(1), Deadline::now()));
    EXPECT_EQ(latest->update([](Block<64>& b) { b = Block<64>::of(3); }, 10ms), Status::ok);
    EXPECT_EQ(latest->try_load(value), Status::ok);
    EXPECT_EQ(value.number(), 3U);
  }
}

TEST(Latest, AnyBytesInTheLockAreHarmless) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    Placed<Block<64>> latest;
    latest->store(Block<64>::of(1));
    latest.memory.poke(kWritingAt, random() % 2 == 0 ? random() : random() % 8 << 29);
    if (round % 2 == 0) latest.memory.poke(kWritingAt + 8, random());
    const Status s = latest->store(Block<64>::of(2), Deadline::now());
    EXPECT_TRUE(s == Status::ok || s == Status::timeout || s == Status::corrupt ||
                s == Status::closed || s == Status::foreign_registry)
        << s;
    EXPECT_EQ(latest->load().number(), s == Status::ok ? 2U : 1U) << "readers do not mind";
  }
}

TEST(Latest, ALockThatIsOverwrittenDuringAnUpdateEndsItAlone) {
  Placed<Block<64>> latest;
  latest->store(Block<64>::of(1));
  const auto overwrites = [&](Block<64>& block) {
    block = Block<64>::of(2);
    latest.memory.poke(kWritingAt, std::uint64_t{0});
  };
  EXPECT_THROW(static_cast<void>(latest->update(overwrites, 10ms)), std::logic_error);
  EXPECT_EQ(latest->load().number(), 1U);
  EXPECT_EQ(latest->store(Block<64>::of(3), Deadline::now()), Status::ok);
}

TEST(Latest, OfAnotherRegistryIsReadableAndCanBeReset) {
  Placed<Block<64>> latest;
  latest->store(Block<64>::of(1));
  latest.memory.poke(kWritingAt + 8, std::uint32_t{12345});  // another incarnation
  EXPECT_EQ(latest->store(Block<64>::of(2), Deadline::now()), Status::foreign_registry);
  EXPECT_THROW(latest->store(Block<64>::of(2)), Error);
  EXPECT_EQ(latest->load().number(), 1U);
  EXPECT_EQ(latest->reset(), Status::ok);
  EXPECT_EQ(latest->store(Block<64>::of(2), Deadline::now()), Status::ok);
}

TEST(Latest, KeepsTheLayoutThatTheHeaderDocuments) {
  Placed<Block<64>> latest;
  latest->store(Block<64>::of(0x11));
  latest->store(Block<64>::of(0x22));
  EXPECT_EQ(sizeof(Latest<Block<64>>), kSlotsAt + 4 * 128);
  EXPECT_EQ(latest.memory.peek<std::uint64_t>(kNewestAt), 2 * 4 + 2U) << "version 2 in slot 2";
  EXPECT_EQ(latest.memory.peek<std::uint64_t>(kSlotsAt + 2 * 128 + 64), 2 * 4 + 2U);
  EXPECT_EQ(latest.memory.peek<std::uint64_t>(kSlotsAt + 2 * 128), 0x22U);
  EXPECT_EQ(latest.memory.peek<std::uint64_t>(kSlotsAt + 128 + 64), 1 * 4 + 1U);
  EXPECT_EQ(latest.memory.peek<std::uint64_t>(kWritingAt), 0U) << "the lock is free";
  Placed<std::int16_t> word;
  word->store(-2);
  EXPECT_EQ(sizeof(Latest<std::int16_t>), 8U);
  EXPECT_EQ(word.memory.peek<std::int16_t>(0), -2);
}

TEST(Latest, PrintsItself) {
  std::ostringstream out;
  Latest<Block<64>> block;
  block.store(Block<64>::of(1));
  Latest<int> word;
  out << block << "\n" << word;
  EXPECT_EQ(out.str(),
            "Latest: 64 bytes, version 1 in slot 1, writers: Mutex: unlocked\n"
            "Latest: 4 bytes, in one word");
}

}  // namespace
}  // namespace sluice::tests
