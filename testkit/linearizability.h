// SPDX-License-Identifier: Apache-2.0
//
// check_linearizable: whether a queue that several threads or processes use at once behaves as if
// each call happened at one moment between its beginning and its return. It records histories
// (testkit/history.h), judges them (testkit/queue_judge.h), and draws the first that is wrong.
// Finds what a stress test that counts items can't: what came out in a wrong order, "empty" that
// was not true. Not a proof: it judges what happened, and faults need parties that meet.
//
//   const HistoryVerdict verdict = check_linearizable<MyAdapter<std::uint64_t>>({.name = "mine"});
//   EXPECT_EQ(verdict.answer, Linearizable::yes) << verdict;     // says why, where the picture is,
//                                                                // and how to repeat it
//   check_linearizable<MyAdapter<std::uint64_t>>({.processes = true, .kills = 3});
//
// The order is the one that the adapter's kTraits claim. Refusals::overlapped is for queues whose
// "empty" or "full" may come of another's call that is still under way (a producer that has taken
// its place, and not filled it yet, keeps what others have pushed behind it): then a refusal is
// believed only if no call of the other side, and none whose party was killed, overlaps it. A no
// says whether that would make it yes. `redelivers` is for queues that offer again what a killed
// party was taking, while others have gone on: one item for each such party may then be anywhere.
//
// Units: as in the headers named. Errors: std::invalid_argument for options that fit no queue;
// std::system_error without processes, memory, or a file for the picture. A queue that crashes,
// throws or hangs is a no.
//
// Threads and processes, and if a process dies here: as in testkit/history.h.
//
// Cost: a round of 4 x 250 calls takes some tens of milliseconds to record, on a busy machine 0.2
// s, and some milliseconds to judge; a no takes up to a second to explain. The seed is 1, or the
// number in SLUICE_TEST_SEED; each round adds one.

#ifndef SLUICE_TESTKIT_LINEARIZABILITY_H_
#define SLUICE_TESTKIT_LINEARIZABILITY_H_

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

#include "sluice/testkit/history.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// Which "empty" and "full" are believed: each, or only those that no call under way may explain.
enum class Refusals : std::uint8_t { exact, overlapped };

/// How often is recorded, and what counts as right.
struct JudgeOptions {
  unsigned rounds = 10;                 ///< histories, until one is a no
  Refusals refusals = Refusals::exact;  ///< what a history is held to
  /// What a killed party was taking may be offered again, and out of order.
  bool redelivers = false;
  /// Of each round.
  SearchLimits limits = {};
  /// Of the first round; without it the number in SLUICE_TEST_SEED, or 1.
  std::optional<std::uint64_t> seed = {};
  /// For the picture; else as save_picture() has it.
  std::string directory = {};
};

/// What check_linearizable() has found.
struct HistoryVerdict {
  /// No: of one round, the last; undecided: of one round at least, and none is a no.
  Linearizable answer = Linearizable::yes;
  /// What, why, the calls concerned, how to repeat it.
  std::string text;
  std::string html;                     ///< the picture, if the answer is no
  std::string picture;                  ///< its path
  std::uint64_t seed = 0;               ///< of the round that the answer comes of; 0 if that is yes
  unsigned rounds = 0;                  ///< that were recorded
  unsigned undecided = 0;               ///< of the rounds: over the limits of their search
  std::size_t calls = 0;                ///< of all rounds
  std::size_t pending = 0;              ///< of the calls: those whose party was killed in them
  unsigned kills = 0;                   ///< of parties, in all rounds
  std::size_t most_states = 0;          ///< that the search of a round looked at
  std::chrono::microseconds longest{};  ///< to decide a round
};

/// "yes, R rounds, C calls ...", and the text, if there is something to say.
std::ostream& operator<<(std::ostream& out, const HistoryVerdict& verdict);

}  // namespace sluice::testkit

namespace sluice::internal {

testkit::HistoryVerdict judge_rounds(
    const testkit::HistoryOptions& options, const testkit::JudgeOptions& judging,
    const testkit::QueueTraits& traits,
    const std::function<testkit::Recording(std::uint64_t seed)>& record);

}  // namespace sluice::internal

namespace sluice::testkit {

/// Records and judges one round after another, until one is a no; forks, and draws that one.
template <QueueAdapter A>
  requires std::same_as<typename A::value_type, std::uint64_t>
[[nodiscard]] HistoryVerdict check_linearizable(const HistoryOptions& options = {},
                                                const JudgeOptions& judging = {}) {
  return internal::judge_rounds(options, judging, A::kTraits, [&](std::uint64_t seed) {
    return record_history<A>(options, seed);
  });
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_LINEARIZABILITY_H_
