// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/queue_guide.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "sluice/testkit/item_lives.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::internal {

using testkit::Advice;
using testkit::History;
using testkit::kNever;
using testkit::QueueCall;
using testkit::QueueModel;
using testkit::QueueOrder;
using testkit::SearchPoint;

QueueGuide::QueueGuide(const History& history, const ItemLives& lives, QueueOrder order,
                       std::size_t capacity)
    : history_(history),
      lives_(lives),
      lanes_(history),
      order_(order),
      is_never_full_(lives.all().size() <= capacity),
      place_(history.size()) {
  note_times(lives);
  note_producers(lives);
  if (order == QueueOrder::lifo) note_what_lies_beneath(lives);
}

void QueueGuide::note_times(const ItemLives& lives) {
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    const auto calls = lanes_[lane];
    const std::vector<std::int64_t> never(calls.size() + 1, kNever);
    for (Times* times : {&empty_to_, &empty_from_, &counted_from_, &pop_to_}) {
      times->push_back(never);
    }
    for (std::size_t i = calls.size(); i-- > 0;) {
      place_[calls[i]] = static_cast<std::uint32_t>(i);
      const auto& timed = history_[calls[i]];
      const bool is_empty = timed.answered && is_empty_answer(timed.call);
      empty_to_[lane][i] = is_empty ? timed.to : empty_to_[lane][i + 1];
      empty_from_[lane][i] = is_empty ? timed.from : empty_from_[lane][i + 1];
      counted_from_[lane][i] = counts(timed.call) ? timed.from : counted_from_[lane][i + 1];
      const std::int64_t to = is_push(timed.call) ? lives.find(timed.call.value)->pop_to : kNever;
      pop_to_[lane][i] = std::min(to, pop_to_[lane][i + 1]);
    }
  }
}

void QueueGuide::note_producers(const ItemLives& lives) {
  std::unordered_map<std::uint32_t, std::uint32_t> parties;
  for (const ItemLife& life : lives.all()) {
    const std::uint32_t party = history_[life.push].party;
    const auto [at, is_new] = parties.try_emplace(testkit::producer_of(life.item), party);
    if (!is_new && at->second != party) is_producer_one_lane_ = false;
  }
}

void QueueGuide::note_what_lies_beneath(const ItemLives& lives) {
  for (const ItemLife& above : lives.all()) {
    for (const ItemLife& below : lives.all()) {
      if (below.push_to < above.pop_from && above.pop_to < below.pop_from) {
        beneath_[above.push].push_back(below.push);
      }
    }
  }
}

Advice QueueGuide::operator()(const SearchPoint& point, const QueueModel& state, std::size_t index,
                              const QueueCall& call) const {
  if (is_pop(call)) return of_pop(point, index, call);
  if (is_push(call)) return of_push(point, state, index, *lives_.find(call.value));
  return Advice::open;
}

Advice QueueGuide::of_pop(const SearchPoint& point, std::size_t index,
                          const QueueCall& call) const {
  const auto& timed = history_[index];
  if (!timed.answered) {
    return lives_.find(call.value)->pop_to == kNever ? Advice::open : Advice::dead;
  }
  return first_of(counted_from_, point) > timed.to ? Advice::free : Advice::open;
}

Advice QueueGuide::of_push(const SearchPoint& point, const QueueModel& state, std::size_t index,
                           const ItemLife& life) const {
  if (first_of(empty_to_, point) < life.pop_from) return Advice::dead;
  const auto& timed = history_[index];
  switch (order_) {
    case QueueOrder::fifo:
      return is_dead_fifo(point, timed.party, life) ? Advice::dead : Advice::open;
    case QueueOrder::lifo: {
      if (is_dead_lifo(point, state, life)) return Advice::dead;
      const bool is_pair = life.pop != kNoCall && is_next(point, life.pop);
      return is_pair && first_of(counted_from_, point) > life.pop_to ? Advice::free : Advice::open;
    }
    case QueueOrder::priority:
      return is_dead_priority(point, life) ? Advice::dead : Advice::open;
    case QueueOrder::per_producer_fifo:
      break;
  }
  const bool is_free = is_never_full_ && is_producer_one_lane_ &&
                       first_of(empty_from_, point) > timed.to &&
                       first_of(counted_from_, point) > timed.to;
  return is_free ? Advice::free : Advice::open;
}

bool QueueGuide::is_dead_fifo(const SearchPoint& point, std::size_t lane,
                              const ItemLife& life) const {
  for (std::size_t other = 0; other < lanes_.size(); ++other) {
    const std::size_t next = point.done[other] + (other == lane ? 1 : 0);
    if (pop_to_[other][next] < life.pop_from) return true;
  }
  return false;
}

bool QueueGuide::is_dead_lifo(const SearchPoint& point, const QueueModel& state,
                              const ItemLife& life) const {
  for (const std::uint64_t item : state.items()) {
    if (lives_.find(item)->pop_to < life.pop_from) return true;
  }
  const auto beneath = beneath_.find(life.push);
  return beneath != beneath_.end() && !std::ranges::all_of(beneath->second, [&](std::size_t push) {
           return has_come(point, push);
         });
}

bool QueueGuide::is_dead_priority(const SearchPoint& point, const ItemLife& life) const {
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
    for (const std::size_t index : lanes_[lane].subspan(point.done[lane])) {
      const auto& timed = history_[index];
      if (timed.to >= life.pop_from) break;
      if (is_pop(timed.call) && timed.call.value > life.item) return true;
    }
  }
  return false;
}

bool QueueGuide::is_next(const SearchPoint& point, std::size_t index) const {
  const auto& timed = history_[index];
  return place_[index] == point.done[timed.party] && timed.from <= point.limit;
}

bool QueueGuide::has_come(const SearchPoint& point, std::size_t index) const {
  return place_[index] < point.done[history_[index].party];
}

std::int64_t QueueGuide::first_of(const Times& times, const SearchPoint& point) {
  std::int64_t first = kNever;
  for (std::size_t lane = 0; lane < times.size(); ++lane) {
    first = std::min(first, times[lane][point.done[lane]]);
  }
  return first;
}

}  // namespace sluice::internal
