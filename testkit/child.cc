// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace sluice::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

[[noreturn]] void run(pid_t parent, const std::function<void()>& body) noexcept {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(EXIT_FAILURE);  // it died before the line above
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  body();
  _exit(EXIT_SUCCESS);
}

}  // namespace

Child::Child(const std::function<void()>& body) {
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == -1) {
    throw std::system_error(errno, std::system_category(), "forking a child for a crash test");
  }
  if (pid_ == 0) run(parent, body);
  setpgid(pid_, pid_);  // also by the child itself: whoever comes first, both may rely on it
}

bool Child::wait_for_stop() {
  while (waitpid(pid_, &status_, __WALL) == -1) {
    if (errno == EINTR) continue;
    reaped_ = true;  // ECHILD: the host ignores SIGCHLD, the kernel has reaped it
    return false;
  }
  reaped_ = !WIFSTOPPED(status_);
  return !reaped_;
}

std::optional<bool> Child::poll_stop() {
  const pid_t got = waitpid(pid_, &status_, __WALL | WNOHANG);
  if (got == 0 || (got == -1 && errno == EINTR)) return std::nullopt;
  reaped_ = got == -1 || !WIFSTOPPED(status_);
  return !reaped_;
}

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

bool Child::sleeps() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  // "pid (name) state ...": a name may hold anything, also a ')'.
  const std::size_t state = line.rfind(')') + 2;
  // Without /proc nobody can tell, and the time that has passed must do.
  return line.empty() || (state < line.size() && std::strchr("SZX", line[state]) != nullptr);
}

void Child::end() noexcept {
  if (reaped_) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  while (!reaped_) wait_for_stop();  // a traced process may stop once more on its way out
}

void give_answer(const std::string& who, const std::function<std::string()>& body,
                 Answer& answer) noexcept {
  std::string wrong;
  try {
    wrong = body();
  } catch (...) {
    wrong = who + " threw: " + text_of(std::current_exception());
  }
  answer.words.say(wrong);
  // Relaxed: pairs with take_answer(), which reads after it has seen our end; that orders it.
  answer.verdict.store(wrong.empty() ? Answer::Verdict::good : Answer::Verdict::bad,
                       std::memory_order_relaxed);
}

std::string take_answer(const std::string& who, Child& child, milliseconds limit,
                        const Answer& answer) {
  const bool ended = child.wait_for_end(limit);
  child.end();
  if (!ended) return who + " hung: not ready after " + std::to_string(limit.count()) + " ms";
  // Relaxed: the child has ended (its store is in give_answer), so nobody writes any more.
  switch (answer.verdict.load(std::memory_order_relaxed)) {
    case Answer::Verdict::good:
      return "";
    case Answer::Verdict::bad:
      return answer.words.text;
    case Answer::Verdict::none:
      break;
  }
  return who + " " + how_it_ended(child.status());
}

std::string ask(const std::string& who, const std::function<std::string()>& body,
                milliseconds limit, Answer& answer) {
  // Relaxed: the child that writes it is forked below.
  answer.verdict.store(Answer::Verdict::none, std::memory_order_relaxed);
  Child child([&] { give_answer(who, body, answer); });
  return take_answer(who, child, limit, answer);
}

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

}  // namespace sluice::internal
