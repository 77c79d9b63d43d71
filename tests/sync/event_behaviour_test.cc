// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's Event rely on, held against Event (rows EV1 to EV8) and, as
// far as it has a meaning there, AutoResetEvent, by threads, forked children, and processes that
// meet by name. And the same with waiters and setters that are killed.

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <string>

#include "sluice/sync/env.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// How much later than its time a call may return on a machine that does other things as well. The
/// lower bound has no such slack.
constexpr auto kLate = 1s;

/// Is killed, or stops for good, where it would make its wake call.
struct NoWakeEnv : internal::RealEnv {
  template <class T>
  static int futex_wake(internal::Word<T>& /*word*/, int /*count*/) noexcept {
    _exit(EXIT_SUCCESS);
  }
};

/// The same event, to a process that is about to be killed. The two types have the same bytes.
BasicEvent<NoWakeEnv>& without_wake_calls(Event& event) {
  return *std::launder(static_cast<BasicEvent<NoWakeEnv>*>(static_cast<void*>(&event)));
}

template <class E>
struct Waited {
  E event;
  E answer;
  std::atomic<int> begun, passed, failed;
  std::atomic<int> round;
};

/// Waits without slices that would help: a wake-up that is lost is seen to be lost.
void sleep_long() {
  set_wait_policy({.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h});
}

void until_is(const std::atomic<int>& value, int wanted) {
  while (value < wanted) sched_yield();
}

template <class Way>
class EventBehaviour : public testing::Test {
 public:
  using Shared = Waited<Event>;
  Stage<Way, Shared> stage_;
};

template <class Way>
class AutoResetEventBehaviour : public testing::Test {
 public:
  using Shared = Waited<AutoResetEvent>;
  Stage<Way, Shared> stage_;
};

TYPED_TEST_SUITE(EventBehaviour, Ways, WayNames);
TYPED_TEST_SUITE(AutoResetEventBehaviour, Ways, WayNames);

TYPED_TEST(EventBehaviour, EV1_SetIsSeenAndWakes) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  EXPECT_FALSE(stage->event.is_set());
  EXPECT_LT(time_of([&] { EXPECT_FALSE(stage->event.wait_for(0s)); }), kLate);
  const auto waited = time_of([&] { EXPECT_FALSE(stage->event.wait_for(50ms)); });
  EXPECT_GE(waited, 50ms);
  EXPECT_LT(waited, 50ms + kLate);
  stage->event.set();
  EXPECT_TRUE(stage->event.wait_for(0s));
  EXPECT_LT(time_of([&] { EXPECT_TRUE(stage->event.wait_for(10s)); }), kLate);
  stage.start([](Shared& shared) {
    EXPECT_TRUE(shared.event.is_set());
    shared.event.clear();
  });
  stage.finish();
  EXPECT_FALSE(stage->event.is_set());
  stage.start([](Shared& shared) {
    usleep(20000);
    shared.event.set();
  });
  stage->event.wait();
  EXPECT_TRUE(stage->event.is_set());
  stage.finish();
}

TYPED_TEST(EventBehaviour, EV3_OneSetReleasesAll) {
  using Shared = typename TestFixture::Shared;
  constexpr int kWaiters = 10;
  auto& stage = this->stage_;
  for (int cycle = 1; cycle <= 2; ++cycle) {
    for (int i = 0; i < kWaiters; ++i) {
      stage.start([](Shared& shared) {
        ++shared.begun;
        EXPECT_TRUE(shared.event.wait_for(60s));
        EXPECT_TRUE(shared.event.wait_for(0s)) << "it stays set";
        ++shared.passed;
      });
    }
    until_is(stage->begun, cycle * kWaiters);
    EXPECT_EQ(stage->passed, (cycle - 1) * kWaiters);
    stage->event.set();
    EXPECT_LT(time_of([&] { until_is(stage->passed, cycle * kWaiters); }), 50ms + kLate);
    stage.finish();
    stage->event.clear();
    stage.forget_finished();
  }
}

TYPED_TEST(EventBehaviour, EV4_TimeoutsAreExact) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (int i = 0; i < 5; ++i) {
    stage.start([](Shared& shared) {
      EXPECT_FALSE(shared.event.wait_for(0s));
      const auto waited = time_of([&] { EXPECT_FALSE(shared.event.wait_for(300ms)); });
      EXPECT_GE(waited, 300ms);
      EXPECT_LT(waited, 300ms + kLate);
    });
  }
  stage.finish();
  stage->event.set();
  for (int i = 0; i < 5; ++i) {
    stage.start([](Shared& shared) { EXPECT_TRUE(shared.event.wait_for(300ms)); });
  }
  stage.finish();
}

