// SPDX-License-Identifier: Apache-2.0
//
// The stack of indices that ships, under the scheduler: nobody holds what another holds, nothing is
// lost, who takes an index sees what its last holder wrote; with deaths, after which all comes
// back. Beside it mutants, which must be seen to fail.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sluice/lockfree/stack.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/scheduler.h"
#include "sluice/tests/model/explored.h"

namespace sluice::tests {
namespace {

using internal::Word;
using testkit::renew;
using testkit::require;
using testkit::Scenario;
using testkit::ScheduledData;
using testkit::ScheduledEnv;
using testkit::ScheduleEnd;
using testkit::Strategy;
using Order = std::memory_order;

// -------------------------------------------------------------------------------------------------
// Environments with one fault

/// Compare-and-swaps and stores that publish nothing.
struct NoReleaseEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order /*success*/) noexcept {
    return ScheduledEnv::cas(word, expected, desired, Order::relaxed);  // the fault
  }
};

/// Nobody is ever found dead: nothing is given back.
struct BlindEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

/// Everybody is.
struct HastyEnv : ScheduledEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::dead; }
};

/// The head does not count its changes.
struct UncountedEnv : ScheduledEnv {
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order success) noexcept {
    if constexpr (sizeof(T) == 8) {
      // Of a stack of three: an idle head. The fault.
      if ((desired >> 63) == 0 && (desired >> 32 & 0x1fffffff) != 0 && (desired & kNotOwner) == 0) {
        desired &= ~(std::uint64_t{0x1fffffff} << 32);
      }
    }
    return ScheduledEnv::cas(word, expected, desired, success);
  }
  static constexpr std::uint64_t kNotOwner = 0xffffffff;
};

// -------------------------------------------------------------------------------------------------
// What is explored

constexpr std::size_t kMostIndices = 4;
constexpr std::size_t kMostThreads = 4;

struct Plan {
  std::size_t capacity;
  std::size_t users, rounds;
  std::size_t mortal = 0;   ///< the first so many
  std::size_t at_once = 1;  ///< so many are popped, then given back, the first first
  bool reclaims = false;    ///< in each round
};

template <class Env>
class Users {
 public:
  using Stack = BasicIndexStack<Env>;

  Scenario of(const Plan& plan) {
    plan_ = plan;
    Scenario scenario{.name = std::to_string(plan.users) + " users of " +
                              std::to_string(plan.capacity) + " indices, " +
                              std::to_string(plan.rounds) + " rounds of " +
                              std::to_string(plan.at_once)};
    scenario.setup = [this] { start(); };
    for (std::size_t i = 0; i < plan.users; ++i) {
      scenario.threads.push_back({[this, i] { use(i); }, i < plan.mortal});
    }
    scenario.threads.push_back({[this] { count_all(); }});
    scenario.check = [](const ScheduleEnd& /*end*/) { return std::string(); };
    scenario.names = {{"stack", shared_.memory}};
    return scenario;
  }

 private:
  struct Shared {
    alignas(kNoSharing) std::array<std::byte, 384> memory;
    std::array<Word<std::uint32_t>, kMostThreads> done;
    std::array<ScheduledData<std::uint64_t>, kMostIndices> buffers;
  };

  [[nodiscard]] std::span<std::byte> memory() { return shared_.memory; }

  void start() {
    renew(shared_);
    Stack::format(memory(), plan_.capacity);
    holder_ = {};
  }

  void use(std::size_t who) {
    Stack stack(memory());
    for (std::size_t round = 0; round < plan_.rounds; ++round) {
      if (plan_.reclaims) static_cast<void>(stack.reclaim());
      std::array<std::uint32_t, kMostIndices> mine = {};
      std::size_t count = 0;
      while (count < plan_.at_once && take(stack, who, mine[count])) ++count;
      for (std::size_t i = 0; i < count; ++i) {
        holder_[mine[i]] = 0;
        require(stack.push(mine[i]) == Status::ok, "a push fails");
      }
    }
    // Release: for who counts.
    Env::store(shared_.done[who], 1U, Order::release);
  }

