// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/item_ledger.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "sluice/testkit/models.h"

namespace sluice::internal {
namespace {

unsigned char* map_marks(std::size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::system_error(errno, std::system_category(), "mapping the marks of a kill stress");
  }
  return static_cast<unsigned char*>(memory);
}

std::uint64_t item_of(std::size_t producer, std::uint64_t n) {
  return testkit::item(static_cast<std::uint32_t>(producer), static_cast<std::uint32_t>(n));
}

/// Sets bits in a mark, and returns what was there.
unsigned char set(unsigned char& mark, unsigned char bits) {
  // Relaxed: each mark for itself; they are read when their writers are dead.
  return std::atomic_ref(mark).fetch_or(bits, std::memory_order_relaxed);
}

}  // namespace

ItemLedger::ItemLedger(std::size_t producers, std::size_t consumers)
    : producers_(producers), consumers_(consumers), marks_(map_marks(producers * kMost)) {}

ItemLedger::~ItemLedger() { munmap(marks_, producers_ * kMost); }

void ItemLedger::reset() {
  board_.reset();
  munmap(marks_, producers_ * kMost);
  marks_ = map_marks(producers_ * kMost);
}

void ItemLedger::settle_producer(std::size_t side) {
  const std::uint64_t last = board_->tried[side];
  if (last == board_->acknowledged[side]) return;
  const unsigned char before = set(mark_of(side, last), unsure);
  if ((before & unsure) == 0) ++board_->unfinished_pushes;
}

std::uint64_t ItemLedger::begin_push(std::size_t side) {
  const std::uint64_t next = board_->tried[side] + 1;
  if (next >= kMost) return 0;
  board_->tried[side] = next;
  return item_of(side, next);
}

void ItemLedger::end_push(std::size_t side) {
  board_->acknowledged[side].store(board_->tried[side]);
}

void ItemLedger::settle_consumer(std::size_t side, std::uint64_t reach) {
  LedgerTaker& taker = board_->takers[side];
  if (taker.popping == 0) return;
  const std::uint32_t number = board_->unfinished_pops++;
  if (number < LedgerBoard::kMostDeaths) {
    LedgerWindow& window = board_->windows[number];
    for (std::size_t p = 0; p < producers_; ++p) {
      const std::uint64_t since = taker.since[p];
      window.above[p] = reach == 0 || since < reach ? 0 : since - reach;
      window.up_to[p].store(board_->tried[p]);
    }
  }
  taker.popping = 0;
}

void ItemLedger::begin_pop(std::size_t side) {
  LedgerTaker& taker = board_->takers[side];
  for (std::size_t p = 0; p < producers_; ++p) {
    // Relaxed: `popping` comes after them, and who reads them comes when we are dead.
    taker.since[p].store(board_->acknowledged[p].load(std::memory_order_relaxed),
                         std::memory_order_relaxed);  // as above
  }
  taker.popping = 1;
}

std::string ItemLedger::end_pop(std::size_t side, std::uint64_t item) {
  const std::size_t producer = testkit::producer_of(item);
  const std::uint64_t n = testkit::number_of(item);
  if (producer >= producers_ || n == 0 || n > board_->tried[producer]) {
    return "a pop returned what nobody has pushed";
  }
  if ((set(mark_of(producer, n), seen) & seen) != 0) set(mark_of(producer, n), twice);
  LedgerTaker& taker = board_->takers[side];
  if (n < taker.last[producer]) {
    ++board_->out_of_order;
  } else {
    taker.last[producer] = n;
  }
  ++taker.popped;
  taker.popping = 0;
  return "";
}

void ItemLedger::end_pop(std::size_t side) { board_->takers[side].popping = 0; }

std::uint64_t ItemLedger::waiting() const {
  std::uint64_t pushed = 0;
  std::uint64_t popped = 0;
  for (std::size_t p = 0; p < producers_; ++p) pushed += board_->acknowledged[p];
  for (std::size_t c = 0; c < consumers_; ++c) popped += board_->takers[c].popped;
  return pushed > popped ? pushed - popped : 0;
}

std::vector<ItemLedger::Item> ItemLedger::missing() const {
  std::vector<Item> items;
  for (std::size_t p = 0; p < producers_; ++p) {
    for (std::uint64_t n = 1; n <= board_->tried[p]; ++n) {
      if ((mark_of(p, n) & (seen | unsure)) == 0) items.emplace_back(p, n);
    }
  }
  return items;
}

bool ItemLedger::excuses(std::size_t window, const Item& item) const {
  const LedgerWindow& w = board_->windows[window];
  return item.second > w.above[item.first] && item.second <= w.up_to[item.first];
}

/// How many of them can be excused, each by another death: a matching, by augmenting paths.
std::size_t ItemLedger::excused(const std::vector<Item>& missing) const {
  constexpr std::size_t kNone = ~std::size_t{0};
  const std::size_t windows =
      std::min<std::size_t>(board_->unfinished_pops, LedgerBoard::kMostDeaths);
  std::vector<std::size_t> item_of_window(windows, kNone);
  std::vector<bool> tried;
  const std::function<bool(std::size_t)> place = [&](std::size_t i) {
    for (std::size_t w = 0; w < windows; ++w) {
      if (tried[w] || !excuses(w, missing[i])) continue;
      tried[w] = true;
      if (item_of_window[w] != kNone && !place(item_of_window[w])) continue;
      item_of_window[w] = i;
      return true;
    }
    return false;
  };
  std::size_t count = 0;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    tried.assign(windows, false);
    if (place(i)) ++count;
  }
  return count;
}

std::string ItemLedger::judge(bool in_order) const {
  for (std::size_t p = 0; p < producers_; ++p) {
    for (std::uint64_t n = 1; n <= board_->tried[p]; ++n) {
      if ((mark_of(p, n) & twice) != 0) {
        return "item " + std::to_string(n) + " of producer " + std::to_string(p) +
               " came out twice";
      }
    }
  }
  const std::vector<Item> gone = missing();
  const std::size_t deaths = board_->unfinished_pops;
  const std::size_t beyond =
      deaths > LedgerBoard::kMostDeaths ? deaths - LedgerBoard::kMostDeaths : 0;
  if (gone.size() > deaths || excused(gone) + beyond < gone.size()) {
    return std::to_string(gone.size()) + " acknowledged items are lost, the first " +
           std::to_string(gone.front().second) + " of producer " +
           std::to_string(gone.front().first) + "; " + std::to_string(deaths) +
           " consumers died in a pop";
  }
  const std::size_t displaced = board_->out_of_order;
  if (in_order && displaced > deaths + board_->unfinished_pushes) {
    return std::to_string(displaced) + " items of one producer out of order; " +
           std::to_string(deaths) + " consumers died in a pop";
  }
  return "";
}

}  // namespace sluice::internal