/// set() and clear() back to back, once: all who waited go on.
TYPED_TEST(EventBehaviour, EV5_SetAndClearReleasesThoseWhoWaited) {
  using Shared = typename TestFixture::Shared;
  constexpr int kWaiters = 5;
  constexpr int kRounds = 1000;
  auto& stage = this->stage_;
  for (int i = 0; i < kWaiters; ++i) {
    stage.start([](Shared& shared) {
      sleep_long();
      for (int round = 1; round <= kRounds; ++round) {
        until_is(shared.round, round);
        ++shared.begun;
        if (!shared.event.wait_for(60s)) ++shared.failed;
        ++shared.passed;
      }
    });
  }
  Clock::duration longest{};
  for (int round = 1; round <= kRounds; ++round) {
    stage->round = round;
    until_is(stage->begun, round * kWaiters);
    for (int party = 0; party < kWaiters; ++party) stage.wait_until_asleep(party);
    stage->event.set();
    stage->event.clear();
    longest = std::max(longest, time_of([&] { until_is(stage->passed, round * kWaiters); }));
  }
  stage.finish();
  EXPECT_EQ(stage->failed, 0);
  EXPECT_LT(longest, 100ms + kLate);
}

TYPED_TEST(EventBehaviour, EV7_TheChildSeesSetAndClears) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  stage->event.set();
  stage.start([](Shared& shared) {
    EXPECT_TRUE(shared.event.is_set());
    shared.event.clear();
    EXPECT_FALSE(shared.event.is_set());
  });
  stage.finish();
  EXPECT_FALSE(stage->event.is_set());
}

// -------------------------------------------------------------------------------------------------
// EV8: signal handlers

Event* g_set_by_alarm = nullptr;
AutoResetEvent* g_auto_set_by_alarm = nullptr;
volatile sig_atomic_t g_alarms = 0;

void on_alarm(int /*signal*/) {
  g_alarms = g_alarms + 1;
  if (g_set_by_alarm != nullptr) {
    g_set_by_alarm->set();
    if (g_alarms % 2 == 0) g_set_by_alarm->clear();
  }
  if (g_auto_set_by_alarm != nullptr) g_auto_set_by_alarm->set();
}

/// SIGALRM a thousand times a second, in the calling thread of a process of its own.
class Alarms {
 public:
  Alarms() {
    struct sigaction action{};
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, nullptr);
    const itimerval each{.it_interval = {.tv_sec = 0, .tv_usec = 1000},
                         .it_value = {.tv_sec = 0, .tv_usec = 1000}};
    setitimer(ITIMER_REAL, &each, nullptr);
  }
  ~Alarms() {
    const itimerval none{};
    setitimer(ITIMER_REAL, &none, nullptr);
    signal(SIGALRM, SIG_DFL);
  }
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;
};

template <class Way>
class EventInHandler : public EventBehaviour<Way> {};
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(EventInHandler, Processes, WayNames);

TYPED_TEST(EventInHandler, EV8_SetFromASignalHandlerDuringWaitAndIsSet) {
  using Shared = typename TestFixture::Shared;
  auto& stage = this->stage_;
  for (const WaitMode mode : {WaitMode::block, WaitMode::spin, WaitMode::adaptive}) {
    stage.start([mode](Shared& shared) {
      set_wait_policy({.mode = mode, .first_slice = 1h, .longest_slice = 1h});
      g_set_by_alarm = &shared.event;
      const Alarms alarms;
      for (const auto end = Clock::now() + 300ms; Clock::now() < end;) {
        // The handler alone sets it; every second time it clears it as well.
        EXPECT_TRUE(shared.event.wait_for(30s));
        for (int i = 0; i < 1000; ++i) static_cast<void>(shared.event.is_set());
        shared.event.clear();
      }
      EXPECT_GT(g_alarms, 20);
    });
    stage.finish();
  }
}

TYPED_TEST(EventInHandler, EV8_SetOfAnAutoResetEventFromASignalHandler) {
  Stage<TypeParam, Waited<AutoResetEvent>> stage;
  stage.start([](Waited<AutoResetEvent>& shared) {
    sleep_long();
    g_auto_set_by_alarm = &shared.event;
    const Alarms alarms;
    for (int i = 0; i < 200; ++i) EXPECT_TRUE(shared.event.wait_for(30s));
  });
  stage.finish();
}

// -------------------------------------------------------------------------------------------------
// AutoResetEvent

