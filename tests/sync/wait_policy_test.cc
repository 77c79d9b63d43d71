// SPDX-License-Identifier: Apache-2.0
//
// Each thread's choice of how to wait, and what patience.h makes of it, under a clock of the test's
// own.

#include "sluice/sync/wait_policy.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/patience.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::Patience;

TEST(WaitPolicy, IsAdaptiveWithSlicesOfTenToEightyMilliseconds) {
  const WaitPolicy policy = wait_policy();
  EXPECT_EQ(policy.mode, WaitMode::adaptive);
  EXPECT_EQ(policy.first_slice, 10ms);
  EXPECT_EQ(policy.longest_slice, 80ms);
}

TEST(WaitPolicy, BelongsToTheThreadAndIsInheritedByAForkedChild) {
  const WaitPolicy before = wait_policy();
  const WaitPolicy mine = {.mode = WaitMode::block, .first_slice = 3ms, .longest_slice = 7ms};
  {
    const ScopedWaitPolicy scope(mine);
    EXPECT_EQ(wait_policy(), mine);
    {
      const ScopedWaitPolicy inner({.mode = WaitMode::spin});
      EXPECT_EQ(wait_policy().mode, WaitMode::spin);
      set_wait_policy({.first_slice = 1ms, .longest_slice = 1ms});
    }
    EXPECT_EQ(wait_policy(), mine) << "as before the scope, whatever was set in it";
    ChildParty([&] { EXPECT_EQ(wait_policy(), mine); }).finish();
    std::jthread([] { EXPECT_EQ(wait_policy(), WaitPolicy()); }).join();
  }
  EXPECT_EQ(wait_policy(), before);
}

TEST(WaitPolicy, RefusesSlicesThatCannotBe) {
  using Ms = std::chrono::milliseconds;
  const WaitPolicy before = wait_policy();
  for (const auto& [first, longest] : std::vector<std::pair<Ms, Ms>>{{0ms, 80ms},
                                                                     {-1ms, 80ms},
                                                                     {11ms, 10ms},
                                                                     {10ms, 0ms},
                                                                     {10ms, Ms::max()},
                                                                     {Ms::max(), Ms::max()},
                                                                     {Ms::min(), Ms::min()}}) {
    EXPECT_THROW(set_wait_policy({.first_slice = first, .longest_slice = longest}),
                 std::invalid_argument)
        << first.count() << ' ' << longest.count();
    EXPECT_THROW(ScopedWaitPolicy({.first_slice = first, .longest_slice = longest}),
                 std::invalid_argument);
  }
  EXPECT_EQ(wait_policy(), before);
  try {
    set_wait_policy({.first_slice = 20ms, .longest_slice = 10ms});
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("20 ms and 10 ms"), std::string::npos) << e.what();
  }
  const ScopedWaitPolicy shortest({.first_slice = 1ms, .longest_slice = 1ms});
  const ScopedWaitPolicy longest({.first_slice = 1h, .longest_slice = 1h});
}

TEST(WaitPolicy, PrintsItself) {
  const auto text = [](WaitMode mode) { return (std::ostringstream() << mode).str(); };
  EXPECT_EQ(text(WaitMode::adaptive), "adaptive");
  EXPECT_EQ(text(WaitMode::spin), "spin");
  EXPECT_EQ(text(WaitMode::block), "block");
  EXPECT_EQ(text(static_cast<WaitMode>(77)), "unknown");
}

// -------------------------------------------------------------------------------------------------
// Patience

/// A clock that goes on by itself only while somebody spins.
struct TestEnv {
  static inline Deadline::TimePoint time;
  static inline int pauses;
  static inline int yields;

  static Deadline::TimePoint now() { return time; }
  static void pause() {
    ++pauses;
    time += 100ns;
  }
  static void yield() {
    ++yields;
    time += 1us;
  }
};

class PatienceTest : public testing::Test {
 public:
  PatienceTest() {
    TestEnv::time = Deadline::TimePoint(1000h);
    TestEnv::pauses = TestEnv::yields = 0;
  }

  /// Sleeps through each slice until the end, and returns how long they were.
  static std::vector<Deadline::Clock::duration> sleep_through(
      internal::BasicPatience<TestEnv> patience, int slices) {
    std::vector<Deadline::Clock::duration> found;
    bool asked = false;
    while (static_cast<int>(found.size()) < slices) {
      switch (patience.next()) {
        case Patience::look:
          break;
        case Patience::ask:
          asked = true;
          break;
        case Patience::sleep:
          EXPECT_TRUE(asked) << "before each sleep";
          asked = false;
          found.push_back(patience.slice_end() - TestEnv::time);
          TestEnv::time = patience.slice_end();
          break;
        case Patience::give_up:
          EXPECT_TRUE(asked) << "before the call says timeout";
          return found;
      }
    }
    return found;
  }

  [[nodiscard]] static bool has_several_cpus() {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 1;
  }
};

TEST_F(PatienceTest, SlicesDoubleUpToTheLongest) {
  using Durations = std::vector<Deadline::Clock::duration>;
  for (const WaitMode mode : {WaitMode::block, WaitMode::adaptive}) {
    const ScopedWaitPolicy policy({.mode = mode});
    Durations found = sleep_through({Deadline::never(), 10}, 6);
    // A spinner does not begin on a whole millisecond.
    EXPECT_GE(found.at(0), 10ms);
    EXPECT_LT(found.at(0), 11ms);
    found.at(0) = 10ms;
    EXPECT_EQ(found, (Durations{10ms, 20ms, 40ms, 80ms, 80ms, 80ms}));
  }
  TestEnv::time = Deadline::TimePoint(1000h);
  const ScopedWaitPolicy odd({.mode = WaitMode::block, .first_slice = 3ms, .longest_slice = 10ms});
  EXPECT_EQ(sleep_through({Deadline::never(), 10}, 5), (Durations{3ms, 6ms, 10ms, 10ms, 10ms}));
}

