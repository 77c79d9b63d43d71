// SPDX-License-Identifier: Apache-2.0
//
// Barrier within one process: construction, misuse, threads that share their seats, what a round
// costs, and bytes that no correct process writes.

#include "sluice/sync/barrier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "sluice/sync/barrier_report.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(Barrier, TakesAsManyPartiesAsItHasSeats) {
  EXPECT_EQ(Barrier<4>(4).parties(), 4U);
  EXPECT_EQ(Barrier<>(28).parties(), 28U);
  EXPECT_EQ(Barrier<>::max(), 28);
  EXPECT_THROW(Barrier<4>(5), std::invalid_argument);
  EXPECT_THROW(Barrier<4>(0), std::invalid_argument);
}

TEST(Barrier, AllZeroIsABarrierForAllSeats) {
  static constinit Barrier<3> barrier;
  EXPECT_EQ(barrier.parties(), 3U);
  alignas(64) static constinit std::array<std::byte, sizeof(Barrier<3>)> zeroes{};
  auto* const mapped = internal::attach_object<Barrier<3>>(zeroes);
  ASSERT_NE(mapped, nullptr);
  EXPECT_EQ(mapped->parties(), 3U);
  EXPECT_FALSE(mapped->broken());
}

TEST(Barrier, WhoHasNoSeatCanNotLeave) {
  Barrier<> barrier(2);
  EXPECT_THROW(barrier.leave(), std::logic_error);
  EXPECT_EQ(barrier.join(), Status::ok);
  EXPECT_EQ(barrier.join(), Status::ok) << "for a second thread";
  EXPECT_EQ(barrier.join(), Status::full);
  barrier.leave();
  barrier.leave();
  EXPECT_THROW(barrier.leave(), std::logic_error);
}

TEST(Barrier, WhoWaitsCanNotBeMadeToLeave) {
  Barrier<> barrier(2);
  std::thread waiter([&] { EXPECT_EQ(barrier.arrive_and_wait() & ~1U, 0U); });
  while (barrier.n_waiting() == 0) std::this_thread::yield();
  EXPECT_THROW(barrier.leave(), std::logic_error) << "its only seat is the waiter's";
  EXPECT_EQ(barrier.wait(10s).status, Status::ok);
  waiter.join();
}

TEST(Barrier, MoreThreadsThanPartiesFindItFull) {
  Barrier<> barrier(1);
  const Status inner =
      barrier
          .wait(
              1s,
              [&] {
                EXPECT_EQ(barrier.wait(1s).status, Status::full) << "all have come already";
                EXPECT_EQ(
                    (std::ostringstream() << barrier).str().find("Barrier: all 1 wait, the action"),
                    0U);
              })
          .status;
  EXPECT_EQ(inner, Status::ok);
}

TEST(Barrier, ThreadsOfOneProcessPassEachOtherTheirSeats) {
  Barrier<> barrier(3);
  for (int generation = 0; generation < 20; ++generation) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 50; ++round) ASSERT_EQ(barrier.wait(10s).status, Status::ok);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(barrier.parties(), 3U);
}

TEST(Barrier, AnActionMayAbort) {
  Barrier<> barrier(1);
  EXPECT_EQ(barrier.wait([&] { barrier.abort(); }).status, Status::broken);
  EXPECT_EQ(barrier.reset(), Status::ok);
  EXPECT_EQ(barrier.wait([&] { EXPECT_EQ(barrier.reset(), Status::ok); }).status, Status::broken)
      << "the round in which it ran is no more";
  EXPECT_EQ(barrier.wait().status, Status::ok);
}

TEST(Barrier, AnActionThatThrowsLeavesNoSeatTaken) {
  Barrier<> barrier(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(static_cast<void>(barrier.wait([] { throw std::range_error("no"); })),
                 std::range_error);
    EXPECT_TRUE(barrier.broken());
    EXPECT_EQ(barrier.reset(), Status::ok);
  }
  EXPECT_EQ(barrier.wait().status, Status::ok);
}

