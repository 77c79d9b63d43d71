// SPDX-License-Identifier: Apache-2.0
//
// Timer: rows TI1 to TI4 (TI5: fork_test).

#include "sluice/pool/timer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/pool/uncaught.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/tests/pool/watched.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using testing::ElementsAre;
using testing::StartsWith;

class TimerTest : public Watched {};

TEST_F(TimerTest, EachHasItsOwnArgumentsAndFiresOnce) {  // TI1
  std::vector<std::string> calls;
  Timer one(1ms, [&, text = std::string("one")]() mutable { calls.push_back(text += "!"); });
  Timer other(30ms, [&, text = std::string("other")]() mutable { calls.push_back(text += "!"); });
  EXPECT_TRUE(one.join());
  EXPECT_TRUE(other.join());
  EXPECT_FALSE(one.pending());
  EXPECT_THAT(calls, ElementsAre("one!", "other!"));
}

TEST_F(TimerTest, FiresInTime) {  // TI2: never early, and not ten times as late as asked
  for (const auto after : {1ms, 10ms, 100ms}) {
    Clock::time_point fired;
    const auto start = Clock::now();
    Timer timer(after, [&] { fired = Clock::now(); });
    EXPECT_TRUE(timer.join());
    EXPECT_GE(fired - start, after);
    EXPECT_LT(fired - start, after + 200ms);
  }
}

TEST_F(TimerTest, JoinHasADeadline) {
  Timer later(1h, [] {});
  const auto start = Clock::now();
  EXPECT_FALSE(later.join(5ms));
  EXPECT_GE(Clock::now() - start, 5ms);
  EXPECT_TRUE(later.pending());
}

TEST_F(TimerTest, AtOnceAndNever) {  // TI2
  for (const auto after : {0ms, -5ms}) {
    std::atomic<bool> fired = false;
    Timer timer(after, [&] { fired = true; });
    EXPECT_TRUE(timer.join());
    EXPECT_TRUE(fired);
  }
  Timer never(std::chrono::hours::max(), [] { ADD_FAILURE(); });
  Timer hardly(std::chrono::duration<double>(1e30), [] { ADD_FAILURE(); });
  EXPECT_FALSE(never.join(10ms));
  EXPECT_THROW(Timer(std::chrono::duration<double>(std::nan("")), [] {}), std::invalid_argument);
  EXPECT_THROW(Timer::every(0ms, [] {}), std::invalid_argument);
}

TEST_F(TimerTest, CancelBeforeAndAfter) {  // TI2
  int calls = 0;
  Timer timer(20ms, [&] { ++calls; });
  EXPECT_TRUE(timer.pending());
  EXPECT_TRUE(timer.cancel());
  EXPECT_FALSE(timer.cancel());
  EXPECT_TRUE(timer.join());
  timer.restart(1ms);
  timer.join();
  EXPECT_FALSE(timer.cancel());
  EXPECT_EQ(calls, 1);
}

TEST_F(TimerTest, RunsInAThreadOfItsOwn) {  // TI2
  std::thread::id first;
  std::thread::id second;
  Timer one(0ms, [&] { first = std::this_thread::get_id(); });
  one.join();
  Timer two(0ms, [&] { second = std::this_thread::get_id(); });
  two.join();
  EXPECT_NE(first, std::this_thread::get_id());
  EXPECT_EQ(first, second);
}

