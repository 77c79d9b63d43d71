// SPDX-License-Identifier: Apache-2.0
//
// Locks and conditions under random kills, with several living processes at work. For a second
// each; //tests/crash:lock_soak goes on for 2,000 kills.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <utility>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/testkit/kill_stress.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::KillStress;
using testkit::KillStressOptions;
using testkit::KillStressResult;
using testkit::SharedArea;

constexpr unsigned kWorkers = 4;

struct Shared {
  Mutex mutex;
  ConditionVariable room, jobs;
  std::uint64_t first, second;  // equal, but while the lock is held
  std::uint64_t given, taken;   // each changes in one step; given - taken is at most kRoom
  std::atomic<std::uint64_t> rounds[kWorkers];
};
constexpr std::uint64_t kRoom = 3;

enum class Help : std::uint8_t { kernel, none };

class LockStress : public testing::TestWithParam<Help> {
 protected:
  KillStress stress(std::string name, std::function<void(unsigned)> round) {
    KillStress stress{.name = std::move(name)};
    stress.workers = kWorkers;
    stress.setup = [this] { area_.reset(); };
    stress.work = [this, round = std::move(round)](unsigned worker) {
      if (GetParam() == Help::none) internal::this_thread().held.watch(nullptr);
      for (;;) {
        round(worker);
        ++area_->rounds[worker];
      }
    };
    stress.progress = [this](unsigned worker) { return area_->rounds[worker].load(); };
    return stress;
  }

  void expect_intact(KillStress stress) {
    stress.name += GetParam() == Help::kernel ? "" : ", no help";
    KillStressOptions options{.duration = 1s};
    const char* const kills = std::getenv("SLUICE_SOAK_KILLS");
    if (kills != nullptr) {
      options.min_kills = std::strtoull(kills, nullptr, 10);
      options.duration = 1ms;  // the kills decide
    }
    const KillStressResult result = kill_stress(stress, options);
    std::cout << "[   STRESS ] " << result << std::endl;
    EXPECT_TRUE(result.intact()) << result;
    EXPECT_LT(result.longest_pause, 2s);
  }

  /// Takes the lock from the living and the dead.
  void lock() {
    area_->mutex.lock([this] {
      area_->second = area_->first;
      area_->room.notify_all();
      area_->jobs.notify_all();
    });
  }

  SharedArea<Shared> area_;
};

TEST_P(LockStress, OneOwnerAtATimeAndEachDeathIsNoticed) {
  KillStress two_words = stress("two words under a lock", [this](unsigned) {
    lock();
    if (area_->first != area_->second) std::abort();
    ++area_->first;
    // Only for the compiler: a kill may fall in between.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ++area_->second;
    area_->mutex.unlock();
  });
  two_words.verdict = [this]() -> std::string {
    lock();
    return area_->first == area_->second ? "" : "half a change was left";
  };
  expect_intact(two_words);
}

TEST_P(LockStress, NoNotificationIsLost) {
  const auto wait = [this](ConditionVariable& condition, auto predicate) {
    while (condition.wait(area_->mutex, predicate) == Status::owner_died) {
      area_->room.notify_all();
      area_->jobs.notify_all();
      area_->mutex.mark_consistent();
    }
  };
  expect_intact(stress("givers and takers", [this, wait](unsigned worker) {
    lock();
    if (worker % 2 == 0) {
      wait(area_->room, [this] { return area_->given - area_->taken < kRoom; });
      ++area_->given;
      area_->jobs.notify_one();
    } else {
      wait(area_->jobs, [this] { return area_->given != area_->taken; });
      ++area_->taken;
      area_->room.notify_one();
    }
    if (area_->given - area_->taken > kRoom) std::abort();
    area_->mutex.unlock();
  }));
}

INSTANTIATE_TEST_SUITE_P(By, LockStress, testing::Values(Help::kernel, Help::none),
                         [](const testing::TestParamInfo<Help>& help) {
                           return help.param == Help::kernel ? "Kernel" : "Nobody";
                         });

}  // namespace
}  // namespace sluice::tests
