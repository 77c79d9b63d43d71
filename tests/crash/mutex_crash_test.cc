// SPDX-License-Identifier: Apache-2.0
//
// Mutex and RecursiveMutex, their owner or would-be owner killed everywhere, with and without the
// kernel's help.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/help.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::SharedArea;

template <class Lock>
struct Shared {
  Lock lock;
  std::uint64_t first, second;  // equal, but while the lock is held
  // By a process that sleeps for the lock while the victim holds it.
  std::atomic<int> sleeper, sleeper_status;
};

template <class Lock>
class LockCrash : public testing::Test {
 protected:
  // No looks, which would all be stepped. Short slices: without help survivors find out at the end
  // of one. Forked children inherit the policy.
  LockCrash() : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  void change(std::uint64_t value) {
    area_->first = value;
    // Only for the compiler: a kill may fall in between.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    area_->second = value;
  }

  /// With the lock held, after acquire() said `status`. What is wrong, or an empty string.
  std::string inspect(Status status) {
    if (status == Status::ok) {
      return area_->first == area_->second ? "" : "half a change, and nobody was told";
    }
    area_->second = area_->first;
    area_->lock.mark_consistent();
    return "";
  }

  std::string take_and_inspect() {
    const Status status = area_->lock.acquire(2s);
    if (status != Status::ok && status != Status::owner_died) {
      return "acquire: " + std::string(to_string(status));
    }
    const std::string wrong = inspect(status);
    area_->lock.unlock();
    return wrong;
  }

  std::string judge(bool completed) {
    if (completed && area_->first != 7) return "unlocked, but the change is not there";
    for (int round = 0; round < 2; ++round) {
      if (const std::string wrong = take_and_inspect(); !wrong.empty()) return wrong;
    }
    return area_->lock.acquire(2s) == Status::ok ? "" : "still marked after the repair";
  }

  /// `operation` finds a free lock, and an attached thread.
  CrashOperation on_lock(const std::string& name, Help help, std::function<void()> operation) {
    CrashOperation op{.name = name + in_words(help)};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.prepare = [this, help] {
      attach_with(help);
      area_->lock.lock();
      area_->lock.unlock();
    };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) { return judge(completed); };
    op.interfere = [this] {
      const Status status = area_->lock.acquire(15ms);
      if (status == Status::timeout) return;
      if (status != Status::ok) throw std::logic_error("a living owner was taken for dead");
      if (area_->first != area_->second) throw std::logic_error("two owners at once");
      area_->lock.unlock();
    };
    op.prepare_recovery = [help] { attach_with(help); };
    op.recover = [this] {
      if (const auto wrong = take_and_inspect(); !wrong.empty()) throw std::logic_error(wrong);
    };
    return op;
  }

  void lock_change_unlock() {
    area_->lock.lock();
    change(7);
    area_->lock.unlock();
  }

  /// In the victim, which holds the lock: forks a process that sleeps for it, and goes on once it
  /// does. It outlives the victim, but not for long.
  void leave_a_sleeper(Help help) {
    const pid_t pid = fork();
    if (pid == 0) {
      setpgid(0, 0);  // not killed with the victim
      // So long that the kernel has to wake it, where it helps.
      if (help == Help::kernel) {
        set_wait_policy({.mode = WaitMode::block, .first_slice = 1s, .longest_slice = 1s});
      }
      area_->sleeper_status = static_cast<int>(area_->lock.acquire(3s));
      area_->sleeper = 1;
      if (area_->lock.is_owned()) {
        static_cast<void>(inspect(static_cast<Status>(area_->sleeper_status.load())));
        area_->lock.unlock();
      }
      area_->sleeper = 2;
      _exit(EXIT_SUCCESS);
    }
    wait_until_asleep(pid);
  }

  SharedArea<Shared<Lock>> area_;

 private:
  ScopedWaitPolicy slices_;
};

using Locks = testing::Types<Mutex, RecursiveMutex>;
struct LockNames {
  template <class Lock>
  static std::string GetName(int) {
    return std::is_same_v<Lock, Mutex> ? "Mutex" : "RecursiveMutex";
  }
};
TYPED_TEST_SUITE(LockCrash, Locks, LockNames);

TYPED_TEST(LockCrash, LockChangeUnlock) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect_intact(
        this->on_lock("lock, change, unlock", help, [this] { this->lock_change_unlock(); }));
  }
}

TYPED_TEST(LockCrash, TryLockChangeUnlock) {
  CrashOperation op = this->on_lock("try_lock, change, unlock", Help::kernel, [this] {
    if (!this->area_->lock.try_lock()) return;
    this->change(7);
    this->area_->lock.unlock();
  });
  op.recover = nullptr;  // as with lock()
  expect_intact(op);
}

/// The first lock of a process: attaching is killed at system calls elsewhere.
TYPED_TEST(LockCrash, TheFirstUserOfALockSetsItsRegistry) {
  CrashOperation op = this->on_lock("first lock, change, unlock", Help::kernel,
                                    [this] { this->lock_change_unlock(); });
  op.prepare = [] { static_cast<void>(internal::this_thread()); };
  op.recover = nullptr;  // as with a later one
  expect_intact(op);
}

