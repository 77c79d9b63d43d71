// SPDX-License-Identifier: Apache-2.0
//
// The behaviour that users of Python's Semaphore and BoundedSemaphore rely on, held against ours
// (rows SE and BS), by threads, forked children, and processes that meet by name.
//
//   here              SE1, SE2, SE4, SE5, SE8 to SE11, BS1 to BS3; deaths; signals; wait modes
//   owned permits     SE11: owned_semaphore_test.cc
//   nothing to test   SE12 (no C type to derive from)

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/semaphore_guard.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// How much later than its deadline a call may return on a machine that does other things as well.
/// The lower bound has no such slack.
constexpr auto kLate = 1s;

/// For sleepers whom nothing but a wake-up helps.
constexpr WaitPolicy kNoSlices = {.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};

struct Gates {
  Semaphore one;
  Semaphore none{0};
  Semaphore two{2};
  Semaphore seven{7};
  BoundedSemaphore bounded{2};
  BoundedSemaphore eight{8};
  std::atomic<int> step;
  std::atomic<int> taken, given, refused;
};

/// Waits for another party.
void await(const std::atomic<int>& number, int at_least) {
  while (number < at_least) sched_yield();
}

template <class Way>
class SemaphoreBehaviour : public testing::Test {
 public:
  /// In another party, to its end.
  template <class Body>
  void elsewhere(Body body) {
    stage_.start(std::move(body));
    stage_.finish();
  }

  Stage<Way, Gates> stage_;
};

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};
using Ways = testing::Types<ByThreads, ByFork, ByName>;
TYPED_TEST_SUITE(SemaphoreBehaviour, Ways, WayNames);

template <class S>
void expect_counts_to_two(S& semaphore) {
  EXPECT_EQ(semaphore.value(), 2U);
  semaphore.acquire();
  EXPECT_EQ(semaphore.value(), 1U);
  semaphore.acquire();
  EXPECT_EQ(semaphore.value(), 0U);
  EXPECT_FALSE(semaphore.try_acquire());
  EXPECT_EQ(semaphore.value(), 0U);
  semaphore.release();
  EXPECT_EQ(semaphore.value(), 1U);
  semaphore.release();
  EXPECT_EQ(semaphore.value(), 2U);
}

TYPED_TEST(SemaphoreBehaviour, SE1_CountsAndHasNoUpperBound) {
  this->elsewhere([](Gates& gates) {
    expect_counts_to_two(gates.two);
    gates.two.release();
    gates.two.release();
  });
  EXPECT_EQ(this->stage_->two.value(), 4U);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(this->stage_->two.try_acquire());
  EXPECT_FALSE(this->stage_->two.try_acquire());
}

TYPED_TEST(SemaphoreBehaviour, SE2_SE8_TriesAreAnsweredAtOnceAndDeadlinesAreKept) {
  this->elsewhere([](Gates& gates) {
    Semaphore& none = gates.none;
    const auto at_once = time_of([&] {
      EXPECT_FALSE(none.try_acquire());
      EXPECT_EQ(none.acquire(Deadline::now()), Status::timeout);
      EXPECT_FALSE(none.try_acquire_for(0s));
      EXPECT_FALSE(none.try_acquire_for(-1h));
      EXPECT_FALSE(none.try_acquire_until(Clock::now() - 1h));
      EXPECT_FALSE(none.try_acquire_until(std::chrono::system_clock::now() - 1h));
    });
    EXPECT_LT(at_once, kLate);
    const auto expect_waits = [&](auto wait) {
      const auto waited = time_of(wait);
      EXPECT_GE(waited, 50ms);
      EXPECT_LT(waited, 50ms + kLate);
    };
    expect_waits([&] { EXPECT_EQ(none.acquire(50ms), Status::timeout); });
    expect_waits([&] { EXPECT_FALSE(none.try_acquire_for(50ms)); });
    expect_waits([&] { EXPECT_FALSE(none.try_acquire_until(Clock::now() + 50ms)); });
    expect_waits(
        [&] { EXPECT_FALSE(none.try_acquire_until(std::chrono::system_clock::now() + 50ms)); });
    EXPECT_EQ(none.value(), 0U);
  });
}

