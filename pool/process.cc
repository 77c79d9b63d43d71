// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/process.h"

#include <cxxabi.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"

namespace sluice {
namespace {

/// All signals blocked for the lifetime of the object: a handler of the host must not run in the
/// child before its handlers are reset.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_ = {};
};

/// As after exec: handlers to default, nothing blocked.
void reset_signals() {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action = {};
    if (sigaction(number, nullptr, &action) != 0) continue;
    if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) continue;
    action = {};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void print_current_exception(const std::string& name) {
  std::string type = "unknown type";
  if (const std::type_info* const info = abi::__cxa_current_exception_type(); info != nullptr) {
    int failed = 0;
    const std::unique_ptr<char, decltype(&std::free)> readable(
        abi::__cxa_demangle(info->name(), nullptr, nullptr, &failed), &std::free);
    type = readable != nullptr ? readable.get() : info->name();
  }
  std::string text;
  try {
    throw;
  } catch (const std::exception& e) {
    text = std::string(": ") + e.what();
  } catch (...) {
    text = "";
  }
  std::fprintf(stderr, "%s (pid %d): uncaught exception of type %s%s\n", name.c_str(),
               static_cast<int>(getpid()), type.c_str(), text.c_str());
}

/// How often somebody is looked after whom no descriptor watches.
constexpr std::chrono::milliseconds kLookAgain{5};

/// Waits for the parent's word that it holds our pidfd; false if the parent is gone. The closing of
/// the gate alone would not tell: a sibling that was forked meanwhile may hold a copy of it.
bool wait_for_go(int gate, pid_t parent, int parent_pidfd) {
  std::array<struct pollfd, 2> watched = {{{.fd = gate, .events = POLLIN, .revents = 0},
                                           {.fd = parent_pidfd, .events = POLLIN, .revents = 0}}};
  const int timeout = parent_pidfd >= 0 ? -1 : static_cast<int>(kLookAgain.count());
  for (;;) {
    const int n = poll(watched.data(), watched.size(), timeout);
    if (n > 0) break;
    if ((n < 0 && errno != EINTR) || (n == 0 && getppid() != parent)) return false;
  }
  char go = 0;
  return (watched[0].revents & POLLIN) != 0 && read(gate, &go, 1) == 1;
}

[[noreturn]] void run_child(const std::string& name, const std::function<void()>& body,
                            std::array<UniqueFd, 2>& gate, pid_t parent, UniqueFd& parent_pidfd) {
  gate[1].reset();
  if (!wait_for_go(gate[0].get(), parent, parent_pidfd.get())) _exit(EXIT_FAILURE);
  gate[0].reset();
  parent_pidfd.reset();
  prctl(PR_SET_NAME, name.c_str());
  reset_signals();
  int code = EXIT_SUCCESS;
  try {
    body();
    participant::leave();
  } catch (...) {
    print_current_exception(name);
    code = EXIT_FAILURE;
  }
  std::cout.flush();
  std::fflush(nullptr);
  _exit(code);
}

/// None where the kernel refuses (a seccomp filter): then we look again and again.
UniqueFd open_pidfd(pid_t pid, const std::string& name) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd && errno != ENOSYS && errno != EPERM && errno != EACCES) {
    throw Error::from_errno(errno, {.tried = "watch the process \"" + name + "\""});
  }
  return fd;
}

/// Whether a child has ended, or is not there any more.
bool has_ended(pid_t child) {
  siginfo_t info = {};
  int n = 0;
  do {
    n = waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
  } while (n != 0 && errno == EINTR);
  return n != 0 || info.si_pid == child;
}

