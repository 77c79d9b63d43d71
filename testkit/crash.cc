// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/crash.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <ostream>
#include <stdexcept>
#include <system_error>

namespace sluice::internal {

void* map_shared(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::system_error(errno, std::system_category(),
                            "mapping shared memory for a crash test");
  }
  return memory;
}

void unmap_shared(void* memory, std::size_t bytes) noexcept { munmap(memory, bytes); }

}  // namespace sluice::internal

namespace sluice::testkit {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

enum class Verdict : std::uint32_t { none, intact, broken };

// What the children tell the parent. It lies in shared memory because it must outlive a SIGKILL,
// and because looking at it after each step costs the parent no system call.
struct Report {
  std::atomic<std::uint32_t> begun{0};
  std::atomic<std::uint32_t> done{0};
  std::atomic<Verdict> verdict{Verdict::none};
  std::atomic<int> trace_errno{0};
  char text[1000] = {};

  void say(const std::string& what) noexcept { text[what.copy(text, sizeof text - 1)] = '\0'; }
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
                  std::atomic<int>::is_always_lock_free &&
                  std::atomic<Verdict>::is_always_lock_free,
              "a lock inside the atomic would be left behind by the dead");

std::string text_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something that is not a std::exception";
  }
}

std::string how_it_ended(int status) {
  if (WIFEXITED(status)) {
    return "ended its process with exit code " + std::to_string(WEXITSTATUS(status));
  }
  const int signal = WTERMSIG(status);
  return "was killed by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
}

// A forked process that leads a process group of its own; at the latest the destructor kills the
// group and reaps.
class Child {
 public:
  explicit Child(const std::function<void()>& body) {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == -1) {
      throw std::system_error(errno, std::system_category(), "forking a child for a crash test");
    }
    if (pid_ == 0) run(parent, body);
    setpgid(pid_, pid_);  // also by the child itself: whoever comes first, both may rely on it
  }
  ~Child() { end(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const noexcept { return pid_; }

  // Waits for a ptrace stop or the end. True if it stopped.
  bool wait_for_stop() {
    while (waitpid(pid_, &status_, __WALL) == -1) {
      if (errno == EINTR) continue;
      reaped_ = true;  // ECHILD: the host ignores SIGCHLD, the kernel has reaped it
      return false;
    }
    reaped_ = !WIFSTOPPED(status_);
    return !reaped_;
  }
  // Waits for the end, without reaping. False if the time is over first.
  bool wait_for_end(milliseconds limit) const;

  // Kills the group and reaps. The leader is reaped last, so that the group's number can't have
  // passed to others.
  void end() noexcept {
    if (reaped_) return;
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    while (!reaped_) wait_for_stop();  // a traced process may stop once more on its way out
  }
  int status() const noexcept { return status_; }

 private:
  [[noreturn]] static void run(pid_t parent, const std::function<void()>& body) noexcept {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILURE);  // it died before the line above
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    body();
    _exit(EXIT_SUCCESS);
  }

  pid_t pid_ = -1;
  int status_ = 0;
  bool reaped_ = false;
};

bool Child::wait_for_end(milliseconds limit) const {
  // The pid can't be recycled before we reap it, so the descriptor means this very child.
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (fd == -1) {
    throw std::system_error(errno, std::system_category(), "watching a child of a crash test");
  }
  const auto end = steady_clock::now() + limit;
  pollfd event{fd, POLLIN, 0};
  int ready = 0;
  do {
    const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now()).count();
    ready = poll(&event, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000)));
  } while (ready == -1 && errno == EINTR);
  close(fd);
  return ready == 1;
}

// From inside the victim: SIGKILL when the time is over. Unlike alarm() it can't be caught, and it
// disturbs no timer of the operation's own.
void limit_lifetime(milliseconds limit) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  timer_t timer{};
  itimerspec when{};
  when.it_value.tv_sec = limit.count() / 1000;
  when.it_value.tv_nsec = limit.count() % 1000 * 1'000'000;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) == -1 ||
      timer_settime(timer, 0, &when, nullptr) == -1) {
    throw std::system_error(errno, std::system_category(), "limiting the victim's lifetime");
  }
}

