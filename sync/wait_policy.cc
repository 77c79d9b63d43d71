// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/wait_policy.h"

#include <stdexcept>

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
      policy.longest_slice < policy.first_slice) {
    throw std::invalid_argument(
        "sluice::WaitPolicy: expected 1 ms <= first_slice <= longest_slice, found " +
        std::to_string(policy.first_slice.count()) + " ms and " +
        std::to_string(policy.longest_slice.count()) + " ms");
  }
  t_policy = policy;
}

}  // namespace sluice
