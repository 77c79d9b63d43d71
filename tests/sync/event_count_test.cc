// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/event_count.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "sluice/pool/process.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/participant.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using internal::RealEnv;
using internal::Word;

constexpr auto kHopeful = [] { return Status::ok; };

/// RealEnv that counts its system calls, may refuse the heavy barrier, and lets a test step in
/// between the notifier's wake call and what it does afterwards.
struct CountingEnv : RealEnv {
  static inline std::atomic<int> waits = 0, wakes = 0, barriers = 0, fences = 0;
  static inline std::atomic<bool> refuses_barriers = false;
  static inline std::function<void()> after_wake;

  static void reset() {
    waits = wakes = barriers = fences = 0;
    refuses_barriers = false;
    after_wake = nullptr;
  }
  static bool heavy_barrier() noexcept {
    ++barriers;
    return !refuses_barriers && RealEnv::heavy_barrier();
  }
  static void fence() noexcept {
    ++fences;
    RealEnv::fence();
  }
  static internal::FutexWait futex_wait(Word<std::uint32_t>& word, std::uint32_t expected,
                                        Deadline::TimePoint until) noexcept {
    ++waits;
    return RealEnv::futex_wait(word, expected, until);
  }
  static int futex_wake(Word<std::uint32_t>& word, int count) noexcept {
    ++wakes;
    const int woken = RealEnv::futex_wake(word, count);
    if (after_wake) std::exchange(after_wake, nullptr)();
    return woken;
  }
};

using CountingEventCount = BasicEventCount<CountingEnv>;

class EventCountCost : public testing::Test {
 protected:
  void SetUp() override {
    attach();
    CountingEnv::reset();
  }
  static int system_calls() {
    return CountingEnv::waits + CountingEnv::wakes + CountingEnv::barriers;
  }

  CountingEventCount event_ = {};
};

TEST_F(EventCountCost, NotifyingNobodyIsNoSystemCallAndNoFence) {
  for (int i = 0; i < 100; ++i) {
    event_.notify_one();
    event_.notify_all();
  }
  EXPECT_EQ(system_calls(), 0);
  EXPECT_EQ(CountingEnv::fences, 0);
}

TEST_F(EventCountCost, AWaitThatIsOverAtOnceIsNoSystemCall) {
  EXPECT_EQ(event_.await(Deadline::never(), [] { return true; }, kHopeful), Status::ok);
  EXPECT_EQ(event_.await(1ms, [] { return true; }, kHopeful), Status::ok);
  EXPECT_EQ(system_calls(), 0);
}

TEST_F(EventCountCost, TryingOnceIsNoSystemCallAndAsksNobody) {
  const auto asked = [] {
    ADD_FAILURE() << "the peer's state costs a system call";
    return Status::ok;
  };
  EXPECT_EQ(event_.await(Deadline::now(), [] { return false; }, asked), Status::timeout);
  EXPECT_EQ(event_.await(0ms, [] { return false; }, asked), Status::timeout);
  EXPECT_EQ(event_.await(-1h, [] { return false; }, asked), Status::timeout);
  EXPECT_EQ(system_calls(), 0);
  EXPECT_FALSE(event_.maybe_waiting());
}

TEST_F(EventCountCost, ASliceIsOneBarrierAndOneWait) {
  EXPECT_EQ(event_.await(5ms, [] { return false; }, kHopeful), Status::timeout);
  EXPECT_EQ(CountingEnv::waits, 1);
  EXPECT_EQ(CountingEnv::barriers, 1) << "before the sleep; the look at the end announces nobody";
  EXPECT_EQ(CountingEnv::wakes, 0);
}

TEST_F(EventCountCost, SlicesGrow) {
  EXPECT_EQ(event_.await(300ms, [] { return false; }, kHopeful), Status::timeout);
  EXPECT_LE(CountingEnv::waits, 7) << "10 + 20 + 40 + 80 + 80 + 70";
  EXPECT_GE(CountingEnv::waits, 5);
  EXPECT_EQ(CountingEnv::barriers, 1) << "nobody has notified: the first announcement stands";
}

TEST_F(EventCountCost, AWaiterThatWentAwayCostsOneNeedlessWakeAndNoMore) {
  static_cast<void>(event_.announce());  // and is killed here
  EXPECT_TRUE(event_.maybe_waiting());
  event_.notify_all();
  EXPECT_GE(CountingEnv::wakes, 1);
  EXPECT_FALSE(event_.maybe_waiting());
  const int wakes = CountingEnv::wakes;
  for (int i = 0; i < 10; ++i) event_.notify_all();
  EXPECT_EQ(CountingEnv::wakes, wakes);
}

TEST_F(EventCountCost, AfterNotifyOneAsWell) {
  static_cast<void>(event_.announce());
  event_.notify_one();
  const int wakes = CountingEnv::wakes;
  EXPECT_LE(wakes, 2);
  EXPECT_FALSE(event_.maybe_waiting());
  event_.notify_one();
  EXPECT_EQ(CountingEnv::wakes, wakes);
}

