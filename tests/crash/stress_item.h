// SPDX-License-Identifier: Apache-2.0
//
// What the stress tests of queues push: items of many lengths whose tearing shows, each with its
// producer and its number; who does it, and for how long.

#ifndef SLUICE_TESTS_CRASH_STRESS_ITEM_H_
#define SLUICE_TESTS_CRASH_STRESS_ITEM_H_

#include <chrono>
#include <compare>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <tuple>

#include "sluice/testkit/kill_stress.h"

namespace sluice::tests {

/// The first of the workers produce, the others consume.
inline constexpr unsigned kProducers = 2;
inline constexpr unsigned kWorkers = 4;
/// Items of one producer.
inline constexpr std::uint64_t kMost = std::uint64_t{1} << 23;

struct StressItem {
  std::uint32_t producer = 0;
  std::uint64_t number = 0;
  std::string fill;

  [[nodiscard]] static StressItem of(std::uint32_t producer, std::uint64_t n) {
    return {producer, n, std::string(n % 7 == 0 ? 700 : n % 40, static_cast<char>('a' + n % 26))};
  }
  /// One that was pushed, and not torn.
  [[nodiscard]] bool is_sound() const {
    return producer < kProducers && number < kMost && *this == of(producer, number);
  }
  auto operator<=>(const StressItem&) const = default;
  auto sluice_members() { return std::tie(producer, number, fill); }
};

/// Some seconds, or as many kills as SLUICE_SOAK_KILLS says.
inline testkit::KillStressOptions stress_options() {
  using namespace std::chrono_literals;
  testkit::KillStressOptions options{.duration = 3s};
  options.hang_after = 20s;
  if (const char* const kills = std::getenv("SLUICE_SOAK_KILLS"); kills != nullptr) {
    options.min_kills = std::strtoull(kills, nullptr, 10);
    options.duration = 1ms;  // the kills decide
  }
  return options;
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_CRASH_STRESS_ITEM_H_
