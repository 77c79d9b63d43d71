// SPDX-License-Identifier: Apache-2.0
//
// The typed ring, its producer or consumer killed after every instruction that matters.

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

#include "sluice/lockfree/spsc_ring.h"
#include "sluice/sync/env.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/crash.h"
#include "sluice/tests/crash/item.h"
#include "sluice/tests/crash/kill_table.h"

namespace sluice::tests {
namespace {

using testkit::CrashOperation;
using testkit::SharedArea;

using Ring = SpscRing<Item>;
constexpr std::size_t kCapacity = 5;
constexpr std::uint64_t kOther = 300;  // that of who interferes, or recovers and dies, too
constexpr std::uint64_t kOwn = 200;    // the survivor's first item

using Memory = std::array<std::byte, 1024>;

struct Shared {
  alignas(kNoSharing) Memory memory;
  // How many items the victim has got, and their sum (which makes it read them). For the survivor,
  // which is started after the victim's end.
  std::atomic<std::uint64_t> taken, sum;
  // Of a process that comes before the survivor: the number that it has put in, and the one that it
  // is about to take out.
  std::atomic<std::uint64_t> other_put, other_takes;
};

/// Pops until the ring is empty.
std::string drain(Ring::Consumer& consumer, Numbers& numbers) {
  Item item{};
  while (consumer.try_pop(item) == Status::ok) {
    if (!item.is_whole()) return "a torn item";
    numbers.push_back(item.number);
    if (numbers.size() > 2 * kCapacity) return "more items than fit: " + to_text(numbers);
  }
  return "";
}

/// The whole capacity is there, and no more.
std::string fill_and_empty(Ring::Producer& producer, Ring::Consumer& consumer) {
  Numbers pushed;
  Numbers popped;
  for (std::uint64_t n = 900; producer.try_push(Item::of(n)) == Status::ok; ++n)
    pushed.push_back(n);
  if (pushed.size() != kCapacity) return "room for " + std::to_string(pushed.size()) + " items";
  const std::string wrong = drain(consumer, popped);
  return wrong.empty() ? unless_one_of({pushed}, popped) : wrong;
}

/// What successors of both ends make of the ring: `found` gets the numbers that came out before the
/// successor's own. They look before anything is pushed, or take over and push first.
std::string succeed(std::span<std::byte> memory, bool look_first, Numbers& found) {
  Ring::Consumer consumer(memory);
  if (look_first) {
    if (const std::string wrong = drain(consumer, found); !wrong.empty()) return wrong;
  }
  Ring::Producer producer(memory);
  if (producer.try_push(Item::of(kOwn)) != Status::ok) return "the successor can't push";
  if (const std::string wrong = drain(consumer, found); !wrong.empty()) return wrong;
  if (found.empty() || found.back() != kOwn) {
    return "the successor's own item does not come out: " + to_text(found);
  }
  found.pop_back();
  return fill_and_empty(producer, consumer);
}

enum class Side : std::uint8_t { producer, consumer };

using Verdict = std::function<std::string(bool completed, const Numbers& found)>;

class SpscRingCrash : public testing::Test {
 protected:
  [[nodiscard]] std::span<std::byte> memory() const { return area_->memory; }

  /// A ring that has gone round, so that each slot holds an old item, with `numbers` in it.
  void start_with(const Numbers& numbers) {
    area_.reset();
    Ring::format(memory(), kCapacity);
    Ring::Producer producer(memory());
    Ring::Consumer consumer(memory());
    Item old{};
    for (std::uint64_t n = 0; n < kCapacity + 1; ++n) {
      ASSERT_EQ(producer.try_push(Item::of(n)), Status::ok);
      ASSERT_EQ(consumer.try_pop(old), Status::ok);
    }
    for (const std::uint64_t n : numbers) ASSERT_EQ(producer.try_push(Item::of(n)), Status::ok);
  }

  void other_puts() {
    Ring::Producer producer(memory());
    if (producer.try_push(Item::of(kOther)) == Status::ok) area_->other_put = kOther;
  }
  /// It notes what it takes first: dead in between, it may have taken it or not.
  void other_takes() {
    Ring::Consumer consumer(memory());
    const auto item = consumer.try_peek();
    if (!item) return;
    area_->other_takes = item->number;
    consumer.release();
  }
  /// `found`, as it would be had that process not been there.
  std::string without_other(Numbers& found) const {
    if (!found.empty() && found.back() == kOther) {
      found.pop_back();
    } else if (area_->other_put != 0) {
      return "what another process had put in is not in " + to_text(found);
    }
    const std::uint64_t taken = area_->other_takes;
    if (taken != 0 && (found.empty() || found.front() != taken)) found.insert(found.begin(), taken);
    return "";
  }

