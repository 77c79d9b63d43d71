// SPDX-License-Identifier: Apache-2.0
//
// What Event and AutoResetEvent promise besides the behaviour of event_behaviour_test.cc: the
// bytes, the generation's wrap, hostile bytes, system calls that are not made, what they print.

#include "sluice/sync/event.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

constinit Event g_event;  // needs no dynamic initialisation

template <class E>
std::string text_of(const E& event) {
  std::ostringstream out;
  out << event;
  return out.str();
}

template <class E>
void overwrite(E& event, std::uint64_t bytes) {
  std::memcpy(static_cast<void*>(&event), &bytes, sizeof bytes);
}

template <class E>
std::uint64_t bytes_of(const E& event) {
  std::uint64_t bytes = 0;
  std::memcpy(&bytes, static_cast<const void*>(&event), sizeof bytes);
  return bytes;
}

/// Counts the wake calls.
struct CountingEnv : internal::RealEnv {
  static inline int wakes = 0;
  static inline std::atomic<int> pauses = 0;  ///< of a spinner: it has looked as often, in vain
  template <class T>
  static int futex_wake(internal::Word<T>& word, int count) noexcept {
    ++wakes;
    return internal::RealEnv::futex_wake(word, count);
  }
  static void pause() noexcept {
    ++pauses;
    internal::RealEnv::pause();
  }
};

TEST(Event, StartsAsZeroAndNotSet) {
  const Event event;
  EXPECT_EQ(bytes_of(event), 0U);
  EXPECT_FALSE(event.is_set());
  EXPECT_FALSE(g_event.is_set());
}

TEST(Event, StaysSetUntilItIsCleared) {
  Event event;
  event.set();
  event.set();
  EXPECT_TRUE(event.try_wait());
  EXPECT_EQ(event.wait(Deadline::never()), Status::ok);
  event.wait();
  EXPECT_TRUE(event.is_set());
  event.clear();
  event.clear();
  EXPECT_FALSE(event.is_set());
  EXPECT_FALSE(event.try_wait());
}

TEST(AutoResetEvent, LetsOneThroughForEachSet) {
  AutoResetEvent event;
  event.set();
  event.set();  // the same signal
  EXPECT_TRUE(event.is_set());
  EXPECT_TRUE(event.try_wait());
  EXPECT_FALSE(event.is_set());
  EXPECT_FALSE(event.try_wait());
  event.set();
  EXPECT_EQ(event.wait(Deadline::never()), Status::ok);
  event.set();
  event.clear();  // takes it back
  EXPECT_FALSE(event.try_wait());
}

template <class E>
void expect_waits_by_the_clock() {
  E event;
  for (const Deadline passed : {Deadline::now(), Deadline(0s), Deadline(-1s)}) {
    EXPECT_EQ(event.wait(passed), Status::timeout);
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(event.wait(20ms), Status::timeout);
  EXPECT_FALSE(event.wait_for(20ms));
  EXPECT_FALSE(event.wait_until(std::chrono::steady_clock::now() + 20ms));
  EXPECT_FALSE(event.wait_until(std::chrono::system_clock::now() + 20ms));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 79ms);  // system_clock may be slewed
  event.set();
  EXPECT_TRUE(event.wait_for(std::chrono::hours::max()));
  event.set();
  EXPECT_TRUE(event.wait_until(std::chrono::system_clock::now() - 1h));
}

TEST(Event, WaitsAtLeastAsLongAsItSays) { expect_waits_by_the_clock<Event>(); }
TEST(AutoResetEvent, WaitsAtLeastAsLongAsItSays) { expect_waits_by_the_clock<AutoResetEvent>(); }

/// Just below the end of the generations: set, no waiter, nothing else.
constexpr std::uint64_t kLastGeneration = 0xffff'fffe;

TEST(Event, TheGenerationWraps) {
  Event event;
  overwrite(event, kLastGeneration);
  EXPECT_FALSE(event.try_wait());
  event.set();
  EXPECT_TRUE(event.try_wait());
  event.clear();
  EXPECT_EQ(bytes_of(event), 0U) << "the carry left the low half";
  EXPECT_FALSE(event.try_wait());
}