  bool take(Stack& stack, std::size_t who, std::uint32_t& index) {
    const Status status = stack.try_pop(index);
    require(status == Status::ok || status == Status::empty, "neither popped nor empty");
    if (status != Status::ok) return false;
    require(index < plan_.capacity, "no index");
    // A dead holder's is free.
    require(holder_[index] == 0 || ScheduledEnv::probe(holder_[index]) == Liveness::dead,
            "two hold the same");
    holder_[index] = static_cast<std::uint32_t>(who + 1);
    shared_.buffers[index] += 1;
    return true;
  }

  bool all_are_over() {
    for (std::size_t i = 0; i < plan_.users; ++i) {
      // Acquire: pairs with the release in use(). The kernel orders what the dead have done.
      if (Env::load(shared_.done[i], Order::acquire) == 0 &&
          ScheduledEnv::probe(static_cast<std::uint32_t>(i + 1)) != Liveness::dead) {
        return false;
      }
    }
    return true;
  }

  /// In the end each index can be popped, once.
  void count_all() {
    while (!all_are_over()) Env::yield();
    Stack stack(memory());
    static_cast<void>(stack.reclaim());
    require(stack.size() == plan_.capacity, "an index is lost");
    std::uint32_t index = 0;
    for (std::size_t i = 0; i < plan_.capacity; ++i) {
      require(take(stack, plan_.users, index), "an index can't be popped");
    }
    require(stack.try_pop(index) == Status::empty, "too many indices");
  }

  Plan plan_ = {};
  Shared shared_;
  std::array<std::uint32_t, kMostIndices> holder_ = {};
};

class StackScheduled : public Scheduled {
 protected:
  Users<ScheduledEnv> users_;
};
using StackMutant = Scheduled;

TEST_F(StackScheduled, EachIndexHasOneHolder) {
  expect_holds_within_bounds(users_.of({2, 2, 1}), {.preemptions = 1, .old_values = 1});
  expect_holds_by_chance(users_.of({3, 3, 2, 0, 2}), {});
  expect_holds_by_chance(users_.of({2, 3, 3, 0, 1, true}), {});
}

TEST_F(StackScheduled, AHolderMayDieAtEachPoint) {
  expect_holds_within_bounds(users_.of({2, 2, 1, 1}),
                             {.preemptions = 1, .old_values = 0, .deaths = 1});
  expect_holds_by_chance(users_.of({3, 3, 2, 3, 2}), {.deaths = 3});
}

TEST_F(StackScheduled, SeveralMayReclaimAndDie) {
  expect_holds_by_chance(users_.of({3, 3, 2, 2, 2, true}), {.deaths = 2});
  expect_holds_by_chance(users_.of({2, 3, 3, 2, 1, true}), {.deaths = 2});
}

TEST_F(StackMutant, WithoutReleaseIsFound) {
  Users<NoReleaseEnv> users;
  expect_found(users.of({1, 2, 2}), {.strategy = Strategy::random}, "data race on");
}

TEST_F(StackMutant, WithoutRepairIsFound) {
  Users<BlindEnv> users;
  expect_found(users.of({2, 2, 1, 1}), {.strategy = Strategy::random, .deaths = 1},
               "an index is lost");
}

TEST_F(StackMutant, ThatTakesTheLivingForDeadIsFound) {
  Users<HastyEnv> users;
  expect_found(users.of({3, 3, 2, 0, 2, true}), {.strategy = Strategy::random}, "");
}

TEST_F(StackMutant, WithoutACountIsFound) {
  Users<UncountedEnv> users;
  expect_found(users.of({3, 2, 3, 0, 2}), {.strategy = Strategy::random}, "");
}

}  // namespace
}  // namespace sluice::tests