  void take(const Item& item) {
    area_->sum += item.number;
    ++area_->taken;
  }
  [[nodiscard]] std::uint64_t taken() const { return area_->taken; }

  /// The survivor tries both orders, the first of them on a copy: the ring may lie anywhere.
  CrashOperation on_ring(std::string name, Side side, Numbers before,
                         std::function<void()> operation, Verdict verdict) {
    CrashOperation op{.name = std::move(name)};
    op.shared = {area_.bytes()};
    op.setup = [this, before = std::move(before)] { start_with(before); };
    op.prepare = [this] {
      producer_.emplace(memory());
      consumer_.emplace(memory());
    };
    op.operation = std::move(operation);
    // While one side is frozen the other goes on; after a death a successor of the same side comes.
    const auto put = [this] { other_puts(); };
    const auto take = [this] { other_takes(); };
    op.interfere = side == Side::producer ? std::function<void()>(take) : put;
    op.recover = side == Side::producer ? std::function<void()>(put) : take;
    op.survivor = [this, verdict = std::move(verdict)](bool completed) -> std::string {
      alignas(kNoSharing) Memory copy = area_->memory;
      for (const bool look_first : {true, false}) {
        Numbers found;
        std::string wrong = succeed(look_first ? copy : memory(), look_first, found);
        if (wrong.empty()) wrong = without_other(found);
        if (wrong.empty()) wrong = verdict(completed, found);
        if (!wrong.empty()) return wrong;
      }
      return "";
    };
    return op;
  }

  CrashOperation push_of_7(std::string name, std::function<void()> operation) {
    return on_ring(std::move(name), Side::producer, {100, 101}, std::move(operation),
                   [](bool completed, const Numbers& found) {
                     const Numbers with = {100, 101, 7};
                     return unless_one_of({completed ? with : Numbers{100, 101}, with}, found);
                   });
  }

  /// At most once: what the victim has got never comes again.
  CrashOperation pop_of_100(std::string name, std::function<void()> operation) {
    return on_ring(std::move(name), Side::consumer, {100, 101}, std::move(operation),
                   [this](bool completed, const Numbers& found) -> std::string {
                     if (completed && taken() != 1) return "the pop got nothing";
                     const Numbers without = {101};
                     return unless_one_of({taken() == 1 ? without : Numbers{100, 101}, without},
                                          found);
                   });
  }

  /// At least once: what the victim has not got comes again.
  CrashOperation peek_of_100(std::string name, std::function<void()> operation) {
    return on_ring(std::move(name), Side::consumer, {100, 101}, std::move(operation),
                   [this](bool completed, const Numbers& found) {
                     const Numbers with = {100, 101};
                     const Numbers without = {101};
                     if (completed) return unless_one_of({without}, found);
                     return unless_one_of({with, taken() == 1 ? without : with}, found);
                   });
  }

