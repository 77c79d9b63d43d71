// SPDX-License-Identifier: Apache-2.0
//
// The item store: who pushes, pops, leases, finishes, fails, rotates, closes or takes back from the
// dead killed after every instruction that matters; and (Twice) so is who mends what that one left.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_layout.h"
#include "sluice/ipc/item_store.h"
#include "sluice/ipc/leased_items.h"
#include "sluice/ipc/record_guards.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/help.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::ItemEnd;
using internal::ItemPlan;
using internal::Lease;
using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::uint64_t kUnits = 8;
constexpr std::uint64_t kItems = 6;

struct Shared {
  alignas(kNoSharing) std::array<std::byte, internal::item_store_bytes({.units = kUnits})> memory;
  std::atomic<std::uint64_t> others;  ///< items that other processes may have pushed
};

/// An item is its number, `length` times: a torn one is seen.
using Numbers = std::vector<std::uint64_t>;

std::string to_text(const Numbers& numbers) {
  std::string text;
  for (const std::uint64_t number : numbers) text += std::to_string(number) + " ";
  return text;
}

template <class Env>
class ItemStoreCrashOf : public testing::Test {
 protected:
  using Store = internal::BasicLeasedItems<Env>;

  static constexpr std::uint64_t kVictims = 100;
  static constexpr std::uint64_t kOthers = 200;

  ItemStoreCrashOf()
      : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  Store open() { return Store(area_->memory, nullptr, false); }

  static Status push(Store& store, std::uint64_t number, std::size_t words = 5) {
    std::size_t done = 0;
    return store.push(
        store.end(ItemEnd::back), 1, [&](std::size_t) { return 8 * words; },
        [&](std::size_t, std::span<std::byte> room) {
          for (std::size_t i = 0; i < words; ++i) std::memcpy(&room[8 * i], &number, 8);
        },
        done, 2s);
  }
  static Status read_into(std::span<const std::byte> bytes, std::uint64_t& number) {
    std::memcpy(&number, bytes.data(), 8);
    for (std::size_t i = 8; i < bytes.size(); i += 8) {
      if (std::memcmp(&bytes[i], &number, 8) != 0) return Status::mismatch;
    }
    return Status::ok;
  }
  static Status pop(Store& store, std::uint64_t& number, ItemEnd end = ItemEnd::front) {
    std::size_t done = 0;
    return store.pop(
        store.end(end), 1, [&](std::span<const std::byte> b) { return read_into(b, number); }, done,
        2s);
  }
  static Status take_lease(Store& store, Lease& lease, std::uint64_t& number) {
    const Status s = store.lease(lease, 2s);
    if (s != Status::ok) return s;
    return store.read(lease, [&](std::span<const std::byte> b) { return read_into(b, number); });
  }

  /// What is there, by leasing and finishing all, in order; or what is wrong.
  std::string drain(Store& store, Numbers& numbers) {
    for (std::uint64_t i = 0; i <= kUnits; ++i) {
      Lease lease;
      std::uint64_t number = 0;
      const Status s = take_lease(store, lease, number);
      if (s == Status::empty || s == Status::closed) break;
      if (s != Status::ok) return "lease: " + std::string(to_string(s));
      if (store.finish(lease) != Status::ok) return "a lease could not be finished";
      numbers.push_back(number);
    }
    if (store.size() != 0 || store.unfinished() != 0) {
      return "size " + std::to_string(store.size()) + ", unfinished " +
             std::to_string(store.unfinished()) + " when all were taken";
    }
    return "";
  }

  /// The whole room is there, and no more.
  std::string use_all_room(Store& store) {
    if (store.bytes() != 0) return std::to_string(store.bytes()) + " bytes are used by nothing";
    for (std::uint64_t i = 0; i < kItems; ++i) {
      if (push(store, i, 3) != Status::ok) return "no room for item " + std::to_string(i);
    }
    if (push(store, 9, 3) != Status::full) return "more room than was asked for";
    for (std::uint64_t i = 0; i < kItems; ++i) {
      std::uint64_t number = 0;
      if (pop(store, number) != Status::ok || number != i) return "the order is lost";
    }
    return "";
  }