TEST_F(EventCountCost, WhereTheBarrierIsRefusedNotifiersPayWithAFence) {
  CountingEnv::refuses_barriers = true;
  static_cast<void>(event_.announce());
  const int announced = CountingEnv::fences;
  EXPECT_GE(announced, 1);
  event_.notify_all();
  EXPECT_GE(CountingEnv::wakes, 1);
  const int wakes = CountingEnv::wakes;
  const int before = CountingEnv::fences;
  event_.notify_all();
  EXPECT_EQ(CountingEnv::fences, before + 1) << "for good: the next waiter relies on it";
  EXPECT_EQ(CountingEnv::wakes, wakes) << "but no system call when nobody waits";
}

// -------------------------------------------------------------------------------------------------
// Interleavings, step by step

TEST_F(EventCountCost, ANotificationBetweenAnnouncingAndSleepingPreventsTheSleep) {
  const auto key = event_.announce();
  event_.notify_all();
  const auto start = Clock::now();
  event_.sleep(key, start + 10s);
  EXPECT_LT(Clock::now() - start, 5s);
}

TEST_F(EventCountCost, AWaiterThatComesWhileANotifierIsAtWorkIsNotForgotten) {
  // The notifier has called wake, found nobody, and is preempted. A waiter that was announced
  // before comes round, announces itself anew, finds nothing, and sleeps. The notifier goes on.
  for (const bool everybody : {true, false}) {
    SetUp();
    CountingEventCount event = {};
    static_cast<void>(event.announce());
    CountingEventCount::Key second = {};
    CountingEnv::after_wake = [&] { second = event.announce(); };
    everybody ? event.notify_all() : event.notify_one();
    const int wakes = CountingEnv::wakes;
    // Asleep or not yet: either the sleep is refused, or the next notifier knows of the sleeper.
    const auto start = Clock::now();
    if (event.maybe_waiting()) {
      event.notify_all();
      EXPECT_GT(CountingEnv::wakes, wakes);
    } else {
      event.sleep(second, start + 10s);
      EXPECT_LT(Clock::now() - start, 5s) << "slept, and no notifier would have known";
    }
  }
}

// -------------------------------------------------------------------------------------------------
// What await() returns, and when

TEST(EventCount, TimesOutNotEarlyAndNotVeryLate) {
  EventCount event = {};
  for (const std::chrono::microseconds timeout : {1us, 999us, 9000us, 11000us, 35000us, 160000us}) {
    const auto start = Clock::now();
    EXPECT_EQ(event.await(timeout, [] { return false; }, kHopeful), Status::timeout);
    const auto waited = Clock::now() - start;
    EXPECT_GE(waited, timeout);
    EXPECT_LT(waited, timeout + 1s);
  }
}

TEST(EventCount, ATimePointThatHasPassedIsATimeout) {
  EventCount event = {};
  EXPECT_EQ(event.await(Clock::now() - 1s, [] { return false; }, kHopeful), Status::timeout);
}

TEST(EventCount, HopelessEndsTheWaitWithItsReason) {
  EventCount event = {};
  const auto start = Clock::now();
  EXPECT_EQ(event.await(
                Deadline::never(), [] { return false; }, [] { return Status::peer_died; }),
            Status::peer_died);
  EXPECT_LT(Clock::now() - start, 5s);
}

TEST(EventCount, WhatBecameReadyBeforeTheHopeWentIsNotMissed) {
  // The peer changed something and died: the last look comes after the news of the death.
  EventCount event = {};
  bool changed = false;
  const auto dies = [&] {
    changed = true;
    return Status::peer_died;
  };
  EXPECT_EQ(event.await(Deadline::never(), [&] { return changed; }, dies), Status::ok);
}

TEST(EventCount, AnUnnoticedChangeIsSeenAtTheEndOfTheSlice) {
  // A notifier killed between its change and its notification.
  EventCount event = {};
  std::atomic<bool> changed = false;
  const pid_t waiter = gettid();
  const std::jthread other([&] {
    wait_until_asleep(waiter);
    changed = true;
  });
  const auto start = Clock::now();
  EXPECT_EQ(event.await(30s, [&] { return changed.load(); }, kHopeful), Status::ok);
  EXPECT_LT(Clock::now() - start, 5s);
}

// -------------------------------------------------------------------------------------------------
// Over threads and over processes

/// What the parties of a test share; lies in memory that forked children map too.
struct Board {
  EventCount turn;
  EventCount done;
  std::atomic<int> value;
  std::atomic<int> arrived;
};

class SharedBoard {
 public:
  SharedBoard()
      : board_(new(mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                        -1, 0)) Board{}) {}
  ~SharedBoard() { munmap(board_, sizeof(Board)); }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;
  Board* operator->() const { return board_; }

 private:
  Board* board_;
};

struct Threads {
  using Party = std::jthread;
  static Party start(std::function<void()> body) { return std::jthread(std::move(body)); }
};
struct Processes {
  using Party = Process;
  static Party start(std::function<void()> body) { return Process("party", std::move(body)); }
};

