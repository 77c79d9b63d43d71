// SPDX-License-Identifier: Apache-2.0

#include <vector>

#include "sluice/testkit/subjects/boost_subjects.h"
#include "sluice/testkit/subjects/columns.h"
#include "sluice/testkit/subjects/rows.h"
#include "sluice/testkit/subjects/table.h"

namespace sluice::testkit {

namespace {

constexpr const char* kPool =
    "a push takes its node first: \"full\" counts what another is just pushing";

}  // namespace

std::vector<Row> boost_rows() {
  return {
      row_of<BoostQueueSubject>("boost::lockfree::queue", {{"linearizable", kPool}}),
      row_of<BoostStackSubject>("boost::lockfree::stack", {{"linearizable", kPool}}),
      row_of<BoostSpscSubject>("boost::lockfree::spsc_queue"),
      row_of<BoostSharedQueueSubject>("boost queue, shared memory",
                                      {{"linearizable", kPool},
                                       {"killed at each step", "it promises nothing of the dead"},
                                       {"killed at random", "it promises nothing of the dead"},
                                       {"linearizable, killed", "it promises nothing of the dead"},
                                       {"hostile bytes", "it trusts its memory"}}),
      row_of<BoostSharedSpscSubject>("boost spsc_queue, shared memory",
                                     {{"hostile bytes", "it trusts its memory"}}),
  };
}

}  // namespace sluice::testkit
