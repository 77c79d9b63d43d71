// SPDX-License-Identifier: Apache-2.0
//
// ItemLedger: which items of a kill stress were pushed and popped, written by workers that may be
// killed at any moment, and judged when all are dead. Internal to testkit/queue_crash.h.
//
// Of each item that came out there is a mark. An item without one is missing, unless the push of it
// was under way when its producer died, or it lies in the window of a consumer that died in a pop:
// each such death excuses one item of those that may have been in the queue then.
//
// In memory: a byte for each item that there may be, mapped when first touched; and a page or so.
//
// Errors: std::system_error if there is no memory. Threads and processes: made before the forks;
// each worker writes what is its own. If a process dies here: its replacement calls settle_...()
// first, which notes what had been under way. Cost: a few stores to shared memory a call.

#ifndef SLUICE_TESTKIT_ITEM_LEDGER_H_
#define SLUICE_TESTKIT_ITEM_LEDGER_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sluice/testkit/shared_area.h"

namespace sluice::internal {

/// Producers, and consumers.
inline constexpr std::size_t kMostLedgerSides = 4;

using LedgerCounts = std::array<std::atomic<std::uint64_t>, kMostLedgerSides>;

/// Of a consumer.
struct LedgerTaker {
  std::atomic<std::uint32_t> popping = 0;
  std::atomic<std::uint64_t> popped = 0;
  LedgerCounts last = {};   // of each producer, the last that this consumer has got
  LedgerCounts since = {};  // what each had pushed when the pop began
};

/// What a dead consumer may have taken with it: one item above the one, up to the other.
struct LedgerWindow {
  LedgerCounts above = {}, up_to = {};
};

struct LedgerBoard {
  static constexpr std::size_t kMostDeaths = 4096;

  LedgerCounts tried = {}, acknowledged = {};
  std::array<LedgerTaker, kMostLedgerSides> takers = {};
  std::atomic<std::uint32_t> unfinished_pushes = 0, unfinished_pops = 0, out_of_order = 0;
  std::array<LedgerWindow, kMostDeaths> windows = {};
};

class ItemLedger {
 public:
  /// Items of one producer.
  static constexpr std::uint64_t kMost = std::uint64_t{1} << 28;

  ItemLedger(std::size_t producers, std::size_t consumers);
  ~ItemLedger();
  ItemLedger(const ItemLedger&) = delete;
  ItemLedger& operator=(const ItemLedger&) = delete;

  /// Of nothing, when no worker lives.
  void reset();

  // Of a producer, numbered from 0; its items are item(side, 1), item(side, 2), ...

  void settle_producer(std::size_t side);
  /// The next item: its push begins.
  std::uint64_t begin_push(std::size_t side);
  void end_push(std::size_t side);

  // Of a consumer.

  /// `reach`: what comes out is no older than so many items of its producer; 0 if that can't be
  /// told.
  void settle_consumer(std::size_t side, std::uint64_t reach);
  void begin_pop(std::size_t side);
  /// It got an item, whose number is `item`, or nothing. Returns what is wrong with that item.
  std::string end_pop(std::size_t side, std::uint64_t item);
  void end_pop(std::size_t side);

  // In the parent.

  [[nodiscard]] std::uint64_t pushed_by(std::size_t side) const {
    return board_->acknowledged[side];
  }
  [[nodiscard]] std::uint64_t popped_by(std::size_t side) const {
    return board_->takers[side].popped;
  }
  /// Items pushed and not yet popped, so far as one can tell.
  [[nodiscard]] std::uint64_t waiting() const;

  /// When all are dead and settled: what is wrong. `in_order`: those of one producer were to come
  /// out so to each consumer.
  [[nodiscard]] std::string judge(bool in_order) const;

 private:
  enum Mark : unsigned char { seen = 1, twice = 2, unsure = 4 };
  using Item = std::pair<std::size_t, std::uint64_t>;  // producer, number

  [[nodiscard]] unsigned char& mark_of(std::size_t producer, std::uint64_t n) const {
    return marks_[producer * kMost + n];
  }
  [[nodiscard]] std::vector<Item> missing() const;
  [[nodiscard]] std::size_t excused(const std::vector<Item>& missing) const;
  [[nodiscard]] bool excuses(std::size_t window, const Item& item) const;

  std::size_t producers_, consumers_;
  unsigned char* marks_;
  testkit::SharedArea<LedgerBoard> board_;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_ITEM_LEDGER_H_
