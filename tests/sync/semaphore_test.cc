// SPDX-License-Identifier: Apache-2.0
//
// Semaphore, BoundedSemaphore and OwnedSemaphore in one process: limits, hostile bytes, what the
// fast paths do, signal handlers. Behaviour between parties: semaphore_behaviour_test.cc,
// owned_semaphore_test.cc.

#include "sluice/sync/semaphore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <stdexcept>
#include <string>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"

namespace {

/// Counts this thread's allocations.
constinit thread_local std::uint64_t t_allocations = 0;

}  // namespace

// Not inlined: gcc takes malloc and free for a pair that does not belong together otherwise.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++t_allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

TEST(Semaphore, IsMadeWithAtMostItsMaximum) {
  EXPECT_EQ(Semaphore::max(), 0x7fffffffU);
  EXPECT_EQ(Semaphore(Semaphore::max()).value(), Semaphore::max());
  EXPECT_EQ(Semaphore(0).value(), 0U);
  EXPECT_THROW(Semaphore(0x80000000U), std::invalid_argument);
  EXPECT_THROW(BoundedSemaphore(0x80000000U), std::invalid_argument);
  EXPECT_THROW(OwnedSemaphore<4>(5), std::invalid_argument);
  constinit static Semaphore before_main;
  EXPECT_EQ(before_main.value(), 1U);
}

TEST(Semaphore, RefusesToOverflow) {
  Semaphore semaphore(Semaphore::max() - 1);
  EXPECT_THROW(semaphore.release(2), std::logic_error);
  EXPECT_EQ(semaphore.value(), Semaphore::max() - 1);
  semaphore.release();
  try {
    semaphore.release();
    ADD_FAILURE() << "above the maximum";
  } catch (const std::logic_error& e) {
    EXPECT_THAT(std::string(e.what()), testing::HasSubstr("bound is 2147483647"));
  }
  EXPECT_EQ(semaphore.value(), Semaphore::max());
  EXPECT_FALSE(semaphore.maybe_waiting());
}

TEST(Semaphore, OfZeroesHasNoPermit) {
  alignas(Semaphore) std::byte memory[sizeof(Semaphore)] = {};
  auto* const semaphore = internal::attach_object<Semaphore>(memory);
  EXPECT_FALSE(semaphore->try_acquire());
  semaphore->release();
  EXPECT_TRUE(semaphore->try_acquire());
  std::memset(memory, 0, sizeof memory);
  auto* const bounded = internal::attach_object<BoundedSemaphore>(memory);
  EXPECT_THROW(bounded->release(), std::logic_error);
  EXPECT_FALSE(bounded->try_acquire());
}

/// Whatever the bytes are, each call ends, and says something.
template <class S>
void expect_bears_any_bytes() {
  std::mt19937_64 random(1);
  alignas(S) std::byte memory[sizeof(S)];
  for (int round = 0; round < 300; ++round) {
    for (std::byte& byte : memory) {
      const std::uint64_t kind = random() % 3;
      byte = static_cast<std::byte>(kind == 0 ? 0 : kind == 1 ? 0xff : random());
    }
    auto* const semaphore = internal::attach_object<S>(memory);
    static_cast<void>(semaphore->acquire(Deadline::now()));
    static_cast<void>(semaphore->acquire(1us));
    EXPECT_LE(semaphore->value(), S::max());
    EXPECT_LE(semaphore->bound(), S::max());
    try {
      semaphore->release();
      semaphore->release();
    } catch (const std::logic_error&) {
    } catch (const Error&) {
    }
    EXPECT_LE(semaphore->value(), S::max());
  }
}

TEST(Semaphore, BearsAnyBytes) {
  const ScopedWaitPolicy policy({.mode = WaitMode::block});
  expect_bears_any_bytes<Semaphore>();
  expect_bears_any_bytes<BoundedSemaphore>();
  expect_bears_any_bytes<OwnedSemaphore<1>>();
  expect_bears_any_bytes<OwnedSemaphore<40>>();
}

