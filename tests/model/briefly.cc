// SPDX-License-Identifier: Apache-2.0

#include "sluice/tests/model/explored.h"

namespace sluice::tests {

bool explores_at_length() { return false; }

}  // namespace sluice::tests