TEST_F(PatienceTest, SlicesEndOnWholeMilliseconds) {
  TestEnv::time += 300us;
  const ScopedWaitPolicy policy({.mode = WaitMode::block});
  using Durations = std::vector<Deadline::Clock::duration>;
  EXPECT_EQ(sleep_through({Deadline::never(), 1}, 3), (Durations{10ms + 700us, 20ms, 40ms}));
  TestEnv::time += 1ns;
  EXPECT_EQ(sleep_through({Deadline(TestEnv::time + 10ms), 1}, 3), (Durations{10ms}))
      << "but for the deadline";
}

TEST_F(PatienceTest, ASecondOfSilenceHasAtMostThirteenSlices) {
  const ScopedWaitPolicy policy({.mode = WaitMode::block});
  internal::BasicPatience<TestEnv> patience(Deadline::never(), 1);
  int slices = 0;
  for (const auto end = TestEnv::time + 100s; TestEnv::time < end;) {
    if (patience.next() == Patience::sleep) {
      ++slices;
      TestEnv::time = patience.slice_end();
    }
  }
  EXPECT_LE(slices, 1300);
  EXPECT_GE(slices, 1200);
}

TEST_F(PatienceTest, TheLastSliceEndsAtTheDeadline) {
  using Durations = std::vector<Deadline::Clock::duration>;
  const ScopedWaitPolicy policy({.mode = WaitMode::block});
  const Deadline deadline(TestEnv::time + 45ms);
  EXPECT_EQ(sleep_through({deadline, 1}, 100), (Durations{10ms, 20ms, 15ms}));
  EXPECT_EQ(TestEnv::time, deadline.time());
  EXPECT_EQ(sleep_through({Deadline::now(), 1}, 100), Durations{}) << "try once";
}

TEST_F(PatienceTest, AnAdaptiveWaiterLooksSoOftenAndThenSleeps) {
  if (!has_several_cpus()) GTEST_SKIP() << "with one CPU nobody spins";
  internal::BasicPatience<TestEnv> patience(Deadline::never(), 100);
  int looks = 0;
  while (patience.next() == Patience::look) ++looks;
  EXPECT_GE(looks, 99);
  EXPECT_LE(looks, 100);
  EXPECT_EQ(patience.next(), Patience::sleep) << "it has asked";
  EXPECT_EQ(patience.next(), Patience::ask);
  EXPECT_EQ(patience.next(), Patience::sleep) << "and spins no more";
}

TEST_F(PatienceTest, ASpinnerNeverSleepsAsksOncePerSliceAndYieldsAfterAMillisecond) {
  if (!has_several_cpus()) GTEST_SKIP() << "with one CPU nobody spins";
  const ScopedWaitPolicy policy({.mode = WaitMode::spin});
  const auto begun = TestEnv::time;
  internal::BasicPatience<TestEnv> patience(Deadline(begun + 1s), 100);
  std::vector<Deadline::TimePoint> asked;
  for (Patience next = Patience::look; next != Patience::give_up;) {
    next = patience.next();
    ASSERT_NE(next, Patience::sleep);
    if (next == Patience::ask) asked.push_back(TestEnv::time);
    EXPECT_TRUE(TestEnv::yields == 0 || TestEnv::time - begun >= 1ms);
  }
  EXPECT_GE(TestEnv::time, begun + 1s);
  EXPECT_LT(TestEnv::time, begun + 1s + 1ms);
  EXPECT_GT(TestEnv::yields, 1000);
  ASSERT_GE(asked.size(), 12U);
  EXPECT_LE(asked.size(), 17U);
  EXPECT_LT(asked[0] - begun, 12ms) << "10 ms, up to the next whole one";
  EXPECT_GE(asked.back(), begun + 1s) << "before it gives up";
}

/// Runs `body` in a thread that may run on one CPU.
template <class Body>
void on_one_cpu(Body body) {
  std::jthread([&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(sched_getcpu()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    body();
  }).join();
}

TEST_F(PatienceTest, WithOneCpuAnAdaptiveWaiterSleepsAtOnce) {
  on_one_cpu([] {
    internal::BasicPatience<TestEnv> patience(Deadline::never(), 1000);
    EXPECT_EQ(patience.next(), Patience::ask);
    EXPECT_EQ(patience.next(), Patience::sleep);
    EXPECT_EQ(TestEnv::pauses, 0);
  });
}

TEST_F(PatienceTest, WithOneCpuASpinnerLetsOthersRunFromTheBeginning) {
  on_one_cpu([] {
    const ScopedWaitPolicy policy({.mode = WaitMode::spin});
    internal::BasicPatience<TestEnv> patience(Deadline::never(), 1000);
    for (int i = 0; i < 10'000; ++i) ASSERT_NE(patience.next(), Patience::sleep);
    EXPECT_GT(TestEnv::yields, 100);
    EXPECT_LT(TestEnv::pauses / TestEnv::yields, 100);
  });
}

}  // namespace
}  // namespace sluice::tests