  /// `allowed`: what may be there, others' items left out.
  std::string expect(Store& store, const std::vector<Numbers>& allowed) {
    Numbers found;
    if (std::string wrong = drain(store, found); !wrong.empty()) return wrong;
    std::uint64_t others = 0;
    std::erase_if(found, [&](std::uint64_t n) { return n >= kOthers && ++others != 0; });
    if (others > area_->others) return "another's item twice";
    if (std::find(allowed.begin(), allowed.end(), found) == allowed.end()) {
      return "found " + to_text(found);
    }
    return "";
  }

  /// `operation` finds the items 1 and 2.
  CrashOperation on_store(const std::string& name, std::function<void(Store&)> operation) {
    CrashOperation op{.name = name};
    op.shared = {area_.bytes()};
    op.setup = [this] {
      area_.reset();
      internal::format_items<Env>(area_->memory,
                                  {.max_items = kItems, .units = kUnits, .first_units = kUnits});
      Store store = open();
      static_cast<void>(push(store, 1));
      static_cast<void>(push(store, 2, 3));
    };
    op.prepare = [] { attach_with(Help::kernel); };
    op.operation = [this, operation] {
      Store store = open();
      operation(store);
    };
    if (!twice_) return op;
    op.prepare_recovery = [] { attach_with(Help::kernel); };
    op.recover = [this] {
      Store store = open();
      ++area_->others;
      static_cast<void>(push(store, kOthers, 1));
    };
    return op;
  }

  /// Killed before: `before`; afterwards: `after`.
  CrashOperation changing(const std::string& name, std::function<void(Store&)> operation,
                          const Numbers& before, const Numbers& after,
                          const Numbers& between = {0}) {
    CrashOperation op = on_store(name, std::move(operation));
    op.survivor = [this, before, after, between](bool completed) -> std::string {
      Store store = open();
      std::vector<Numbers> allowed = {after};
      if (!completed) allowed.insert(allowed.end(), {before, between});
      if (std::string wrong = expect(store, allowed); !wrong.empty()) return wrong;
      return use_all_room(store);
    };
    return op;
  }

  SharedArea<Shared> area_;
  bool twice_ = false;  ///< whoever finds what the dead one left is killed as well

 private:
  ScopedWaitPolicy slices_;
};

