// SPDX-License-Identifier: Apache-2.0
//
// The ring of many producers and consumers, one of them killed after every instruction that
// matters.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;
using testkit::SharedArea;

constexpr std::size_t kCapacity = 5;
constexpr std::uint64_t kOther = 300;  // what another process pushes
constexpr std::uint64_t kOwn = 200;    // the survivor's item

struct Shared {
  alignas(kNoSharing) std::array<std::byte, 640> memory;
  // How many items the victim has got, and their sum (which makes it read them).
  std::atomic<std::uint64_t> taken, sum;
  // Of a process that comes before the survivor: what it has put in, and what it has taken out, or
  // is about to.
  std::atomic<std::uint64_t> other_put, other_takes, other_took;
};

/// The dead are never found dead.
struct BlindEnv : internal::RealLockEnv {
  static Liveness probe(std::uint32_t /*tag*/) noexcept { return Liveness::alive; }
};

template <class Env>
class OnRing : public testing::Test {
 protected:
  using Ring = BasicMpmcRing<Item, Env>;
  using Producer = typename Ring::Producer;
  using Consumer = typename Ring::Consumer;

  [[nodiscard]] std::span<std::byte> memory() const { return area_->memory; }

  /// A ring that has gone round, so that each cell holds an old item, with `numbers` in it.
  void start_with(const Numbers& numbers) {
    area_.reset();
    Ring::format(memory(), kCapacity);
    Producer producer(memory());
    Consumer consumer(memory());
    Item old{};
    for (std::uint64_t n = 0; n < kCapacity + 1; ++n) {
      ASSERT_EQ(producer.try_push(Item::of(n)), Status::ok);
      ASSERT_EQ(consumer.try_pop(old), Status::ok);
    }
    for (const std::uint64_t n : numbers) ASSERT_EQ(producer.try_push(Item::of(n)), Status::ok);
  }

  void other_puts() {
    Producer producer(memory());
    producer.suspect_claims();
    if (producer.try_push(Item::of(kOther)) == Status::ok) area_->other_put = 1;
  }
  void other_takes() {
    Consumer consumer(memory());
    consumer.suspect_claims();
    const Item* const item = consumer.try_peek();
    if (item == nullptr) return;
    area_->other_takes = item->number;
    consumer.release();
    area_->other_took = 1;
  }

  /// All that is in the ring; the claims of the dead are in nobody's way.
  std::string drain(Consumer& consumer, Numbers& found) {
    for (;;) {
      consumer.suspect_claims();
      Item item{};
      const Status status = consumer.try_pop(item);
      if (status == Status::empty) return "";
      if (status != Status::ok) return "the survivor's pop: " + std::string(to_string(status));
      if (!item.is_whole()) return "a torn item";
      found.push_back(item.number);
      if (found.size() > 2 * kCapacity) return "more items than fit: " + to_text(found);
    }
  }

  /// The whole capacity is there, and no more; twice, since a hole comes again.
  std::string fill_and_empty(Producer& producer, Consumer& consumer) {
    for (int round = 0; round < 2; ++round) {
      Numbers pushed;
      Numbers popped;
      for (std::uint64_t n = 900; producer.try_push(Item::of(n)) == Status::ok; ++n) {
        pushed.push_back(n);
      }
      if (pushed.size() != kCapacity || !producer.full()) {
        return "room for " + std::to_string(pushed.size()) + " items";
      }
      std::string wrong = drain(consumer, popped);
      if (wrong.empty()) wrong = unless_one_of({pushed}, popped);
      if (wrong.empty() && !consumer.empty()) wrong = "not empty";
      if (!wrong.empty()) return wrong;
    }
    return "";
  }

  /// `found`: what came out before the survivor's own item, and without what another process did.
  std::string survive(Numbers& found) {
    Producer producer(memory());
    Consumer consumer(memory());
    if (producer.try_push(Item::of(kOwn)) != Status::ok) return "the survivor can't push";
    std::string wrong = drain(consumer, found);
    if (!wrong.empty()) return wrong;
    if (found.empty() || found.back() != kOwn) {
      return "the survivor's own item does not come out: " + to_text(found);
    }
    found.pop_back();
    const bool has_other = !found.empty() && found.back() == kOther;
    if (has_other) found.pop_back();
    if (!has_other && area_->other_put != 0) {
      return "what another had put in is not in " + to_text(found);
    }
    const std::uint64_t takes = area_->other_takes;
    const bool there = !found.empty() && found.front() == takes;
    if (takes != 0 && there && area_->other_took != 0) return "what another took comes again";
    if (takes != 0 && !there) found.insert(found.begin(), takes);
    return fill_and_empty(producer, consumer);
  }

