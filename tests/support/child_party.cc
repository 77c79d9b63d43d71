// SPDX-License-Identifier: Apache-2.0

#include "sluice/tests/support/child_party.h"

#include <fcntl.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <exception>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace sluice::tests {
namespace {

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string failures_of(const testing::TestPartResultArray& results) {
  std::ostringstream text;
  for (int i = 0; i < results.size(); ++i) {
    if (results.GetTestPartResult(i).failed()) text << results.GetTestPartResult(i) << '\n';
  }
  return text.str();
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n <= 0 && errno != EINTR) return;  // nobody reads any more
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
}

[[noreturn]] void run_child(pid_t parent, const std::function<void()>& body, int failures) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const pid_t now = getppid();
  if (now != parent && now != 0) _exit(1);  // 0: it is in another pid namespace
  testing::TestPartResultArray results;
  {
    // Takes what would otherwise be printed and noted here, where nobody looks.
    const testing::ScopedFakeTestPartResultReporter collect(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ALL_THREADS, &results);
    run_reporting(body);
  }
  write_all(failures, failures_of(results));
  _exit(0);
}

/// Reads until all writers are gone; false if that takes longer than kChildLimit.
bool read_to_end(int fd, std::string& text) {
  const auto end = std::chrono::steady_clock::now() + kChildLimit;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd event{fd, POLLIN, 0};
    const int ready = poll(&event, 1, static_cast<int>(std::max<long>(left.count(), 0)));
    if (ready == 0) return false;
    char bytes[1024];
    const ssize_t n = ready == 1 ? read(fd, bytes, sizeof bytes) : -1;
    if (n == 0) return true;
    if (n > 0) text.append(bytes, static_cast<std::size_t>(n));
  }
}

}  // namespace

void run_reporting(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "the other side threw: " << e.what();
  }
}

ChildParty::ChildParty(const std::function<void()>& body) {
  auto [read, write] = make_pipe();
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == -1) throw std::system_error(errno, std::system_category(), "fork");
  if (pid_ == 0) run_child(parent, body, write.get());
  failures_ = std::move(read);
}

ChildParty::~ChildParty() {
  if (pid_ == -1) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ChildParty::finish() {
  std::string text;
  if (!read_to_end(failures_.get(), text)) {
    kill(pid_, SIGKILL);
    ADD_FAILURE() << "the child did not end and was killed";
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  if (!text.empty()) ADD_FAILURE() << "in the child:\n" << text;
  EXPECT_EQ(status, 0) << "the wait status of the child";
}

Gate::Gate() {
  auto [read, write] = make_pipe();
  read_ = std::move(read);
  write_ = std::move(write);
}

void Gate::open() { write_all(write_.get(), "."); }

void Gate::wait() {
  char byte = 0;
  while (read(read_.get(), &byte, 1) == -1 && errno == EINTR) {
  }
}

}  // namespace sluice::tests
