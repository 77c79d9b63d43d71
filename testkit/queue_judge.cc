// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/queue_judge.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sluice/testkit/history_checks.h"
#include "sluice/testkit/item_lives.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_guide.h"
#include "sluice/testkit/timed_call.h"
#include "sluice/testkit/timeline.h"

namespace sluice::testkit {
namespace {

using internal::Evidence;
using internal::is_pop;
using internal::is_push;
using internal::ItemLives;
using internal::QueueGuide;
using Clock = std::chrono::steady_clock;
using Indices = std::vector<std::size_t>;

void validate(const History& history) {
  std::unordered_set<std::uint64_t> pushed;
  std::unordered_map<std::uint32_t, std::int64_t> last;
  for (const auto& timed : history) {
    if (is_push(timed.call) && !pushed.insert(timed.call.value).second) {
      throw std::invalid_argument("a history to be judged pushes an item twice");
    }
    const auto [at, is_new] = last.try_emplace(timed.party, timed.to);
    if (timed.from > timed.to || (!is_new && at->second > timed.from)) {
      throw std::invalid_argument("a party's calls in a history must follow each other");
    }
    at->second = timed.to;
  }
}

/// A part of a history, and where its calls are in the whole.
struct Part {
  History calls;
  Indices places;
};

template <class Keep>
Part part_of(const History& history, Keep keep) {
  Part part;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (!keep(i)) continue;
    part.calls.push_back(history[i]);
    part.places.push_back(i);
  }
  return part;
}

Part part_until(const History& history, std::int64_t time) {
  Part part = part_of(history, [&](std::size_t i) { return history[i].from <= time; });
  for (auto& timed : part.calls) {
    if (timed.to > time) timed.to = kNever;
  }
  return part;
}

struct Decision {
  Linearizable answer = Linearizable::undecided;
  std::optional<Evidence> evidence;
  std::vector<Placed<QueueCall>> order;
  std::size_t states = 0;
};

class Judge {
 public:
  Judge(const History& history, const QueueTraits& traits, std::size_t capacity,
        const SearchLimits& limits)
      : history_(history),
        whole_(history),
        traits_(traits),
        limits_(limits),
        model_(traits, capacity) {}

  Judgement judge() {
    const auto start = Clock::now();
    Decision decision = decide(history_);
    Judgement judgement;
    judgement.answer = decision.answer;
    judgement.order = std::move(decision.order);
    judgement.states = decision.states;
    judgement.time = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
    if (judgement.answer == Linearizable::no) explain(judgement);
    if (judgement.answer == Linearizable::undecided) {
      judgement.why = "The search was over its limit after " + std::to_string(decision.states) +
                      " states: nobody knows.";
    }
    return judgement;
  }

 private:
  [[nodiscard]] Decision decide(const History& history) const {
    const ItemLives lives(history);
    Decision decision;
    decision.evidence = find_evidence(history, lives, whole_, traits_.order, model_.capacity());
    if (decision.evidence) {
      decision.answer = Linearizable::no;
      return decision;
    }
    const QueueGuide guide(history, lives, traits_.order, model_.capacity());
    auto found = linear_search(history, model_, limits_, guide);
    decision.answer = found.answer;
    decision.order = std::move(found.order);
    decision.states = found.states;
    return decision;
  }

  void explain(Judgement& judgement) const {
    const Indices returns = by_return();
    // The first of them up to which the history is wrong.
    std::size_t first = 0;
    for (std::size_t last = returns.size() - 1; first < last;) {
      const std::size_t middle = (first + last) / 2;
      const Part part = part_until(history_, history_[returns[middle]].to);
      if (decide(part.calls).answer == Linearizable::no) {
        last = middle;
      } else {
        first = middle + 1;
      }
    }
    judgement.certain_at = history_[returns[first]].to;
    Part wrong = part_until(history_, judgement.certain_at);
    Decision decision = decide(wrong.calls);
    if (!decision.evidence) decision.evidence = shrink(wrong);
    judgement.why = decision.evidence->why;
    for (const std::size_t call : decision.evidence->calls) {
      judgement.culprits.push_back(wrong.places[call]);
    }
    std::ranges::sort(judgement.culprits, {}, [&](std::size_t i) { return history_[i].from; });
    const Part right = part_until(history_, judgement.certain_at - 1);
    judgement.order = decide(right.calls).order;
    for (auto& placed : judgement.order) placed.index = right.places[placed.index];
  }