// What the victim runs. When `traced`, the parent steps it from the SIGSTOP on, and counts from
// `begun` to `done`.
void victim_body(const CrashOperation& operation, const CrashOptions& options, bool traced,
                 Report& report) noexcept {
  const char* stage = "prepare";
  try {
    limit_lifetime(options.victim_limit);
    if (operation.prepare) operation.prepare();
    stage = "the operation";
    if (traced && ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == -1) {
      // Relaxed: problem() reads it after our end has been waited for.
      report.trace_errno.store(errno, std::memory_order_relaxed);
      _exit(EXIT_FAILURE);
    }
    if (traced) raise(SIGSTOP);
    // Pairs with Stepper::run_to_operation. Relaxed: the parent reads while we are stopped, the
    // kernel orders that; the fences only keep the compiler from moving parts of the operation
    // across the marks.
    report.begun.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // see above
    operation.operation();
    std::atomic_signal_fence(std::memory_order_seq_cst);  // see above
    report.done.store(1, std::memory_order_relaxed);      // pairs with Stepper::done, as `begun`
  } catch (...) {
    report.say(std::string(stage) + " threw: " + text_of(std::current_exception()));
  }
}

// Why a victim that has ended did so before its time.
std::string problem(const Report& report, int status) {
  // Relaxed: the victim has ended, its stores (victim_body) are ordered by waitpid(), and nobody
  // writes any more.
  const int refused = report.trace_errno.load(std::memory_order_relaxed);
  if (refused != 0) {
    return "ptrace is refused here (" + std::generic_category().message(refused) +
           "): it takes a process that nobody traces, no seccomp filter against ptrace, and "
           "kernel.yama.ptrace_scope below 3";
  }
  if (report.text[0] != '\0') return report.text;
  // Relaxed: as above.
  const bool begun = report.begun.load(std::memory_order_relaxed) != 0;
  std::string what =
      (begun ? "the operation, by itself, " : "prepare, by itself, ") + how_it_ended(status);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    what += ", as happens when it takes longer than its limit: does it block?";
  }
  return what;
}

// Runs one victim to its end at full speed, so that an operation that can't be tested is found out
// at once and not at its last instruction. Returns what is wrong with it, or an empty string.
std::string rehearse(const CrashOperation& operation, const CrashOptions& options, Report& report) {
  Child victim([&] { victim_body(operation, options, false, report); });
  while (victim.wait_for_stop()) {
  }
  // Relaxed: the victim has ended, its store (victim_body) is ordered by waitpid().
  return report.done.load(std::memory_order_relaxed) != 0 ? "" : problem(report, victim.status());
}

// A victim under ptrace, advanced from one kill point to the next.
class Stepper {
 public:
  Stepper(const CrashOperation& operation, const CrashOptions& options, Report& report)
      : report_(report),
        child_([&] { victim_body(operation, options, true, report); }),
        one_step_(options.kill_at == KillAt::each_instruction ? PTRACE_SINGLESTEP
                                                              : PTRACE_SYSCALL) {}

  // Up to where the operation's first instruction, or its first system call, is next. False: the
  // victim is gone.
  bool run_to_operation() {
    if (!child_.wait_for_stop()) return false;
    ptrace(PTRACE_SETOPTIONS, child_.pid(), nullptr, PTRACE_O_EXITKILL);
    // Relaxed: the victim is stopped, and waitpid() orders what it did before (its store is in
    // victim_body).
    while (report_.begun.load(std::memory_order_relaxed) == 0) {
      if (!step()) return false;
    }
    return true;
  }

  // To the next kill point, or to the end. False: the victim is gone.
  bool step() {
    if (ptrace(one_step_, child_.pid(), nullptr, pending_signal_) == -1 && errno != ESRCH) {
      // Relaxed: read by problem(), in this very thread.
      report_.trace_errno.store(errno, std::memory_order_relaxed);
      return false;
    }
    if (!child_.wait_for_stop()) return false;
    // SIGTRAP is our step. Any other signal is the victim's own: it gets it with the next step, and
    // dies of it if it must. One that would only stop it is swallowed, since it is stopped all the
    // time anyway.
    const int signal = WSTOPSIG(child_.status());
    const bool stop = signal == SIGTRAP || signal == SIGSTOP || signal == SIGTSTP;
    pending_signal_ = stop ? 0 : static_cast<unsigned long>(signal);
    return true;
  }
  // Relaxed: as in run_to_operation.
  bool done() const { return report_.done.load(std::memory_order_relaxed) != 0; }
  void kill() { child_.end(); }
  int status() const { return child_.status(); }