template <class Way>
class EventCountOver : public testing::Test {};
using Ways = testing::Types<Threads, Processes>;
TYPED_TEST_SUITE(EventCountOver, Ways);

TYPED_TEST(EventCountOver, TwoPartiesTakeTurns) {
  constexpr int kTurns = 3000;
  const SharedBoard board;
  const auto party = TypeParam::start([&] {
    attach();
    for (int i = 0; i < kTurns; ++i) {
      static_cast<void>(board->turn.await(
          Deadline::never(), [&] { return board->value.load() == 2 * i + 1; }, kHopeful));
      board->value.store(2 * i + 2);
      board->done.notify_one();
    }
  });
  attach();
  for (int i = 0; i < kTurns; ++i) {
    board->value.store(2 * i + 1);
    board->turn.notify_one();
    ASSERT_EQ(board->done.await(
                  20s, [&] { return board->value.load() == 2 * i + 2; }, kHopeful),
              Status::ok);
  }
}

TYPED_TEST(EventCountOver, NotifyAllWakesEverySleeper) {
  constexpr int kSleepers = 6;
  const SharedBoard board;
  std::vector<typename TypeParam::Party> sleepers;
  for (int i = 0; i < kSleepers; ++i) {
    sleepers.push_back(TypeParam::start([&] {
      attach();
      for (int round = 1; round <= 20; ++round) {
        const auto key = board->turn.announce();
        board->arrived.fetch_add(1);
        board->done.notify_one();
        // Bare sleep() with a far end: only a wake-up, or a refusal, ends it.
        if (board->value.load() < round) board->turn.sleep(key, Clock::now() + 20s);
        static_cast<void>(
            board->turn.await(20s, [&] { return board->value.load() >= round; }, kHopeful));
      }
    }));
  }
  const auto start = Clock::now();
  for (int round = 1; round <= 20; ++round) {
    ASSERT_EQ(board->done.await(
                  20s, [&] { return board->arrived.load() == round * kSleepers; }, kHopeful),
              Status::ok);
    board->value.store(round);
    board->turn.notify_all();
  }
  sleepers.clear();
  EXPECT_LT(Clock::now() - start, 15s) << "somebody slept to the end";
}

TEST(EventCount, NotifyOneWakesOneOfTwoSleepersAndThenTheOther) {
  EventCount event = {};
  std::atomic<int> woken = 0;
  std::atomic<pid_t> ids[2] = {};
  std::vector<std::jthread> sleepers;
  for (auto& id : ids) {
    sleepers.emplace_back([&] {
      const auto key = event.announce();
      id = gettid();
      event.sleep(key, Clock::now() + 20s);
      ++woken;
    });
  }
  for (auto& id : ids) {
    while (id == 0) std::this_thread::yield();
    wait_until_asleep(id);
  }
  event.notify_one();
  while (woken == 0) std::this_thread::yield();
  EXPECT_TRUE(event.maybe_waiting()) << "the other is asleep still";
  event.notify_one();
  const auto start = Clock::now();
  sleepers.clear();
  EXPECT_LT(Clock::now() - start, 10s);
  EXPECT_EQ(woken, 2);
}

TEST(EventCount, AKilledSleeperDoesNotKeepOthersFromBeingWoken) {
  const SharedBoard board;
  for (int round = 0; round < 10; ++round) {
    board->value = 0;
    board->arrived = 0;
    Process victim("victim", [&] {
      board->arrived.fetch_add(1);
      static_cast<void>(board->turn.await(Deadline::never(), [] { return false; }, kHopeful));
    });
    Process sleeper("sleeper", [&] {
      board->arrived.fetch_add(1);
      const Status status =
          board->turn.await(20s, [&] { return board->value.load() == 1; }, kHopeful);
      if (status != Status::ok) _exit(1);
    });
    while (board->arrived.load() != 2) std::this_thread::yield();
    wait_until_asleep(victim.pid());
    wait_until_asleep(sleeper.pid());
    victim.kill();
    victim.join();
    board->value.store(1);
    board->turn.notify_all();
    EXPECT_TRUE(sleeper.join(10s));
    EXPECT_EQ(sleeper.exit_code(), 0);
  }
}

TEST(EventCount, EveryChangeIsSeenWithoutASliceOfDelay) {
  // A lost wake-up shows as a wait of a whole slice; 2000 of them would take 20 seconds.
  const SharedBoard board;
  const std::jthread other([&] {
    for (int i = 0; i < 2000; ++i) {
      const auto ready = [&] { return board->value.load() > i; };
      ASSERT_EQ(board->turn.await(20s, ready, kHopeful), Status::ok);
      board->arrived.store(i + 1);
      board->done.notify_all();
    }
  });
  attach();
  const auto start = Clock::now();
  for (int i = 0; i < 2000; ++i) {
    board->value.store(i + 1);
    board->turn.notify_all();
    const auto ready = [&] { return board->arrived.load() > i; };
    ASSERT_EQ(board->done.await(20s, ready, kHopeful), Status::ok);
  }
  EXPECT_LT(Clock::now() - start, 10s);
}

}  // namespace
}  // namespace sluice::tests