TEST(Barrier, TheFormThatThrowsSaysWhatToDo) {
  Barrier<> barrier(2);
  barrier.abort();
  try {
    barrier.arrive_and_wait();
    ADD_FAILURE() << "passed";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), make_error_code(Status::broken));
    EXPECT_THAT(e.what(), testing::HasSubstr("reset()"));
  }
}

// -------------------------------------------------------------------------------------------------
// What it costs

/// Counts the calls that would be, or may be, system calls.
struct CountingEnv : internal::RealLockEnv {
  static inline std::atomic<int> sleeps = 0;
  static inline std::atomic<int> wakes = 0;
  static inline std::atomic<int> probes = 0;

  static bool heavy_barrier() noexcept {
    ++sleeps;
    return RealLockEnv::heavy_barrier();
  }
  template <class T>
  static internal::FutexWait futex_wait(internal::Word<T>& word, std::uint32_t expected,
                                        Deadline::TimePoint until) noexcept {
    ++sleeps;
    return RealLockEnv::futex_wait(word, expected, until);
  }
  template <class T>
  static int futex_wake(internal::Word<T>& word, int count) noexcept {
    ++wakes;
    return RealLockEnv::futex_wake(word, count);
  }
  static Liveness probe(std::uint32_t tag) noexcept {
    ++probes;
    return RealLockEnv::probe(tag);
  }
};

TEST(BarrierCost, AwakeNobodyMakesASystemCall) {
  BasicBarrier<CountingEnv, 4> barrier(2);
  CountingEnv::sleeps = CountingEnv::wakes = CountingEnv::probes = 0;
  const auto run = [&] {
    set_wait_policy({.mode = WaitMode::spin, .first_slice = 1h, .longest_slice = 1h});
    for (int round = 0; round < 1000; ++round) ASSERT_EQ(barrier.wait().status, Status::ok);
  };
  std::thread one(run);
  std::thread two(run);
  one.join();
  two.join();
  EXPECT_EQ(CountingEnv::sleeps, 0);
  EXPECT_EQ(CountingEnv::wakes, 0);
  EXPECT_EQ(CountingEnv::probes, 0);
}

TEST(BarrierCost, AsleepOneWakeCallPerRoundAtMost) {
  BasicBarrier<CountingEnv, 4> barrier(3);
  CountingEnv::wakes = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      set_wait_policy({.mode = WaitMode::block});
      for (int round = 0; round < 500; ++round) ASSERT_EQ(barrier.wait().status, Status::ok);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(CountingEnv::wakes, 0);
  EXPECT_LE(CountingEnv::wakes, 500);
}

// -------------------------------------------------------------------------------------------------
// Bytes

/// As the header's diagram has them.
struct Bytes {
  std::uint64_t control;
  std::uint32_t sleepers, incarnation;
  std::int64_t timeout;
  std::uint32_t unused, on_death;
  std::uint64_t seats[4];
};
static_assert(sizeof(Bytes) == sizeof(Barrier<4>));

Bytes bytes_of(const Barrier<4>& barrier) {
  Bytes bytes;
  std::memcpy(&bytes, &barrier, sizeof bytes);
  return bytes;
}
void overwrite(Barrier<4>& barrier, const Bytes& bytes) {
  std::memcpy(static_cast<void*>(&barrier), &bytes, sizeof bytes);
}

TEST(BarrierBytes, AreAsTheDiagramHasThem) {
  Barrier<4> barrier(2, {.timeout = 5ns, .on_death = OnDeath::shrink});
  EXPECT_EQ(barrier.join(), Status::ok);
  Bytes bytes = bytes_of(barrier);
  const std::uint32_t me = participant::self();
  EXPECT_EQ(bytes.control, 0U);
  EXPECT_EQ(bytes.incarnation, internal::this_thread().incarnation);
  EXPECT_EQ(bytes.timeout, 5);
  EXPECT_EQ(bytes.unused, 2U);
  EXPECT_EQ(bytes.on_death, 2U);
  EXPECT_EQ(bytes.seats[0], me);
  EXPECT_EQ(barrier.wait().status, Status::timeout);
  EXPECT_EQ(bytes_of(barrier).control, me) << "broken by me";
  EXPECT_EQ(barrier.reset(), Status::ok);
  EXPECT_EQ(bytes_of(barrier).control, std::uint64_t{2} << 33) << "the next but one";
}

