// SPDX-License-Identifier: Apache-2.0
//
// A notifier is killed everywhere in its notification, whoever takes the lock next repairs it, and
// only then notifies by itself: so nobody sees the mark any more, and what the dead notifier left
// in the condition variable is all that the sleepers have. Where the kernel helps, no slice ends in
// time.

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "sluice/sync/condition_variable.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/help.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/crash/sleepers.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::SharedArea;

template <class Env>
struct Shared {
  BasicMutex<Env> mutex;
  BasicConditionVariable<Env> changed;
  int tokens;  ///< guarded by `mutex`
  std::atomic<int> taken;
};

/// Takes the lock whatever has happened to its owner.
template <class Env>
void take(BasicMutex<Env>& mutex) {
  const Status s = mutex.acquire();
  if (s == Status::owner_died) {
    mutex.mark_consistent();
  } else if (s != Status::ok) {
    throw std::logic_error("acquire: " + std::string(to_string(s)));
  }
}

template <class Env>
class NotifyCrashOf : public testing::Test {
 protected:
  using Condition = BasicConditionVariable<Env>;
  using Notify = std::function<void(Condition&)>;

  /// Takes one token, for which it may have to sleep.
  void consume(Help help) {
    // Without help it finds out at the end of a slice that who held the lock is dead.
    const auto slice = help == Help::kernel ? std::chrono::milliseconds(1h) : 10ms;
    set_wait_policy({.mode = WaitMode::block, .first_slice = slice, .longest_slice = slice});
    take(area_->mutex);
    while (area_->tokens == 0) {
      const Status s = area_->changed.wait(area_->mutex);
      if (s == Status::owner_died) area_->mutex.mark_consistent();
    }
    --area_->tokens;
    ++area_->taken;
    area_->mutex.unlock();
  }

  /// A token for each of those who sleep, and a notification with each.
  std::string bring_tokens(int sleepers) {
    for (int i = 0; i < sleepers; ++i) {
      take(area_->mutex);
      ++area_->tokens;
      area_->changed.notify_one();
      area_->mutex.unlock();
    }
    const auto end = std::chrono::steady_clock::now() + 2s;
    while (area_->taken != sleepers) {
      if (std::chrono::steady_clock::now() > end) {
        return "somebody sleeps on, with a token there for it";
      }
      usleep(200);
    }
    return "";
  }

  /// `sleepers` wait, and the victim notifies; who recovers does the same.
  CrashOperation notifying(const std::string& name, Help help, int sleepers, Notify notify) {
    CrashOperation op{.name = name + " of " + std::to_string(sleepers) + in_words(help)};
    // What the notification writes. The rest of the area changes meanwhile: others come to wait for
    // the lock, which the victim holds throughout.
    op.shared = {std::as_bytes(std::span(&area_->changed, 1))};
    op.setup = [this, help, sleepers] {
      sleepers_.end();
      area_.reset();
      sleepers_.start(
          static_cast<std::size_t>(sleepers), [this, help] { consume(help); },
          [this, sleepers] {
            return area_->changed.waiting() == static_cast<std::uint32_t>(sleepers);
          });
    };
    op.prepare = [this, help] {
      attach_with(help);
      area_->mutex.lock();
    };
    op.operation = [this, notify] { notify(area_->changed); };  // unlocking: mutex_crash_test.cc
    op.interfere = [this] {
      if (area_->mutex.acquire(15ms) != Status::timeout) {
        throw std::logic_error("a living notifier was taken for dead");
      }
    };
    op.prepare_recovery = [help] {
      set_wait_policy({.mode = WaitMode::block, .first_slice = 10ms, .longest_slice = 10ms});
      attach_with(help);
    };
    op.recover = [this, notify] {
      take(area_->mutex);
      notify(area_->changed);
      area_->mutex.unlock();
    };
    op.survivor = [this, sleepers](bool) { return bring_tokens(sleepers); };
    return op;
  }

  /// Fewer second deaths than usual: each kill point has its processes to start.
  static void expect(const CrashOperation& op) { expect_intact(op, KillAt::each_instruction, 2); }

  SharedArea<Shared<Env>> area_;
  Sleepers sleepers_;
};

using NotifyCrash = NotifyCrashOf<internal::RealLockEnv>;

TEST_F(NotifyCrash, OfEverybody) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect(notifying("notify_all", help, 2, [](auto& changed) { changed.notify_all(); }));
  }
}

TEST_F(NotifyCrash, OfOne) {
  const auto notify_one = [](auto& changed) { changed.notify_one(); };
  expect(notifying("notify_one", Help::kernel, 1, notify_one));
  for (const Help help : {Help::kernel, Help::none}) {
    expect(notifying("notify_one", help, 3, notify_one));
  }
}

TEST_F(NotifyCrash, OfSome) {
  for (const Help help : {Help::kernel, Help::none}) {
    expect(notifying("notify(2)", help, 3, [](auto& changed) { changed.notify(2); }));
  }
}

// -------------------------------------------------------------------------------------------------
// Mutant

/// notify_all forgets those who wait before it has woken them.
struct ForgetfulEnv : internal::RealLockEnv {
  static inline Shared<ForgetfulEnv>* shared = nullptr;

  template <class T>
  static int futex_wake(internal::Word<T>& word, int count) noexcept {
    if (std::is_same_v<T, std::uint32_t> && count == INT_MAX) {
      // Waiters, permits, sleepers: the last words but the lock's.
      std::memset(reinterpret_cast<std::byte*>(&shared->changed) + 8, 0, 12);
    }
    return RealLockEnv::futex_wake(word, count);
  }
};

using NotifyMutant = NotifyCrashOf<ForgetfulEnv>;

TEST_F(NotifyMutant, ThatForgetsSleepersBeforeItWakesThemIsFound) {
  ForgetfulEnv::shared = &*area_;
  expect_found(notifying("mutant: forgets sleepers before it wakes them, notify_all", Help::kernel,
                         1, [](auto& changed) { changed.notify_all(); }),
               "somebody sleeps on");
}

}  // namespace
}  // namespace sluice::tests
