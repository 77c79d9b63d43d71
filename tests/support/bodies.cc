// SPDX-License-Identifier: Apache-2.0

#include "sluice/tests/support/bodies.h"

namespace sluice::tests {

std::string fresh_object_name() {
  static int last = 0;
  return "body-" + std::to_string(++last);
}

}  // namespace sluice::tests
