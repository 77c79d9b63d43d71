// SPDX-License-Identifier: Apache-2.0
//
// The seed of a test: SLUICE_TEST_SEED in the environment, so that a finding can be repeated, or
// what is used without it. Throws std::invalid_argument if that is no number.

#ifndef SLUICE_TESTKIT_TEST_SEED_H_
#define SLUICE_TESTKIT_TEST_SEED_H_

#include <cstdint>

namespace sluice::testkit {

/// The number in SLUICE_TEST_SEED, or `otherwise` if that is not set, or empty.
[[nodiscard]] std::uint64_t test_seed(std::uint64_t otherwise = 1);

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_TEST_SEED_H_