TYPED_TEST(SemaphoreBehaviour, SE8_WithAPermitNobodyWaits) {
  this->elsewhere([](Gates& gates) {
    EXPECT_TRUE(gates.two.try_acquire_for(5ms));
    EXPECT_EQ(gates.two.acquire(1h), Status::ok);
    EXPECT_FALSE(gates.two.try_acquire_for(5ms));
    gates.two.release();
    EXPECT_TRUE(gates.two.try_acquire_for(5ms));
    const auto waited = time_of([&] { EXPECT_FALSE(gates.two.try_acquire_for(500ms)); });
    EXPECT_GE(waited, 500ms);
    EXPECT_LT(waited, 500ms + kLate);
  });
}

TYPED_TEST(SemaphoreBehaviour, SE4_BeginsWithOneAndGoesOnForEver) {
  EXPECT_EQ(this->stage_->one.value(), 1U);
  this->elsewhere([](Gates& gates) {
    for (int i = 0; i < 1000; ++i) {
      gates.one.acquire();
      EXPECT_EQ(gates.one.value(), 0U);
      gates.one.release();
    }
    Semaphore goes_while_taken;
    goes_while_taken.acquire();
  });
  EXPECT_EQ(this->stage_->one.value(), 1U);
}

/// Ten that take two each, in phases: as many get through as permits were given, and not one more.
TYPED_TEST(SemaphoreBehaviour, SE5_AsManyGetThroughAsPermitsAreGiven) {
  auto& stage = this->stage_;
  constexpr int kParties = 10;
  stage->seven.acquire();
  stage->given = 6;
  for (int party = 0; party < kParties; ++party) {
    stage.start([party](Gates& gates) {
      const ScopedWaitPolicy policy(party % 2 == 0 ? kNoSlices : WaitPolicy{});
      for (int i = 0; i < 2; ++i) {
        gates.seven.acquire();
        EXPECT_LE(++gates.taken, gates.given.load());
      }
    });
  }
  await(stage->taken, 6);
  for (const int more : {7, 6, 1}) {
    const int before = stage->taken;
    stage->given += more;
    if (more == 6) {
      stage->seven.release(6);
    } else {
      for (int i = 0; i < more; ++i) stage->seven.release();
    }
    await(stage->taken, before + more);
    EXPECT_EQ(stage->taken, before + more);
    EXPECT_EQ(stage->seven.value(), 0U);
  }
  stage.finish();
  EXPECT_EQ(stage->taken, 2 * kParties);
  EXPECT_FALSE(stage->seven.try_acquire());
}

TYPED_TEST(SemaphoreBehaviour, ReleaseOfSeveralWakesAsMany) {
  auto& stage = this->stage_;
  for (int party = 0; party < 5; ++party) {
    const int number = stage.start([](Gates& gates) {
      const ScopedWaitPolicy policy(kNoSlices);
      gates.none.acquire();
      ++gates.taken;
    });
    stage.wait_until_asleep(number);
  }
  stage->none.release(3);
  await(stage->taken, 3);
  stage->none.release(0);
  EXPECT_EQ(stage->taken, 3);
  stage->none.release(2);
  stage.finish();
  EXPECT_EQ(stage->taken, 5);
  EXPECT_EQ(stage->none.value(), 0U);
}

