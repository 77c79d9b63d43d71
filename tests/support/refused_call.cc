// SPDX-License-Identifier: Apache-2.0

#include "sluice/tests/support/refused_call.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

namespace sluice::tests {
namespace {

/// Nearly all calls look at the low half of an argument alone.
std::uint32_t offset_of_argument(int index) {
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args) +
                                    static_cast<std::size_t>(index) * sizeof(std::uint64_t));
}

void append(std::vector<sock_filter>& rules, const RefusedCall& call) {
  const auto number = static_cast<std::uint32_t>(call.number);
  const std::uint32_t verdict = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(call.error);
  rules.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  rules.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
  rules.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset_of_argument(call.argument)));
  rules.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, call.bits));
  rules.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.bits, 0, 1));
  rules.push_back(BPF_STMT(BPF_RET | BPF_K, verdict));
}

}  // namespace

void refuse_calls(const std::vector<RefusedCall>& calls) {
  std::vector<sock_filter> rules;
  for (const RefusedCall& call : calls) append(rules, call);
  rules.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program = {.len = static_cast<unsigned short>(rules.size()),
                              .filter = rules.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    throw std::system_error(errno, std::generic_category(), "install a seccomp filter");
  }
}

}  // namespace sluice::tests
