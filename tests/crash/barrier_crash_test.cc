// SPDX-License-Identifier: Apache-2.0
//
// Barrier, a party killed everywhere: the last to come, one that waits, one in the action, one that
// leaves, breaks or mends it. The others are let go or told, and what is left serves new parties.

#include <gtest/gtest.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "sluice/sync/barrier.h"
#include "sluice/sync/barrier_report.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
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

template <class B>
struct Shared {
  B barrier{2};
  std::uint64_t first, second;  // equal, but while an action is under way
  std::atomic<int> partner;     // how its wait ended
};

template <class B>
class BarrierCrash : public testing::Test {
 protected:
  // The partner is to be woken, or to find out soon if nobody does it.
  static constexpr WaitPolicy kSliced = {
      .mode = WaitMode::block, .first_slice = 200ms, .longest_slice = 200ms};

  // No looks, which would all be stepped. Forked children inherit it.
  BarrierCrash() : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  void make(std::uint32_t parties) {
    area_.reset();
    ::new (static_cast<void*>(&area_->barrier)) B(parties);
  }

  void act() {
    if (area_->first != area_->second)
      throw std::logic_error("half an action, and nobody was told");
    ++area_->first;
    // Only for the compiler: a kill may fall in between.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ++area_->second;
  }

  /// Where the others are dead: comes, is told or not, and makes all good again.
  void mend() {
    B& barrier = area_->barrier;
    const Status s = barrier.wait(Deadline::now(), [this] { act(); }).status;
    if (s != Status::ok) area_->second = area_->first;
    if (barrier.reset() != Status::ok) throw std::logic_error("reset");
  }

  /// After that new parties pass.
  std::string pass(std::uint32_t parties) {
    mend();
    B& barrier = area_->barrier;
    if (barrier.parties() != parties) return "parties are missing after a reset";
    Status ended[2] = {Status::ok, Status::ok};
    {
      std::jthread other;
      if (parties == 2) {
        other = std::jthread([&] { ended[1] = barrier.wait(2s, [this] { act(); }).status; });
      }
      ended[0] = barrier.wait(2s, [this] { act(); }).status;
    }
    if (ended[0] != Status::ok || ended[1] != Status::ok) {
      return "new parties: " + std::string(to_string(ended[0])) + ", " +
             std::string(to_string(ended[1]));
    }
    return area_->first == area_->second ? "" : "half an action";
  }

  /// One process alone at a barrier for one, in all modes.
  CrashOperation alone(const std::string& name, std::function<void()> operation) {
    CrashOperation op{.name = name};
    op.shared = {area_.bytes()};
    op.setup = [this] { make(1); };
    op.prepare = [] { static_cast<void>(internal::this_thread()); };
    op.operation = std::move(operation);
    op.survivor = [this](bool) { return pass(1); };
    op.interfere = [this] {
      const Status s = area_->barrier.wait(20ms, [this] { act(); }).status;
      if (s == Status::ok) return area_->barrier.leave();
      if (s == Status::timeout) throw std::logic_error("a seat for nobody");
    };
    op.prepare_recovery = op.prepare;
    op.recover = [this] { mend(); };
    return op;
  }

  /// The victim comes last, to a partner that waits asleep.
  CrashOperation last_to_come(const std::string& name, WaitPolicy partners,
                              std::function<void()> operation) {
    CrashOperation op{.name = name};
    // Not the event count, which the partner writes as well.
    op.shared = {area_.bytes().subspan(0, sizeof(std::uint64_t)),
                 area_.bytes().subspan(32, 2 * sizeof(std::uint64_t))};
    op.setup = [this] { make(2); };
    op.prepare = [this] { static_cast<void>(area_->barrier.join()); };
    op.operation = std::move(operation);
    op.partner = [this, partners](Partner& victim) {
      set_wait_policy(partners);
      static_cast<void>(area_->barrier.join());
      victim.ready();  // its seat is the second one
      const auto begin = std::chrono::steady_clock::now();
      const BarrierResult all = area_->barrier.wait(1500ms, [this] { act(); });
      if (std::chrono::steady_clock::now() - begin > 1200ms) throw std::logic_error("slept on");
      area_->partner = 1 + static_cast<int>(all.status);
    };
    op.survivor = [this](bool completed) -> std::string {
      const auto partner = static_cast<Status>(area_->partner - 1);
      if (completed && partner != Status::ok) {
        return "the victim passed, the partner: " + std::string(to_string(partner));
      }
      if (partner == Status::ok && area_->first != area_->second) return "let go in the action";
      return pass(2);
    };
    return op;
  }

  SharedArea<Shared<B>> area_;

 private:
  ScopedWaitPolicy slices_;
};

using BarrierKilled = BarrierCrash<Barrier<4>>;

TEST_F(BarrierKilled, WaitOfOne) {
  expect_intact(alone("wait, alone", [this] { static_cast<void>(area_->barrier.wait()); }));
}

TEST_F(BarrierKilled, WaitOfOneWithAnAction) {
  expect_intact(alone("wait with an action, alone",
                      [this] { static_cast<void>(area_->barrier.wait([this] { act(); })); }));
}

