// SPDX-License-Identifier: Apache-2.0
//
// Bug: whether the queues of this folder have theirs. Each is the same code but for that, so that a
// check that finds the one and not the other has found the bug, and nothing else.

#ifndef SLUICE_TESTKIT_PLANTED_BUG_H_
#define SLUICE_TESTKIT_PLANTED_BUG_H_

#include <cstdint>

namespace sluice::testkit {

enum class Bug : std::uint8_t { planted, mended };

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_PLANTED_BUG_H_