  SharedArea<Shared> area_;
  std::optional<Ring::Producer> producer_;
  std::optional<Ring::Consumer> consumer_;
};

// -------------------------------------------------------------------------------------------------
// Push

TEST_F(SpscRingCrash, Push) {
  expect_intact(push_of_7("typed ring push",
                          [this] { static_cast<void>(producer_->try_push(Item::of(7))); }));
}

TEST_F(SpscRingCrash, ClaimThenCommit) {
  expect_intact(push_of_7("typed ring claim, fill, commit", [this] {
    Item* const slot = producer_->try_claim();
    *slot = Item::of(7);
    producer_->commit();
  }));
}

TEST_F(SpscRingCrash, PushOfABatchLeavesAPrefix) {
  expect_intact(on_ring(
      "typed ring push of a batch", Side::producer, {100},
      [this] { static_cast<void>(producer_->try_push_n(std::array{Item::of(7), Item::of(8)})); },
      [](bool completed, const Numbers& found) {
        const Numbers all = {100, 7, 8};
        return completed ? unless_one_of({all}, found)
                         : unless_one_of({{100}, {100, 7}, all}, found);
      }));
}

TEST_F(SpscRingCrash, PushOfAWholeCellLeavesAllOrNothing) {
  // Of two items, which the batch fills from its begin: one commit.
  expect_intact(on_ring(
      "typed ring push of a whole cell", Side::producer, {},
      [this] { static_cast<void>(producer_->try_push_n(std::array{Item::of(7), Item::of(8)})); },
      [](bool completed, const Numbers& found) {
        const Numbers all = {7, 8};
        return completed ? unless_one_of({all}, found) : unless_one_of({{}, all}, found);
      }));
}

TEST_F(SpscRingCrash, MutantThatCommitsBeforeThePayloadIsFound) {
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

/// Moves the shared index before the item is written, as queues do whose claim is in an index: the
/// place is gone, nobody knows whose it was, and what lay there before comes out again.
TEST_F(SpscRingCrash, MutantThatClaimsInASharedIndexIsFound) {
  expect_found(
      push_of_7("mutant: push that claims in the shared index",
                [this] {
                  using Index = internal::Word<std::uint64_t>;
                  auto* const tail = internal::attach_object<Index>(memory().subspan(kNoSharing));
                  Item* const slot = producer_->try_claim();
                  // Relaxed, both: the only writer, and what is tested is a kill.
                  const auto at = internal::RealEnv::load(*tail, std::memory_order_relaxed);
                  // Relaxed: as above.
                  internal::RealEnv::store(*tail, at + 1, std::memory_order_relaxed);
                  // Only for the compiler, which might mend the bug.
                  std::atomic_signal_fence(std::memory_order_seq_cst);
                  *slot = Item::of(7);
                  producer_->commit();
                }),
      "found [100 101 2]");
}

// -------------------------------------------------------------------------------------------------
// Pop

TEST_F(SpscRingCrash, Pop) {
  expect_intact(pop_of_100("typed ring pop", [this] {
    Item item{};
    if (consumer_->try_pop(item) == Status::ok) take(item);
  }));
}

TEST_F(SpscRingCrash, MutantThatAcknowledgesAfterThePopReturnedIsFound) {
  expect_found(pop_of_100("mutant: pop that acknowledges after it has returned",
                          [this] {
                            take(*consumer_->try_peek());
                            consumer_->release();
                          }),
               "found [100 101]");
}

TEST_F(SpscRingCrash, PeekThenRelease) {
  expect_intact(peek_of_100("typed ring peek, use, release", [this] {
    take(*consumer_->try_peek());
    consumer_->release();
  }));
}

TEST_F(SpscRingCrash, MutantThatReleasesBeforeUseIsFound) {
  expect_found(peek_of_100("mutant: peek that releases before the use",
                           [this] {
                             const Item* const item = consumer_->try_peek();
                             consumer_->release();
                             // Only for the compiler, which might mend the bug.
                             std::atomic_signal_fence(std::memory_order_seq_cst);
                             take(*item);
                           }),
               "found [101]");
}

Verdict all_or_nothing(std::function<std::uint64_t()> taken) {
  return [taken = std::move(taken)](bool completed, const Numbers& found) -> std::string {
    if (completed && taken() != 2) return "the pop did not get both";
    const Numbers rest = {102};
    return unless_one_of({taken() != 0 ? rest : Numbers{100, 101, 102}, rest}, found);
  };
}

TEST_F(SpscRingCrash, PopOfABatchIsAllOrNothing) {
  expect_intact(on_ring(
      "typed ring pop of a batch", Side::consumer, {100, 101, 102},
      [this] {
        std::array<Item, 2> items{};
        const std::size_t n = consumer_->try_pop_n(items);
        area_->taken = n;
      },
      all_or_nothing([this] { return taken(); })));
}

TEST_F(SpscRingCrash, MutantThatAcknowledgesABatchPieceByPieceIsFound) {
  expect_found(on_ring(
                   "mutant: pop of a batch, piece by piece", Side::consumer, {100, 101, 102},
                   [this] {
                     Item item{};
                     std::uint64_t n = 0;
                     while (n < 2 && consumer_->try_pop(item) == Status::ok) ++n;
                     area_->taken = n;
                   },
                   all_or_nothing([this] { return taken(); })),
               "found [101 102]");
}

}  // namespace
}  // namespace sluice::tests