TYPED_TEST(SemaphoreBehaviour, SE9_ScopesTakeAndGiveBack) {
  this->elsewhere([](Gates& gates) {
    Semaphore& two = gates.two;
    {
      const SemaphoreGuard outer(two);
      EXPECT_TRUE(outer);
      EXPECT_EQ(two.value(), 1U);
      {
        SemaphoreGuard inner(two, 1h);
        EXPECT_EQ(inner.status(), Status::ok);
        EXPECT_EQ(two.value(), 0U);
        const SemaphoreGuard none(two, Deadline::now());
        EXPECT_FALSE(none);
        EXPECT_EQ(none.status(), Status::timeout);
        const SemaphoreGuard moved(std::move(inner));
        EXPECT_TRUE(moved);
      }
      EXPECT_EQ(two.value(), 1U);
    }
    EXPECT_EQ(two.value(), 2U);
    try {
      const SemaphoreGuard hold(two);
      throw std::runtime_error("out of the scope");
    } catch (const std::runtime_error&) {
      EXPECT_EQ(two.value(), 2U);
    }
    SemaphoreGuard early(two);
    early.release();
    EXPECT_FALSE(early);
    early.release();
    EXPECT_EQ(two.value(), 2U);
  });
  EXPECT_EQ(this->stage_->two.value(), 2U);
}

