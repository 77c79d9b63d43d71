// SPDX-License-Identifier: Apache-2.0
//
// linear_search: whether calls that overlapped can be put into an order, one after another, that
// respects their times and that a sequential model allows. Any model; for queues take
// testkit/linearizability.h, which explains its answer and is far quicker. Not for histories whose
// answers depend on more than the calls in them.
//
//   struct Counter {
//     using call_type = int;                              // "add one; it gave ..."
//     bool step(int gave) { return gave == value++; }
//     std::size_t hash() const { return value; }
//     bool operator==(const Counter&) const = default;
//     int value = 0;
//   };
//   std::vector<TimedCall<int>> calls = {{0, 1, 10, 30}, {1, 0, 20, 40}};
//   linear_search(calls, Counter()).answer;               // yes: the second came first
//
// How it works: the search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with
// Lowe's cache ("Testing for linearizability", 2017). A call may come next if no other that is
// still to come has returned before it began. Since the calls of a party follow each other, the set
// of those that have come is one number per party; that and the state are what is never tried
// twice. A call that changes nothing, and may come next, comes next: what follows can't tell.
//
// A pending call may come or not. One whose answer is unknown ends in each way that the model's
// outcomes(call) gives, if it has that; else as the call says.
//
// A guide knows more of a model: which call, though allowed next, leads nowhere (`dead`), and which
// may as well come next as later, so that nothing else need be tried (`free`). Both must be true of
// every history; see internal::QueueGuide.
//
// Units: calls; SearchLimits. Errors: undecided, if a limit is reached; std::bad_alloc. Threads:
// one. If a process dies here: private memory. Cost: as many states as the overlaps leave to try,
// each a copy of the model; exponential at worst.

#ifndef SLUICE_TESTKIT_LINEAR_SEARCH_H_
#define SLUICE_TESTKIT_LINEAR_SEARCH_H_

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <ostream>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sluice/testkit/timed_call.h"

namespace sluice::testkit {

/// A model that can be searched: step() says whether a call may come next, and lets it come.
template <class M>
concept SequentialModel = std::copyable<M> && std::equality_comparable<M> &&
                          requires(M& model, const M& state, const typename M::call_type& call) {
                            { model.step(call) } -> std::same_as<bool>;
                            { state.hash() } -> std::convertible_to<std::size_t>;
                          };

/// Whether there is an order that the model allows; undecided: the search was over its limits.
enum class Linearizable : std::uint8_t { yes, no, undecided };

/// One word: "yes", "no", "undecided".
inline std::ostream& operator<<(std::ostream& out, Linearizable answer) {
  constexpr const char* kNames[] = {"yes", "no", "undecided"};
  return out << kNames[static_cast<std::size_t>(answer)];
}

/// What a search may take before it answers `undecided`.
struct SearchLimits {
  std::chrono::milliseconds time{1000};  ///< by the clock, which is looked at now and then
  /// Of states that are kept, not their bytes: those depend on the model.
  std::size_t states = 500'000;
};

/// A call in its place; `call` is what it was assumed to have given, if nobody knows.
template <class Call>
struct Placed {
  std::size_t index = 0;  ///< in the history
  Call call;              ///< with what it gave in this order
};

/// What linear_search() has found.
template <class Call>
struct SearchResult {
  Linearizable answer = Linearizable::undecided;  ///< no: all orders were tried
  /// Yes: an order that is allowed. Else: the longest beginning of one that was found.
  std::vector<Placed<Call>> order;
  std::size_t states = 0;  ///< different ones that were met, the start among them
};

/// What a guide says of a call that may come next: it leads nowhere, it must be tried, or nothing
/// else need be tried.
enum class Advice : std::uint8_t { dead, open, free };

/// The calls of each party in their order.
class Lanes {
 public:
  /// A lane for each party up to the highest; keeps the places of the calls, not the calls.
  template <class Call>
  explicit Lanes(const std::vector<TimedCall<Call>>& history) {
    for (std::size_t i = 0; i < history.size(); ++i) {
      if (history[i].party >= lanes_.size()) lanes_.resize(history[i].party + 1);
      lanes_[history[i].party].push_back(i);
    }
  }

  /// How many lanes, with those of parties that never call.
  [[nodiscard]] std::size_t size() const { return lanes_.size(); }
  /// Where in the history the calls of a lane are, the earliest first.
  [[nodiscard]] std::span<const std::size_t> operator[](std::size_t lane) const {
    return lanes_[lane];
  }

 private:
  std::vector<std::vector<std::size_t>> lanes_;
};

/// Where a search stands: done[lane] calls of each lane have come, and no call comes next that
/// began after `limit`.
struct SearchPoint {
  std::span<const std::uint32_t> done;  ///< by lane; valid while the guide is asked
  std::int64_t limit = kNever;          ///< the first return of the calls still to come
};

/// Knows nothing.
struct NoGuide {
  /// `open`, of each call.
  template <class Model, class Call>
  Advice operator()(const SearchPoint&, const Model&, std::size_t, const Call&) const {
    return Advice::open;
  }
};

/// One search; linear_search() makes and runs it.
template <SequentialModel Model, class Guide>
class LinearSearch {
  using Call = typename Model::call_type;
  using Calls = std::vector<TimedCall<Call>>;

 public:
  /// History and guide are not copied: they must outlive it.
  LinearSearch(const Calls& history, const Guide& guide, const SearchLimits& limits)
      : history_(history), lanes_(history), guide_(guide), limits_(limits) {}

