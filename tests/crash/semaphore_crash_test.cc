// SPDX-License-Identifier: Apache-2.0
//
// Semaphore, BoundedSemaphore and OwnedSemaphore, who takes and who gives back killed everywhere.

#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
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

#include "sluice/sync/env.h"
#include "sluice/sync/owned_semaphore.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::Partner;
using testkit::SharedArea;

/// For one who is woken, or finds out then; but not while a victim is stepped, whose steps would
/// not be the same every time.
constexpr WaitPolicy kSliced = {
    .mode = WaitMode::block, .first_slice = 200ms, .longest_slice = 200ms};

/// For one whom nothing but a wake-up helps in time.
constexpr WaitPolicy kPatient = {.mode = WaitMode::block, .first_slice = 1s, .longest_slice = 1s};

template <class S>
struct Shared {
  S semaphore{2};
  std::uint32_t recoveries;  ///< processes that may have died with a permit, besides the victim
  std::uint32_t round;       ///< one up per victim
  // By a process that sleeps for a permit while the victim works.
  std::atomic<int> sleeper_status, sleeper_done;
};

template <class S>
class SemaphoreCrash : public testing::Test {
 protected:
  // No looks, which would all be stepped. Short slices: survivors that nobody wakes find out at the
  // end of one. Forked children inherit the policy.
  SemaphoreCrash() : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  S& semaphore() { return area_->semaphore; }

  /// `operation` finds two permits, and an attached process.
  CrashOperation on_semaphore(const std::string& name, std::function<void()> operation) {
    CrashOperation op{.name = name};
    op.shared = {area_.bytes()};
    op.setup = [this] {
      const std::uint32_t round = area_->round;
      area_.reset();
      area_->round = round + 1;
    };
    op.prepare = [this] {
      semaphore().acquire();
      semaphore().release();
    };
    op.operation = std::move(operation);
    return op;
  }

  /// In the victim: forks a process that sleeps for a permit and gives it back, and goes on once it
  /// does. It outlives the victim, but not for long.
  void leave_a_sleeper() {
    const pid_t pid = fork();
    if (pid == 0) {
      setpgid(0, 0);  // not killed with the victim
      set_wait_policy(kSliced);
      const std::uint32_t round = area_->round;
      const Status status = semaphore().acquire(2500ms);
      if (status == Status::ok) semaphore().release();
      if (area_->round == round) {  // or its victim has strayed, and it is the next one's turn
        area_->sleeper_status = static_cast<int>(status);
        area_->sleeper_done = 1;
      }
      _exit(EXIT_SUCCESS);
    }
    wait_until_asleep(pid);
  }

  /// What the sleeper got, which must be a permit.
  std::string await_sleeper() {
    const auto end = std::chrono::steady_clock::now() + 2s;
    while (area_->sleeper_done != 1) {
      if (std::chrono::steady_clock::now() > end)
        return "there is a permit, and the sleeper sleeps";
      std::this_thread::sleep_for(1ms);
    }
    const auto status = static_cast<Status>(area_->sleeper_status.load());
    return status == Status::ok ? "" : "the sleeper: " + std::string(to_string(status));
  }

  SharedArea<Shared<S>> area_;

 private:
  ScopedWaitPolicy slices_;
};

// -------------------------------------------------------------------------------------------------
// Without owners: a permit of the dead is gone, and nothing else is

template <class S>
class PlainCrash : public SemaphoreCrash<S> {
 protected:
  /// Takes what is there, and puts it back. What is wrong with it, or an empty string.
  std::string inspect(bool completed) {
    S& semaphore = this->semaphore();
    std::uint32_t found = 0;
    while (semaphore.acquire(Deadline::now()) == Status::ok) ++found;
    const std::uint32_t lost = (completed ? 0 : 1) + this->area_->recoveries;
    if (found > 2 || found + lost < 2) return std::to_string(found) + " of 2 permits";
    if (found != 0) semaphore.release(found);
    return "";
  }

  CrashOperation take_and_give_back(const std::string& name) {
    CrashOperation op = this->on_semaphore(name, [this] {
      this->semaphore().acquire();
      this->semaphore().release();
    });
    op.survivor = [this](bool completed) { return inspect(completed); };
    op.interfere = [this] {
      if (this->semaphore().acquire(2s) != Status::ok) throw std::logic_error("no permit is left");
      this->semaphore().release();
    };
    op.prepare_recovery = [this] { this->area_->recoveries = 1; };
    op.recover = [this] {
      this->semaphore().acquire();
      this->semaphore().release();
    };
    return op;
  }
};

