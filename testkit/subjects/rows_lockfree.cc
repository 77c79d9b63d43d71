// SPDX-License-Identifier: Apache-2.0

#include <vector>

#include "sluice/testkit/subjects/columns.h"
#include "sluice/testkit/subjects/lockfree_subjects.h"
#include "sluice/testkit/subjects/rows.h"
#include "sluice/testkit/subjects/table.h"

namespace sluice::testkit {

namespace {

constexpr const char* kClaims =
    "as its header says: what came after a push that is under way waits for it";

}  // namespace

std::vector<Row> lockfree_rows() {
  return {
      row_of<SpscRingSubject>("SpscRing"),
      row_of<MpmcRingSubject>("MpmcRing",
                              {{"linearizable", kClaims}, {"linearizable, killed", kClaims}}),
      row_of<IndexStackSubject>("IndexStack, as a pool"),
      row_of<UnboundedQueueSubject>("UnboundedQueue"),
  };
}

}  // namespace sluice::testkit
