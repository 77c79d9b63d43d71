// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/history_checks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/testkit/item_lives.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::internal {
namespace {

using testkit::History;
using testkit::kNever;
using testkit::QueueCall;
using testkit::QueueOrder;

std::string name(std::uint64_t item) {
  return std::to_string(testkit::producer_of(item)) + ":" +
         std::to_string(testkit::number_of(item));
}

std::string said(const testkit::TimedCall<QueueCall>& timed) {
  std::ostringstream text;
  text << timed.call << " of party " << timed.party;
  return text.str();
}

/// Each pop gave an item that was pushed, before that, and not popped before.
std::optional<Evidence> find_bad_pop(const History& history, const ItemLives& lives,
                                     const ItemLives& whole) {
  for (std::size_t i = 0; i < history.size(); ++i) {
    const auto& timed = history[i];
    if (timed.is_pending() || !is_pop(timed.call)) continue;  // pending: it may not have happened
    const ItemLife* life = lives.find(timed.call.value);
    const std::string item = name(timed.call.value);
    if (life == nullptr && whole.find(timed.call.value) == nullptr) {
      return Evidence{item + " was popped, but nobody has pushed it.", {i}};
    }
    if (life == nullptr) return Evidence{item + " was popped before its push began.", {i}};
    if (life->pop != i) {
      return Evidence{item + " was popped twice, but pushed once.", {life->push, life->pop, i}};
    }
    if (timed.to < life->push_from) {
      return Evidence{item + " was popped before its push began.", {life->push, i}};
    }
  }
  return std::nullopt;
}

std::vector<std::size_t> calls_of(const ItemLife& a, const ItemLife& b) {
  std::vector<std::size_t> calls;
  for (const std::size_t call : {a.push, b.push, a.pop, b.pop}) {
    if (call != kNoCall) calls.push_back(call);
  }
  return calls;
}

/// How it ended for who should have come out first.
std::string later(const ItemLife& life, const ItemLives& whole) {
  return whole.find(life.item)->pop == kNoCall ? " never came out." : " came out later.";
}

/// `a` was in, and in before `b` was, when `b` came out.
bool is_overtaken(const ItemLife& a, const ItemLife& b) {
  return a.push_to < b.push_from && b.pop_to < a.pop_from;
}

std::optional<std::string> why_not(QueueOrder order, const ItemLife& a, const ItemLife& b,
                                   const ItemLives& whole) {
  switch (order) {
    case QueueOrder::per_producer_fifo:
      if (testkit::producer_of(a.item) != testkit::producer_of(b.item)) return std::nullopt;
      [[fallthrough]];
    case QueueOrder::fifo:
      if (!is_overtaken(a, b)) return std::nullopt;
      return name(b.item) + " overtook " + name(a.item) + ": it went in after " + name(a.item) +
             " was in, and it came out first; " + name(a.item) + later(a, whole);
    case QueueOrder::lifo:
      // b lay upon a, and a came out.
      if (a.push_to >= b.push_from || b.push_to >= a.pop_from || a.pop_to >= b.pop_from) {
        return std::nullopt;
      }
      return name(a.item) + " came out from beneath " + name(b.item) + ": " + name(b.item) +
             " went in after it, was in when " + name(a.item) + " came out, and" + later(b, whole);
    case QueueOrder::priority:
      if (a.item >= b.item || a.push_to >= b.pop_from || b.pop_to >= a.pop_from) {
        return std::nullopt;
      }
      return name(b.item) + " came out though " + name(a.item) +
             ", which is smaller, was in the queue; " + name(a.item) + later(a, whole);
  }
  return std::nullopt;
}

std::optional<Evidence> find_disorder(const ItemLives& lives, const ItemLives& whole,
                                      QueueOrder order) {
  for (const ItemLife& b : lives.all()) {
    for (const ItemLife& a : lives.all()) {
      if (auto why = why_not(order, a, b, whole)) return Evidence{*why, calls_of(a, b)};
    }
  }
  return std::nullopt;
}

/// How many items were in the queue at a time: at least, and at most.
class Bounds {
 public:
  explicit Bounds(const ItemLives& lives) {
    for (const ItemLife& life : lives.all()) {
      if (life.was_in()) {
        push_to_.push_back(life.push_to);
        pop_from_.push_back(life.pop_from);
      }
      push_from_.push_back(life.push_from);
      pop_to_.push_back(life.pop_to);
    }
    for (auto* times : {&push_to_, &pop_from_, &push_from_, &pop_to_}) std::ranges::sort(*times);
  }

  [[nodiscard]] std::size_t least(std::int64_t time) const {
    return below(push_to_, time) - up_to(pop_from_, time);
  }
  [[nodiscard]] std::size_t most(std::int64_t time) const {
    return up_to(push_from_, time) - below(pop_to_, time);
  }

  /// Whether test(time) at any time of the call at which least() is small, or most() large.
  template <class Test>
  [[nodiscard]] bool any(const testkit::TimedCall<QueueCall>& timed, Test test) const {
    if (test(timed.from) || (timed.to != kNever && test(timed.to))) return true;
    for (const auto* times : {&push_to_, &pop_from_, &push_from_, &pop_to_}) {
      for (auto at = std::ranges::lower_bound(*times, timed.from);
           at != times->end() && *at <= timed.to; ++at) {
        if (*at != kNever && test(*at)) return true;
      }
    }
    return false;
  }

