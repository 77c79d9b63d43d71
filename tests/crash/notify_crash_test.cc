// SPDX-License-Identifier: Apache-2.0
//
// A notifier is killed everywhere in its notification, whoever takes the lock next repairs it, and
// only then notifies by itself: so nobody sees the mark any more, and what the dead notifier left
// in the condition variable is all that the sleeper has. No slice ends in time.

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::Partner;
using testkit::SharedArea;

struct Shared {
  Mutex mutex;
  ConditionVariable changed;
  int tokens;  ///< guarded by `mutex`
  std::atomic<int> locked, taken;
};

/// Takes the lock whatever has happened to its owner.
void take(Mutex& mutex) {
  const Status s = mutex.acquire();
  if (s == Status::owner_died) {
    mutex.mark_consistent();
  } else if (s != Status::ok) {
    throw std::logic_error("acquire: " + std::string(to_string(s)));
  }
}

class NotifyCrash : public testing::Test {
 protected:
  /// Takes one token, for which it may have to sleep.
  void consume() {
    set_wait_policy({.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h});
    take(area_->mutex);
    while (area_->tokens == 0) {
      const Status s = area_->changed.wait(area_->mutex);
      if (s == Status::owner_died) area_->mutex.mark_consistent();
    }
    --area_->tokens;
    ++area_->taken;
    area_->mutex.unlock();
  }

  /// `sleepers` wait, the victim notifies, and the partner brings each a token.
  void kill_in(const std::string& name, int sleepers, std::function<void()> notify) {
    CrashOperation op{.name = name};
    // What the notification writes. The rest of the area changes meanwhile: others come to wait for
    // the lock, which the victim holds throughout.
    op.shared = {std::as_bytes(std::span(&area_->changed, 1))};
    op.setup = [&] { area_.reset(); };
    op.prepare = [&] {
      area_->mutex.lock();
      area_->locked = 1;
    };
    op.operation = std::move(notify);  // unlocking is mutex_crash_test.cc's
    op.partner = [&](Partner& p) {
      std::vector<std::jthread> consumers;
      for (int i = 0; i < sleepers; ++i) consumers.emplace_back([&] { consume(); });
      for (bool all = false; !all; sched_yield()) {
        take(area_->mutex);
        all = area_->changed.waiting() == static_cast<std::uint32_t>(sleepers);
        area_->mutex.unlock();
      }
      p.ready();
      while (area_->locked == 0 && !p.victim_is_dead()) usleep(500);
      for (int i = 0; i < sleepers; ++i) {
        take(area_->mutex);  // sleeps until the victim has unlocked or died
        ++area_->tokens;
        area_->changed.notify_one();
        area_->mutex.unlock();
      }
    };
    op.survivor = [&, sleepers](bool) -> std::string {
      return area_->taken == sleepers ? "" : "somebody sleeps on, with a token there for it";
    };
    expect_intact(op);
  }

  SharedArea<Shared> area_;
};

TEST_F(NotifyCrash, OfEverybody) {
  for (const int sleepers : {1, 2}) {
    kill_in("notify_all to " + std::to_string(sleepers), sleepers,
            [&] { area_->changed.notify_all(); });
  }
}

TEST_F(NotifyCrash, OfOne) {
  for (const int sleepers : {1, 3}) {
    kill_in("notify_one to " + std::to_string(sleepers), sleepers,
            [&] { area_->changed.notify_one(); });
  }
}

}  // namespace
}  // namespace sluice::tests
