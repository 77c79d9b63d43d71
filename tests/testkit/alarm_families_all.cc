// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/subjects/rows.h"
#include "sluice/tests/testkit/alarm_families.h"

namespace sluice::tests {

std::vector<AlarmFamily> alarm_families() {
  return {testkit::lockfree_rows, testkit::ipc_rows, testkit::boost_rows, testkit::moodycamel_rows,
          testkit::std_rows};
}

}  // namespace sluice::tests
