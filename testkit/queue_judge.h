// SPDX-License-Identifier: Apache-2.0
//
// judge_history: whether the calls of a recorded history can be put into an order that a queue
// allows, and if not, which calls show it, and why, in words. For whole tests take
// testkit/linearizability.h, which records the history as well; for models that are no queue, a
// linear_search (testkit/linear_search.h).
//
//   const History history = {
//       {.party = 0, .call = {QueueCall::Kind::push, item(0, 0)}, .from = 0, .to = 10},
//       {.party = 0, .call = {QueueCall::Kind::push, item(0, 1)}, .from = 20, .to = 30},
//       {.party = 1, .call = {QueueCall::Kind::pop, item(0, 1)}, .from = 40, .to = 50}};
//   const Judgement judgement = judge_history(history, {.order = QueueOrder::fifo}, 8);
//   judgement.answer;       // no
//   judgement.why;          // "0:1 overtook 0:0: it went in after ..."
//   std::cout << describe(history, judgement);
//
// Each item may be pushed once. First come checks that are necessary whatever the order, and that
// explain themselves; what they leave is searched, with what is known of queues to guide the
// search. If the answer is no, the shortest beginning of the history that is wrong is found: all
// that had been called up to a certain return. Of it, items are left out that are not needed.
//
// Units: nanoseconds. Errors: std::invalid_argument if an item is pushed twice or a party's calls
// are out of order; undecided if the search is over its limit. Threads: one. If a process dies
// here: private memory. Cost: about (calls)^2 for the checks; the search's is in linear_search.h.

#ifndef SLUICE_TESTKIT_QUEUE_JUDGE_H_
#define SLUICE_TESTKIT_QUEUE_JUDGE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::testkit {

/// Whether there is an order; and which, or what shows that there is none.
struct Judgement {
  Linearizable answer = Linearizable::undecided;  ///< undecided: a search was over its limits
  /// One sentence, if the answer is not yes.
  std::string why;
  /// Places in the history, by the beginning of the calls: those that show it.
  std::vector<std::size_t> culprits;
  /// When it was certain: no call that began later is to blame.
  std::int64_t certain_at = kNever;
  /// Yes: the order that was found. No: one of all that returned before certain_at, and of those
  /// pending calls that it needs.
  std::vector<Placed<QueueCall>> order;
  std::size_t states = 0;            ///< that were looked at to answer, but not to explain
  std::chrono::microseconds time{};  ///< to answer, but not to explain
};

/// Looks for an order that a queue of these traits and of so many items allows.
[[nodiscard]] Judgement judge_history(const History& history, const QueueTraits& traits,
                                      std::size_t capacity, const SearchLimits& limits = {});

/// As judge_history(), for a queue that offers again, out of order, what a killed party was taking:
/// for each pop whose answer is unknown, one item that it may have held is left out, if that makes
/// the history right, and with it each "full" and size() while that item was somewhere. Undecided
/// also after five times the time of a search.
[[nodiscard]] Judgement judge_redelivering(const History& history, const QueueTraits& traits,
                                           std::size_t capacity, const SearchLimits& limits = {});

/// The history as it was known at `time`: what had not returned is pending.
[[nodiscard]] History history_until(const History& history, std::int64_t time);

/// The history without the refusals ("empty", "full") that a call of the other side overlaps, or
/// one of either side that was killed: for a queue whose refusals may come of a call that is under
/// way.
[[nodiscard]] History without_overlapped_refusals(const History& history);

/// The calls that a person must see: the culprits, and those around the time at which it was
/// certain, up to `most`. By their beginning.
[[nodiscard]] std::vector<std::size_t> window_of(const History& history, const Judgement& judgement,
                                                 std::size_t most = 30);

/// As text: the sentence, and the window, a line for each call.
[[nodiscard]] std::string describe(const History& history, const Judgement& judgement);

/// As a page of HTML, drawn. The title says what was tested.
[[nodiscard]] std::string draw(const History& history, const Judgement& judgement,
                               const std::string& title);

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_QUEUE_JUDGE_H_
