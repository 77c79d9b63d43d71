// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/linearizability.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <sstream>
#include <string>

#include "sluice/testkit/history.h"
#include "sluice/testkit/linear_search.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/queue_judge.h"
#include "sluice/testkit/test_seed.h"
#include "sluice/testkit/timed_call.h"
#include "sluice/testkit/timeline.h"

namespace sluice::internal {
namespace {

using testkit::History;
using testkit::HistoryOptions;
using testkit::HistoryVerdict;
using testkit::Judgement;
using testkit::JudgeOptions;
using testkit::Linearizable;
using testkit::QueueTraits;
using testkit::Recording;
using testkit::Refusals;

/// What went wrong with the parties themselves; the calls that did not return show it.
Judgement broken_off(const Recording& recording) {
  Judgement judgement;
  judgement.answer = Linearizable::no;
  judgement.why = recording.wrong;
  for (std::size_t i = 0; i < recording.calls.size(); ++i) {
    if (recording.calls[i].is_pending()) judgement.culprits.push_back(i);
  }
  return judgement;
}

Judgement judge(const History& history, const QueueTraits& traits, std::size_t capacity,
                const JudgeOptions& judging) {
  const auto how = judging.redelivers ? testkit::judge_redelivering : testkit::judge_history;
  return how(history, traits, capacity, judging.limits);
}

std::string weaker_reading(const History& history, const QueueTraits& traits, std::size_t capacity,
                           const JudgeOptions& judging) {
  const History believed = testkit::without_overlapped_refusals(history);
  const Judgement weaker = judge(believed, traits, capacity, judging);
  if (weaker.answer != Linearizable::yes) return "";
  return "If \"empty\" and \"full\" need not be true while a call of the other side is under way "
         "(Refusals::overlapped), the answer is yes.\n";
}

void add(HistoryVerdict& verdict, const Recording& recording, const Judgement& judgement) {
  ++verdict.rounds;
  verdict.calls += recording.calls.size();
  verdict.kills += recording.kills;
  verdict.pending += static_cast<std::size_t>(
      std::ranges::count_if(recording.calls, [](const auto& timed) { return timed.is_pending(); }));
  verdict.most_states = std::max(verdict.most_states, judgement.states);
  verdict.longest = std::max(verdict.longest, judgement.time);
  if (judgement.answer == Linearizable::undecided) ++verdict.undecided;
}

}  // namespace

HistoryVerdict judge_rounds(const HistoryOptions& options, const JudgeOptions& judging,
                            const QueueTraits& traits,
                            const std::function<Recording(std::uint64_t seed)>& record) {
  HistoryVerdict verdict;
  const std::uint64_t first = judging.seed ? *judging.seed : testkit::test_seed();
  for (unsigned round = 0; round < judging.rounds; ++round) {
    const std::uint64_t seed = first + round;
    const Recording recording = record(seed);
    const bool is_exact = judging.refusals == Refusals::exact;
    const History& all = recording.calls;
    const History calls = is_exact ? all : testkit::without_overlapped_refusals(all);
    const Judgement judgement = recording.wrong.empty()
                                    ? judge(calls, traits, recording.capacity, judging)
                                    : broken_off(recording);
    add(verdict, recording, judgement);
    if (judgement.answer == Linearizable::yes) continue;
    if (judgement.answer == Linearizable::undecided && verdict.undecided > 1) continue;
    const History& shown = recording.wrong.empty() ? calls : all;
    verdict.seed = seed;
    verdict.answer = judgement.answer;
    verdict.text = describe(shown, judgement);
    if (judgement.answer == Linearizable::undecided) continue;
    if (is_exact && recording.wrong.empty()) {
      verdict.text += weaker_reading(all, traits, recording.capacity, judging);
    }
    std::ostringstream title;
    title << options.name << ", claimed to be " << traits.order << ", seed " << seed;
    verdict.html = draw(shown, judgement, title.str());
    verdict.picture = testkit::save_picture(verdict.html, options.name, judging.directory);
    verdict.text += "Drawn in " + verdict.picture +
                    ". Seed of this round: SLUICE_TEST_SEED=" + std::to_string(seed) + ".\n";
    break;
  }
  return verdict;
}

}  // namespace sluice::internal

namespace sluice::testkit {

std::ostream& operator<<(std::ostream& out, const HistoryVerdict& verdict) {
  out << verdict.answer << ", " << verdict.rounds << " rounds, " << verdict.calls << " calls";
  if (verdict.kills != 0) {
    out << ", " << verdict.kills << " parties killed, " << verdict.pending << " of them in a call";
  }
  if (verdict.undecided != 0) out << ", " << verdict.undecided << " rounds undecided";
  out << "; at most " << verdict.most_states << " states and " << verdict.longest.count()
      << " us to decide one";
  return verdict.text.empty() ? out : out << '\n' << verdict.text;
}

}  // namespace sluice::testkit
