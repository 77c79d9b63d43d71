// SPDX-License-Identifier: Apache-2.0
//
// Event and AutoResetEvent, their setter or waiter killed everywhere.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"
#include "sluice/tests/crash/sleepers.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testkit::CrashOperation;
using testkit::Partner;
using testkit::SharedArea;

/// Nothing but a wake-up ends a sleep.
constexpr WaitPolicy kPatient{.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h};
constexpr WaitPolicy kSliced{.mode = WaitMode::block, .first_slice = 20ms, .longest_slice = 20ms};

template <class E>
struct Shared {
  E event;
  std::uint64_t written;  ///< by the victim, before it sets
  std::atomic<int> passed;
};

template <class E>
class EventCrashOf : public testing::Test {
 protected:
  /// Whatever was left: set() lets a waiter through, and after clear() nobody passes.
  std::string judge() {
    E& event = area_->event;
    event.clear();
    if (event.wait(Deadline::now()) == Status::ok) return "cleared, and it lets somebody through";
    bool passed = false;
    {
      const std::jthread waiter([&] {
        set_wait_policy(kSliced);
        passed = event.wait(2s) == Status::ok;
      });
      event.set();
    }
    if (!passed) return "set, and a living waiter does not pass";
    event.clear();
    return event.is_set() ? "cleared, and it is set" : "";
  }

  CrashOperation on_event(const std::string& name, std::function<void()> operation) {
    CrashOperation op{.name = name};
    op.shared = {area_.bytes()};
    op.setup = [this] { area_.reset(); };
    op.operation = std::move(operation);
    op.survivor = [this](bool completed) -> std::string {
      if (completed && !area_->event.is_set()) return "set() had returned, and it is not set";
      if (area_->event.is_set() && area_->written != 7) return "set before it was written";
      return judge();
    };
    return op;
  }

  /// Others, who use the event beside the victim, and after it.
  void add_others(CrashOperation& op) {
    op.interfere = [this] {
      write_and_set();
      if (area_->event.wait(2s) != Status::ok) throw std::logic_error("set, and nobody passes");
    };
    op.recover = [this] {
      write_and_set();
      static_cast<void>(area_->event.wait(2ms));
    };
  }

  CrashOperation among_others(const std::string& name, std::function<void()> operation) {
    CrashOperation op = on_event(name, std::move(operation));
    add_others(op);
    op.survivor = [this](bool) { return judge(); };
    return op;
  }

  void write_and_set() {
    area_->written = 7;
    area_->event.set();
  }

  /// Somebody sleeps, and the victim sets. `late` comes after all deaths.
  CrashOperation on_sleeper(const std::string& name, WaitPolicy policy,
                            std::function<void()> late) {
    CrashOperation op = among_others(name, [this] { write_and_set(); });
    op.interfere = op.recover;  // the sleeper may be quicker
    // Not the event, which the sleeper changes when it pleases. What the victim does to it lies
    // between the system calls.
    op.shared = {std::as_bytes(std::span(&area_->written, 1))};
    op.setup = [this, policy] {
      sleepers_.end();
      area_.reset();
      const auto body = [this, policy] {
        set_wait_policy(policy);
        if (area_->event.wait(Deadline::never()) == Status::ok) ++area_->passed;
      };
      sleepers_.start(1, body, [this] { return area_->event.maybe_waiting(); });
    };
    op.survivor = [this, late](bool) -> std::string {
      late();
      const auto end = std::chrono::steady_clock::now() + 2s;
      while (area_->passed == 0) {
        if (std::chrono::steady_clock::now() > end) return "the sleeper did not wake up";
        std::this_thread::sleep_for(100us);
      }
      return judge();
    };
    return op;
  }

  SharedArea<Shared<E>> area_;
  Sleepers sleepers_;

 private:
  ScopedWaitPolicy sliced_{{.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}};
};

template <class E>
class EventCrash : public EventCrashOf<E> {};

using Kinds = testing::Types<Event, AutoResetEvent>;
struct KindNames {
  template <class E>
  static std::string GetName(int) {
    return std::is_same_v<E, Event> ? "Event" : "AutoResetEvent";
  }
};
TYPED_TEST_SUITE(EventCrash, Kinds, KindNames);

TYPED_TEST(EventCrash, Set) {
  expect_intact(this->on_event("write, set", [this] { this->write_and_set(); }));
  expect_intact(this->among_others("set among others", [this] { this->write_and_set(); }));
}