  [[nodiscard]] Indices by_return() const {
    Indices returns;
    for (std::size_t i = 0; i < history_.size(); ++i) {
      if (!history_[i].is_pending()) returns.push_back(i);
    }
    std::ranges::sort(returns, {}, [&](std::size_t i) { return history_[i].to; });
    return returns;
  }

  /// Leaves out of `wrong` what is not needed for it to be wrong. A history that is right stays so
  /// without some of its refusals and sizes, and without an item, unless the item counts: that is,
  /// unless it may have been in the queue during a "full" or a size().
  [[nodiscard]] Evidence shrink(Part& wrong) const {
    const auto end = Clock::now() + limits_.time;
    leave_out(wrong, end, [](const Part& part) {
      std::vector<Indices> counted;
      for (std::size_t i = 0; i < part.calls.size(); ++i) {
        if (internal::counts(part.calls[i].call)) counted.push_back({part.places[i]});
      }
      return counted;
    });
    leave_out(wrong, end, items_that_do_not_count);
    leave_out(wrong, end, [](const Part& part) {
      std::vector<Indices> empties;
      for (std::size_t i = 0; i < part.calls.size(); ++i) {
        if (internal::is_empty_answer(part.calls[i].call)) empties.push_back({part.places[i]});
      }
      return empties;
    });
    return in_words(wrong);
  }

  static std::vector<Indices> items_that_do_not_count(const Part& part) {
    std::vector<Indices> items;
    const ItemLives lives(part.calls);
    for (const auto& life : lives.all()) {
      const bool counts = std::ranges::any_of(part.calls, [&](const auto& timed) {
        return internal::counts(timed.call) && life.push_from <= timed.to &&
               timed.from <= life.pop_to;
      });
      if (counts) continue;
      items.push_back({part.places[life.push]});
      if (life.pop != internal::kNoCall) items.back().push_back(part.places[life.pop]);
    }
    return items;
  }

  /// Halves of what units_of() gives, then quarters, ..., then each alone, if it stays wrong.
  template <class UnitsOf>
  void leave_out(Part& wrong, Clock::time_point end, UnitsOf units_of) const {
    const std::vector<Indices> units = units_of(wrong);
    for (std::size_t size = units.size(); size > 0; size /= 2) {
      for (std::size_t at = 0; at < units.size() && Clock::now() < end; at += size) {
        std::unordered_set<std::size_t> out;
        for (std::size_t i = at; i < std::min(at + size, units.size()); ++i) {
          out.insert(units[i].begin(), units[i].end());
        }
        Part less =
            part_of(wrong.calls, [&](std::size_t i) { return !out.contains(wrong.places[i]); });
        if (less.calls.size() == wrong.calls.size()) continue;
        if (decide(less.calls).answer != Linearizable::no) continue;
        for (std::size_t& place : less.places) place = wrong.places[place];
        wrong = std::move(less);
      }
    }
  }

  [[nodiscard]] Evidence in_words(const Part& wrong) const {
    const ItemLives lives(wrong.calls);
    if (auto evidence =
            find_evidence(wrong.calls, lives, whole_, traits_.order, model_.capacity())) {
      return *evidence;
    }
    std::ostringstream why;
    why << "No order of these " << wrong.calls.size() << " calls is one that a " << traits_.order
        << " queue allows; all were tried.";
    Indices all(wrong.calls.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    return {why.str(), all};
  }

  const History& history_;
  const ItemLives whole_;
  const QueueTraits traits_;
  const SearchLimits limits_;
  const QueueModel model_;
};

/// Leaves items out that killed parties may have held.
class Redelivery {
 public:
  Redelivery(const QueueTraits& traits, std::size_t capacity, const SearchLimits& limits)
      : traits_(traits),
        capacity_(capacity),
        limits_(limits),
        end_(Clock::now() + kSearches * limits.time) {}

