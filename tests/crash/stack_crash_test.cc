// SPDX-License-Identifier: Apache-2.0
//
// The stack of indices, one of its users killed after every instruction that matters: in the end
// each index is there, once.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/lockfree/stack.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::uint32_t kCapacity = 4;

struct Shared {
  alignas(kNoSharing) std::array<std::byte, 320> memory;
};

/// The dead are never found dead.
struct BlindEnv : internal::RealLockEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

template <class Env>
class OnStack : public testing::Test {
 protected:
  using Stack = BasicIndexStack<Env>;

  [[nodiscard]] std::span<std::byte> memory() const { return area_->memory; }

  /// Another takes one, and gives it back.
  void other_works() {
    Stack stack(memory());
    std::uint32_t index = 0;
    if (stack.try_pop(index) == Status::ok) static_cast<void>(stack.push(index));
  }

  /// All are there once what the dead held has been given back.
  std::string survive() {
    Stack stack(memory());
    static_cast<void>(stack.reclaim());
    if (stack.size() != kCapacity) return std::to_string(stack.size()) + " indices inside";
    std::array<bool, kCapacity> seen = {};
    std::uint32_t index = 0;
    for (std::uint32_t i = 0; i < kCapacity; ++i) {
      if (stack.try_pop(index) != Status::ok) return "index " + std::to_string(i) + " is missing";
      if (std::exchange(seen[index], true)) return "index " + std::to_string(index) + " twice";
    }
    if (stack.try_pop(index) != Status::empty) return "more than there are";
    for (std::uint32_t i = 0; i < kCapacity; ++i) {
      if (stack.push(i) != Status::ok) return "can't be pushed";
    }
    return stack.size() == kCapacity ? "" : "not all are back";
  }

  CrashOperation on_stack(std::string name, std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {area_.bytes()};
    op.setup = [this] {
      area_.reset();
      Stack::format(memory(), kCapacity);
    };
    op.prepare = [this] { stack_.emplace(memory()); };
    op.operation = std::move(operation);
    op.interfere = op.recover = [this] { other_works(); };
    op.prepare_recovery = [] { attach(); };
    op.survivor = [this](bool) { return survive(); };
    return op;
  }
  CrashOperation pop(std::string name) {
    return on_stack(std::move(name), [this] {
      std::uint32_t index = 0;
      static_cast<void>(stack_->try_pop(index));
    });
  }

  SharedArea<Shared> area_;
  std::optional<Stack> stack_;
};

using StackCrash = OnStack<internal::RealLockEnv>;
using StackMutantCrash = OnStack<BlindEnv>;

TEST_F(StackCrash, Pop) { expect_intact(pop("stack pop")); }

TEST_F(StackCrash, PushOfTheLastPopped) {
  expect_intact(on_stack("stack pop, push", [this] {
    std::uint32_t index = 0;
    if (stack_->try_pop(index) == Status::ok) static_cast<void>(stack_->push(index));
  }));
}

TEST_F(StackCrash, PushOfAnEarlierOne) {
  expect_intact(on_stack("stack pop twice, push", [this] {
    std::uint32_t first = 0, second = 0;
    if (stack_->try_pop(first) == Status::ok && stack_->try_pop(second) == Status::ok) {
      static_cast<void>(stack_->push(first));
    }
  }));
}

TEST_F(StackCrash, Reclaim) {
  CrashOperation op = on_stack("stack reclaim", [this] { static_cast<void>(stack_->reclaim()); });
  op.setup = [this] {
    area_.reset();
    Stack::format(memory(), kCapacity);
    const pid_t pid = fork();
    if (pid == 0) {
      Stack stack(memory());
      std::uint32_t index = 0;
      static_cast<void>(stack.try_pop(index));
      _exit(0);
    }
    waitpid(pid, nullptr, 0);
  };
  op.interfere = op.recover = [this] { static_cast<void>(Stack(memory()).reclaim()); };
  expect_intact(op);
}

TEST_F(StackMutantCrash, PopWithoutRepairIsFound) {
  expect_found(pop("mutant: pop, and nobody repairs"), "3 indices inside");
}

}  // namespace
}  // namespace sluice::tests
