// SPDX-License-Identifier: Apache-2.0

#include <vector>

#include "sluice/testkit/subjects/columns.h"
#include "sluice/testkit/subjects/moodycamel_subjects.h"
#include "sluice/testkit/subjects/rows.h"
#include "sluice/testkit/subjects/table.h"

namespace sluice::testkit {

namespace {

constexpr const char* kMisses =
    "try_dequeue() may miss items while others are at work, as its documentation says";

}  // namespace

std::vector<Row> moodycamel_rows() {
  return {
      row_of<MoodycamelSubject>("moodycamel::ConcurrentQueue", {{"linearizable", kMisses}}),
      row_of<MoodycamelTokenSubject>("ConcurrentQueue, tokens", {{"linearizable", kMisses}}),
      row_of<MoodycamelBlockingSubject>("BlockingConcurrentQueue", {{"linearizable", kMisses}}),
  };
}

}  // namespace sluice::testkit