  /// Searches from `start` on, until it has an answer or is over a limit. Once.
  SearchResult<Call> run(Model start) {
    const auto end = std::chrono::steady_clock::now() + limits_.time;
    remember(std::vector<std::uint32_t>(lanes_.size()), std::move(start), {});
    while (!path_.empty()) {
      if (is_complete(nodes_[path_.back().node])) return result(Linearizable::yes);
      const bool is_late = nodes_.size() % 64 == 0 && std::chrono::steady_clock::now() > end;
      if (is_late || nodes_.size() >= limits_.states) return result(Linearizable::undecided);
      go_on();
    }
    return result(Linearizable::no);
  }

 private:
  struct Came {
    std::uint32_t parent = 0;
    std::uint32_t length = 0;
    Placed<Call> last;
  };
  struct Node {
    std::vector<std::uint32_t> done;
    Model state;
    Came came;
  };
  struct Choice {
    Placed<Call> placed;
    Model after;
  };
  struct Step {
    std::uint32_t node;
    std::vector<Choice> choices;  ///< the best last
  };

  [[nodiscard]] const TimedCall<Call>* next(const Node& node, std::size_t lane) const {
    const auto calls = lanes_[lane];
    return node.done[lane] < calls.size() ? &history_[calls[node.done[lane]]] : nullptr;
  }

  /// Whether nothing is left that must come.
  [[nodiscard]] bool is_complete(const Node& node) const { return limit_of(node) == kNever; }

  /// The first return of those that are still to come.
  [[nodiscard]] std::int64_t limit_of(const Node& node) const {
    std::int64_t limit = kNever;
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
      if (const auto* call = next(node, lane)) limit = std::min(limit, call->to);
    }
    return limit;
  }

  void go_on() {
    Step& step = path_.back();
    if (step.choices.empty()) {
      path_.pop_back();
      return;
    }
    Choice choice = std::move(step.choices.back());
    step.choices.pop_back();
    const Node& node = nodes_[step.node];
    std::vector<std::uint32_t> done = node.done;
    ++done[history_[choice.placed.index].party];
    remember(std::move(done), std::move(choice.after),
             {step.node, node.came.length + 1, std::move(choice.placed)});
  }

  /// Goes there, unless it has been there.
  void remember(std::vector<std::uint32_t> done, Model state, Came came) {
    std::size_t hash = state.hash();
    for (const std::uint32_t count : done) hash = (hash ^ count) * 0x9E3779B97F4A7C15;
    const auto [first, last] = seen_.equal_range(hash);
    for (auto at = first; at != last; ++at) {
      const Node& node = nodes_[at->second];
      if (node.done == done && node.state == state) return;
    }
    const auto id = static_cast<std::uint32_t>(nodes_.size());
    seen_.emplace(hash, id);
    nodes_.push_back({std::move(done), std::move(state), std::move(came)});
    if (nodes_[id].came.length > nodes_[longest_].came.length) longest_ = id;
    path_.push_back({id, choices_of(nodes_[id])});
  }

  std::vector<Choice> choices_of(const Node& node) const {
    std::vector<Choice> choices;
    const SearchPoint point{node.done, limit_of(node)};
    for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
      const auto* next_call = next(node, lane);
      if (next_call == nullptr || next_call->from > point.limit) continue;
      const std::size_t index = lanes_[lane][node.done[lane]];
      for (const Call& call : outcomes(node.state, *next_call)) {
        if (add(choices, node, point, {index, call}) == Advice::free) return choices;
      }
    }
    // The one that returns first is tried first.
    std::ranges::sort(choices, std::ranges::greater(), [&](const Choice& choice) {
      return std::pair(history_[choice.placed.index].to, ~choice.placed.index);
    });
    return choices;
  }

  /// `free`: it is the only choice now.
  Advice add(std::vector<Choice>& choices, const Node& node, const SearchPoint& point,
             Placed<Call> placed) const {
    const Advice advice = guide_(point, node.state, placed.index, placed.call);
    if (advice == Advice::dead) return Advice::dead;
    Model after = node.state;
    if (!after.step(placed.call)) return Advice::dead;
    const bool is_idle = after == node.state;
    if (is_idle && history_[placed.index].is_pending()) return Advice::dead;
    const bool is_free = is_idle || advice == Advice::free;
    if (is_free) choices.clear();
    choices.push_back({std::move(placed), std::move(after)});
    return is_free ? Advice::free : Advice::open;
  }

  static std::vector<Call> outcomes(const Model& state, const TimedCall<Call>& timed) {
    if constexpr (requires { state.outcomes(timed.call); }) {
      if (!timed.answered) return state.outcomes(timed.call);
    }
    return {timed.call};
  }

  SearchResult<Call> result(Linearizable answer) const {
    SearchResult<Call> result{answer, {}, nodes_.size()};
    const std::uint32_t end = answer == Linearizable::yes ? path_.back().node : longest_;
    for (const Node* node = &nodes_[end]; node->came.length > 0;
         node = &nodes_[node->came.parent]) {
      result.order.push_back(node->came.last);
    }
    std::ranges::reverse(result.order);
    return result;
  }

  const Calls& history_;
  Lanes lanes_;
  const Guide& guide_;
  SearchLimits limits_;
  std::deque<Node> nodes_;
  std::unordered_multimap<std::size_t, std::uint32_t> seen_;
  std::vector<Step> path_;
  std::uint32_t longest_ = 0;
};

/// Whether, and how, the calls can be put in order, from `start` on.
template <SequentialModel Model, class Guide = NoGuide>
[[nodiscard]] SearchResult<typename Model::call_type> linear_search(
    const std::vector<TimedCall<typename Model::call_type>>& history, Model start,
    const SearchLimits& limits = {}, const Guide& guide = {}) {
  return LinearSearch<Model, Guide>(history, guide, limits).run(std::move(start));
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_LINEAR_SEARCH_H_