  void take(const Item& item) {
    area_->sum += item.number;
    ++area_->taken;
  }
  [[nodiscard]] std::uint64_t taken() const { return area_->taken; }

  using Verdict = std::function<std::string(bool completed, const Numbers& found)>;

  /// `beside` is what another process does while the victim is frozen, and `after` what one does
  /// that comes when it is dead, and dies as well.
  CrashOperation on_ring(std::string name, Numbers before, std::function<void()> operation,
                         std::function<void()> beside, std::function<void()> after,
                         Verdict verdict) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {area_.bytes()};
    op.setup = [this, before = std::move(before)] { start_with(before); };
    op.prepare = [this] {
      producer_.emplace(memory());
      consumer_.emplace(memory());
    };
    op.operation = std::move(operation);
    op.interfere = std::move(beside);
    op.recover = std::move(after);
    op.prepare_recovery = [] { attach(); };
    op.survivor = [this, verdict = std::move(verdict)](bool completed) -> std::string {
      Numbers found;
      const std::string wrong = survive(found);
      return wrong.empty() ? verdict(completed, found) : wrong;
    };
    return op;
  }

  CrashOperation push_of_7(std::string name, std::function<void()> operation) {
    return on_ring(
        std::move(name), {100, 101}, std::move(operation), [this] { other_puts(); },
        [this] { other_takes(); },
        [](bool completed, const Numbers& found) {
          const Numbers with = {100, 101, 7};
          const Numbers without = {100, 101};
          return unless_one_of({completed ? with : without, with}, found);
        });
  }

  /// At most once: what the victim has got never comes again.
  CrashOperation pop_of_100(std::string name, std::function<void()> operation) {
    return on_ring(
        std::move(name), {100, 101}, std::move(operation), [this] { other_puts(); },
        [this] { other_puts(); },
        [this](bool completed, const Numbers& found) -> std::string {
          if (completed && taken() != 1) return "the pop got nothing";
          const Numbers without = {101};
          return unless_one_of({taken() == 1 ? without : Numbers{100, 101}, without}, found);
        });
  }

  SharedArea<Shared> area_;
  std::optional<Producer> producer_;
  std::optional<Consumer> consumer_;
};

using MpmcRingCrash = OnRing<internal::RealLockEnv>;
using MpmcRingMutantCrash = OnRing<BlindEnv>;

// -------------------------------------------------------------------------------------------------
// Push

TEST_F(MpmcRingCrash, Push) {
  expect_intact(
      push_of_7("mpmc ring push", [this] { static_cast<void>(producer_->try_push(Item::of(7))); }));
}

TEST_F(MpmcRingCrash, ClaimThenAbort) {
  CrashOperation op = push_of_7("mpmc ring claim, abort", [this] {
    *producer_->try_claim() = Item::of(7);
    producer_->abort();
  });
  op.survivor = [this](bool) -> std::string {
    Numbers found;
    const std::string wrong = survive(found);
    return wrong.empty() ? unless_one_of({{100, 101}}, found) : wrong;
  };
  expect_intact(op);
}

TEST_F(MpmcRingCrash, PushOfABatchLeavesAllOfItOrNothing) {
  expect_intact(on_ring(
      "mpmc ring push of a batch", {100},
      [this] { static_cast<void>(producer_->try_push_n(std::array{Item::of(7), Item::of(8)})); },
      [this] { other_takes(); }, [this] { other_takes(); },
      [](bool completed, const Numbers& found) {
        const Numbers all = {100, 7, 8};
        return completed ? unless_one_of({all}, found) : unless_one_of({{100}, all}, found);
      }));
}