 private:
  Report& report_;
  Child child_;
  __ptrace_request one_step_;
  unsigned long pending_signal_ = 0;
};

// Kills one victim after `steps` steps, or at the end of its operation if that comes first.
// Returns what is wrong if that was not possible, or an empty string; `completed` tells whether the
// operation had returned.
std::string kill_after(std::uint64_t steps, const CrashOperation& operation,
                       const CrashOptions& options, Report& report, bool& completed) {
  Stepper victim(operation, options, report);
  bool alive = victim.run_to_operation();
  for (std::uint64_t i = 0; alive && i < steps && !victim.done(); ++i) alive = victim.step();
  victim.kill();
  if (!alive) return problem(report, victim.status());
  completed = victim.done();
  return "";
}

void survivor_body(const CrashOperation& operation, bool completed, Report& report) noexcept {
  std::string wrong;
  try {
    wrong = operation.survivor(completed);
  } catch (...) {
    wrong = "the survivor threw: " + text_of(std::current_exception());
  }
  report.say(wrong);
  // Pairs with check(). Relaxed: check() reads after it has seen our end, which orders it.
  report.verdict.store(wrong.empty() ? Verdict::intact : Verdict::broken,
                       std::memory_order_relaxed);
}

// Runs the survivor. Returns what is wrong, or an empty string.
std::string check(bool completed, const CrashOperation& operation, const CrashOptions& options,
                  Report& report) {
  Child survivor([&] { survivor_body(operation, completed, report); });
  const bool ended = survivor.wait_for_end(options.survivor_limit);
  survivor.end();
  if (!ended) {
    const std::string limit = std::to_string(options.survivor_limit.count());
    return "the survivor hung: not ready after " + limit + " ms";
  }
  // Relaxed: the survivor has ended (its store is in survivor_body), so nobody writes any more.
  switch (report.verdict.load(std::memory_order_relaxed)) {
    case Verdict::intact:
      return "";
    case Verdict::broken:
      return report.text;
    case Verdict::none:
      break;
  }
  return "the survivor " + how_it_ended(survivor.status());
}

}  // namespace

CrashResult step_kill(const CrashOperation& operation, const CrashOptions& options) {
  if (!operation.operation || !operation.survivor) {
    throw std::invalid_argument("CrashOperation \"" + operation.name +
                                "\" lacks its operation or its survivor");
  }
  const auto start = steady_clock::now();
  CrashResult result;
  result.name = operation.name;
  SharedArea<Report> report;
  const auto begin_again = [&] {
    report.reset();
    if (operation.setup) operation.setup();
  };
  begin_again();
  result.error = rehearse(operation, options, *report);
  while (result.error.empty() && !result.completed &&
         result.kill_points < options.max_kill_points &&
         result.broken < options.stop_after_broken) {
    begin_again();
    const std::uint64_t steps = result.kill_points + 1;
    result.error = kill_after(steps, operation, options, *report, result.completed);
    if (!result.error.empty()) break;
    ++result.kill_points;
    const std::string wrong = check(result.completed, operation, options, *report);
    if (!wrong.empty() && ++result.broken == 1) {
      result.first_broken = steps;
      result.reason = wrong;
    }
  }
  // Relaxed: all children have ended.
  result.refused = report->trace_errno.load(std::memory_order_relaxed) != 0;
  result.time = std::chrono::round<milliseconds>(steady_clock::now() - start);
  return result;
}

std::ostream& operator<<(std::ostream& out, const CrashResult& result) {
  out << result.name << ": " << result.kill_points << " kill points, " << result.broken
      << " broken";
  if (result.broken > 0) {
    out << "; first at point " << result.first_broken << ": " << result.reason;
  }
  if (!result.error.empty()) return out << "; no verdict: " << result.error;
  if (!result.completed) out << "; stopped before the operation's end";
  return out << "; " << result.time.count() << " ms";
}

}  // namespace sluice::testkit