TEST(BarrierBytes, OfAnotherRegistryAreRefusedUntilReset) {
  Barrier<4> barrier(2);
  EXPECT_EQ(barrier.join(), Status::ok);
  Bytes foreign = bytes_of(barrier);
  foreign.incarnation ^= 1;
  foreign.seats[0] = 0xfffffff0;  // would seem dead here
  overwrite(barrier, foreign);
  EXPECT_EQ(barrier.wait(1s).status, Status::foreign_registry);
  EXPECT_EQ(barrier.join(), Status::foreign_registry);
  EXPECT_THROW(barrier.leave(), std::logic_error);
  EXPECT_THROW(barrier.arrive_and_drop(), Error);
  EXPECT_EQ(std::memcmp(&barrier, &foreign, sizeof foreign), 0) << "untouched";
  EXPECT_EQ(barrier.reset(), Status::ok);
  EXPECT_EQ(barrier.join(), Status::ok);
  EXPECT_EQ(barrier.join(), Status::ok) << "both seats are free";
}

TEST(BarrierBytes, WithoutPartiesAreCorrupt) {
  Barrier<4> barrier;
  Bytes bytes = bytes_of(barrier);
  for (const std::uint32_t unused : {4U, 5U, 0xffffffffU}) {
    bytes.unused = unused;
    overwrite(barrier, bytes);
    EXPECT_EQ(barrier.parties(), 0U);
    EXPECT_EQ(barrier.wait().status, Status::corrupt);
    EXPECT_EQ(barrier.join(), Status::corrupt);
    EXPECT_THROW(barrier.leave(), std::logic_error);
  }
}

TEST(BarrierBytes, NoneMakeACallHangOrCrash) {
  std::mt19937_64 random(7);
  Barrier<4> barrier;
  const std::uint32_t incarnation = internal::this_thread().incarnation;
  const std::uint32_t me = participant::self();
  const auto start = Clock::now();
  int told[20] = {};
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes = {};
    std::uint64_t* const words = reinterpret_cast<std::uint64_t*>(&bytes);
    for (std::size_t w = 0; w < sizeof bytes / 8; ++w) words[w] = random();
    // Near what is right, in different ways, so that the calls come far.
    if (random() % 8 != 0) bytes.incarnation = incarnation;
    if (random() % 8 != 0) bytes.unused %= 4;
    if (random() % 4 != 0) bytes.on_death %= 5;
    bytes.timeout = static_cast<std::int64_t>(random() % 1'000'000);
    if (random() % 2 != 0) bytes.control &= std::uint64_t{7} << 32;
    for (std::uint64_t& seat : bytes.seats) {
      if (random() % 2 != 0) seat &= std::uint64_t{7} << 32;
      if (random() % 2 != 0) seat |= me;
    }
    overwrite(barrier, bytes);
    ++told[static_cast<int>(barrier.wait(i % 2 == 0 ? 0us : 200us).status)];
    ++told[static_cast<int>(barrier.wait(50us, [] {}).status)];
    static_cast<void>(barrier.join());
    static_cast<void>((std::ostringstream() << barrier).str());
    try {
      if (i % 3 == 0) barrier.leave();
      if (i % 3 == 1) barrier.arrive_and_drop();
    } catch (const std::logic_error&) {
    } catch (const Error&) {
    }
    barrier.abort();
    EXPECT_EQ(barrier.reset(), Status::ok);
  }
  EXPECT_LT(Clock::now() - start, 60s);
  for (const Status s : {Status::ok, Status::broken, Status::timeout, Status::full, Status::corrupt,
                         Status::foreign_registry}) {
    EXPECT_GT(told[static_cast<int>(s)], 0) << s << " is among them";
  }
}

}  // namespace
}  // namespace sluice::tests