TEST_F(TimerTest, TenThousandInOneThread) {  // TI2
  std::vector<Timer> timers;
  std::vector<int> order;  // the calls don't overlap
  timers.reserve(10'000);
  for (int i = 0; i < 10'000; ++i) {
    const auto after = std::chrono::milliseconds(100 + i * 7919 % 200);
    timers.emplace_back(after, [&order, n = i * 7919 % 200] { order.push_back(n); });
  }
  for (int i = 0; i < 10'000; i += 2) timers[static_cast<std::size_t>(i)].cancel();
  for (Timer& timer : timers) timer.join();
  EXPECT_EQ(order.size(), 5'000);
}

TEST_F(TimerTest, InTheOrderOfTheirTimes) {
  std::vector<int> order;
  Event go_on;
  const Timer holds_up(0ms, [&] { go_on.wait(); });
  std::vector<Timer> timers;
  for (const int n : {30, 10, 20}) {
    timers.emplace_back(std::chrono::milliseconds(n), [&, n] { order.push_back(n); });
  }
  std::this_thread::sleep_for(40ms);  // so that all are due
  go_on.set();
  for (Timer& timer : timers) timer.join();
  EXPECT_THAT(order, ElementsAre(10, 20, 30));
}

TEST_F(TimerTest, OneThatThrowsIsReportedAndTheOthersGoOn) {  // TI2
  static std::atomic<int> reports = 0;
  const UncaughtHook before =
      set_uncaught_hook([](std::string_view, const std::exception_ptr&) { reports++; });
  int calls = 0;
  Event thrice;
  Timer throws = Timer::every(1ms, [&] {
    if (++calls == 3) thrice.set();
    throw std::runtime_error("no");
  });
  Timer other(5ms, [] {});
  EXPECT_TRUE(other.join());
  thrice.wait();
  throws.cancel();
  throws.join();
  EXPECT_GE(reports, 3);
  set_uncaught_hook(before);
}

TEST_F(TimerTest, RepeatsAndCancelsItselfInItsCall) {  // TI3
  int calls = 0;
  std::optional<Timer> timer;
  Event made;
  timer = Timer::every(2ms, [&] {
    made.wait();
    if (++calls == 5) {
      EXPECT_TRUE(timer->pending());
      EXPECT_TRUE(timer->cancel());
      EXPECT_FALSE(timer->pending());
      EXPECT_THROW(timer->join(), std::logic_error);
    }
  });
  made.set();
  EXPECT_TRUE(timer->join());
  EXPECT_EQ(calls, 5);
}

TEST_F(TimerTest, RestartsAlsoInItsCall) {  // TI3: "again"
  int calls = 0;
  std::optional<Timer> timer;
  Event made;
  timer.emplace(1ms, [&] {
    made.wait();
    if (++calls < 4) timer->restart();
  });
  made.set();
  EXPECT_TRUE(timer->join());
  EXPECT_EQ(calls, 4);
  const auto start = Clock::now();
  Timer put_off(30ms, [] {});
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(5ms);
    put_off.restart();
  }
  put_off.join();
  EXPECT_GE(Clock::now() - start, 55ms);
}

TEST_F(TimerTest, KeepsItsRhythmAndLeavesOutWhatItMissed) {
  std::vector<Clock::time_point> calls;
  Event enough;
  const auto start = Clock::now();
  Timer timer = Timer::every(10ms, [&] {
    calls.push_back(Clock::now());
    if (calls.size() == 2) std::this_thread::sleep_for(35ms);  // past three
    if (calls.size() == 4) enough.set();
  });
  enough.wait();
  timer.cancel();
  timer.join();
  EXPECT_GE(calls[1] - start, 20ms);
  EXPECT_GE(calls[2] - start, 55ms);  // one for all of them
  EXPECT_GE(calls[3] - start, 60ms);
}

TEST_F(TimerTest, ResolutionOfOneMillisecond) {  // TI3: the median error, tenfold
  std::vector<Clock::duration> errors;
  for (int i = 0; i < 101; ++i) {
    Clock::time_point fired;
    const auto start = Clock::now();
    Timer timer(1ms, [&] { fired = Clock::now(); });
    timer.join();
    errors.push_back(fired - start - 1ms);
  }
  std::ranges::nth_element(errors, errors.begin() + 50);
  RecordProperty("median_error_us", static_cast<int>(errors[50] / 1us));
  EXPECT_LT(errors[50], 2ms);
}

TEST_F(TimerTest, FiresAfterItsThreadAndItsHandleAreGone) {  // TI4
  Event fired;
  std::thread([&] { Timer(10ms, [&] { fired.set(); }).detach(); }).join();
  EXPECT_EQ(fired.wait(10s), Status::ok);
}

TEST_F(TimerTest, TheDestructorWaitsForTheCallAndPreventsLaterOnes) {
  std::atomic<bool> begun = false;
  bool ended = false;
  {
    const Timer timer = Timer::every(1ms, [&] {
      begun = true;
      std::this_thread::sleep_for(20ms);
      ended = true;
    });
    while (!begun) std::this_thread::yield();
  }
  EXPECT_TRUE(ended);
  ended = false;
  std::this_thread::sleep_for(5ms);
  EXPECT_FALSE(ended);
  auto own = std::make_unique<std::optional<Timer>>();
  Event made;
  Event destroyed;
  own->emplace(0ms, [&] {
    made.wait();
    own.reset();  // in its own call
    destroyed.set();
  });
  made.set();
  destroyed.wait();
}

TEST_F(TimerTest, PrintsItself) {
  const auto printed = [](const Timer& timer) {
    std::ostringstream out;
    out << timer;
    return out.str();
  };
  Timer timer = Timer::every(1h, [] {});
  EXPECT_THAT(printed(timer), StartsWith("Timer: fires in 3"));
  EXPECT_THAT(printed(timer), testing::EndsWith(" ms, every 3.6e+06 ms"));
  timer.cancel();
  EXPECT_EQ(printed(timer), "Timer: nothing to come");
  timer.detach();
  EXPECT_EQ(printed(timer), "Timer: detached");
}

}  // namespace
}  // namespace sluice::tests
