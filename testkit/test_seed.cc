// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/test_seed.h"

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace sluice::testkit {

std::uint64_t test_seed(std::uint64_t otherwise) {
  const char* const value = std::getenv("SLUICE_TEST_SEED");
  const std::string_view text = value == nullptr ? "" : value;
  if (text.empty()) return otherwise;
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), seed);
  if (error != std::errc() || end != text.end()) {
    throw std::invalid_argument("SLUICE_TEST_SEED is a number, not " + std::string(text));
  }
  return seed;
}

}  // namespace sluice::testkit
