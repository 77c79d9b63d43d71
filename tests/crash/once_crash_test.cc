// SPDX-License-Identifier: Apache-2.0
//
// Once and Latch, killed everywhere: what is begun is begun again, what is done stays done.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/once.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
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

/// Nothing but a wake-up ends a sleep in time.
constexpr WaitPolicy kPatient{.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};
constexpr WaitPolicy kSliced{.mode = WaitMode::block, .first_slice = 20ms, .longest_slice = 20ms};

template <class O>
struct Shared {
  O once;
  std::uint64_t first, second;  ///< both 7 when it is done
  std::atomic<int> passed;
};

template <class O>
class OnceCrashOf : public testing::Test {
 protected:
  void make() {
    area_->first = 7;
    // Only for the compiler: a kill may fall in between.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    area_->second = 7;
  }

  /// Whatever was left: it can be done, or is, in full.
  std::string judge(bool completed) {
    if (completed && !area_->once.done()) return "call() had returned, and it is not done";
    if (area_->once.done() && area_->second != 7) return "done, and half of it is not there";
    bool called = false;
    const Status s = area_->once.call(
        [&] {
          called = true;
          make();
        },
        2s);
    if (s != Status::ok) return "call: " + std::string(to_string(s));
    if (completed && called) return "done twice";
    if (area_->first != 7 || area_->second != 7) return "done, and not there";
    return area_->once.done() ? "" : "called, and not done";
  }

  CrashOperation on_once(const std::string& name, std::function<void()> operation) {
    CrashOperation op{.name = name};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.prepare = [] { static_cast<void>(internal::this_thread()); };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) { return judge(completed); };
    op.interfere = [this] {
      // The frozen one lives: either it has not begun, or it is waited for in vain, or it is done.
      const std::uint64_t first = area_->first;
      const Status s = area_->once.call(
          [this, first] {
            if (first != 0) throw std::logic_error("a living caller was taken for dead");
            make();
          },
          15ms);
      if (s != Status::ok && s != Status::timeout) throw std::logic_error("not callable");
    };
    op.prepare_recovery = [] { static_cast<void>(internal::this_thread()); };
    op.recover = [this] {
      if (const auto wrong = judge(false); !wrong.empty()) throw std::logic_error(wrong);
    };
    return op;
  }

  SharedArea<Shared<O>> area_;

 private:
  ScopedWaitPolicy sliced_{{.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}};
};

class OnceCrash : public OnceCrashOf<Once> {};

TEST_F(OnceCrash, Call) {
  expect_intact(on_once("call", [this] { area_->once.call([this] { make(); }); }));
}