  /// A judgement that is not a no, if there is one without `most` of the items that `wrong` names;
  /// undecided if there is no time to look for one.
  [[nodiscard]] std::optional<Judgement> try_without(const History& history, const Judgement& wrong,
                                                     std::size_t most) const {
    if (most == 0) return std::nullopt;
    std::unordered_set<std::uint64_t> tried;
    for (const std::size_t culprit : wrong.culprits) {
      const auto& timed = history[culprit];
      if (!timed.answered || !timed.call.ok || !tried.insert(timed.call.value).second) continue;
      if (!may_be_held(history, timed.call.value) || overtakes(history, timed.call.value)) continue;
      if (Clock::now() > end_) return out_of_time();
      const Part rest = without(history, timed.call.value);
      Judgement judgement = judge_history(rest.calls, traits_, capacity_, limits_);
      for (auto& placed : judgement.order) placed.index = rest.places[placed.index];
      if (judgement.answer != Linearizable::no) return judgement;
      auto deeper = try_without(rest.calls, judgement, most - 1);
      if (!deeper) continue;
      for (auto& placed : deeper->order) placed.index = rest.places[placed.index];
      return deeper;
    }
    return std::nullopt;
  }

 private:
  /// Of the time that one search may take: what a recorded history needs is a small part of one.
  static constexpr int kSearches = 5;

  static Judgement out_of_time() {
    Judgement judgement;
    judgement.why = "Which items the killed had taken was not found in time: nobody knows.";
    return judgement;
  }

  /// Nor with what depends on how many items there are, while it was somewhere: whether one that is
  /// held takes room is the queue's affair.
  static Part without(const History& history, std::uint64_t item) {
    const ItemLives lives(history);
    const auto* life = lives.find(item);
    return part_of(history, [&](std::size_t i) {
      const auto& other = history[i];
      if (internal::counts(other.call)) {
        return other.to < life->push_from || life->pop_to < other.from;
      }
      const bool is_named = is_push(other.call) || (other.answered && is_pop(other.call));
      return !is_named || other.call.value != item;
    });
  }

  static bool may_be_held(const History& history, std::uint64_t item) {
    const ItemLives lives(history);
    const auto* life = lives.find(item);
    return life != nullptr && std::ranges::any_of(history, [&](const auto& timed) {
             return !timed.answered && timed.call.kind == QueueCall::Kind::pop &&
                    timed.from < life->pop_to;
           });
  }

  /// Held items come late, never early.
  [[nodiscard]] bool overtakes(const History& history, std::uint64_t item) const {
    if (traits_.order != QueueOrder::fifo) return false;
    const ItemLives lives(history);
    const auto* life = lives.find(item);
    return std::ranges::any_of(lives.all(), [&](const auto& other) {
      return other.push_to < life->push_from && life->pop_to < other.pop_from;
    });
  }