TEST_F(BarrierKilled, JoinAndLeave) {
  expect_intact(alone("join, leave", [this] {
    static_cast<void>(area_->barrier.join());
    area_->barrier.leave();
  }));
}

TEST_F(BarrierKilled, Drop) {
  expect_intact(alone("arrive_and_drop with an action",
                      [this] { area_->barrier.arrive_and_drop([this] { act(); }); }));
}

TEST_F(BarrierKilled, TimeOut) {
  CrashOperation op = alone("wait that times out",
                            [this] { static_cast<void>(area_->barrier.wait(Deadline::now())); });
  op.setup = [this] { make(2); };
  op.survivor = [this](bool) { return pass(2); };
  op.interfere = [this] { static_cast<void>(area_->barrier.wait(Deadline::now())); };
  op.recover = [this] { mend(); };
  expect_intact(op);
}

/// One of the seats is a dead party's, and one was dropped.
TEST_F(BarrierKilled, AbortAndReset) {
  CrashOperation op = alone("abort, reset with seats to clear", [this] {
    area_->barrier.abort();
    static_cast<void>(area_->barrier.reset());
  });
  op.setup = [this] { make(2); };
  op.prepare = [this] {
    const pid_t pid = fork();
    if (pid == 0) {
      static_cast<void>(area_->barrier.join());
      static_cast<void>(area_->barrier.join());
      area_->barrier.arrive_and_drop();
      _exit(EXIT_SUCCESS);
    }
    waitpid(pid, nullptr, 0);
    static_cast<void>(internal::this_thread());
  };
  op.survivor = [this](bool completed) -> std::string {
    if (completed && area_->barrier.parties() != 2) return "reset, and a seat is missing";
    return pass(2);
  };
  op.interfere = [this] { static_cast<void>(area_->barrier.reset()); };
  op.recover = [this] { mend(); };
  expect_intact(op);
}

TEST_F(BarrierKilled, LastToCome) {
  expect_intact(last_to_come("wait, last to come", kSliced,
                             [this] { static_cast<void>(area_->barrier.wait()); }));
}

TEST_F(BarrierKilled, LastToComeWithAnAction) {
  CrashOperation op = last_to_come("wait with an action, last to come", kSliced, [this] {
    static_cast<void>(area_->barrier.wait([this] { act(); }));
  });
  op.shared.push_back(area_.bytes().subspan(offsetof(Shared<Barrier<4>>, first), 16));
  expect_intact(op);
}

TEST_F(BarrierKilled, LastToDrop) {
  CrashOperation op = last_to_come("arrive_and_drop, last to come", kSliced,
                                   [this] { area_->barrier.arrive_and_drop(); });
  expect_intact(op);
}

/// The victim waits: killed before it sleeps, asleep, let go.
TEST_F(BarrierKilled, FirstToCome) {
  CrashOperation op{.name = "wait, first to come"};
  op.shared = {area_.bytes()};
  op.setup = [this] { make(2); };
  op.prepare = [] {
    set_wait_policy({.mode = WaitMode::block, .first_slice = 1s, .longest_slice = 1s});
    static_cast<void>(internal::this_thread());
  };
  op.operation = [this] { static_cast<void>(area_->barrier.wait()); };
  op.partner = [this](Partner& victim) {
    victim.wait_until_blocked();
    const auto begin = std::chrono::steady_clock::now();
    const Status s = area_->barrier.wait(victim.victim_is_dead() ? 100ms : 2500ms).status;
    if (std::chrono::steady_clock::now() - begin > 2s) throw std::logic_error("slept on");
    if (s == Status::ok) area_->barrier.leave();
  };
  op.survivor = [this](bool) { return pass(2); };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

TEST_F(BarrierKilled, MutantWithoutSlicesIsFound) {
  const WaitPolicy endless{.mode = WaitMode::block, .first_slice = 600s, .longest_slice = 600s};
  expect_found(last_to_come("mutant: waiters without slices", endless,
                            [this] { static_cast<void>(area_->barrier.wait()); }),
               "slept on");
}

TEST_F(BarrierKilled, MutantWhoseActionComesAfterTheRoundIsFound) {
  CrashOperation op = last_to_come("mutant: the action comes after the round", kSliced, [this] {
    static_cast<void>(area_->barrier.wait());
    act();
  });
  op.shared.push_back(area_.bytes().subspan(offsetof(Shared<Barrier<4>>, first), 16));
  expect_found(op, "let go in the action");
}

/// Takes nobody for dead.
struct TrustingEnv : internal::RealLockEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::alive; }
};
using MutantKilled = BarrierCrash<BasicBarrier<TrustingEnv, 4>>;

TEST_F(MutantKilled, ThatNeverAsksWhoLivesIsFound) {
  expect_found(last_to_come("mutant: never asks who lives", kSliced,
                            [this] { static_cast<void>(area_->barrier.wait()); }),
               "slept on");
}

}  // namespace
}  // namespace sluice::tests