class ItemStoreCrash : public ItemStoreCrashOf<internal::RealLockEnv>,
                       public testing::WithParamInterface<bool> {
 protected:
  ItemStoreCrash() { twice_ = GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(Once, ItemStoreCrash, testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Twice, ItemStoreCrash, testing::Values(true));

TEST_P(ItemStoreCrash, Push) {
  expect_intact(changing("item store: push",
                         [](Store& store) { static_cast<void>(push(store, kVictims)); }, {1, 2},
                         {1, 2, kVictims}));
}

TEST_P(ItemStoreCrash, Pop) {
  expect_intact(changing("item store: pop",
                         [](Store& store) {
                           std::uint64_t number = 0;
                           static_cast<void>(pop(store, number));
                         },
                         {1, 2}, {2}));
}

TEST_P(ItemStoreCrash, PopFromTheBack) {
  expect_intact(changing("item store: pop from the back",
                         [](Store& store) {
                           std::uint64_t number = 0;
                           static_cast<void>(pop(store, number, ItemEnd::back));
                         },
                         {1, 2}, {1}));
}

TEST_P(ItemStoreCrash, LeaseAndDie) {
  expect_intact(changing("item store: lease",
                         [](Store& store) {
                           Lease lease;
                           std::uint64_t number = 0;
                           static_cast<void>(take_lease(store, lease, number));
                         },
                         {1, 2}, {2, 1}));
}

TEST_P(ItemStoreCrash, LeaseAndFinish) {
  expect_intact(changing("item store: lease, finish",
                         [](Store& store) {
                           Lease lease;
                           std::uint64_t number = 0;
                           static_cast<void>(take_lease(store, lease, number));
                           static_cast<void>(store.finish(lease));
                         },
                         {1, 2}, {2}, {2, 1}));
}

TEST_P(ItemStoreCrash, LeaseAndFail) {
  expect_intact(changing("item store: lease, fail",
                         [](Store& store) {
                           Lease lease;
                           std::uint64_t number = 0;
                           static_cast<void>(take_lease(store, lease, number));
                           static_cast<void>(store.fail(lease));
                         },
                         {1, 2}, {1, 2}, {2, 1}));
}

TEST_P(ItemStoreCrash, Rotate) {
  expect_intact(changing(
      "item store: rotate",
      [](Store& store) { static_cast<void>(store.rotate(ItemEnd::back, 1, 2s)); }, {1, 2}, {2, 1}));
}

TEST_P(ItemStoreCrash, CloseAndDrop) {
  CrashOperation op = on_store("item store: close, dropping what is there",
                               [](Store& store) { static_cast<void>(store.close(true)); });
  if (twice_) {
    op.recover = [this] {
      Store store = open();
      static_cast<void>(store.close(true));
    };
  }
  op.survivor = [this](bool completed) -> std::string {
    Store store = open();
    const bool closed = store.state() != internal::QueueState::open;
    if (completed && !closed) return "it is open";
    Numbers found;
    if (std::string wrong = drain(store, found); !wrong.empty()) return wrong;
    if (found != (closed ? Numbers{} : Numbers{1, 2})) return "found " + to_text(found);
    return store.bytes() == 0 ? "" : "what was dropped takes room";
  };
  expect_intact(op);
}

/// Who finds the leases of a dead one, takes them back, and dies: no attempt is counted twice.
TEST_P(ItemStoreCrash, TakeBackFromTheDead) {
  CrashOperation op = on_store("item store: lease after leases of the dead", [](Store& store) {
    Lease lease;
    std::uint64_t number = 0;
    static_cast<void>(take_lease(store, lease, number));
  });
  op.setup = [this, setup = op.setup] {
    setup();
    const pid_t dead = fork();
    if (dead == 0) {
      Store store = open();
      Lease lease;
      std::uint64_t number = 0;
      for (int i = 0; i < 2; ++i) static_cast<void>(take_lease(store, lease, number));
      _exit(0);
    }
    waitpid(dead, nullptr, 0);
  };
  op.survivor = [this](bool completed) -> std::string {
    Store store = open();
    std::string seen;
    for (std::uint64_t i = 0; i <= kUnits; ++i) {
      Lease lease;
      std::uint64_t number = 0;
      if (take_lease(store, lease, number) != Status::ok) break;
      if (store.finish(lease) != Status::ok) return "a lease could not be finished";
      if (number < kOthers) seen += std::to_string(number) + "@" + std::to_string(lease.attempt);
    }
    // Leased by the victim as well, or not.
    if (seen == "2@21@3" || (!completed && seen == "1@22@2")) return use_all_room(store);
    return "found " + seen;
  };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

/// Commits a push before the item is there.
class Hasty : public internal::BasicItemStore<internal::RealLockEnv> {
 public:
  using BasicItemStore::BasicItemStore;

  void push(std::uint64_t number) {
    internal::Held<Mutex> held(control_.lock, 2s);
    if (in_order(held) != Status::ok) return;
    auto index = end(ItemEnd::back);
    Unit unit = Units::kNone;
    if (units_.take(1, unit) != Status::ok) return;
    static_cast<void>(index.place(unit));
    units_.set_mark(unit, {.state = internal::ItemState::queued});  // the fault: too early
    units_.write(unit, 8, [&](std::span<std::byte> room) { std::memcpy(&room[0], &number, 8); });
    index.insert(unit);
    count_unfinished(1);
  }
};

using ItemStoreMutant = ItemStoreCrashOf<internal::RealLockEnv>;

TEST_F(ItemStoreMutant, ThatCommitsBeforeItWritesIsFound) {
  expect_found(changing("mutant: commits a push before the item is there",
                        [this](Store&) { Hasty(area_->memory, nullptr, false).push(kVictims); },
                        {1, 2}, {1, 2, kVictims}),
               "found 1 2 0");
}

/// Takes nobody for dead.
struct TrustingEnv : internal::RealLockEnv {
  static Liveness probe(std::uint32_t) noexcept { return Liveness::alive; }
};

using TrustingCrash = ItemStoreCrashOf<TrustingEnv>;

TEST_F(TrustingCrash, MutantThatNeverAsksForTheHoldersLifeIsFound) {
  CrashOperation op = changing("mutant: never asks for the holder's life",
                               [](Store& store) {
                                 Lease lease;
                                 std::uint64_t number = 0;
                                 static_cast<void>(take_lease(store, lease, number));
                               },
                               {1, 2}, {1, 2});
  expect_found(op, "size 0, unfinished 1 when all were taken");
}

}  // namespace
}  // namespace sluice::tests