TYPED_TEST(SemaphoreBehaviour, SE9_AForkedChildDoesNotGiveBackItsParentsPermit) {
  if constexpr (TypeParam::kProcesses) {
    this->elsewhere([](Gates& gates) {
      {
        std::optional<SemaphoreGuard<Semaphore>> hold(gates.two);
        const pid_t child = fork();
        if (child == 0) {
          const bool holds = static_cast<bool>(*hold);
          hold.reset();
          _exit(holds ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        int status = 0;
        waitpid(child, &status, 0);
        EXPECT_EQ(status, 0) << "the child's guard says that it holds a permit";
        EXPECT_EQ(gates.two.value(), 1U);
      }
      EXPECT_EQ(gates.two.value(), 2U);
    });
  }
}

TYPED_TEST(SemaphoreBehaviour, SE10_AReleaseTooManyIsOneMoreAndTheTextSaysHowMany) {
  auto& stage = this->stage_;
  this->elsewhere([](Gates& gates) { gates.none.release(); });
  const auto text = [](const auto& it) { return (std::ostringstream() << it).str(); };
  EXPECT_EQ(text(stage->none), "Semaphore: 1");
  EXPECT_EQ(text(stage->bounded), "BoundedSemaphore: 2 of 2");
  stage->none.acquire();
  const int waiter = stage.start([](Gates& gates) {
    const ScopedWaitPolicy policy(kNoSlices);
    gates.none.acquire();
  });
  while (!stage->none.maybe_waiting()) stage.wait_until_asleep(waiter);
  EXPECT_EQ(text(stage->none), "Semaphore: 0; others may be waiting");
  stage->none.release();
  stage.finish();
}

TYPED_TEST(SemaphoreBehaviour, SE11_WhoTakesNeedNotGiveBack) {
  this->elsewhere([](Gates& gates) { gates.one.acquire(); });
  EXPECT_EQ(this->stage_->one.value(), 0U);
  this->stage_->one.release();
  this->elsewhere([](Gates& gates) { EXPECT_TRUE(gates.one.try_acquire()); });
}

TYPED_TEST(SemaphoreBehaviour, SE11_APermitTakenByTheDeadIsGone) {
  if constexpr (TypeParam::kProcesses) {
    auto& stage = this->stage_;
    const int holder = stage.start([](Gates& gates) {
      gates.one.acquire();
      gates.step = 1;
      for (;;) pause();
    });
    await(stage->step, 1);
    stage.kill(holder);
    EXPECT_FALSE(stage->one.try_acquire_for(200ms));
    EXPECT_EQ(stage->one.value(), 0U);
    stage->one.release();
    EXPECT_TRUE(stage->one.try_acquire());
  }
}

/// Killed asleep, some of them with the wake-up that was meant for others.
TYPED_TEST(SemaphoreBehaviour, KilledWaitersTakeNothingFromTheOthers) {
  if constexpr (TypeParam::kProcesses) {
    auto& stage = this->stage_;
    for (int round = 0; round < 10; ++round) {
      const auto wait = [](Gates& gates) {
        gates.none.acquire();
        ++gates.taken;
      };
      const int before = stage->taken;
      const int victim = stage.start(wait);
      const int other = stage.start(wait);
      stage.wait_until_asleep(victim);
      stage.wait_until_asleep(other);
      if (round % 2 == 0) {
        stage.kill(victim);
      } else {
        stage->none.release();
        stage.kill(victim);
      }
      stage->none.release();
      stage.finish(other);
      EXPECT_GT(stage->taken, before);
      while (stage->none.try_acquire()) continue;  // what the victim has not taken
      stage.forget_finished();
    }
    stage->none.release();
    EXPECT_TRUE(stage->none.try_acquire());
  }
}

void ignore_signal(int) {}

TYPED_TEST(SemaphoreBehaviour, SignalsDoNotEndAWait) {
  auto& stage = this->stage_;
  struct sigaction action{};
  action.sa_handler = ignore_signal;  // without SA_RESTART
  struct sigaction before{};
  sigaction(SIGUSR1, &action, &before);
  const int waiter = stage.start([](Gates& gates) {
    const ScopedWaitPolicy policy(kNoSlices);
    gates.none.acquire();
    ++gates.taken;
  });
  const pid_t process = TypeParam::kProcesses ? stage.thread_of(waiter) : getpid();
  for (int i = 0; i < 20; ++i) {
    stage.wait_until_asleep(waiter);
    syscall(SYS_tgkill, process, stage.thread_of(waiter), SIGUSR1);
  }
  stage.wait_until_asleep(waiter);
  EXPECT_EQ(stage->taken, 0);
  stage->none.release();
  stage.finish();
  EXPECT_EQ(stage->taken, 1);
  sigaction(SIGUSR1, &before, nullptr);
}

TYPED_TEST(SemaphoreBehaviour, EachWaitModeWaitsUntilThereIsAPermit) {
  auto& stage = this->stage_;
  for (const WaitMode mode : {WaitMode::spin, WaitMode::adaptive, WaitMode::block}) {
    stage.start([mode](Gates& gates) {
      const ScopedWaitPolicy policy({.mode = mode});
      ++gates.step;
      gates.none.acquire();
      EXPECT_LE(++gates.taken, gates.given.load());
    });
  }
  await(stage->step, 3);
  usleep(100'000);  // some slices
  for (int i = 0; i < 3; ++i) {
    ++stage->given;
    stage->none.release();
  }
  stage.finish();
  EXPECT_EQ(stage->taken, 3);
}

/// A wake-up that is lost stops it for good, since nobody has slices.
TYPED_TEST(SemaphoreBehaviour, PassesToAndFroWithoutLosingAWakeUp) {
  auto& stage = this->stage_;
  constexpr int kRounds = 5000;
  for (int i = 0; i < 2; ++i) stage->two.acquire();
  stage.start([](Gates& gates) {
    const ScopedWaitPolicy policy(kNoSlices);
    for (int i = 0; i < kRounds; ++i) {
      gates.none.acquire();
      gates.two.release();
    }
  });
  const ScopedWaitPolicy policy(kNoSlices);
  for (int i = 0; i < kRounds; ++i) {
    stage->none.release();
    stage->two.acquire();
  }
  stage.finish();
  EXPECT_EQ(stage->none.value() + stage->two.value(), 0U);
}

TYPED_TEST(SemaphoreBehaviour, ManyTakeAndGiveBackAndTheCountIsExact) {
  auto& stage = this->stage_;
  for (int party = 0; party < 8; ++party) {
    stage.start([party](Gates& gates) {
      const ScopedWaitPolicy policy(party % 2 == 0 ? kNoSlices : WaitPolicy{});
      for (int i = 0; i < 3000; ++i) {
        const SemaphoreGuard hold(gates.bounded);
        EXPECT_LE(++gates.taken, 2);
        if (i % 8 == 0) sched_yield();
        --gates.taken;
      }
    });
  }
  stage.finish();
  EXPECT_EQ(stage->bounded.value(), 2U);
}

// -------------------------------------------------------------------------------------------------
// BS

TYPED_TEST(SemaphoreBehaviour, BS1_CountsWithinItsBound) {
  this->elsewhere([](Gates& gates) { expect_counts_to_two(gates.bounded); });
  EXPECT_EQ(this->stage_->bounded.value(), 2U);
  EXPECT_EQ(this->stage_->bounded.bound(), 2U);
}

TYPED_TEST(SemaphoreBehaviour, BS2_AReleaseAboveTheBoundIsAnErrorAndAddsNothing) {
  this->elsewhere([](Gates& gates) {
    BoundedSemaphore& bounded = gates.bounded;
    EXPECT_THROW(bounded.release(), std::logic_error);
    EXPECT_EQ(bounded.value(), 2U);
    bounded.acquire();
    EXPECT_THROW(bounded.release(2), std::logic_error) << "one of them would be too many";
    EXPECT_THROW(bounded.release(std::numeric_limits<std::uint32_t>::max()), std::logic_error);
    EXPECT_EQ(bounded.value(), 1U);
    bounded.release();
    try {
      bounded.release(7);
      ADD_FAILURE() << "above the bound";
    } catch (const std::logic_error& e) {
      const std::string what = e.what();
      EXPECT_THAT(what, testing::HasSubstr("release(7)"));
      EXPECT_THAT(what, testing::HasSubstr("value is 2"));
      EXPECT_THAT(what, testing::HasSubstr("bound is 2"));
    }
    EXPECT_EQ(bounded.value(), 2U);
  });
}

/// Eight give back more than was taken, a ninth looks on, and lets some through.
TYPED_TEST(SemaphoreBehaviour, BS2_BS3_EightGiveBackTooManyAndExactlyTheSurplusFails) {
  auto& stage = this->stage_;
  constexpr int kParties = 8;
  constexpr int kReleases = 2000;
  constexpr int kTaken = 5000;
  stage.start([](Gates& gates) {
    await(gates.step, 1);
    while (gates.step < 1 + kParties) {
      EXPECT_LE(gates.eight.value(), 8U);
      if (gates.taken < kTaken && gates.eight.try_acquire()) ++gates.taken;
    }
  });
  for (int party = 0; party < kParties; ++party) {
    stage.start([party](Gates& gates) {
      await(gates.step, 1);
      for (int i = 0; i < kReleases; ++i) {
        try {
          gates.eight.release(party == 0 ? 9 : 1);  // nine can never be added
          ++gates.given;
        } catch (const std::logic_error&) {
          ++gates.refused;
        }
      }
      ++gates.step;
    });
  }
  stage->step = 1;
  stage.finish();
  EXPECT_EQ(stage->given + stage->refused, kParties * kReleases);
  EXPECT_EQ(stage->eight.value(), static_cast<std::uint32_t>(8 - stage->taken + stage->given));
  EXPECT_GE(stage->refused, kReleases) << "those of nine";
}

/// Twenty want in, five at a time may: a program of many tutorials.
TYPED_TEST(SemaphoreBehaviour, FiveOfTwentyAreInsideAtOnce) {
  auto& stage = this->stage_;
  for (int i = 0; i < 3; ++i) stage->eight.acquire();
  const auto all = time_of([&] {
    for (int party = 0; party < 20; ++party) {
      stage.start([](Gates& gates) {
        const SemaphoreGuard hold(gates.eight);
        EXPECT_LE(++gates.taken, 5);
        usleep(50'000);
        --gates.taken;
      });
    }
    stage.finish();
  });
  EXPECT_GE(all, 4 * 50ms);
  EXPECT_EQ(stage->eight.value(), 5U);
}

}  // namespace
}  // namespace sluice::tests
