// SPDX-License-Identifier: Apache-2.0
//
// The end of a ring of many producers (MpmcProducer::try_push_if, MpmcView::is_drained), as
// ipc/ring_parts.h uses it, under the scheduler: what was acknowledged before the end comes out
// before a consumer finds it, and what was refused never does; with deaths. Beside it mutants,
// which must be seen to fail.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sluice/lockfree/mpmc_layout.h"
#include "sluice/lockfree/mpmc_ring.h"
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

/// What is in the one order of all is in none. The orders in it are what is tested.
struct UnorderedEnv : ScheduledEnv {
  static constexpr Order weaker(Order order, Order by) {
    return order == Order::seq_cst ? by : order;
  }
  template <class T>
  static T load(const Word<T>& word, Order order) noexcept {
    return ScheduledEnv::load(word, weaker(order, Order::acquire));  // the fault
  }
  template <class T>
  static void store(Word<T>& word, T value, Order order) noexcept {
    ScheduledEnv::store(word, value, weaker(order, Order::release));  // the fault
  }
  template <class T>
  static bool cas(Word<T>& word, T& expected, T desired, Order success) noexcept {
    return ScheduledEnv::cas(word, expected, desired, weaker(success, Order::acq_rel));
  }
};

/// When a producer asks whether the ring is open.
enum class Asks : std::uint8_t { once_it_has_claimed, before };

struct Plan {
  std::size_t capacity;
  std::size_t producers, items;  ///< items each
  std::size_t batch = 1;
  std::size_t mortal_producers = 0;
  Asks asks = Asks::once_it_has_claimed;
};

constexpr std::size_t kMostItems = 8;
using Item = ScheduledData<std::uint64_t>;

template <class Env>
class Ending {
 public:
  using Ring = BasicMpmcRing<Item, Env>;

  Scenario of(const Plan& plan) {
    plan_ = plan;
    Scenario scenario{.name = std::to_string(plan.producers) + " push " +
                              std::to_string(plan.items) + ", one closes, one pops to the end"};
    scenario.setup = [this] {
      renew(shared_);
      Ring::format(shared_.memory, plan_.capacity);
      acknowledged_ = refused_ = taken_ = {};
    };
    for (std::size_t i = 0; i < plan.producers; ++i) {
      scenario.threads.push_back({[this, i] { produce(i); }, i < plan.mortal_producers});
    }
    scenario.threads.push_back({[this] { Env::store(shared_.closed, 1U, Order::seq_cst); }});
    scenario.threads.push_back({[this] { consume(); }});
    scenario.check = [this](const ScheduleEnd&) { return verdict(); };
    scenario.names = {{"ring", shared_.memory}};
    return scenario;
  }

 private:
  struct Shared {
    alignas(kNoSharing) std::array<std::byte, 640> memory;
    Word<std::uint32_t> closed;
  };

  bool is_open() { return Env::load(shared_.closed, Order::seq_cst) == 0; }

  void produce(std::size_t which) {
    typename Ring::Producer producer(shared_.memory);
    const auto open = [this] { return plan_.asks == Asks::before || is_open(); };
    std::array<Item, kMostItems> items;
    for (std::size_t i = 0; i < plan_.items; ++i) items[i].set(which * plan_.items + i + 1);
    for (std::size_t done = 0; done < plan_.items;) {
      if (plan_.asks == Asks::before && !is_open()) return;
      std::size_t pushed = 0;
      if (plan_.batch == 1) {
        pushed = producer.try_push_if(open, items[done]) == Status::ok ? 1 : 0;
      } else {
        const std::size_t size = std::min(plan_.batch, plan_.items - done);
        pushed = producer.try_push_n_if(open, std::span(items).subspan(done, size));
      }
      for (std::size_t i = 0; i < pushed; ++i) acknowledged_[which * plan_.items + done + i] = true;
      done += pushed;
      if (pushed != 0) continue;
      if (producer.status() == Status::closed) {
        refused_[which * plan_.items + done] = true;
        return;
      }
      require(producer.status() == Status::full, "neither pushed, full nor closed");
      producer.suspect_claims();
      Env::yield();
    }
  }

  void consume() {
    typename Ring::Consumer consumer(shared_.memory);
    const internal::MpmcView<Item, Env> view(shared_.memory);
    for (;;) {
      const bool seen_open = is_open();
      Item item;
      const Status status = consumer.try_pop(item);
      if (status == Status::ok) {
        const std::uint64_t number = item.get() - 1;
        require(number < kMostItems && !taken_[number], "twice, or never pushed");
        taken_[number] = true;
        continue;
      }
      require(status == Status::empty, "neither popped nor empty");
      if (!seen_open && view.is_drained()) return;
      consumer.mend();
      Env::yield();
    }
  }

  std::string verdict() {
    for (std::size_t i = 0; i < kMostItems; ++i) {
      if (acknowledged_[i] && !taken_[i]) return "acknowledged, and missing at the end";
      if (refused_[i] && taken_[i]) return "refused, and taken";
    }
    return "";
  }

  Plan plan_ = {};
  Shared shared_;
  std::array<bool, kMostItems> acknowledged_ = {}, refused_ = {}, taken_ = {};
};

class MpmcRingEndScheduled : public Scheduled {
 protected:
  Ending<ScheduledEnv> ending_;
};
using MpmcRingEndMutant = Scheduled;

TEST_F(MpmcRingEndScheduled, NothingComesAfterTheEnd) {
  expect_holds_within_bounds(ending_.of({2, 1, 2}), {.preemptions = 1, .old_values = 1});
  expect_holds_by_chance(ending_.of({3, 2, 2}), {});
  expect_holds_by_chance(ending_.of({2, 2, 3}), {});
}

TEST_F(MpmcRingEndScheduled, NoBatchComesAfterTheEnd) {
  expect_holds_by_chance(ending_.of({.capacity = 5, .producers = 2, .items = 4, .batch = 3}), {});
}

TEST_F(MpmcRingEndScheduled, AProducerMayDieAtEachPoint) {
  expect_holds_within_bounds(
      ending_.of({.capacity = 2, .producers = 1, .items = 2, .mortal_producers = 1}),
      {.preemptions = 1, .old_values = 0, .deaths = 1});
  expect_holds_by_chance(
      ending_.of({.capacity = 5, .producers = 2, .items = 4, .batch = 3, .mortal_producers = 2}),
      {.deaths = 2});
}

TEST_F(MpmcRingEndMutant, ThatAsksBeforeItClaimsIsFound) {
  Ending<ScheduledEnv> ending;
  expect_found(ending.of({.capacity = 2, .producers = 1, .items = 1, .asks = Asks::before}),
               {.strategy = Strategy::random}, "acknowledged, and missing at the end");
}

TEST_F(MpmcRingEndMutant, WithoutOneOrderOfAllIsFound) {
  Ending<UnorderedEnv> ending;
  expect_found(ending.of({2, 1, 1}), {.strategy = Strategy::random},
               "acknowledged, and missing at the end");
}

}  // namespace
}  // namespace sluice::tests
