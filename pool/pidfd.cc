// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/pidfd.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>

#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

/// Whether a child has ended, or is not there any more.
bool has_ended(pid_t child) {
  siginfo_t info = {};
  int n = 0;
  do {
    n = waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
  } while (n != 0 && errno == EINTR);
  return n != 0 || info.si_pid == child;
}

std::optional<int> code_of(int wait_status) {
  if (WIFEXITED(wait_status)) return WEXITSTATUS(wait_status);
  if (WIFSIGNALED(wait_status)) return -WTERMSIG(wait_status);
  return std::nullopt;
}

/// Waits until the kernel has let go of a child that is not ours to reap. Its pidfd is readable a
/// moment earlier, while the number is still taken and the exit code not yet on record.
void wait_released(int pidfd) {
  while (syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) == 0 || errno != ESRCH) {
    struct pollfd hang_up = {.fd = pidfd, .events = 0, .revents = 0};
    poll(&hang_up, 1, 1);  // no event before Linux 6.9: then the millisecond decides
  }
}

/// What the kernel still tells of a child that somebody else has reaped (PIDFD_GET_INFO, since
/// Linux 6.15). Declared here, because the distribution's headers are older.
std::optional<int> code_of_reaped(int pidfd) {
  struct PidfdInfo {
    std::uint64_t mask, cgroup_id;
    std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    std::int32_t exit_code;
  };
  static_assert(sizeof(PidfdInfo) == 64);
  constexpr std::uint64_t kExit = 1U << 3;
  PidfdInfo info = {};
  info.mask = kExit;
  if (ioctl(pidfd, _IOWR(0xFF, 11, PidfdInfo), &info) != 0 || (info.mask & kExit) == 0) {
    return std::nullopt;
  }
  return code_of(info.exit_code);
}

}  // namespace

UniqueFd open_pidfd(pid_t pid, const std::string& name) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd && errno != ENOSYS && errno != EPERM && errno != EACCES) {
    throw Error::from_errno(errno, {.tried = "watch the process \"" + name + "\""});
  }
  return fd;
}

int poll_timeout(Deadline deadline) {
  if (deadline.is_never()) return -1;
  if (deadline.passed()) return 0;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline.time() - Deadline::Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, INT_MAX));
}

bool wait_readable(int fd, Deadline deadline) {
  for (;;) {
    struct pollfd watched = {.fd = fd, .events = POLLIN, .revents = 0};
    const int n = poll(&watched, 1, poll_timeout(deadline));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) {
      throw Error::from_errno(errno, {.tried = "wait for the end of a process"});
    }
    if (n == 0 && deadline.passed()) return false;
  }
}

bool wait_for_child(pid_t pid, int pidfd, Deadline deadline) {
  return wait_until_ended(pidfd, deadline, [=] { return has_ended(pid); });
}

std::optional<int> collect_child(pid_t pid, int pidfd) {
  siginfo_t info = {};
  int n = 0;
  do {
    n = pidfd >= 0 ? waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED)
                   : waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED);
  } while (n != 0 && errno == EINTR);
  if (n == 0) return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  if (pidfd < 0) return std::nullopt;
  // ECHILD: the host reaps its children itself, or has the kernel do it.
  wait_released(pidfd);
  return code_of_reaped(pidfd);
}

void reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool send_to(pid_t pid, int pidfd, int number, const std::string& name) {
  // Without a pidfd the number is the child's as long as nobody else reaps it.
  if (pidfd < 0 && has_ended(pid)) return false;
  const long sent =
      pidfd >= 0 ? syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) : ::kill(pid, number);
  if (sent != 0 && errno != ESRCH) {
    throw Error::from_errno(
        errno, {.tried = "send signal " + std::to_string(number) + " to \"" + name + "\""});
  }
  return sent == 0;
}

}  // namespace sluice::internal