TYPED_TEST(LockCrash, RepairOfAMarkedLock) {
  for (const Help help : {Help::kernel, Help::none}) {
    CrashOperation op = this->on_lock("lock with a repair, change, unlock", help, [this] {
      this->area_->lock.lock([this] { this->area_->second = this->area_->first; });
      this->change(7);
      this->area_->lock.unlock();
    });
    op.prepare = [this, help] {
      const pid_t pid = fork();
      if (pid == 0) {
        this->area_->lock.lock();
        this->area_->first = 3;
        _exit(EXIT_SUCCESS);  // with the lock held
      }
      while (this->area_->first != 3) std::this_thread::yield();
      while (!this->area_->lock.lost_its_owner()) std::this_thread::yield();
      attach_with(help);
    };
    op.interfere = nullptr;  // it would repair, while the victim is frozen before it has locked
    if (help == Help::none) op.recover = nullptr;    // as above, and slices take their time
    expect_intact(op, KillAt::each_instruction, 1);  // each victim has an owner to lose first
  }
}

/// Wherever the owner is killed, who sleeps for the lock gets it.
TYPED_TEST(LockCrash, UnlockWithASleeper) {
  for (const Help help : {Help::kernel, Help::none}) {
    CrashOperation op = this->on_lock("change, unlock with a sleeper", help, [this] {
      this->change(7);
      this->area_->lock.unlock();
    });
    op.prepare = [this, help] {
      attach_with(help);
      this->area_->lock.lock();
      this->leave_a_sleeper(help);
    };
    op.survivor = [this](bool completed) -> std::string {
      const auto end = std::chrono::steady_clock::now() + 2s;
      while (this->area_->sleeper != 2) {
        if (std::chrono::steady_clock::now() > end) return "the sleeper did not get the lock";
        std::this_thread::sleep_for(1ms);
      }
      const auto status = static_cast<Status>(this->area_->sleeper_status.load());
      if (completed && status != Status::ok)
        return "the sleeper: " + std::string(to_string(status));
      return this->judge(completed);
    };
    op.interfere = nullptr;  // the sleeper is one
    op.recover = nullptr;
    // Not the lock: the sleeper writes to it as well, when it pleases. What the victim does to it
    // lies between the system calls.
    op.shared = {this->area_.bytes().subspan(sizeof(TypeParam), 2 * sizeof(std::uint64_t))};
    expect_intact(op);
  }
}

/// Who waits is killed: before it sleeps, asleep, woken, with the lock.
TYPED_TEST(LockCrash, LockThatIsHeld) {
  CrashOperation op = this->on_lock("lock that is held, change, unlock", Help::kernel,
                                    [this] { this->lock_change_unlock(); });
  op.prepare = [] {
    set_wait_policy({.mode = WaitMode::block, .first_slice = 1s, .longest_slice = 1s});
    attach_with(Help::kernel);
  };
  op.partner = [this](testkit::Partner& victim) {
    this->area_->lock.lock();
    victim.wait_until_blocked();
    this->area_->lock.unlock();
  };
  op.interfere = nullptr;
  op.recover = nullptr;
  expect_intact(op);
}

TEST(RecursiveMutexCrash, HeldTwice) {
  SharedArea<Shared<RecursiveMutex>> area;
  CrashOperation op{.name = "recursive lock held twice"};
  op.shared = {area.bytes()};
  op.setup = [&] { area.reset(); };
  op.prepare = [] { static_cast<void>(internal::this_thread()); };
  op.operation = [&] {
    area->lock.lock();
    area->lock.lock();
    area->first = 7;
    area->lock.unlock();
    area->second = 7;
    area->lock.unlock();
  };
  op.survivor = [&](bool completed) -> std::string {
    const Status status = area->lock.acquire(2s);
    if (completed && status != Status::ok)
      return "unlocked twice, and " + std::string(to_string(status));
    if (status == Status::ok) return area->first == area->second ? "" : "half a change";
    return status == Status::owner_died ? "" : std::string(to_string(status));
  };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

/// Takes nobody for dead, as a lock does that has the tag of its owner, and does not use it.
struct TrustingEnv : internal::RealLockEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::alive; }
};

using MutantCrash = LockCrash<BasicMutex<TrustingEnv>>;

TEST_F(MutantCrash, ThatNeverAsksForTheOwnersLifeIsFound) {
  CrashOperation op = on_lock("mutant: never asks for the owner's life", Help::none,
                              [this] { lock_change_unlock(); });
  op.interfere = nullptr;
  op.recover = nullptr;
  op.survivor = [this](bool) -> std::string {
    return area_->lock.acquire(200ms) == Status::timeout ? "nobody gets the lock any more" : "";
  };
  expect_found(op, "nobody gets the lock any more");
}

class MutexCrash : public LockCrash<Mutex> {};

TEST_F(MutexCrash, MutantThatUnlocksTooEarlyIsFound) {
  expect_found(on_lock("mutant: unlocks before the second half", Help::kernel,
                       [this] {
                         area_->lock.lock();
                         area_->first = 7;
                         area_->lock.unlock();
                         area_->second = 7;
                       }),
               "half a change");
}

/// Repairs first, and takes the lock then: the death is forgotten if it dies in between.
TEST_F(MutexCrash, MutantThatForgetsTheDeathBeforeTheRepairIsFound) {
  CrashOperation op = on_lock("mutant: marks consistent before the repair", Help::kernel,
                              [this] { lock_change_unlock(); });
  op.interfere = nullptr;
  op.recover = [this] {
    const Status status = area_->lock.acquire(2s);
    if (status == Status::owner_died) {
      area_->lock.mark_consistent();
      area_->lock.unlock();
      area_->second = area_->first;
    }
  };
  expect_found(op, "half a change");
}

}  // namespace
}  // namespace sluice::tests
