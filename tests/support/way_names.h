// SPDX-License-Identifier: Apache-2.0
//
// WayNames: names the ways of running a typed test in the output: PipeBody/Fork.CarriesANumber.

#ifndef SLUICE_TESTS_SUPPORT_WAY_NAMES_H_
#define SLUICE_TESTS_SUPPORT_WAY_NAMES_H_

#include <string>

namespace sluice::tests {

struct WayNames {
  template <class Way>
  static std::string GetName(int) {
    return Way::kName;
  }
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_WAY_NAMES_H_
