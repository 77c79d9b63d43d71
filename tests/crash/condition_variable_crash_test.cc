// SPDX-License-Identifier: Apache-2.0
//
// ConditionVariable, its notifier or its waiter killed everywhere, with and without the kernel's
// help. A job is counted under the lock; whoever waits for one must get it, and none may be lost.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/help.h"
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
  std::atomic<int> slept_on;   // 1: a waiter was not woken
};

class ConditionVariableCrash : public testing::Test {
 protected:
  // The one who waits is to be woken, not to find out by itself.
  static constexpr WaitPolicy kPatient = {
      .mode = WaitMode::block, .first_slice = 500ms, .longest_slice = 500ms};
  // Who is not woken, because the notifier was killed, finds out then; but not while a notifier is
  // stepped, whose steps would not be the same every time.
  static constexpr WaitPolicy kSliced = {
      .mode = WaitMode::block, .first_slice = 50ms, .longest_slice = 50ms};

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

  /// With the lock held.
  void give(std::uint64_t jobs, std::ptrdiff_t notified) {
    area_->given += jobs;
    area_->changed.notify(notified);
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
  std::string judge() {
    lock();
    area_->over = 0;
    while (jobs() != 0) take_a_job(Deadline::now());
    area_->mutex.unlock();
    bool taken = false;
    {
      const std::jthread waiter([&] {
        lock();
        taken = take_a_job(2s);
        area_->mutex.unlock();
      });
      lock();
      give(1, 1);
      area_->mutex.unlock();
    }
    return taken ? "" : "a living waiter does not get its job";
  }

  /// Waits for one of the victim's jobs.
  void take_the_victims_job(WaitPolicy policy) {
    set_wait_policy(policy);
    lock();
    const auto begin = std::chrono::steady_clock::now();
    take_a_job(1500ms);
    area_->mutex.unlock();
    if (std::chrono::steady_clock::now() - begin > 1s) area_->slept_on = 1;
  }

  /// `waiters` wait for the jobs that the victim gives all at once. If it was killed before that,
  /// they are told so.
  void take_the_victims_jobs(Partner& victim, std::uint32_t waiters, WaitPolicy policy) {
    {
      std::vector<std::jthread> threads;
      for (std::uint32_t i = 0; i < waiters; ++i) {
        threads.emplace_back([&] { take_the_victims_job(policy); });
      }
      for (bool all = false; !all; std::this_thread::yield()) {
        lock();
        all = area_->changed.waiting() == waiters;
        area_->mutex.unlock();
      }
      victim.ready();
      while (!victim.victim_is_dead()) std::this_thread::sleep_for(1ms);
      // Nobody writes any more. Where the jobs are there, nobody helps those who wait for them.
      if (area_->given < waiters) {
        lock();
        area_->over = 1;
        area_->changed.notify_all();
        area_->mutex.unlock();
      }
    }
    if (area_->slept_on != 0) throw std::logic_error("slept on");
    if (area_->given >= waiters && area_->taken < waiters) {
      throw std::logic_error("a job was there, and not taken");
    }
  }

  /// The interfering process and the recovering one, which give a job of their own.
  void add_others(CrashOperation& op, Help help) {
    op.interfere = [this] {
      const Status status = area_->mutex.acquire(15ms);
      if (status == Status::timeout) return;
      if (status != Status::ok) throw std::logic_error("a living owner was taken for dead");
      give(1, 1);
      area_->mutex.unlock();
    };
    op.prepare_recovery = [help] {
      set_wait_policy(kPatient);
      attach_with(help);
    };
    op.recover = [this] {
      lock();
      take_a_job(Deadline::now());
      give(1, 1);
      area_->mutex.unlock();
    };
  }

  /// The victim gives jobs to a partner's threads that wait for them, each of which takes one.
  CrashOperation notify(const std::string& name, Help help, std::uint32_t waiters,
                        std::ptrdiff_t notified, WaitPolicy policy = kSliced) {
    CrashOperation op{.name = name + in_words(help)};
    // Not all of it: the partner writes as well, when it pleases.
    op.shared = {area_.bytes().subspan(offsetof(Shared, given), sizeof(std::uint64_t))};
    op.setup = [this] { area_.reset(); };
    op.prepare = [help] { attach_with(help); };
    op.operation = [this, waiters, notified] {
      area_->mutex.lock();
      give(waiters, notified);
      area_->mutex.unlock();
    };
    op.partner = [this, waiters, policy](Partner& victim) {
      take_the_victims_jobs(victim, waiters, policy);
    };
    op.survivor = [this, waiters](bool completed) -> std::string {
      if (completed && area_->given < waiters) return "notified, and a job is not there";
      return judge();
    };
    add_others(op, help);
    return op;
  }

  /// Fewer second deaths than usual: each kill point has its partner to wait for.
  static void expect(const CrashOperation& op) { expect_intact(op, KillAt::each_instruction, 1); }

  SharedArea<Shared> area_;
};

TEST_F(ConditionVariableCrash, NotifyOne) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect(notify("notify_one, a waiter asleep", help, 1, 1));
  }
}

TEST_F(ConditionVariableCrash, NotifySome) {
  for (const Help help : {Help::kernel, Help::none}) {
    CrashOperation op = notify("notify(2), three asleep", help, 3, 2);
    op.operation = [this] {
      area_->mutex.lock();
      give(3, 2);
      give(0, 1);
      area_->mutex.unlock();
    };
    expect(op);
  }
}

TEST_F(ConditionVariableCrash, NotifyAll) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect(notify("notify_all, two asleep", help, 2, PTRDIFF_MAX));
  }
}

TEST_F(ConditionVariableCrash, NotifyOneWhereNobodyWaits) {
  for (const Help help : {Help::kernel, Help::none}) {
    CrashOperation op = notify("notify_one, nobody waits", help, 1, 1);
    op.shared = {area_.bytes()};
    op.partner = nullptr;
    expect_intact(op);
  }
}

/// The victim waits, and is given a job.
TEST_F(ConditionVariableCrash, Wait) {
  for (const Help help : {Help::kernel, Help::none}) {
    CrashOperation op{.name = "wait, take a job" + in_words(help)};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.prepare = [help] {
      set_wait_policy(kPatient);
      attach_with(help);
    };
    op.operation = [this] {
      area_->mutex.lock();
      take_a_job(Deadline::never());
      area_->mutex.unlock();
    };
    op.partner = [this](Partner& victim) {
      victim.wait_until_blocked();
      lock();
      give(1, 1);
      area_->mutex.unlock();
    };
    op.survivor = [this](bool completed) -> std::string {
      if (completed && area_->taken == 0) return "waited, and took nothing";
      return judge();
    };
    add_others(op, help);
    expect(op);
  }
}

/// As without slices: a notifier killed before its wake call leaves the waiter asleep.
TEST_F(ConditionVariableCrash, MutantWithoutSlicesIsFound) {
  const WaitPolicy endless{.mode = WaitMode::block, .first_slice = 600s, .longest_slice = 600s};
  expect_found(notify("mutant: waiters without slices", Help::kernel, 1, 1, endless), "slept on");
}

}  // namespace
}  // namespace sluice::tests