TYPED_TEST(EventCrash, SetThatFindsAnOldAnnouncement) {
  CrashOperation op =
      this->among_others("set after a waiter that gave up", [this] { this->write_and_set(); });
  op.setup = [this] {
    this->area_.reset();
    static_cast<void>(this->area_->event.wait(1ms));
  };
  expect_intact(op);
}

TYPED_TEST(EventCrash, SetAndClear) {
  expect_intact(this->among_others("set, clear", [this] {
    this->write_and_set();
    this->area_->event.clear();
  }));
}

/// A setter that is killed before its wake call: sleepers find out by themselves.
TYPED_TEST(EventCrash, SetWithASleeper) {
  expect_intact(this->on_sleeper("set with a sleeper, which has slices", kSliced, [this] {
    if (!this->area_->event.is_set() && this->area_->passed == 0) this->write_and_set();
  }));
}

/// Or the next set() makes up for it, though it is set already.
TYPED_TEST(EventCrash, SetWithASleeperAndAnotherSet) {
  expect_intact(this->on_sleeper("set with a sleeper, then another set", kPatient,
                                 [this] { this->write_and_set(); }));
}

/// The waiter is killed: before it sleeps, asleep, woken, let through.
TYPED_TEST(EventCrash, Wait) {
  CrashOperation op = this->among_others("wait, let through", [this] {
    this->area_->event.wait();
    ++this->area_->passed;
  });
  // Not the event, as above.
  op.shared = {std::as_bytes(std::span(&this->area_->passed, 1))};
  op.prepare = [] { set_wait_policy(kPatient); };
  op.partner = [this](Partner& victim) {
    victim.wait_until_blocked();
    this->write_and_set();
  };
  op.survivor = [this](bool completed) -> std::string {
    if (completed && this->area_->passed != 1) return "set, and it did not pass";
    return this->judge();
  };
  expect_intact(op);
}

TYPED_TEST(EventCrash, WaitThatTimesOut) {
  expect_intact(this->among_others("wait that times out",
                                   [this] { static_cast<void>(this->area_->event.wait(1ms)); }));
}

TYPED_TEST(EventCrash, WaitThatFindsItSet) {
  CrashOperation op = this->on_event("wait that finds it set", [this] {
    if (this->area_->event.wait(2s) == Status::ok) ++this->area_->passed;
  });
  op.setup = [this] {
    this->area_.reset();
    this->write_and_set();
  };
  // The one signal is there, or was taken by the victim: by two never.
  op.survivor = [this](bool completed) -> std::string {
    const bool left = this->area_->event.try_wait();
    if (completed && this->area_->passed != 1) return "it did not pass";
    if (std::is_same_v<TypeParam, AutoResetEvent> && left && this->area_->passed == 1) {
      return "one signal let two through";
    }
    return this->judge();
  };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

/// Forgets the sleepers before it has woken them.
struct ForgetfulEnv : internal::RealEnv {
  template <class T>
  static T fetch_or(internal::Word<T>& word, T bits, std::memory_order order) noexcept {
    const T before = internal::RealEnv::fetch_or(word, bits, order);
    T now = before | bits;
    // Ordered as the caller says.
    internal::RealEnv::cas(word, now, now & ~(T{1} << 32), order);
    return before;
  }
};

using ForgetfulCrash = EventCrashOf<BasicEvent<ForgetfulEnv>>;

TEST_F(ForgetfulCrash, MutantThatForgetsTheSleepersBeforeItWakesThemIsFound) {
  CrashOperation op = on_sleeper("mutant: clears `waiting` before the wake call", kPatient,
                                 [this] { write_and_set(); });
  op.interfere = nullptr;
  op.recover = nullptr;
  expect_found(op, "the sleeper did not wake up");
}

using MutantCrash = EventCrashOf<AutoResetEvent>;

TEST_F(MutantCrash, ThatSetsBeforeItHasWrittenIsFound) {
  expect_found(on_event("mutant: sets before it has written",
                        [this] {
                          area_->event.set();
                          area_->written = 7;
                        }),
               "set before it was written");
}

/// A signal that is taken in two steps.
TEST_F(MutantCrash, ThatTakesWithoutACommitIsFound) {
  CrashOperation op = on_event("mutant: passes, and takes the signal afterwards", [this] {
    if (area_->event.is_set()) ++area_->passed;
    area_->event.clear();
  });
  op.setup = [this] {
    area_.reset();
    write_and_set();
  };
  op.survivor = [this](bool) -> std::string {
    return area_->event.try_wait() && area_->passed == 1 ? "one signal let two through" : "";
  };
  expect_found(op, "one signal let two through");
}

}  // namespace
}  // namespace sluice::tests
