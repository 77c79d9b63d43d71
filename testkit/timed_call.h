// SPDX-License-Identifier: Apache-2.0
//
// TimedCall: a call of one party, with the times between which it took place; and a History of
// them. testkit/history.h records histories, testkit/linearizability.h judges them.
//
// The calls of one party follow each other. Of two parties' calls, one is before the other if its
// `to` is below the other's `from`; calls that share an instant overlap. So times may err to the
// outside, `from` too early and `to` too late, and no healthy queue is blamed for it; to the inside
// they must not.
//
// Units: nanoseconds of one clock. Errors: none. Threads: plain values. If a process dies here: its
// last call has no `to`. Cost: none.

#ifndef SLUICE_TESTKIT_TIMED_CALL_H_
#define SLUICE_TESTKIT_TIMED_CALL_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "sluice/testkit/models.h"

namespace sluice::testkit {

/// The time of what has not happened.
inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

/// A call, who made it, and when. Plain values.
template <class Call>
struct TimedCall {
  std::uint32_t party = 0;  ///< who called: numbers from 0 on, without large gaps
  Call call;                ///< and what it gave, if it is answered
  std::int64_t from = 0;    ///< before all that it did
  /// kNever: it has not returned. It may have happened, now or later, or not.
  std::int64_t to = kNever;
  /// False: nobody knows what it gave.
  bool answered = true;

  /// Whether it has not returned, as far as is known.
  [[nodiscard]] bool is_pending() const { return to == kNever; }
  /// Whether it had returned before the other began; no, if they share an instant.
  [[nodiscard]] bool precedes(const TimedCall& other) const { return to < other.from; }
};

/// In any order, but for the calls of one party, which are in theirs. A pending call is the last of
/// its party.
using History = std::vector<TimedCall<QueueCall>>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_TIMED_CALL_H_
