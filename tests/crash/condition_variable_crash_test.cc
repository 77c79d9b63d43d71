// SPDX-License-Identifier: Apache-2.0
//
// ConditionVariable, its notifier or its waiter killed everywhere. A job is counted under the lock;
// whoever waits for one must get it, and none may be lost.

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
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
  std::uint64_t over;          // 1: no job will come
  std::uint64_t given, taken;  // jobs; each changes in one step, so that nothing needs repair
};

class ConditionVariableCrash : public testing::Test {
 protected:
  // The one who waits is to be woken, not to find out by itself.
  static constexpr WaitPolicy kPatient = {
      .mode = WaitMode::block, .first_slice = 500ms, .longest_slice = 500ms};
  // Who is not woken, because the notifier was killed, finds out then; but not while a notifier is
  // stepped, whose steps would not be the same every time.
  static constexpr WaitPolicy kSliced = {
      .mode = WaitMode::block, .first_slice = 200ms, .longest_slice = 200ms};

  /// Takes the lock from the living and the dead. A repairer tells everybody.
  void lock() {
    if (area_->mutex.acquire(2s) == Status::owner_died) after_a_death();
    if (!area_->mutex.is_owned()) throw std::logic_error("nobody gets the lock");
  }
  void after_a_death() {
    area_->changed.notify_all();
    area_->mutex.mark_consistent();
  }

  [[nodiscard]] std::uint64_t jobs() const { return area_->given - area_->taken; }

  void give_a_job() {
    area_->mutex.lock();
    ++area_->given;
    area_->changed.notify_one();
    area_->mutex.unlock();
  }

  /// With the lock held. Whether there was one until the deadline.
  bool take_a_job(Deadline deadline) {
    const auto there_is_one = [this] { return jobs() != 0 || area_->over != 0; };
    Status status = Status::ok;
    while ((status = area_->changed.wait_for(area_->mutex, deadline, there_is_one)) ==
           Status::owner_died) {
      after_a_death();
    }
    if (status != Status::ok || jobs() == 0) return false;
    ++area_->taken;
    return true;
  }

  /// What is left must serve others: a job that is given is taken, by a waiter that is alive.
  std::string judge(std::uint64_t expected) {
    lock();
    area_->over = 0;
    const std::uint64_t given = area_->given;
    while (jobs() != 0) take_a_job(Deadline::now());
    area_->mutex.unlock();
    if (given != expected) {
      return std::to_string(given) + " jobs instead of " + std::to_string(expected);
    }
    bool taken = false;
    {
      const std::jthread waiter([&] {
        lock();
        taken = take_a_job(2s);
        area_->mutex.unlock();
      });
      lock();
      ++area_->given;
      area_->changed.notify_one();
      area_->mutex.unlock();
    }
    return taken ? "" : "a living waiter does not get its job";
  }

  /// Waits for the victim's job. If the victim was killed before it gave one, a thread says so.
  void take_the_victims_job(Partner& victim) {
    lock();
    victim.ready();
    const std::jthread watch([&](const std::stop_token& stop) {
      while (!stop.stop_requested() && !victim.victim_is_dead()) std::this_thread::sleep_for(1ms);
      lock();
      if (area_->given == 0) area_->over = 1;
      if (area_->over != 0) area_->changed.notify_all();
      area_->mutex.unlock();
    });
    const auto begin = std::chrono::steady_clock::now();
    take_a_job(2500ms);
    area_->mutex.unlock();
    if (std::chrono::steady_clock::now() - begin > 2s) throw std::logic_error("slept on");
  }

  /// The victim gives a job to a partner that waits for one.
  CrashOperation notify(const std::string& name, WaitPolicy waiters) {
    CrashOperation op{.name = name};
    // Not all of it: the partner writes as well, when it pleases.
    op.shared = {area_.bytes().subspan(offsetof(Shared, given), sizeof(std::uint64_t))};
    op.setup = [this] { area_.reset(); };
    op.prepare = [] { static_cast<void>(internal::this_thread()); };
    op.operation = [this] { give_a_job(); };
    op.partner = [this, waiters](Partner& victim) {
      set_wait_policy(waiters);
      take_the_victims_job(victim);
    };
    op.survivor = [this](bool completed) -> std::string {
      if (completed && area_->given == 0) return "notified, and the job is not there";
      if (jobs() != 0) return "the one who waited did not take the job";
      return judge(area_->given);
    };
    return op;
  }

  SharedArea<Shared> area_;
};

TEST_F(ConditionVariableCrash, NotifyOne) {
  expect_intact(notify("notify_one, a waiter asleep", kSliced));
}

TEST_F(ConditionVariableCrash, NotifyOneWhereNobodyWaits) {
  CrashOperation op = notify("notify_one, nobody waits", kSliced);
  op.shared = {area_.bytes()};
  op.partner = nullptr;
  op.survivor = [this](bool completed) { return judge(completed ? 1 : area_->given); };
  expect_intact(op);
}

/// The victim waits, and is given a job.
TEST_F(ConditionVariableCrash, Wait) {
  CrashOperation op{.name = "wait, take a job"};
  op.shared = {area_.bytes()};
  op.setup = [this] { area_.reset(); };
  op.prepare = [] {
    set_wait_policy(kPatient);
    static_cast<void>(internal::this_thread());
  };
  op.operation = [this] {
    area_->mutex.lock();
    take_a_job(Deadline::never());
    area_->mutex.unlock();
  };
  op.partner = [this](Partner& victim) {
    victim.wait_until_blocked();
    lock();
    ++area_->given;
    area_->changed.notify_one();
    area_->mutex.unlock();
  };
  op.survivor = [this](bool completed) -> std::string {
    if (completed && area_->taken != 1) return "waited, and took nothing";
    return judge(1);
  };
  expect_intact(op);
}

/// As without slices: a notifier killed before its wake call leaves the waiter asleep.
TEST_F(ConditionVariableCrash, MutantWithoutSlicesIsFound) {
  const WaitPolicy endless{.mode = WaitMode::block, .first_slice = 600s, .longest_slice = 600s};
  expect_found(notify("mutant: waiters without slices", endless), "slept on");
}

}  // namespace
}  // namespace sluice::tests
