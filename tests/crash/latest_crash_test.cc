// SPDX-License-Identifier: Apache-2.0
//
// The newest value, its writer or reader killed after every instruction that matters.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "sluice/lockfree/latest.h"
#include "sluice/lockfree/latest_slots.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using internal::LatestSlots;
using internal::RealLockEnv;
using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::uint64_t kOld = 100;    // what the victim finds
constexpr std::uint64_t kOther = 300;  // that of who interferes, or recovers and dies, too

using Items = Latest<Item>;
/// A reader asks for a slot at once, as one that has been lapped.
using Eager = BasicLatest<Item, RealLockEnv, LatestSlots<Item, RealLockEnv, 0>>;
static_assert(sizeof(Eager) == sizeof(Items));

struct Shared {
  Items items;
  Eager eager;
  Latest<std::uint64_t> count;
  // By a process that comes before the survivor: that its store had returned, and the last number
  // that it had seen before.
  std::atomic<std::uint64_t> other_stored, other_saw;
};

/// What readers get now: a number, or what is wrong.
template <class L>
std::string look(const L& latest, std::uint64_t& number) {
  Item item{};
  if (const Status s = latest.try_load(item); s != Status::ok) {
    return "load: " + std::string(to_string(s));
  }
  number = item.number;
  return item.is_whole() ? "" : "a torn value";
}

/// Writers and readers go on, several times round the slots.
template <class L>
std::string use(L& latest) {
  for (std::uint64_t n = 900; n < 909; ++n) {
    if (const Status s = latest.store(Item::of(n), 2s); s != Status::ok) {
      return "the survivor's store: " + std::string(to_string(s));
    }
    std::uint64_t found = 0;
    if (const std::string wrong = look(latest, found); !wrong.empty()) return wrong;
    if (found != n) return "stored " + std::to_string(n) + ", found " + std::to_string(found);
  }
  const Status s = latest.update([](const Item& i) { return Item::of(i.number + 1); }, 2s);
  if (s != Status::ok) return "the survivor's update: " + std::string(to_string(s));
  return latest.load().number == 909 ? "" : "the survivor's update is lost";
}

class LatestCrash : public testing::Test {
 protected:
  // No looks, which would all be stepped. Forked children inherit the policy.
  LatestCrash() : slices_({.mode = WaitMode::block, .first_slice = 1ms, .longest_slice = 4ms}) {}

  void start() {
    area_.reset();
    for (std::uint64_t n = kOld - 6; n <= kOld; ++n) {  // an old value in each slot
      area_->items.store(Item::of(n));
      area_->eager.store(Item::of(n));
    }
    area_->count.store(kOld);
  }

  template <class L>
  void come_between(L& latest) {
    std::uint64_t number = 0;
    if (const std::string wrong = look(latest, number); !wrong.empty()) {
      throw std::logic_error(wrong);
    }
    area_->other_saw = number;
    const Status s = latest.store(Item::of(kOther), 15ms);
    if (s == Status::ok) area_->other_stored = 1;
    if (s != Status::ok && s != Status::timeout) throw std::logic_error("the other's store");
    for (int i = 0; s == Status::ok && i < 3; ++i) {
      if (look(latest, number) != "" || number != kOther)
        throw std::logic_error("the other's load");
    }
  }

  /// What the value may be, after the victim would have stored `stored`.
  std::string judge(bool completed, std::uint64_t stored, std::uint64_t found) {
    if (area_->other_stored != 0) {
      return found == kOther ? "" : "another's store is lost: " + std::to_string(found);
    }
    if (found == kOther) return "";
    const bool has_been_seen = area_->other_saw == stored;
    return unless_one_of({completed || has_been_seen ? Numbers{stored} : Numbers{kOld}, {stored}},
                         {found});
  }

  /// `operation` would leave the number `stored`.
  template <class L>
  CrashOperation on(std::string name, L Shared::* latest, std::uint64_t stored,
                    std::function<void()> operation) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {area_.bytes()};
    op.setup = [this] { start(); };
    op.prepare = [this, latest] { ((*area_).*latest).store(Item::of(kOld)); };
    op.operation = std::move(operation);
    op.interfere = [this, latest] { come_between((*area_).*latest); };
    op.prepare_recovery = [] { RealLockEnv::self(); };
    op.recover = op.interfere;
    op.survivor = [this, latest, stored](bool completed) -> std::string {
      L& it = (*area_).*latest;
      std::uint64_t found = 0;
      if (const std::string wrong = look(it, found); !wrong.empty()) return wrong;
      if (const std::string wrong = judge(completed, stored, found); !wrong.empty()) return wrong;
      return use(it);
    };
    return op;
  }

  SharedArea<Shared> area_;

 private:
  ScopedWaitPolicy slices_;
};

