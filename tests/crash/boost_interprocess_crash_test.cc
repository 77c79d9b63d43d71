// SPDX-License-Identifier: Apache-2.0
//
// A push_back into a Boost container and a count beside it, under our lock, killed after every
// instruction that matters: whoever comes next is refused, or finds all of it or nothing; and a
// repair makes it usable.

#include <gtest/gtest.h>

#include <boost/interprocess/containers/vector.hpp>
#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

#include "sluice/ipc/boost_interprocess.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/owner_died.h"
#include "sluice/testkit/crash.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using Access = BoostSegment::Access;
using Numbers = boost::interprocess::vector<int, BoostAllocator<int>>;

constexpr std::size_t kOld = 4;

Numbers& numbers_of(Access& access) {
  return access.find_or_construct<Numbers>("numbers", access.allocator<int>());
}

/// How many there are, once more.
std::size_t& count_in(Access& access) {
  return access.find_or_construct<std::size_t>("count", std::size_t{0});
}

void push_back_and_count(Access& access) {
  numbers_of(access).push_back(7);
  ++count_in(access);
}

void fill(Access& access) {
  numbers_of(access).assign(kOld, 7);
  count_in(access) = kOld;
}

/// Empty if the vector has 4 or 5 elements of 7, and the heap is in order.
std::string judge(Access& access) {
  const Numbers& numbers = numbers_of(access);
  if (numbers.size() != kOld && numbers.size() != kOld + 1) return "a size that was never there";
  if (numbers.size() != count_in(access)) return "half of the change";
  for (const int n : numbers) {
    if (n != 7) return "an element that was never there";
  }
  if (numbers.size() > numbers.capacity()) return "more elements than room";
  return access.memory().check_sanity() ? "" : "the heap is damaged";
}

class BoostCrash : public testing::Test {
 protected:
  void start() {
    segment_.emplace(8192);
    segment_->with_lock(fill);
    shared_ = segment_->segment().object();
  }

  testkit::CrashOperation push_back() {
    start();
    testkit::CrashOperation op{.name = "boost push_back under a lock"};
    op.shared = {shared_};
    op.setup = [this] { segment_->with_lock(reset, reset); };
    op.prepare = [] { internal::RealLockEnv::self(); };
    op.operation = [this] { segment_->with_lock(push_back_and_count); };
    return op;
  }

  static void reset(Access& access) {
    access.clear();
    fill(access);
  }

  std::string use() {
    try {
      return segment_->with_lock(judge);
    } catch (const OwnerDied&) {
    }
    // Refused; and again, until it is repaired.
    try {
      segment_->with_lock(judge);
      return "the mark is gone";
    } catch (const OwnerDied&) {
    }
    segment_->with_lock([](Access&) {}, reset);
    return segment_->with_lock(judge);
  }

  std::optional<BoostSegment> segment_;
  std::span<const std::byte> shared_;
};

TEST_F(BoostCrash, PushBack) {
  testkit::CrashOperation op = push_back();
  op.survivor = [this](bool completed) -> std::string {
    if (completed &&
        segment_->with_lock([](Access& a) { return numbers_of(a).size(); }) != kOld + 1)
      return "acknowledged, and not there";
    return use();
  };
  expect_intact(op);
}

TEST_F(BoostCrash, MutantThatGoesOnAfterADeathIsFound) {
  testkit::CrashOperation op = push_back();
  op.name = "mutant: boost push_back, repaired by doing nothing";
  op.survivor = [this](bool) {
    return segment_->with_lock(judge, [](Access&) {});  // the fault
  };
  expect_found(op, "half of the change");
}

}  // namespace
}  // namespace sluice::tests