using Plain = testing::Types<Semaphore, BoundedSemaphore>;
struct PlainNames {
  template <class S>
  static std::string GetName(int) {
    return std::is_same_v<S, Semaphore> ? "Semaphore" : "BoundedSemaphore";
  }
};
TYPED_TEST_SUITE(PlainCrash, Plain, PlainNames);

TYPED_TEST(PlainCrash, TakeAndGiveBack) {
  expect_intact(this->take_and_give_back("acquire, release"));
}

/// Wherever who gives back is killed: if the permit is there, the sleeper gets it.
TYPED_TEST(PlainCrash, GiveBackWithASleeper) {
  CrashOperation op =
      this->on_semaphore("release with a sleeper", [this] { this->semaphore().release(); });
  op.prepare = [this] {
    for (int i = 0; i < 2; ++i) this->semaphore().acquire();
    this->leave_a_sleeper();
  };
  op.survivor = [this](bool completed) -> std::string {
    TypeParam& semaphore = this->semaphore();
    // Perhaps nothing was given back yet; perhaps the sleeper has it, and is about to say so.
    if (!completed && semaphore.value() == 0) semaphore.release();
    if (const std::string wrong = this->await_sleeper(); !wrong.empty()) return wrong;
    if (semaphore.acquire(2s) != Status::ok) return "what the sleeper gave back is not there";
    return semaphore.value() <= 1 ? "" : "more permits than were released";
  };
  // Not the semaphore: the sleeper writes to it as well, when it pleases.
  op.shared = {this->area_.bytes().subspan(sizeof(TypeParam), sizeof(std::uint32_t))};
  expect_intact(op);
}

/// Who waits is killed: before it sleeps, asleep, woken, with the permit.
TYPED_TEST(PlainCrash, TakeWhereThereIsNone) {
  CrashOperation op =
      this->on_semaphore("acquire that waits", [this] { this->semaphore().acquire(); });
  op.prepare = [this] {
    set_wait_policy(kPatient);
    for (int i = 0; i < 2; ++i) this->semaphore().acquire();
  };
  op.partner = [this](Partner& victim) {
    victim.wait_until_blocked();
    this->semaphore().release();
  };
  op.survivor = [this](bool completed) -> std::string {
    const std::uint32_t left = this->semaphore().value();
    if (left > 1 || (completed && left != 0)) return std::to_string(left) + " permits left";
    this->semaphore().release();
    return this->semaphore().acquire(2s) == Status::ok ? "" : "a permit that nobody gets";
  };
  expect_intact(op);
}

/// Writes in two steps what must be one.
struct TornEnv : internal::RealEnv {
  template <class T>
  static bool cas(internal::Word<T>& word, T& expected, T desired,
                  std::memory_order order) noexcept {
    if (!RealEnv::cas(word, expected, T{0}, order)) return false;
    RealEnv::store(word, desired, std::memory_order_release);  // the fault: too late
    return true;
  }
};

using TornCrash = PlainCrash<BasicSemaphore<TornEnv, Bounded::no>>;
using TornBoundedCrash = PlainCrash<BasicSemaphore<TornEnv, Bounded::yes>>;

TEST_F(TornCrash, MutantThatTakesInTwoStepsIsFound) {
  expect_found(take_and_give_back("mutant: takes in two steps"), "0 of 2 permits");
}

TEST_F(TornBoundedCrash, MutantThatTakesInTwoStepsIsFound) {
  expect_found(take_and_give_back("mutant, bounded: takes in two steps"), "0 of 2 permits");
}

// -------------------------------------------------------------------------------------------------
// With owners: nothing is gone

template <class Env>
class OwnedCrashOf : public SemaphoreCrash<BasicOwnedSemaphore<Env, 3>> {
 protected:
  /// In a process that owns nothing, when all others are dead.
  std::string take_two_and_give_them_back() {
    auto& semaphore = this->semaphore();
    for (int i = 0; i < 2; ++i) {
      if (semaphore.acquire(i == 0 ? 1s : 0s) != Status::ok) return "a permit of the dead is gone";
    }
    if (semaphore.acquire(Deadline::now()) == Status::ok) return "a third permit";
    semaphore.release();
    semaphore.release();
    return semaphore.value() == 2 ? "" : "not free, although given back";
  }

  CrashOperation on_owned(const std::string& name, std::function<void()> operation) {
    CrashOperation op = this->on_semaphore(name, std::move(operation));
    op.survivor = [this](bool) -> std::string { return take_two_and_give_them_back(); };
    op.prepare_recovery = [] { attach(); };
    op.recover = [this] {
      if (const auto wrong = take_two_and_give_them_back(); !wrong.empty())
        throw std::logic_error(wrong);
    };
    return op;
  }

