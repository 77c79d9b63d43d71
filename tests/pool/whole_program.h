// SPDX-License-Identifier: Apache-2.0
//
// A whole program in a forked process: it ends by exit(3) as main does, and what it wrote is kept.
//
//   const Ran ran = run_program([] { at_exit([] { std::cout << "bye"; }); return 3; });
//   EXPECT_EQ(ran.code, 3);
//   EXPECT_EQ(ran.out, "bye");

#ifndef SLUICE_TESTS_POOL_WHOLE_PROGRAM_H_
#define SLUICE_TESTS_POOL_WHOLE_PROGRAM_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include "sluice/sync/unique_fd.h"

namespace sluice::tests {

struct Ran {
  int code = 0;     ///< as Process::exit_code()
  std::string out;  ///< standard output and error of it and of all that it started
};

/// An object that nobody destroys, as of a main() that has called exit(); still reachable, so no
/// leak.
template <class T>
T* leave_behind(T* object) {
  static auto* const all = new std::vector<T*>;
  all->push_back(object);
  return object;
}

/// Reads until all who hold the writing end have closed it; a failure of the test if that takes
/// longer than `limit`.
inline std::string read_to_the_end(int fd, std::chrono::seconds limit = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  std::string text;
  char bytes[4096];
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd watched = {.fd = fd, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&watched, 1, static_cast<int>(left.count())) == 0) {
      ADD_FAILURE() << "after " << limit.count() << " s somebody still runs";
      return text;
    }
    const ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(bytes, static_cast<std::size_t>(n));
  }
}

/// `body` returns what main would. It leads a process group, which is killed if it hangs.
template <class Body>
Ran run_program(Body body) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    dup2(write_end.get(), STDOUT_FILENO);
    dup2(write_end.get(), STDERR_FILENO);
    write_end.reset();
    std::exit(body());
  }
  setpgid(pid, pid);
  write_end.reset();
  Ran ran;
  ran.out = read_to_the_end(read_end.get());
  // All have closed their output, most by ending: this one may still be about to.
  if (testing::Test::HasFailure()) kill(-pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return ran;
}

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_POOL_WHOLE_PROGRAM_H_
