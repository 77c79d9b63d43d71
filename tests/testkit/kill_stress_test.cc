// SPDX-License-Identifier: Apache-2.0
//
// The kill stress, on a lock that survives its holders, on locks that don't, and on workers that
// are wrong themselves.

#include "sluice/testkit/kill_stress.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/testkit/shared_area.h"

namespace {

using sluice::testkit::kill_stress;
using sluice::testkit::KillStress;
using sluice::testkit::KillStressOptions;
using sluice::testkit::KillStressResult;
using sluice::testkit::SharedArea;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr unsigned kWorkers = 3;

// Two words under a lock; the lock's word is its owner's pid.
struct Shared {
  std::atomic<int> owner;
  std::atomic<std::uint64_t> first, second;
  std::array<std::atomic<std::uint64_t>, kWorkers> rounds;

  void update_and_unlock(int worker_pid) {
    first = first + 1;
    second.store(first);
    int mine = worker_pid;
    owner.compare_exchange_strong(mine, 0);
  }
};

bool is_dead(int pid) { return kill(pid, 0) != 0; }

// Takes over from the dead, and mends what they have left.
void lock_surviving(Shared& shared) {
  const int me = getpid();
  for (int owner = 0; !shared.owner.compare_exchange_strong(owner, me); sched_yield()) {
    if (owner == 0 || !is_dead(owner)) {
      owner = 0;
    } else if (shared.owner.compare_exchange_strong(owner, me)) {
      shared.first.store(shared.second);
      return;
    } else {
      owner = 0;
    }
  }
}

// As above, but mends nothing.
void lock_careless(Shared& shared) {
  const int me = getpid();
  for (;; sched_yield()) {
    int owner = 0;
    if (shared.owner.compare_exchange_strong(owner, me)) return;
    if (is_dead(owner) && shared.owner.compare_exchange_strong(owner, me)) return;
  }
}

// Does not care who holds it.
void lock_forgetful(Shared& shared) {
  const int me = getpid();
  for (int free = 0; !shared.owner.compare_exchange_strong(free, me); free = 0) sched_yield();
}

KillStress updating(SharedArea<Shared>& area, void (*lock)(Shared&)) {
  KillStress stress{.name = "two words under a lock", .workers = kWorkers};
  stress.setup = [&area] { area.reset(); };
  stress.work = [&area, lock](unsigned worker) {
    for (;;) {
      lock(*area);
      if (area->first != area->second) throw std::runtime_error("torn");
      // Long enough for a good part of the kills to fall into it.
      for (int i = 0; i < 1000; ++i) area->update_and_unlock(-1);
      area->update_and_unlock(getpid());
      ++area->rounds[worker];
      sched_yield();
    }
  };
  stress.progress = [&area](unsigned worker) { return area->rounds[worker].load(); };
  stress.verdict = [&area]() -> std::string {
    lock_surviving(*area);
    return area->first == area->second ? "" : "torn in the end";
  };
  return stress;
}

std::string printed(const KillStressResult& result) {
  std::ostringstream out;
  out << result;
  return out.str();
}

TEST(KillStress, ALockThatSurvivesItsHoldersIsIntact) {
  SharedArea<Shared> area;
  const KillStressResult result =
      kill_stress(updating(area, lock_surviving), {.duration = milliseconds(500)});
  std::cout << result << '\n';
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_GE(result.kills, 20u);
  EXPECT_GE(result.time, milliseconds(500));
  EXPECT_GT(result.median_pause, microseconds(0));
  EXPECT_LE(result.median_pause, result.p99_pause);
  EXPECT_LE(result.p99_pause, result.longest_pause);
  EXPECT_NE(printed(result).find("; seed " + std::to_string(result.seed) + ";"), std::string::npos);
}

TEST(KillStress, ALockWithoutAnOwnerHangs) {
  SharedArea<Shared> area;
  const KillStressResult result =
      kill_stress(updating(area, lock_forgetful),
                  {.duration = milliseconds(30'000), .hang_after = milliseconds(300)});
  EXPECT_FALSE(result.intact());
  EXPECT_GE(result.hung.size(), 1u) << result;
  EXPECT_EQ(result.wrong, "");
  EXPECT_NE(printed(result).find(" hung (worker "), std::string::npos) << result;
}

TEST(KillStress, ATakeoverThatMendsNothingIsFound) {
  SharedArea<Shared> area;
  const KillStressResult result =
      kill_stress(updating(area, lock_careless), {.duration = milliseconds(30'000)});
  EXPECT_FALSE(result.intact());
  EXPECT_TRUE(result.hung.empty()) << result;
  EXPECT_NE(result.wrong.find("threw: torn"), std::string::npos) << result;
}

// -------------------------------------------------------------------------------------------------

KillStress counting(SharedArea<Shared>& area) {
  KillStress stress{.name = "counting", .workers = kWorkers};
  stress.setup = [&area] { area.reset(); };
  stress.work = [&area](unsigned worker) {
    for (;; usleep(100)) ++area->rounds[worker];
  };
  stress.progress = [&area](unsigned worker) { return area->rounds[worker].load(); };
  return stress;
}

constexpr KillStressOptions kShort{
    .duration = milliseconds(100), .hang_after = milliseconds(2000), .seed = 5};

TEST(KillStress, KeepsToTheSeedGiven) {
  SharedArea<Shared> area;
  const KillStressResult result = kill_stress(counting(area), kShort);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_EQ(result.seed, 5u);
}

TEST(KillStress, GoesOnUntilItHasKilledOftenEnough) {
  SharedArea<Shared> area;
  KillStressOptions options = kShort;
  options.duration = milliseconds(0);
  options.min_kills = 7;
  const KillStressResult result = kill_stress(counting(area), options);
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_GE(result.kills, 7u);
  EXPECT_LE(result.kills, 8u) << "two at once at most";
}

TEST(KillStress, EachWorkerIsKilledAndReplaced) {
  SharedArea<Shared> area;
  SharedArea<std::array<std::atomic<int>, kWorkers>> starts;
  KillStress stress = counting(area);
  stress.work = [&, go_on = stress.work](unsigned worker) {
    ++(*starts)[worker];
    go_on(worker);
  };
  KillStressOptions options = kShort;
  options.duration = milliseconds(1000);
  const KillStressResult result = kill_stress(stress, options);
  EXPECT_TRUE(result.intact()) << result;
  std::uint64_t all = 0;
  for (const auto& n : *starts) {
    EXPECT_GT(n, 1);
    all += static_cast<std::uint64_t>(n.load());
  }
  // One that was killed before it had come so far is not counted.
  EXPECT_LE(all, result.kills + kWorkers);
}

TEST(KillStress, NamesTheOneThatStandsStill) {
  SharedArea<Shared> area;
  KillStress stress = counting(area);
  stress.work = [go_on = stress.work](unsigned worker) {
    if (worker != 1) go_on(worker);
    for (;;) pause();
  };
  KillStressOptions options = kShort;
  options.hang_after = milliseconds(300);
  const KillStressResult result = kill_stress(stress, options);
  EXPECT_EQ(result.hung, std::vector<unsigned>{1}) << result;
  EXPECT_EQ(printed(result).rfind("counting: 0 kills, 1 hung (worker 1); ", 0), 0u) << result;
}

TEST(KillStress, AWorkerThatEndsIsWrong) {
  SharedArea<Shared> area;
  const auto wrong_of = [&](void (*work)(unsigned)) {
    KillStress stress = counting(area);
    stress.work = [go_on = stress.work, work](unsigned worker) {
      worker == 2 ? work(worker) : go_on(worker);
    };
    return kill_stress(stress, kShort).wrong;
  };
  EXPECT_EQ(wrong_of([](unsigned) {}), "worker 2 returned");
  EXPECT_EQ(wrong_of([](unsigned) { throw std::runtime_error("torn"); }), "worker 2 threw: torn");
  EXPECT_EQ(wrong_of([](unsigned) { _exit(3); }), "worker 2 ended its process with exit code 3");
  EXPECT_EQ(wrong_of([](unsigned) { raise(SIGSEGV); }),
            "worker 2 was killed by signal 11 (Segmentation fault)");
}

TEST(KillStress, TheVerdictIsAskedOnceAllAreDead) {
  SharedArea<Shared> area;
  KillStress stress = counting(area);
  stress.verdict = [&]() -> std::string {
    const std::uint64_t before = area->rounds[0];
    usleep(20'000);
    return before == area->rounds[0] ? "all are dead" : "";
  };
  EXPECT_EQ(kill_stress(stress, kShort).wrong, "all are dead");
  stress.verdict = []() -> std::string {
    for (;;) pause();
  };
  KillStressOptions options = kShort;
  options.verdict_limit = milliseconds(50);
  EXPECT_EQ(kill_stress(stress, options).wrong, "the verdict hung: not ready after 50 ms");
}

TEST(KillStress, AnIncompleteOneIsRefused) {
  SharedArea<Shared> area;
  KillStress stress = counting(area);
  stress.workers = 1;
  EXPECT_THROW((void)kill_stress(stress), std::invalid_argument);
  stress = counting(area);
  stress.work = nullptr;
  EXPECT_THROW((void)kill_stress(stress), std::invalid_argument);
  stress = counting(area);
  stress.progress = nullptr;
  EXPECT_THROW((void)kill_stress(stress), std::invalid_argument);
}

}  // namespace