  QueueTraits traits_;
  std::size_t capacity_;
  SearchLimits limits_;
  Clock::time_point end_;
};

/// The place of each call in the order; those that are not in it are not here.
std::unordered_map<std::size_t, std::size_t> places_in(const Judgement& judgement) {
  std::unordered_map<std::size_t, std::size_t> places;
  for (const auto& placed : judgement.order) places.emplace(placed.index, places.size() + 1);
  return places;
}

std::string text_of(const TimedCall<QueueCall>& timed) {
  std::ostringstream text;
  if (!timed.answered && timed.call.kind == QueueCall::Kind::pop) {
    text << "pop()";
  } else {
    text << timed.call;
  }
  return text.str();
}

Bar::Kind kind_of(const QueueCall& call) {
  if (is_push(call)) return Bar::Kind::push;
  if (is_pop(call)) return Bar::Kind::pop;
  return call.kind == QueueCall::Kind::push || call.kind == QueueCall::Kind::pop
             ? Bar::Kind::refusal
             : Bar::Kind::other;
}

}  // namespace

Judgement judge_history(const History& history, const QueueTraits& traits, std::size_t capacity,
                        const SearchLimits& limits) {
  validate(history);
  return Judge(history, traits, capacity, limits).judge();
}

Judgement judge_redelivering(const History& history, const QueueTraits& traits,
                             std::size_t capacity, const SearchLimits& limits) {
  Judgement judgement = judge_history(history, traits, capacity, limits);
  if (judgement.answer != Linearizable::no) return judgement;
  const auto takers = static_cast<std::size_t>(std::ranges::count_if(
      history, [](const auto& t) { return !t.answered && t.call.kind == QueueCall::Kind::pop; }));
  const Redelivery redelivery(traits, capacity, limits);
  if (auto right = redelivery.try_without(history, judgement, takers)) return *right;
  return judgement;
}

History history_until(const History& history, std::int64_t time) {
  return part_until(history, time).calls;
}

History without_overlapped_refusals(const History& history) {
  const auto is_excused = [&](const TimedCall<QueueCall>& refusal) {
    const bool is_refusal = refusal.answered && !refusal.call.ok;
    return is_refusal && std::ranges::any_of(history, [&](const auto& other) {
             const bool may_hinder =
                 other.call.kind != refusal.call.kind || (other.is_pending() && !other.answered);
             return may_hinder && other.from <= refusal.to && refusal.from <= other.to;
           });
  };
  return part_of(history, [&](std::size_t i) { return !is_excused(history[i]); }).calls;
}

std::vector<std::size_t> window_of(const History& history, const Judgement& judgement,
                                   std::size_t most) {
  // What returned last before it was certain, or had not, says most.
  const auto by_return = [&](std::size_t i) {
    return std::tuple(history[i].to, history[i].from, ~i);
  };
  Indices window = judgement.culprits;
  std::ranges::sort(window, std::ranges::greater(), by_return);
  if (window.size() > most) window.resize(most);
  const std::unordered_set<std::size_t> culprits(window.begin(), window.end());
  Indices others;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (!culprits.contains(i) && history[i].from <= judgement.certain_at) others.push_back(i);
  }
  std::ranges::sort(others, std::ranges::greater(), by_return);
  for (const std::size_t other : others) {
    if (window.size() >= most) break;
    window.push_back(other);
  }
  std::ranges::sort(window, {}, [&](std::size_t i) { return history[i].from; });
  return window;
}

std::string describe(const History& history, const Judgement& judgement) {
  std::ostringstream text;
  text << judgement.answer << ", after " << judgement.states << " states";
  if (!judgement.why.empty()) text << ": " << judgement.why;
  text << '\n';
  if (judgement.answer != Linearizable::no) return text.str();
  const auto window = window_of(history, judgement);
  const auto places = places_in(judgement);
  const std::int64_t start = window.empty() ? 0 : history[window.front()].from;
  text << "  from and to in ns; [n]: its place in an order of what returned before; >: the calls "
          "that show it\n";
  for (const std::size_t i : window) {
    const auto& timed = history[i];
    const auto place = places.find(i);
    text << (std::ranges::count(judgement.culprits, i) != 0 ? "> " : "  ") << "party "
         << timed.party << "  " << std::left << std::setw(24) << text_of(timed) << std::right
         << std::setw(9) << timed.from - start << " .. ";
    if (timed.is_pending()) {
      text << "   never";
    } else {
      text << std::setw(8) << timed.to - start;
    }
    if (place != places.end()) text << "  [" << place->second << ']';
    text << '\n';
  }
  return text.str();
}

std::string draw(const History& history, const Judgement& judgement, const std::string& title) {
  constexpr std::size_t kMost = 20;
  const auto window = window_of(history, judgement, kMost);
  const auto places = places_in(judgement);
  Timeline timeline;
  timeline.title = title;
  timeline.sentence = judgement.why;
  std::map<std::uint32_t, std::size_t> lanes;
  for (const std::size_t i : window) lanes[history[i].party] = 0;
  for (auto& [party, lane] : lanes) {
    lane = timeline.lanes.size();
    timeline.lanes.push_back("party " + std::to_string(party));
  }
  for (const std::size_t i : window) {
    const auto& timed = history[i];
    Bar bar{.lane = lanes[timed.party], .label = text_of(timed), .kind = kind_of(timed.call)};
    bar.from = timed.from;
    bar.to = timed.to;
    bar.is_culprit = std::ranges::count(judgement.culprits, i) != 0;
    if (const auto place = places.find(i); place != places.end()) bar.place = place->second;
    timeline.bars.push_back(std::move(bar));
  }
  timeline.certain_at = judgement.certain_at;
  timeline.hidden = history.size() - window.size();
  return timeline_html(timeline);
}

}  // namespace sluice::testkit