TEST(Event, AWaiterIsReleasedAcrossTheWrap) {
  for (const WaitMode mode : {WaitMode::spin, WaitMode::block}) {
    BasicEvent<CountingEnv> event;
    overwrite(event, kLastGeneration);
    CountingEnv::pauses = 0;
    std::atomic<pid_t> thread = 0;
    bool passed = false;
    std::jthread waiter([&] {
      set_wait_policy({.mode = mode, .first_slice = 1h, .longest_slice = 1h});
      thread = gettid();
      passed = event.wait_for(60s);
    });
    while (thread == 0) sched_yield();
    if (mode == WaitMode::block) {
      ASSERT_TRUE(wait_until_asleep(thread));
    } else {
      while (CountingEnv::pauses == 0) sched_yield();
    }
    event.set();
    event.clear();
    waiter.join();
    EXPECT_TRUE(passed) << mode;
  }
}

TEST(AutoResetEvent, TheGenerationWraps) {
  AutoResetEvent event;
  overwrite(event, kLastGeneration);
  EXPECT_FALSE(event.try_wait());
  event.set();
  EXPECT_TRUE(event.try_wait());
  EXPECT_EQ(bytes_of(event), 0U);
}

TEST(Event, AnyBytesAreAnEvent) {
  for (const std::uint64_t bytes : {~std::uint64_t{0}, std::uint64_t{0xdeadbeef} << 32,
                                    std::uint64_t{1} << 32, std::uint64_t{0x7654'3210'89ab'cdef}}) {
    Event event;
    overwrite(event, bytes);
    event.clear();
    EXPECT_FALSE(event.wait_for(1ms));
    event.set();
    EXPECT_TRUE(event.wait_for(1ms));
    AutoResetEvent automatic;
    overwrite(automatic, bytes);
    automatic.clear();
    EXPECT_FALSE(automatic.wait_for(1ms));
    automatic.set();
    EXPECT_TRUE(automatic.wait_for(1ms));
    EXPECT_FALSE(automatic.try_wait());
  }
}

template <Reset kReset>
void expect_no_needless_wake_calls() {
  BasicEvent<CountingEnv, kReset> event;
  CountingEnv::wakes = 0;
  for (int i = 0; i < 10; ++i) {
    event.set();
    EXPECT_TRUE(event.try_wait());
    event.clear();
  }
  EXPECT_EQ(CountingEnv::wakes, 0) << "nobody ever slept";
  CountingEnv::pauses = 0;
  std::jthread spinning([&] {
    set_wait_policy({.mode = WaitMode::spin});
    EXPECT_TRUE(event.wait_for(60s));
  });
  while (CountingEnv::pauses < 100) sched_yield();
  EXPECT_FALSE(event.maybe_waiting());
  event.set();
  spinning.join();
  EXPECT_EQ(CountingEnv::wakes, 0) << "nobody ever slept";
  event.clear();
  // A waiter that has gone leaves a trace, which costs one call.
  const ScopedWaitPolicy asleep({.mode = WaitMode::block});
  EXPECT_FALSE(event.wait_for(1ms));
  EXPECT_TRUE(event.maybe_waiting());
  for (int i = 0; i < 10; ++i) {
    event.set();
    event.clear();
  }
  EXPECT_EQ(CountingEnv::wakes, 1);
  EXPECT_FALSE(event.maybe_waiting());
}

TEST(Event, WakesOnlyWhereSomebodyMaySleep) { expect_no_needless_wake_calls<Reset::manual>(); }
TEST(AutoResetEvent, WakesOnlyWhereSomebodyMaySleep) {
  expect_no_needless_wake_calls<Reset::automatic>();
}

TEST(Event, PrintsItselfInOneLine) {
  Event event;
  EXPECT_EQ(text_of(event), "Event: not set");
  const ScopedWaitPolicy asleep({.mode = WaitMode::block});
  EXPECT_FALSE(event.wait_for(1ms));
  EXPECT_EQ(text_of(event), "Event: not set; others may be waiting");
  event.set();
  EXPECT_EQ(text_of(event), "Event: set");
  EXPECT_EQ(text_of(AutoResetEvent()), "AutoResetEvent: not set");
}

}  // namespace
}  // namespace sluice::tests
