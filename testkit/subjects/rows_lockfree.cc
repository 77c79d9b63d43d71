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

constexpr const char* kPool =
    "a push takes its place first: \"full\" counts what another is just pushing";
constexpr const char* kMisses =
    "as its header says: it may miss an item while others are in the midst of a pop";

}  // namespace

std::vector<Row> lockfree_rows() {
  return {
      row_of<SpscRingSubject>("SpscRing"),
      row_of<MpmcRingSubject>("MpmcRing",
                              {{"linearizable", kClaims}, {"linearizable, killed", kClaims}}),
      row_of<IndexStackSubject>("IndexStack, as a pool", {{"linearizable", kPool}}),
      row_of<UnboundedQueueSubject>("UnboundedQueue", {{"linearizable", kMisses}}),
  };
}

}  // namespace sluice::testkit