  CrashOperation take_and_give_back(const std::string& name) {
    CrashOperation op = on_owned(name, [this] {
      this->semaphore().acquire();
      this->semaphore().release();
    });
    // The victim has one all the time, and wants another.
    op.prepare = [this] { this->semaphore().acquire(); };
    op.interfere = [this] {
      const Status status = this->semaphore().acquire(15ms);
      if (status == Status::timeout) return;
      if (status != Status::ok || this->semaphore().acquire(Deadline::now()) == Status::ok)
        throw std::logic_error("a living owner was taken for dead");
      this->semaphore().release();
    };
    return op;
  }
};

using OwnedCrash = OwnedCrashOf<internal::RealPermitEnv>;

TEST_F(OwnedCrash, TakeAndGiveBack) { expect_intact(take_and_give_back("owned acquire, release")); }

TEST_F(OwnedCrash, TheFirstUserSetsTheRegistry) {
  CrashOperation op = on_owned("first owned acquire, release", [this] {
    semaphore().acquire();
    semaphore().release();
  });
  op.prepare = [] { attach(); };
  op.recover = nullptr;  // as with a later one
  expect_intact(op);
}

TEST_F(OwnedCrash, TakeOverFromTheDead) {
  CrashOperation op = on_owned("owned acquire from the dead, release", [this] {
    semaphore().acquire();
    semaphore().release();
  });
  op.prepare = [this] {
    const pid_t pid = fork();
    if (pid == 0) {
      for (int i = 0; i < 2; ++i) semaphore().acquire();
      _exit(EXIT_SUCCESS);
    }
    waitpid(pid, nullptr, 0);
    attach();
    static_cast<void>(participant::probe(participant::self() + 1));  // opens what it asks
  };
  op.interfere = [this] {
    if (semaphore().acquire(2s) != Status::ok) throw std::logic_error("nobody gets a permit");
    semaphore().release();
  };
  // In the full profile that would be some hundred thousand second deaths, and take an hour.
  if (testkit::profile_from_environment() == testkit::CrashProfile::full) op.recover = nullptr;
  expect_intact(op);
}

TEST_F(OwnedCrash, GiveBackWithASleeper) {
  CrashOperation op = on_owned("owned release with a sleeper", [this] { semaphore().release(); });
  op.prepare = [this] {
    for (int i = 0; i < 2; ++i) semaphore().acquire();
    leave_a_sleeper();
  };
  op.survivor = [this](bool) -> std::string {
    if (const std::string wrong = await_sleeper(); !wrong.empty()) return wrong;
    return take_two_and_give_them_back();
  };
  op.recover = nullptr;  // the sleeper is one
  op.shared = {area_.bytes().subspan(sizeof(BasicOwnedSemaphore<internal::RealPermitEnv, 3>),
                                     sizeof(std::uint32_t))};
  expect_intact(op);
}

TEST_F(OwnedCrash, TakeWhereThereIsNone) {
  CrashOperation op = on_owned("owned acquire that waits", [this] { semaphore().acquire(); });
  op.prepare = [] {
    set_wait_policy(kPatient);
    attach();
  };
  op.partner = [this](Partner& victim) {
    for (int i = 0; i < 2; ++i) semaphore().acquire();
    victim.wait_until_blocked();
    for (int i = 0; i < 2; ++i) semaphore().release();
  };
  op.recover = nullptr;
  expect_intact(op);
}

/// Takes nobody for dead, as a semaphore does that has the tag of its owners, and does not use it.
struct TrustingEnv : internal::RealPermitEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::alive; }
};

using TrustingCrash = OwnedCrashOf<TrustingEnv>;

TEST_F(TrustingCrash, MutantThatNeverAsksForTheOwnersLifeIsFound) {
  CrashOperation op = take_and_give_back("mutant: never asks for the owners' lives");
  op.interfere = nullptr;
  op.recover = nullptr;
  expect_found(op, "a permit of the dead is gone");
}

/// Says that everybody is dead, and so takes what the living hold.
struct HastyEnv : internal::RealPermitEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::dead; }
};

using HastyCrash = OwnedCrashOf<HastyEnv>;

TEST_F(HastyCrash, MutantThatTakesFromTheLivingIsFound) {
  CrashOperation op = take_and_give_back("mutant: takes from the living");
  op.survivor = [](bool) -> std::string { return ""; };
  op.recover = nullptr;
  expect_found(op, "a living owner was taken for dead");
}

}  // namespace
}  // namespace sluice::tests
