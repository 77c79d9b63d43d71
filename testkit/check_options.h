// SPDX-License-Identifier: Apache-2.0
//
// CheckOptions: how long and how thoroughly the checks of testkit/queue_checks.h and the properties
// of testkit/queue_properties.h look, and the guard under which they run.
//
//   std::string wrong = check_sequential<MyKit>(CheckOptions::from_environment());
//
//   SLUICE_TESTKIT_PROFILE   quick (as if not set) or full
//   SLUICE_TEST_SEED         a number, as a finding prints it
//
// Units: milliseconds. Errors: std::invalid_argument for a variable that says neither. Threads:
// plain values. If a process dies here: nothing is shared; guarded() tells how a check's process
// died. Cost: none; guarded() a fork.

#ifndef SLUICE_TESTKIT_CHECK_OPTIONS_H_
#define SLUICE_TESTKIT_CHECK_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace sluice::testkit {

/// How thoroughly the checks look: full repeats what quick does twenty times.
enum class CheckProfile : std::uint8_t { quick, full };

/// What checks and properties are told. Plain values.
struct CheckOptions {
  CheckProfile profile = CheckProfile::quick;  ///< see times()
  /// Of all that is chosen at random. The order in which threads run is not.
  std::uint64_t seed = 1;
  /// After so long, who ought to go on is said to be stuck.
  std::chrono::milliseconds patience{2000};
  /// A check that takes longer altogether is killed, and that is its verdict.
  std::chrono::milliseconds limit{120'000};
  /// False: in the calling process, for debuggers; what hangs hangs, what crashes crashes.
  bool in_child = true;

  /// As the environment says.
  static CheckOptions from_environment();

  /// How many times something is done that the quick profile does so often.
  [[nodiscard]] std::size_t times(std::size_t quick) const {
    return profile == CheckProfile::full ? 20 * quick : quick;
  }
};

}  // namespace sluice::testkit

namespace sluice::internal {

/// In a guarded process: it still lives, and makes this call next. A literal.
void note_call(const char* next) noexcept;

/// Runs `check`, which returns what is wrong, in a process of its own, and returns what is wrong,
/// also with the process: that it died, or that a call which it noted did not come back.
/// `name` begins that sentence.
std::string guarded(const std::string& name, const testkit::CheckOptions& options,
                    const std::function<std::string()>& check);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_CHECK_OPTIONS_H_
