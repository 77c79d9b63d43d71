// SPDX-License-Identifier: Apache-2.0
//
// Which subjects no_false_alarm_test.cc looks at: all, or those whose rows are quick to compile.

#ifndef SLUICE_TESTS_TESTKIT_ALARM_FAMILIES_H_
#define SLUICE_TESTS_TESTKIT_ALARM_FAMILIES_H_

#include <vector>

#include "sluice/testkit/subjects/table.h"

namespace sluice::tests {

using AlarmFamily = std::vector<testkit::Row> (*)();
std::vector<AlarmFamily> alarm_families();

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_TESTKIT_ALARM_FAMILIES_H_