std::array<UniqueFd, 2> make_gate() {
  std::array<int, 2> ends = {};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw Error::from_errno(errno, {.tried = "start a process: make its gate"});
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void reap(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

/// poll(2)'s way to say how long: rounded up, so that it never returns early.
int poll_timeout(Deadline deadline) {
  if (deadline.is_never()) return -1;
  if (deadline.passed()) return 0;
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline.time() - Deadline::Clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, INT_MAX));
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

void Process::start(const std::function<void()>& body) {
  std::array<UniqueFd, 2> gate = make_gate();
  parent_ = getpid();
  UniqueFd parent_pidfd = open_pidfd(parent_, name_);
  std::cout.flush();
  std::fflush(nullptr);
  {
    const BlockSignals blocked;
    pid_ = fork();
    if (pid_ == 0) run_child(name_, body, gate, parent_, parent_pidfd);
  }
  if (pid_ < 0) {
    throw Error::from_errno(errno, {.tried = "start the process \"" + name_ + "\"",
                                    .hint = "see ulimit -u, and the memory that is free"});
  }
  gate[0].reset();
  try {
    // The child can't end before it is let go, so the number can't be another process's by now.
    pidfd_ = open_pidfd(pid_, name_);
  } catch (const Error&) {
    ::kill(pid_, SIGKILL);
    reap(pid_);
    throw;
  }
  ssize_t n = 0;
  do {
    n = write(gate[1].get(), "g", 1);
  } while (n < 0 && errno == EINTR);
}

Process::Process(Process&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, -1)),
      parent_(other.parent_),
      pidfd_(std::move(other.pidfd_)),
      joined_(std::exchange(other.joined_, true)),
      exit_code_(other.exit_code_) {}

Process::~Process() {
  if (joined_ || parent_ != getpid()) return;
  try {
    join();
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
}

void Process::check_parent(const char* what) const {
  if (pid_ < 0) throw std::logic_error(std::string(what) + " of a process that was moved from");
  if (parent_ != getpid()) {
    throw std::logic_error(std::string(what) + " of \"" + name_ +
                           "\": not a child of this process");
  }
}

bool Process::wait_ended(Deadline deadline) const {
  for (;;) {
    if (!pidfd_ && has_ended(pid_)) return true;
    struct pollfd watched = {.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    const Deadline slice = pidfd_ ? deadline : std::min(deadline, Deadline(kLookAgain));
    const int n = poll(&watched, 1, poll_timeout(slice));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) {
      throw Error::from_errno(errno, {.tried = "wait for the process \"" + name_ + "\""});
    }
    if (n == 0 && deadline.passed()) return false;
  }
}

void Process::collect() {
  joined_ = true;
  siginfo_t info = {};
  int n = 0;
  do {
    n = pidfd_ ? waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED)
               : waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED);
  } while (n != 0 && errno == EINTR);
  if (n == 0) {
    exit_code_ = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
  } else if (pidfd_) {  // ECHILD: the host reaps its children itself, or has the kernel do it
    wait_released(pidfd_.get());
    exit_code_ = code_of_reaped(pidfd_.get());
  }
}

bool Process::join(Deadline deadline) {
  check_parent("join");
  if (joined_) return true;
  if (!wait_ended(deadline)) return false;
  collect();
  return true;
}

bool Process::alive() const {
  check_parent("alive");
  return !joined_ && !wait_ended(Deadline::now());
}

void Process::send_signal(int number) {
  check_parent("send_signal");
  if (joined_) return;
  // Without a pidfd the number is the child's as long as nobody else reaps it.
  if (!pidfd_ && has_ended(pid_)) return;
  const long sent = pidfd_ ? syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0)
                           : ::kill(pid_, number);
  if (sent == 0) return;
  if (errno != ESRCH) {
    throw Error::from_errno(
        errno, {.tried = "send signal " + std::to_string(number) + " to \"" + name_ + "\""});
  }
}

WaitHandle Process::wait_handle() const {
  if (!pidfd_) {
    throw Error::from_errno(ENOSYS, {.tried = "wait for process " + name_ + " among others",
                                     .expected = "a kernel that grants pidfd_open(2)",
                                     .hint = "join() works without"});
  }
  return WaitHandle(pidfd_.get());
}

void Process::terminate() { send_signal(SIGTERM); }
void Process::kill() { send_signal(SIGKILL); }

std::ostream& operator<<(std::ostream& out, const Process& process) {
  out << process.name_ << " (pid " << process.pid_ << "): ";
  if (!process.joined_) return out << "started";
  if (!process.exit_code_) return out << "ended, exit code unknown";
  if (*process.exit_code_ < 0) return out << "killed by signal " << -*process.exit_code_;
  return out << "exited with " << *process.exit_code_;
}

}  // namespace sluice
