// SPDX-License-Identifier: Apache-2.0
//
// The quick profile of the step-kill harness: which points it picks, that it finds what the full
// profile finds, and that it says so where its record can't be relied on.

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"

namespace {

using sluice::testkit::CrashOperation;
using sluice::testkit::CrashOptions;
using sluice::testkit::CrashProfile;
using sluice::testkit::CrashResult;
using sluice::testkit::SharedArea;
using sluice::testkit::step_kill;

constexpr CrashOptions kQuick{.profile = CrashProfile::quick, .stop_after_broken = 5000};
constexpr CrashOptions kFull{.profile = CrashProfile::full, .stop_after_broken = 5000};

void twenty_nops() { asm volatile(".rept 20\n nop\n .endr"); }

struct TwoWords {
  std::atomic<int> payload, ready;
};

CrashOperation publish(SharedArea<TwoWords>& area, std::function<void()> operation) {
  CrashOperation op{.name = "publish"};
  op.shared = {area.bytes()};
  op.setup = [&area] { area.reset(); };
  op.operation = std::move(operation);
  op.survivor = [&area](bool completed) -> std::string {
    if (completed && area->ready != 1) return "acknowledged but lost";
    return area->ready == 1 && area->payload != 7 ? "published before it was written" : "";
  };
  return op;
}

// -------------------------------------------------------------------------------------------------
// Which points

TEST(QuickProfile, KillsAtTheEndsAndWhereSharedBytesHaveChanged) {
  SharedArea<TwoWords> area;
  SharedArea<std::array<std::array<bool, 2>, 8>> seen;  // [payload][ready]
  CrashOperation op = publish(area, [&] {
    twenty_nops();
    area->payload = 7;
    twenty_nops();
    area->ready = 1;
    twenty_nops();
    area->ready = 1;  // changes nothing
  });
  op.survivor = [&](bool) {
    (*seen)[static_cast<std::size_t>(area->payload)][static_cast<std::size_t>(area->ready)] = true;
    return std::string();
  };
  const CrashResult result = step_kill(op, kQuick);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_GT(result.stepped, 60u);
  EXPECT_EQ(result.kill_points, 4u) << "the first, two changes, the end: " << result;
  EXPECT_TRUE((*seen)[0][0] && (*seen)[7][0] && (*seen)[7][1]);

  const CrashResult full = step_kill(op, kFull);
  EXPECT_TRUE(full.intact()) << full;
  EXPECT_EQ(full.stepped, result.stepped);
  EXPECT_EQ(full.kill_points, full.stepped);
}

TEST(QuickProfile, AnOperationThatNamesNoSharedBytesIsKilledEverywhere) {
  SharedArea<TwoWords> area;
  CrashOperation op = publish(area, [] { twenty_nops(); });
  op.survivor = [](bool) { return std::string(); };
  EXPECT_EQ(step_kill(op, kQuick).kill_points, 2u);
  op.shared.clear();
  const CrashResult result = step_kill(op, kQuick);
  EXPECT_EQ(result.kill_points, result.stepped);
  EXPECT_GT(result.kill_points, 20u);
}

TEST(QuickProfile, KillsOnBothSidesOfASystemCall) {
  SharedArea<TwoWords> area;
  CrashOperation op = publish(area, [] {
    for (int i = 0; i < 3; ++i) {
      twenty_nops();
      syscall(SYS_getppid);
    }
  });
  op.survivor = [](bool) { return std::string(); };
  const CrashResult result = step_kill(op, kQuick);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_EQ(result.kill_points, 2u + 3 * 2u) << result;
}

// The kernel would look at it when the victim dies, and it lies in the victim's own memory.
TEST(QuickProfile, KillsWhereTheRobustListHasChanged) {
  static robust_list_head head;
  SharedArea<TwoWords> area;
  CrashOperation op = publish(area, [] {
    twenty_nops();
    std::atomic_ref(head.list_op_pending).store(&head.list);
    twenty_nops();
    std::atomic_ref(head.list_op_pending).store(nullptr);
    twenty_nops();
  });
  op.prepare = [] {
    head.list.next = &head.list;
    if (syscall(SYS_set_robust_list, &head, sizeof head) != 0) throw std::runtime_error("no list");
  };
  op.survivor = [](bool) { return std::string(); };
  const CrashResult result = step_kill(op, kQuick);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_EQ(result.kill_points, 4u) << result;
}

TEST(QuickProfile, BeginsAtTheGivenPoint) {
  SharedArea<TwoWords> area;
  const CrashOperation op = publish(area, [&] {
    area->ready = 1;
    twenty_nops();
    area->payload = 7;
  });
  const CrashResult all = step_kill(op, kQuick);
  ASSERT_EQ(all.broken, 1u) << all;
  CrashOptions one = kQuick;
  one.first_kill_point = all.first_broken;
  one.max_kill_points = 1;
  const CrashResult again = step_kill(op, one);
  EXPECT_EQ(again.kill_points, 1u);
  EXPECT_EQ(again.first_broken, all.first_broken);
  EXPECT_EQ(again.first_broken_step, all.first_broken_step);
  EXPECT_EQ(again.reason, all.reason);
}

// -------------------------------------------------------------------------------------------------
// The same verdicts

TEST(QuickProfile, FindsWhatTheFullProfileFinds) {
  SharedArea<TwoWords> area;
  const std::pair<const char*, std::function<void()>> operations[] = {
      {"", [&] { area->payload = 7, twenty_nops(), area->ready = 1; }},
      {"published before it was written",
       [&] { area->ready = 1, twenty_nops(), area->payload = 7; }},
      {"acknowledged but lost", [&] { area->payload = 7, twenty_nops(); }},
      // Wrong for a moment only, and back before the end.
      {"published before it was written",
       [&] {
         area->ready = 1, twenty_nops(), area->ready = 0, area->payload = 7, area->ready = 1;
       }},
  };
  for (const auto& [reason, operation] : operations) {
    const CrashOperation op = publish(area, operation);
    const CrashResult quick = step_kill(op, kQuick);
    const CrashResult full = step_kill(op, kFull);
    EXPECT_TRUE(quick.completed && full.completed) << quick << '\n' << full;
    EXPECT_EQ(quick.reason, reason) << quick;
    EXPECT_EQ(full.reason, reason) << full;
    EXPECT_EQ(quick.first_broken_step, full.first_broken_step) << quick << '\n' << full;
    EXPECT_LT(quick.kill_points, full.kill_points);
  }
}

// -------------------------------------------------------------------------------------------------
// Victims that do not do what the recorded one did

// Not inlined, so that the store is in one place, and its callers' stores are in two.
[[gnu::noinline]] void set(std::atomic<int>& word, int value) { word = value; }

TEST(QuickProfile, WhoeverWritesItsPidIsReproducible) {
  SharedArea<TwoWords> area;
  CrashOperation op = publish(area, [&] {
    area->payload = getpid();
    twenty_nops();
    area->ready = 1;
  });
  op.survivor = [&](bool) { return std::string(); };
  const CrashResult result = step_kill(op, kQuick);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_EQ(result.strayed, 0u);
}

TEST(QuickProfile, AnOperationThatTakesAnotherWayEachTimeGetsNoVerdict) {
  SharedArea<TwoWords> area;
  SharedArea<std::atomic<unsigned>> victims;
  const CrashOperation op = publish(area, [&] {
    if ((*victims)++ % 2 == 0) {
      area->payload = 7;
      twenty_nops();
    } else {
      set(area->payload, 7);
    }
    area->ready = 1;
  });
  const CrashResult result = step_kill(op, kQuick);
  EXPECT_FALSE(result.intact());
  EXPECT_EQ(result.strayed, 1u);
  EXPECT_EQ(result.error.rfind("not reproducible: at kill point ", 0), 0u) << result;

  CrashOptions full = kFull;
  full.max_kill_points = 100;
  const CrashResult everywhere = step_kill(op, full);
  EXPECT_EQ(everywhere.error, "");
  EXPECT_GT(everywhere.strayed, 0u);
  std::ostringstream out;
  out << everywhere;
  EXPECT_NE(out.str().find(" took another path"), std::string::npos) << everywhere;
}

TEST(QuickProfile, OneVictimThatStraysIsFollowedByAnother) {
  SharedArea<TwoWords> area;
  SharedArea<std::atomic<unsigned>> victims;
  const CrashOperation op = publish(area, [&] {
    if (++*victims == 3) {
      set(area->payload, 5);
    }
    area->payload = 7;
    area->ready = 1;
  });
  const CrashResult result = step_kill(op, kQuick);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_GT(*victims, result.kill_points + 1) << "the record, one per point, and the other try";
}

TEST(QuickProfile, AnOperationWithTooManyStepsIsAnError) {
  SharedArea<TwoWords> area;
  const CrashOperation op = publish(area, [] {
    for (;;) twenty_nops();
  });
  CrashOptions options = kQuick;
  options.max_steps = 500;
  const CrashResult result = step_kill(op, options);
  EXPECT_EQ(result.error, "the operation takes more than 500 steps") << result;
}

// -------------------------------------------------------------------------------------------------
// The environment's word

TEST(ProfileFromEnvironment, IsQuickUnlessItSaysFull) {
  using sluice::testkit::profile_from_environment;
  const char* before = std::getenv("SLUICE_CRASH_PROFILE");
  const std::string saved = before == nullptr ? "" : before;
  unsetenv("SLUICE_CRASH_PROFILE");
  EXPECT_EQ(profile_from_environment(), CrashProfile::quick);
  setenv("SLUICE_CRASH_PROFILE", "quick", 1);
  EXPECT_EQ(profile_from_environment(), CrashProfile::quick);
  setenv("SLUICE_CRASH_PROFILE", "full", 1);
  EXPECT_EQ(profile_from_environment(), CrashProfile::full);
  setenv("SLUICE_CRASH_PROFILE", "fulll", 1);
  EXPECT_THROW((void)profile_from_environment(), std::invalid_argument);
  setenv("SLUICE_CRASH_PROFILE", saved.c_str(), 1);
}

}  // namespace
