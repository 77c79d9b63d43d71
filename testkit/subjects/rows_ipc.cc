// SPDX-License-Identifier: Apache-2.0

#include <vector>

#include "sluice/testkit/subjects/columns.h"
#include "sluice/testkit/subjects/ipc_subjects.h"
#include "sluice/testkit/subjects/rows.h"
#include "sluice/testkit/subjects/table.h"

namespace sluice::testkit {

namespace {

constexpr const char* kClaims = "as MpmcRing: what came after a push under way waits for it";

}  // namespace

std::vector<Row> ipc_rows() {
  return {
      row_of<QueueSubject>("Queue (ring)",
                           {{"linearizable", kClaims}, {"linearizable, killed", kClaims}}),
      row_of<RecordQueueSubject>("Queue (records)"),
      row_of<LifoQueueSubject>("LifoQueue"),
      row_of<PriorityQueueSubject>("PriorityQueue"),
      row_of<DequeSubject>("Deque"),
      row_of<JoinableQueueSubject>("JoinableQueue"),
      row_of<JoinableQueueDoneSubject>("JoinableQueue, pop(T&) and done()"),
  };
}

}  // namespace sluice::testkit
