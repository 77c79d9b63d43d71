// SPDX-License-Identifier: Apache-2.0
//
// The rows of the table, by family; each in a file of its own, since they are long to compile.

#ifndef SLUICE_TESTKIT_SUBJECTS_ROWS_H_
#define SLUICE_TESTKIT_SUBJECTS_ROWS_H_

#include <vector>

#include "sluice/testkit/subjects/table.h"

namespace sluice::testkit {

[[nodiscard]] std::vector<Row> lockfree_rows();
[[nodiscard]] std::vector<Row> ipc_rows();
[[nodiscard]] std::vector<Row> boost_rows();
[[nodiscard]] std::vector<Row> moodycamel_rows();
[[nodiscard]] std::vector<Row> std_rows();

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_ROWS_H_