TEST_F(LatestCrash, Store) {
  expect_intact(on("latest store", &Shared::items, 7, [this] { area_->items.store(Item::of(7)); }));
}

TEST_F(LatestCrash, Update) {
  expect_intact(on("latest update", &Shared::items, kOld + 1, [this] {
    area_->items.update([](const Item& i) { return Item::of(i.number + 1); });
  }));
}

TEST_F(LatestCrash, CompareExchange) {
  expect_intact(on("latest compare_exchange", &Shared::items, 7, [this] {
    Item expected = Item::of(kOld);
    area_->items.compare_exchange(expected, Item::of(7));
  }));
}

TEST_F(LatestCrash, StoreForAReaderThatAsked) {
  CrashOperation op = on("latest store beside a reader's pin", &Shared::eager, 7,
                         [this] { area_->eager.store(Item::of(7)); });
  op.setup = [this] {
    start();
    // A pin that a dead reader left wanted: the second word.
    const std::uint64_t wanted = (1 << 4) | (1 << 2);
    std::memcpy(reinterpret_cast<std::byte*>(&area_->eager) + 8, &wanted, sizeof wanted);
  };
  op.prepare = [this] { area_->items.store(Item::of(kOld)); };  // the other one
  expect_intact(op);
}

TEST_F(LatestCrash, LoadByAReaderThatAsks) {
  expect_intact(on("latest load with a pin", &Shared::eager, kOld, [this] {
    if (area_->eager.load().number != kOld) throw std::logic_error("another value");
  }));
}

TEST_F(LatestCrash, FetchAdd) {
  CrashOperation op{.name = "latest fetch_add of a word"};
  op.shared = {area_.bytes()};
  op.setup = [this] { start(); };
  op.prepare = [] { RealLockEnv::self(); };
  op.operation = [this] { area_->count.fetch_add(1); };
  // Notes first what it may have added, then what it has.
  op.interfere = [this] {
    area_->other_saw = 10;
    area_->count.fetch_add(10);
    area_->other_stored = 10;
  };
  op.prepare_recovery = op.prepare;
  op.recover = op.interfere;
  op.survivor = [this](bool completed) {
    const std::uint64_t most = kOld + 1;
    const std::uint64_t least = completed ? most : kOld;
    const std::uint64_t other = area_->other_stored;
    const std::uint64_t maybe = area_->other_saw;
    return unless_one_of({{least + other}, {most + other}, {least + maybe}, {most + maybe}},
                         {area_->count.load()});
  };
  expect_intact(op);
}

// -------------------------------------------------------------------------------------------------
// Mutants

/// Makes a slot the newest before it is filled.
struct HastyEnv : RealLockEnv {
  static inline internal::Word<std::uint64_t>* newest = nullptr;

  template <class T>
  static void store(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    RealEnv::store(word, value, order);
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      const std::ptrdiff_t at =
          reinterpret_cast<std::byte*>(&word) - reinterpret_cast<std::byte*>(newest);
      const bool is_turn = at >= 128 && at % 64 == sizeof(Item);
      if (is_turn) RealEnv::store(*newest, value, order);  // the fault
    }
  }
};

TEST_F(LatestCrash, MutantThatCommitsBeforeThePayloadIsFound) {
  using Mutant = BasicLatest<Item, HastyEnv, LatestSlots<Item, HastyEnv>>;
  static_assert(sizeof(Mutant) == sizeof(Items));
  expect_found(on("mutant: latest that commits before the payload", &Shared::items, 7,
                  [this] {
                    auto* const bytes = reinterpret_cast<std::byte*>(&area_->items);
                    const std::span<std::byte> memory(bytes, sizeof(Mutant));
                    HastyEnv::newest =
                        internal::attach_object<internal::Word<std::uint64_t>>(memory);
                    Mutant::in(memory).store(Item::of(7));
                  }),
               "allowed");
}

TEST_F(LatestCrash, MutantThatUpdatesInPlaceIsFound) {
  // As a struct under a robust lock: the lock goes on, what it protects is torn.
  expect_found(on("mutant: latest that writes where readers read", &Shared::items, 7,
                  [this] {
                    area_->items.update([this](const Item& now) {
                      auto* const bytes = reinterpret_cast<std::byte*>(&area_->items);
                      std::uint64_t newest = 0;
                      std::memcpy(&newest, bytes, sizeof newest);
                      const Item seven = Item::of(7);
                      std::memcpy(bytes + 128 + newest % 4 * 64, &seven, sizeof seven);
                      return now;
                    });
                  }),
               "a torn value");
}

}  // namespace
}  // namespace sluice::tests
