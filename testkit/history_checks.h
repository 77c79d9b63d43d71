// SPDX-License-Identifier: Apache-2.0
//
// Internal: what every history of a queue must fulfil, whatever the order of its overlapping calls:
// necessary, quick to check, and easy to explain. A history that passes may still be wrong.
//
// If a process dies here: private memory.

#ifndef SLUICE_TESTKIT_HISTORY_CHECKS_H_
#define SLUICE_TESTKIT_HISTORY_CHECKS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "sluice/testkit/item_lives.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::internal {

/// Why a history is wrong, and the calls that show it.
struct Evidence {
  std::string why;
  std::vector<std::size_t> calls;
};

/// Nothing, if it finds nothing. `whole` is of the history that `history` is the beginning of: it
/// tells how things went on.
std::optional<Evidence> find_evidence(const testkit::History& history, const ItemLives& lives,
                                      const ItemLives& whole, testkit::QueueOrder order,
                                      std::size_t capacity);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_HISTORY_CHECKS_H_
