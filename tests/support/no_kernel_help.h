// SPDX-License-Identifier: Apache-2.0
//
// Takes from a process what the kernel does for the locks of those who die, so that tests can see
// that it is an accelerator and not the guarantee.

#ifndef SLUICE_TESTS_SUPPORT_NO_KERNEL_HELP_H_
#define SLUICE_TESTS_SUPPORT_NO_KERNEL_HELP_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <iterator>
#include <system_error>

namespace sluice::tests {

/// From now on get_robust_list(2) fails in the calling thread and in those that it starts. Call it
/// before the thread's first lock, in a child.
inline void refuse_kernel_help() {
  sock_filter refuse[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_get_robust_list, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {.len = std::size(refuse), .filter = refuse};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    throw std::system_error(errno, std::system_category(), "seccomp");
  }
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SUPPORT_NO_KERNEL_HELP_H_