TYPED_TEST(AutoResetEventBehaviour, EachSetLetsExactlyOneThrough) {
  using Shared = typename TestFixture::Shared;
  constexpr int kWaiters = 5;
  auto& stage = this->stage_;
  for (int i = 0; i < kWaiters; ++i) {
    const int party = stage.start([i](Shared& shared) {
      if (i % 2 == 0) sleep_long();
      shared.event.wait();
      ++shared.passed;
    });
    if (i % 2 == 0) stage.wait_until_asleep(party);
  }
  for (int set = 1; set <= kWaiters; ++set) {
    stage->event.set();
    until_is(stage->passed, set);
    usleep(10000);  // for a second one, which must not come
    EXPECT_EQ(stage->passed, set);
    EXPECT_FALSE(stage->event.is_set());
  }
  stage.finish();
}

TYPED_TEST(AutoResetEventBehaviour, PingPongLosesNoSignal) {
  using Shared = typename TestFixture::Shared;
  constexpr int kTrips = 5000;
  auto& stage = this->stage_;
  for (const WaitMode mode : {WaitMode::block, WaitMode::adaptive}) {
    const WaitPolicy policy{.mode = mode, .first_slice = 1h, .longest_slice = 1h};
    const int party = stage.start([policy](Shared& shared) {
      set_wait_policy(policy);
      for (int i = 0; i < kTrips; ++i) {
        EXPECT_EQ(shared.event.wait(60s), Status::ok);
        shared.answer.set();
      }
    });
    const ScopedWaitPolicy ours(policy);
    for (int i = 0; i < kTrips; ++i) {
      stage->event.set();
      ASSERT_EQ(stage->answer.wait(60s), Status::ok) << "trip " << i;
    }
    stage.finish(party);
    EXPECT_FALSE(stage->event.is_set() || stage->answer.is_set());
  }
}

// -------------------------------------------------------------------------------------------------
// Deaths

template <class Way>
class EventDeath : public testing::Test {};
TYPED_TEST_SUITE(EventDeath, Processes, WayNames);

TYPED_TEST(EventDeath, AKilledWaiterHindersNobody) {
  using Shared = Waited<Event>;
  Stage<TypeParam, Shared> stage;
  const auto waiter = [&] {
    const int party = stage.start([](Shared& shared) {
      sleep_long();
      shared.event.wait();
      ++shared.passed;
    });
    stage.wait_until_asleep(party);
    return party;
  };
  const int victim = waiter();
  waiter();
  stage.kill(victim);
  waiter();
  stage->event.set();
  stage.finish();
  EXPECT_EQ(stage->passed, 2);
}

TYPED_TEST(EventDeath, TheSignalGoesToALivingWaiterOfAnAutoResetEvent) {
  using Shared = Waited<AutoResetEvent>;
  Stage<TypeParam, Shared> stage;
  const auto waiter = [&] {
    const int party = stage.start([](Shared& shared) {
      sleep_long();
      shared.event.wait();
      ++shared.passed;
    });
    stage.wait_until_asleep(party);
    return party;
  };
  const int first = waiter();
  const int second = waiter();
  stage.kill(first);
  stage->event.set();
  stage.finish(second);
  EXPECT_EQ(stage->passed, 1);
}

/// Between its commit and its wake call: slices help, or the next set().
TYPED_TEST(EventDeath, AKilledSetterLeavesSleepersToTheirSlice) {
  using Shared = Waited<Event>;
  Stage<TypeParam, Shared> stage;
  const int party = stage.start([](Shared& shared) {
    set_wait_policy({.mode = WaitMode::block});
    EXPECT_TRUE(shared.event.wait_for(60s));
  });
  stage.wait_until_asleep(party);
  while (!stage->event.maybe_waiting()) sched_yield();
  const int setter = stage.start([](Shared& shared) {
    without_wake_calls(shared.event).set();
    ADD_FAILURE() << "made no wake call";
  });
  stage.finish(setter);
  EXPECT_LT(time_of([&] { stage.finish(party); }), 80ms + kLate);
}

TYPED_TEST(EventDeath, TheNextSetMakesUpForAKilledSetter) {
  using Shared = Waited<Event>;
  Stage<TypeParam, Shared> stage;
  const int party = stage.start([](Shared& shared) {
    sleep_long();
    EXPECT_TRUE(shared.event.wait_for(600s));
  });
  stage.wait_until_asleep(party);
  while (!stage->event.maybe_waiting()) sched_yield();
  const int setter = stage.start([](Shared& shared) { without_wake_calls(shared.event).set(); });
  stage.finish(setter);
  stage->event.set();  // is set already
  stage.finish(party);
}

}  // namespace
}  // namespace sluice::tests