TEST_F(MpmcRingMutantCrash, PushWithoutRepairIsFound) {
  expect_found(push_of_7("mutant: push, and nobody repairs",
                         [this] { static_cast<void>(producer_->try_push(Item::of(7))); }),
               "own item does not come out");
}

TEST_F(MpmcRingCrash, MutantThatCommitsBeforeThePayloadIsFound) {
  expect_found(push_of_7("mutant: push that commits before the payload",
                         [this] {
                           Item* const slot = producer_->try_claim();
                           producer_->commit();
                           // Only for the compiler, which might mend the bug.
                           std::atomic_signal_fence(std::memory_order_seq_cst);
                           *slot = Item::of(7);
                         }),
               "allowed");
}

/// Who fills a cell that was free a moment ago, and claims it then, writes over another's item:
/// here over 101, in the third cell.
TEST_F(MpmcRingCrash, MutantThatClaimsAfterTheCopyIsFound) {
  CrashOperation op = push_of_7("mutant: push that copies before it claims", [this] {
    auto* const words = internal::attach_object<internal::Word<std::uint64_t>>(
        memory().subspan(3 * kNoSharing), kCapacity * 4);
    words[4 * 2 + 1].raw = 7;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // only for the compiler
    static_cast<void>(producer_->try_push(Item::of(7)));
  });
  expect_found(op, "torn");
}

// -------------------------------------------------------------------------------------------------
// Pop

TEST_F(MpmcRingCrash, Pop) {
  expect_intact(pop_of_100("mpmc ring pop", [this] {
    Item item{};
    if (consumer_->try_pop(item) == Status::ok) take(item);
  }));
}

TEST_F(MpmcRingCrash, PopOfABatchTakesAllOfItOrNothing) {
  expect_intact(on_ring(
      "mpmc ring pop of a batch", {100, 101, 102},
      [this] {
        std::array<Item, 2> items{};
        static_cast<void>(consumer_->try_pop_n(items));
      },
      [this] { other_puts(); }, [this] { other_puts(); },
      [](bool completed, const Numbers& found) {
        const Numbers rest = {102};
        return completed ? unless_one_of({rest}, found)
                         : unless_one_of({{100, 101, 102}, rest}, found);
      }));
}

TEST_F(MpmcRingCrash, PopBesideAnother) {
  // The other gets what is behind the victim's, or what the victim had.
  CrashOperation op = pop_of_100("mpmc ring pop beside another", [this] {
    Item item{};
    if (consumer_->try_pop(item) == Status::ok) take(item);
  });
  op.interfere = op.recover = [this] { other_takes(); };
  op.survivor = [this](bool completed) -> std::string {
    Numbers found;
    const std::string wrong = survive(found);
    if (!wrong.empty()) return wrong;
    if (completed && taken() != 1) return "the pop got nothing";
    const Numbers both = {100, 101};
    const Numbers turned = {101, 100};
    if (taken() == 0) return unless_one_of({both, turned, {101}}, found);
    // Who comes later takes 101; `found` has it put back at the front.
    return unless_one_of({{101}}, found);
  };
  expect_intact(op);
}

TEST_F(MpmcRingCrash, PeekThenPutBack) {
  CrashOperation op = pop_of_100("mpmc ring peek, put back", [this] {
    if (consumer_->try_peek() != nullptr) consumer_->put_back();
  });
  op.survivor = [this](bool) -> std::string {
    Numbers found;
    const std::string wrong = survive(found);
    return wrong.empty() ? unless_one_of({{100, 101}}, found) : wrong;
  };
  expect_intact(op);
}

TEST_F(MpmcRingMutantCrash, PopWithoutRepairIsFound) {
  expect_found(pop_of_100("mutant: pop, and nobody repairs",
                          [this] {
                            Item item{};
                            if (consumer_->try_pop(item) == Status::ok) take(item);
                          }),
               "room for");
}

TEST_F(MpmcRingCrash, MutantThatAcknowledgesAfterThePopReturnedIsFound) {
  expect_found(pop_of_100("mutant: pop that acknowledges after it has returned",
                          [this] {
                            take(*consumer_->try_peek());
                            consumer_->release();
                          }),
               "found [100 101]");
}

}  // namespace
}  // namespace sluice::tests