// -------------------------------------------------------------------------------------------------
// What the fast paths do

/// Counts what is done to words.
struct CountingEnv : internal::RealPermitEnv {
  static inline int loads = 0;
  static inline int changes = 0;
  static inline int calls = 0;

  static void forget() { loads = changes = calls = 0; }

  template <class T>
  static T load(const internal::Word<T>& word, std::memory_order order) noexcept {
    ++loads;
    return RealEnv::load(word, order);
  }
  template <class T>
  static bool cas(internal::Word<T>& word, T& expected, T desired,
                  std::memory_order order) noexcept {
    ++changes;
    return RealEnv::cas(word, expected, desired, order);
  }
  template <class T>
  static T fetch_or(internal::Word<T>& word, T bits, std::memory_order order) noexcept {
    ++changes;
    return RealEnv::fetch_or(word, bits, order);
  }
  template <class T>
  static internal::FutexWait futex_wait(internal::Word<T>& word, std::uint32_t expected,
                                        Deadline::TimePoint until) noexcept {
    ++calls;
    return RealEnv::futex_wait(word, expected, until);
  }
  template <class T>
  static int futex_wake(internal::Word<T>& word, int count) noexcept {
    ++calls;
    return RealEnv::futex_wake(word, count);
  }
  static Liveness probe(Tag tag) noexcept {
    ++calls;
    return RealPermitEnv::probe(tag);
  }
};

TEST(SemaphoreCost, ALoadAndAReadModifyWriteEach) {
  BasicSemaphore<CountingEnv, Bounded::no> semaphore(3);
  CountingEnv::forget();
  semaphore.acquire();
  EXPECT_EQ(CountingEnv::loads, 1);
  EXPECT_EQ(CountingEnv::changes, 1);
  semaphore.release();
  EXPECT_EQ(CountingEnv::loads, 2);
  EXPECT_EQ(CountingEnv::changes, 2);
  EXPECT_EQ(CountingEnv::calls, 0);
}

TEST(SemaphoreCost, WhoSpinsInVainWritesNothing) {
  const ScopedWaitPolicy policy({.mode = WaitMode::spin});
  BasicSemaphore<CountingEnv, Bounded::no> semaphore(0);
  CountingEnv::forget();
  EXPECT_EQ(semaphore.acquire(20ms), Status::timeout);
  EXPECT_EQ(CountingEnv::changes, 0);
  EXPECT_FALSE(semaphore.maybe_waiting());
  semaphore.release();
  EXPECT_EQ(CountingEnv::calls, 0) << "nobody has announced itself, so nobody is woken";
}

/// The sleeper has gone by itself: one needless call, and then none.
TEST(SemaphoreCost, ASleeperThatHasGoneIsForgotten) {
  const ScopedWaitPolicy policy({.mode = WaitMode::block});
  BasicSemaphore<CountingEnv, Bounded::no> semaphore(0);
  EXPECT_EQ(semaphore.acquire(1ms), Status::timeout);
  EXPECT_TRUE(semaphore.maybe_waiting());
  CountingEnv::forget();
  semaphore.release();
  EXPECT_EQ(CountingEnv::calls, 1);
  EXPECT_FALSE(semaphore.maybe_waiting());
  semaphore.release();
  semaphore.acquire();
  EXPECT_EQ(CountingEnv::calls, 1);
}

TEST(SemaphoreCost, OwnedMakesNoCallWhileThereIsAPermit) {
  attach();
  BasicOwnedSemaphore<CountingEnv, 8> semaphore;
  CountingEnv::forget();
  for (int i = 0; i < 8; ++i) semaphore.acquire();
  for (int i = 0; i < 8; ++i) semaphore.release();
  EXPECT_EQ(CountingEnv::calls, 0);
}