TEST_F(OnceCrash, CallOfWhatADeadOneHadBegun) {
  CrashOperation op =
      on_once("call after a death", [this] { area_->once.call([this] { make(); }); });
  op.setup = [this] {
    area_.reset();
    // By a tag that nobody has: as good as dead.
    std::uint64_t word = (std::uint64_t{0x7fff'0000} << 32) | 77;
    std::memcpy(static_cast<void*>(&area_->once), &word, sizeof word);
  };
  op.interfere = nullptr;  // it would be the one to begin again
  op.recover = nullptr;    // as with a first call
  expect_intact(op);
}

/// Somebody sleeps for it, who does it if the victim could not.
TEST_F(OnceCrash, CallWithASleeper) {
  CrashOperation op =
      on_once("call with a sleeper", [this] { area_->once.call([this] { make(); }); });
  // Not the Once, to which the sleeper writes when it pleases.
  op.shared = {std::as_bytes(std::span(&area_->first, 2))};
  op.interfere = nullptr;
  op.recover = nullptr;
  op.partner = [this](Partner& victim) {
    attach();
    const std::jthread waiter([this, &victim] {
      set_wait_policy(kSliced);
      while (area_->first != 7 && !victim.victim_is_dead()) std::this_thread::sleep_for(100us);
      if (area_->once.call([this] { make(); }, 2s) == Status::ok) ++area_->passed;
    });
    victim.ready();
  };
  op.survivor = [this](bool) -> std::string {
    return area_->passed == 1 ? judge(true) : "the sleeper slept on";
  };
  expect_intact(op);
}

/// The waiter is killed.
TEST_F(OnceCrash, CallThatWaits) {
  CrashOperation op = on_once("call that waits for another's", [this] {
    set_wait_policy(kPatient);
    area_->once.call([] { throw std::logic_error("its own"); });
    ++area_->passed;
  });
  op.shared = {std::as_bytes(std::span(&area_->passed, 1))};
  op.interfere = nullptr;
  op.recover = nullptr;
  op.partner = [this](Partner& victim) {
    attach();
    area_->once.call([this, &victim] {
      victim.wait_until_blocked();
      make();
    });
  };
  op.survivor = [this](bool completed) -> std::string {
    if (completed && area_->passed != 1) return "done, and it did not return";
    return judge(true);
  };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Latch

struct Line {
  Latch latch{2};
  std::uint64_t written;
  std::atomic<int> passed;
};

class LatchCrash : public testing::Test {
 protected:
  SharedArea<Line> line_;

 private:
  ScopedWaitPolicy sliced_{{.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}};
};

TEST_F(LatchCrash, CountDown) {
  CrashOperation op{.name = "latch: write, count down"};
  op.shared = {line_.bytes()};
  op.setup = [this] { line_.reset(); };
  op.operation = [this] {
    line_->written = 7;
    line_->latch.count_down();
  };
  op.survivor = [this](bool completed) -> std::string {
    const std::uint32_t left = line_->latch.left();
    if (completed && left != 1) return "count_down() had returned, and is not counted";
    if (left == 1 && line_->written != 7) return "counted before it was written";
    if (left != 1 && left != 2) return "another count";
    line_->latch.count_down(static_cast<std::ptrdiff_t>(left));
    return line_->latch.wait(2s) == Status::ok ? "" : "all have come, and it is shut";
  };
  op.recover = [this] {
    const std::uint32_t left = line_->latch.left();
    if (left != 0) line_->latch.count_down(0);
  };
  op.interfere = [this] {
    if (line_->latch.wait(1ms) != Status::timeout) throw std::logic_error("open too early");
  };
  expect_intact(op);
}

TEST_F(LatchCrash, TheLastCountDownWithASleeper) {
  CrashOperation op{.name = "latch: the last count down, with a sleeper"};
  op.setup = [this] { line_.reset(); };
  op.operation = [this] { line_->latch.count_down(2); };
  op.partner = [this](Partner& victim) {
    const std::jthread waiter([this] {
      set_wait_policy(kSliced);
      const auto begin = std::chrono::steady_clock::now();
      static_cast<void>(line_->latch.wait(2500ms));
      if (std::chrono::steady_clock::now() - begin < 2s) ++line_->passed;
    });
    while (!line_->latch.maybe_waiting()) std::this_thread::yield();
    victim.ready();
    while (!victim.victim_is_dead() && line_->passed == 0) std::this_thread::sleep_for(500us);
    if (line_->latch.left() != 0) line_->latch.count_down(2);
  };
  op.survivor = [this](bool) -> std::string {
    return line_->passed == 1 ? "" : "the sleeper did not wake up";
  };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

/// Takes nobody for dead.
struct TrustingEnv : internal::RealLockEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::alive; }
};

using MutantCrash = OnceCrashOf<BasicOnce<TrustingEnv>>;

TEST_F(MutantCrash, ThatNeverAsksForTheCallersLifeIsFound) {
  CrashOperation op = on_once("mutant: never asks for the caller's life",
                              [this] { area_->once.call([this] { make(); }); });
  op.interfere = nullptr;
  op.recover = nullptr;
  op.survivor = [this](bool) -> std::string {
    const Status s = area_->once.call([this] { make(); }, 200ms);
    return s == Status::timeout ? "nobody begins again" : "";
  };
  expect_found(op, "nobody begins again");
}

/// Is done before it is.
TEST_F(OnceCrash, MutantThatIsDoneBeforeItIsFound) {
  expect_found(on_once("mutant: done before it is",
                       [this] {
                         area_->once.call([this] { area_->first = 7; });
                         area_->second = 7;
                       }),
               "done, and half of it is not there");
}

TEST_F(LatchCrash, MutantThatCountsBeforeItHasWrittenIsFound) {
  CrashOperation op{.name = "mutant: counts down before it has written"};
  op.shared = {line_.bytes()};
  op.setup = [this] { line_.reset(); };
  op.operation = [this] {
    line_->latch.count_down();
    line_->written = 7;
  };
  op.survivor = [this](bool) -> std::string {
    return line_->latch.left() == 1 && line_->written != 7 ? "counted before it was written" : "";
  };
  expect_found(op, "counted before it was written");
}

}  // namespace
}  // namespace sluice::tests
