// SPDX-License-Identifier: Apache-2.0
//
// The producer process: reads the input, gives its batches to the parsers, and keeps each batch
// until the parent says that its result has arrived. What a dead parser leaves is given to the
// others.

#ifndef SLUICE_EXAMPLES_QUICKSTART_PRODUCER_H_
#define SLUICE_EXAMPLES_QUICKSTART_PRODUCER_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "sluice/examples/quickstart/input.h"
#include "sluice/ipc/pipe.h"

namespace quickstart {

struct ProducerPlan {
  /// --kill-one: the how-many-th batch of the first parser is the one in which it is killed, from
  /// 1; its last, if it does not get so many.
  std::optional<std::uint64_t> kill_at = {};
  /// Zero: as fast as it goes.
  std::chrono::nanoseconds between_batches{0};
  /// No batch is begun later than this after the first.
  std::chrono::nanoseconds at_most = std::chrono::nanoseconds::max();
};

/// The ends of pipes that the producer uses; see wire.h.
struct ProducerEnds {
  std::vector<sluice::Sender> batches;  // one per parser
  sluice::Receiver notices;
  sluice::Sender news;  // News, or a text: why the producer gives up
};

/// Runs until each batch has its result, or gives up.
void run_producer(const Input& input, const ProducerPlan& plan, ProducerEnds ends);

}  // namespace quickstart

#endif  // SLUICE_EXAMPLES_QUICKSTART_PRODUCER_H_
