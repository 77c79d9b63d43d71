// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/stepper.h"

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>
#include <system_error>
#include <thread>

namespace sluice::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

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

// What the stepped process runs. Its parent steps it from the SIGSTOP on, and counts from `begun`
// to `done`.
void stepped_body(const Stepped& what, Progress& progress) noexcept {
  std::string stage = "prepare";
  try {
    limit_lifetime(what.limit);
    if (what.prepare) what.prepare();
    stage = what.name;
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == -1) {
      // Relaxed: problem() reads it after our end has been waited for.
      progress.trace_errno.store(errno, std::memory_order_relaxed);
      _exit(EXIT_FAILURE);
    }
    syscall(SYS_kill, getpid(), SIGSTOP);  // raise() has a way to go before it is back here
    // Pairs with Stepper::run_to_body. Relaxed: the parent reads while we are stopped, the kernel
    // orders that; the fences only keep the compiler from moving parts of the body across the
    // marks.
    progress.begun.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // see above
    what.body();
    std::atomic_signal_fence(std::memory_order_seq_cst);  // see above
    progress.done.store(1, std::memory_order_relaxed);    // pairs with Stepper::done, as `begun`
  } catch (...) {
    progress.words.say(stage + " threw: " + text_of(std::current_exception()));
  }
}

// What PTRACE_O_TRACESYSGOOD adds to the signal.
constexpr int kAtSystemCall = 0x80;

// The opcode of a system call, in the low bytes of the word at the instruction.
constexpr bool is_system_call(std::uint64_t code) {
#if defined(__x86_64__)
  return (code & 0xFFFF) == 0x050F;  // syscall
#elif defined(__aarch64__)
  return (code & 0xFFFFFFFF) == 0xD4000001;  // svc #0
#endif
}

std::uint64_t peek(pid_t pid, std::uint64_t address) {
  // Zero if it can't be read, as at an address that the victim made up: it can't be told apart, and
  // is the same crash.
  errno = 0;
  const long word = ptrace(PTRACE_PEEKDATA, pid, address, nullptr);
  return errno == 0 ? static_cast<std::uint64_t>(word) : 0;
}

}  // namespace

Stepper::Stepper(const Stepped& what, Progress& progress)
    : name_(what.name),
      by_system_call_(what.by_system_call),
      blocked_after_(what.blocked_after),
      progress_(progress),
      child_([&] { stepped_body(what, progress); }) {}

bool Stepper::run_to_body() {
  if (finish_call() == Stop::gone) return false;
  // The second, so that look() is told which stops are at a system call.
  ptrace(PTRACE_SETOPTIONS, child_.pid(), nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
  // Relaxed: the victim is stopped, and waitpid() orders what it did before (its store is in
  // stepped_body).
  while (progress_.begun.load(std::memory_order_relaxed) == 0) {
    if (step() != Stop::stopped) return false;
  }
  find_robust_list();
  return true;
}

Stepper::Stop Stepper::step() {
  const auto request = by_system_call_ ? PTRACE_SYSCALL : PTRACE_SINGLESTEP;
  if (ptrace(request, child_.pid(), nullptr, pending_signal_) == -1 && errno != ESRCH) {
    // Relaxed: read by problem(), in this very thread.
    progress_.trace_errno.store(errno, std::memory_order_relaxed);
    return Stop::gone;
  }
  return wait_for_step();
}

Stepper::Stop Stepper::finish_call() { return child_.wait_for_stop() ? stopped() : Stop::gone; }

// Looks again and again at first: to be woken, perhaps on another CPU, takes longer than the step.
Stepper::Stop Stepper::wait_for_step() {
  const auto start = steady_clock::now();
  for (;;) {
    if (const auto stop = child_.poll_stop()) return *stop ? stopped() : Stop::gone;
    const auto passed = steady_clock::now() - start;
    if (passed < std::chrono::microseconds(200)) {
      sched_yield();
    } else if (!at_system_call_) {
      return finish_call();
    } else if (passed >= blocked_after_ && child_.sleeps()) {
      return Stop::blocked;
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

Stepper::Stop Stepper::stopped() {
  // SIGTRAP is our step. Any other signal is the victim's own: it gets it with the next step, and
  // dies of it if it must. One that would only stop it is swallowed, since it is stopped all the
  // time anyway.
  const int signal = WSTOPSIG(child_.status()) & ~kAtSystemCall;
  const bool stop = signal == SIGTRAP || signal == SIGSTOP || signal == SIGTSTP;
  pending_signal_ = stop ? 0 : static_cast<unsigned long>(signal);
  look();
  return Stop::stopped;
}

void Stepper::look() {
  __ptrace_syscall_info info{};
  // If it is refused, all instructions are the same.
  ptrace(PTRACE_GET_SYSCALL_INFO, child_.pid(), sizeof info, &info);
  instruction_ = info.instruction_pointer;
  at_system_call_ = by_system_call_ ? info.op == PTRACE_SYSCALL_INFO_ENTRY
                                    : is_system_call(peek(child_.pid(), instruction_));
}

// Relaxed: as in run_to_body.
bool Stepper::done() const { return progress_.done.load(std::memory_order_relaxed) != 0; }

std::string Stepper::problem() const {
  // Relaxed: the victim has ended, its stores (stepped_body) are ordered by waitpid(), and nobody
  // writes any more.
  const int refused = progress_.trace_errno.load(std::memory_order_relaxed);
  if (refused != 0) {
    return "ptrace is refused here (" + std::generic_category().message(refused) +
           "): it takes a process that nobody traces, no seccomp filter against ptrace, and "
           "kernel.yama.ptrace_scope below 3";
  }
  if (progress_.words.text[0] != '\0') return progress_.words.text;
  // Relaxed: as above.
  const bool begun = progress_.begun.load(std::memory_order_relaxed) != 0;
  const int status = child_.status();
  std::string what = (begun ? name_ : "prepare") + ", by itself, " + how_it_ended(status);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    what += ", as happens when it takes longer than its limit: does it block?";
  }
  return what;
}

Stepper::RobustList Stepper::robust_list() const {
  RobustList list{};
  if (robust_list_head_ == 0) return list;
  for (std::size_t i = 0; i < list.size(); ++i) {
    list[i] = peek(child_.pid(), robust_list_head_ + i * sizeof list[i]);
  }
  return list;
}

void Stepper::find_robust_list() {
  void* head = nullptr;
  std::size_t size = 0;
  const bool found = syscall(SYS_get_robust_list, child_.pid(), &head, &size) == 0;
  robust_list_head_ = found ? reinterpret_cast<std::uint64_t>(head) : 0;
}

}  // namespace sluice::internal