TEST(SemaphoreCost, NothingAllocates) {
  attach();
  Semaphore plain;
  BoundedSemaphore bounded;
  OwnedSemaphore<8> owned;
  const std::uint64_t before = t_allocations;
  const auto use = [](auto& semaphore) {
    semaphore.acquire();
    static_cast<void>(semaphore.try_acquire());
    static_cast<void>(semaphore.acquire(1ms));
    static_cast<void>(semaphore.value());
    semaphore.release();
  };
  use(plain);
  use(bounded);
  use(owned);
  EXPECT_EQ(t_allocations, before);
}

// -------------------------------------------------------------------------------------------------
// Signal handlers

struct Handled {
  Semaphore plain{2};
  BoundedSemaphore bounded{2};
  OwnedSemaphore<3> owned;
  Semaphore handed{0};
  bool held[3] = {};  ///< by the handler
  std::atomic<int> calls, wrong;
  std::atomic<std::uint64_t> allocated;
};
constinit Handled* g_handled = nullptr;

/// A permit that the handler has between two of its calls, and not between the next two.
template <class S>
void take_or_give_back(S& semaphore, bool& held) {
  if (semaphore.value() > semaphore.bound()) ++g_handled->wrong;
  if (held) semaphore.release();
  held = !held && semaphore.try_acquire();
}

void handle_alarm(int) {
  const std::uint64_t before = t_allocations;
  take_or_give_back(g_handled->plain, g_handled->held[0]);
  take_or_give_back(g_handled->bounded, g_handled->held[1]);
  take_or_give_back(g_handled->owned, g_handled->held[2]);
  if (g_handled->handed.value() == 0) g_handled->handed.release();
  g_handled->allocated += t_allocations - before;
  ++g_handled->calls;
}

/// SIGALRM a thousand times per second, in the thread that runs the test.
class SemaphoreInSignalHandler : public testing::Test {
 protected:
  SemaphoreInSignalHandler() {
    attach();
    g_handled = &handled_;
    struct sigaction action{};
    action.sa_handler = handle_alarm;
    sigaction(SIGALRM, &action, &before_);
    const itimerval each_ms{.it_interval = {0, 1000}, .it_value = {0, 1000}};
    setitimer(ITIMER_REAL, &each_ms, nullptr);
  }
  ~SemaphoreInSignalHandler() override {
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    sigaction(SIGALRM, &before_, nullptr);
    EXPECT_EQ(handled_.wrong, 0);
    EXPECT_EQ(handled_.allocated, 0U);
    EXPECT_EQ(handled_.plain.value(), handled_.held[0] ? 1U : 2U);
    EXPECT_EQ(handled_.bounded.value(), handled_.held[1] ? 1U : 2U);
    EXPECT_EQ(handled_.owned.value(), handled_.held[2] ? 2U : 3U);
  }

  /// Calls `use` with each semaphore in turn, until the handler has run that often.
  template <class Use>
  void until_handled(int times, Use use) {
    while (handled_.calls < times) {
      use(handled_.plain);
      use(handled_.bounded);
      use(handled_.owned);
    }
  }

  template <class S>
  void take(S& semaphore) {
    semaphore.acquire();
    if (semaphore.value() > semaphore.bound()) ++handled_.wrong;
  }

  Handled handled_;

 private:
  struct sigaction before_{};
};

TEST_F(SemaphoreInSignalHandler, MayBeTakenInTheMiddleOfACall) {
  until_handled(1000, [this](auto& semaphore) {
    take(semaphore);
    semaphore.release();
  });
}

TEST_F(SemaphoreInSignalHandler, MayBeTakenInTheMiddleOfAWait) {
  const ScopedWaitPolicy policy({.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h});
  until_handled(300, [this](auto& semaphore) {
    take(semaphore);
    int held = 1;
    while (semaphore.try_acquire()) ++held;
    if (semaphore.acquire(2ms) == Status::ok) ++held;  // the handler's
    for (; held != 0; --held) semaphore.release();
    handled_.handed.acquire();  // asleep, until the handler gives it
  });
}

}  // namespace
}  // namespace sluice::tests