 private:
  using Times = std::vector<std::int64_t>;

  static std::size_t below(const Times& times, std::int64_t time) {
    return static_cast<std::size_t>(std::ranges::lower_bound(times, time) - times.begin());
  }
  static std::size_t up_to(const Times& times, std::int64_t time) {
    return static_cast<std::size_t>(std::ranges::upper_bound(times, time) - times.begin());
  }

  Times push_to_, pop_from_, push_from_, pop_to_;
};

/// Items one of which was in the queue at each moment of the call: as few as can be.
std::vector<const ItemLife*> cover(const testkit::TimedCall<QueueCall>& timed,
                                   const ItemLives& lives) {
  std::vector<const ItemLife*> chain;
  for (std::int64_t time = timed.from; time <= timed.to;) {
    const ItemLife* best = nullptr;
    for (const ItemLife& life : lives.all()) {
      if (!life.was_in_at(time)) continue;
      if (best == nullptr || life.pop_from > best->pop_from) best = &life;
    }
    if (best == nullptr) break;
    chain.push_back(best);
    time = best->pop_from;
  }
  return chain;
}

/// "; 0:3 never came out.", of the last that stayed in; else ".".
std::string fate(const std::vector<const ItemLife*>& present, const ItemLives& whole) {
  for (const ItemLife* life : present | std::views::reverse) {
    if (life->was_in() && whole.find(life->item)->pop == kNoCall) {
      return "; " + name(life->item) + later(*life, whole);
    }
  }
  return ".";
}

Evidence not_empty(const History& history, std::size_t index, const ItemLives& lives,
                   const ItemLives& whole) {
  const auto chain = cover(history[index], lives);
  Evidence evidence{said(history[index]) + ", although ", {index}};
  for (const ItemLife* life : chain) {
    if (life != chain.front()) evidence.why += life == chain.back() ? " or " : ", ";
    evidence.why += name(life->item);
    evidence.calls.push_back(life->push);
    if (life->pop != kNoCall) evidence.calls.push_back(life->pop);
  }
  evidence.why += " was in the queue ";
  evidence.why += chain.size() == 1 ? "from before it began until after it had returned"
                                    : "at each moment of it";
  evidence.why += fate(chain, whole);
  return evidence;
}

/// The call, and what may have been in the queue while it ran.
Evidence miscounted(const History& history, std::size_t index, const ItemLives& lives,
                    const ItemLives& whole, const std::string& why) {
  Evidence evidence{said(history[index]) + ", although " + why, {index}};
  std::vector<const ItemLife*> present;
  for (const ItemLife& life : lives.all()) {
    if (life.push_from > history[index].to || life.pop_to < history[index].from) continue;
    if (life.push != index) evidence.calls.push_back(life.push);
    if (life.pop != kNoCall) evidence.calls.push_back(life.pop);
    present.push_back(&life);
  }
  evidence.why += fate(present, whole);
  return evidence;
}

std::optional<Evidence> find_miscount(const History& history, const ItemLives& lives,
                                      const ItemLives& whole, std::size_t capacity) {
  const Bounds bounds(lives);
  const bool may_be_closed = std::ranges::any_of(
      history, [](const auto& timed) { return timed.call.kind == QueueCall::Kind::close; });
  for (std::size_t i = 0; i < history.size(); ++i) {
    const auto& timed = history[i];
    if (!timed.answered || timed.is_pending()) continue;
    const auto any = [&](auto test) { return bounds.any(timed, test); };
    const QueueCall& call = timed.call;
    if (is_empty_answer(call)) {
      if (!any([&](std::int64_t at) { return bounds.least(at) == 0; })) {
        return not_empty(history, i, lives, whole);
      }
    } else if (is_push(call)) {
      if (!any([&](std::int64_t at) { return bounds.least(at) < capacity; })) {
        return miscounted(history, i, lives, whole,
                          "the queue was full: it holds " + std::to_string(capacity) + " items");
      }
    } else if (call.kind == QueueCall::Kind::push && !may_be_closed) {
      if (!any([&](std::int64_t at) { return bounds.most(at) >= capacity; })) {
        return miscounted(history, i, lives, whole,
                          "there was room: never were as many as " + std::to_string(capacity) +
                              " items in the queue while it ran");
      }
    } else if (call.kind == QueueCall::Kind::size) {
      if (!any([&](std::int64_t at) {
            return bounds.least(at) <= call.value && call.value <= bounds.most(at);
          })) {
        return miscounted(history, i, lives, whole,
                          "never were as many items in the queue while it ran");
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Evidence> find_evidence(const History& history, const ItemLives& lives,
                                      const ItemLives& whole, QueueOrder order,
                                      std::size_t capacity) {
  if (auto evidence = find_bad_pop(history, lives, whole)) return evidence;
  if (auto evidence = find_disorder(lives, whole, order)) return evidence;
  return find_miscount(history, lives, whole, capacity);
}

}  // namespace sluice::internal
