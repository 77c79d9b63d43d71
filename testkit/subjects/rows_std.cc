// SPDX-License-Identifier: Apache-2.0

#include <vector>

#include "sluice/testkit/subjects/columns.h"
#include "sluice/testkit/subjects/rows.h"
#include "sluice/testkit/subjects/std_subjects.h"
#include "sluice/testkit/subjects/table.h"

namespace sluice::testkit {

std::vector<Row> std_rows() {
  return {
      row_of<StdQueueSubject>("std::queue and std::mutex"),
  };
}

}  // namespace sluice::testkit
