// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/wait_policy.h"

#include <stdexcept>
#include <string>

namespace sluice {
namespace {

constinit thread_local WaitPolicy t_policy;

}  // namespace

std::ostream& operator<<(std::ostream& out, WaitMode mode) {
  switch (mode) {
    case WaitMode::adaptive:
      return out << "adaptive";
    case WaitMode::spin:
      return out << "spin";
    case WaitMode::block:
      return out << "block";
  }
  return out << "unknown";
}

WaitPolicy wait_policy() noexcept { return t_policy; }

void set_wait_policy(WaitPolicy policy) {
  if (policy.first_slice < std::chrono::milliseconds(1) ||
      policy.longest_slice < policy.first_slice || policy.longest_slice > std::chrono::hours(1)) {
    throw std::invalid_argument(
        "sluice::WaitPolicy: expected 1 ms <= first_slice <= longest_slice <= 1 h, found " +
        std::to_string(policy.first_slice.count()) + " ms and " +
        std::to_string(policy.longest_slice.count()) + " ms");
  }
  t_policy = policy;
}

}  // namespace sluice
