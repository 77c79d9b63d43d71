// SPDX-License-Identifier: Apache-2.0
//
// Makes a test's process one whose kernel refuses a system call, as an old kernel or a container's
// seccomp filter does. For good, children included: call it in a child that the test has forked.
//
//   ChildParty child([] {
//     refuse_calls({{.number = SYS_membarrier, .error = EPERM}});
//     EXPECT_EQ(tx.send(1), Status::ok);
//   });
//   child.finish();

#ifndef SLUICE_TESTS_SUPPORT_REFUSED_CALL_H_
#define SLUICE_TESTS_SUPPORT_REFUSED_CALL_H_

#include <cstdint>
#include <vector>

namespace sluice::tests {

struct RefusedCall {
  long number;  ///< SYS_...
  int error;    ///< what it fails with
  /// If not zero: only calls whose argument `argument` (from 0) has all these bits.
  std::uint32_t bits = 0;
  int argument = 0;
};

/// From now on each of `calls` fails. Throws std::system_error if the kernel has no seccomp.
void refuse_calls(const std::vector<RefusedCall>& calls);

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_REFUSED_CALL_H_
