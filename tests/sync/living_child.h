// SPDX-License-Identifier: Apache-2.0
//
// Processes for tests of who is alive: a child that attaches and lives on, and numbers that it and
// the test share.
//
//   Child child;
//   EXPECT_EQ(participant::probe(child.tag()), Liveness::alive);
//   child.end(SIGKILL);

#ifndef SLUICE_TESTS_SYNC_LIVING_CHILD_H_
#define SLUICE_TESTS_SYNC_LIVING_CHILD_H_

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "sluice/sync/participant.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {

/// Numbers in memory that is shared with children forked later.
class SharedNumbers {
 public:
  static constexpr std::size_t kCount = 512;
  SharedNumbers()
      : numbers_(static_cast<std::atomic<std::uint32_t>*>(mmap(
            nullptr, kCount * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~SharedNumbers() { munmap(numbers_, kCount * 4); }
  SharedNumbers(const SharedNumbers&) = delete;
  SharedNumbers& operator=(const SharedNumbers&) = delete;
  std::atomic<std::uint32_t>& operator[](std::size_t i) const { return numbers_[i]; }

 private:
  std::atomic<std::uint32_t>* numbers_;
};

/// A forked child that attaches, tells its tag, and runs `then`; killed and reaped at the end.
class Child {
 public:
  explicit Child(const std::function<void()>& then = [] {
    for (;;) pause();
  }) {
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      shared_[0] = participant::self();
      attached_.open();
      then();
      _exit(0);
    }
    attached_.wait();
  }
  ~Child() { end(SIGKILL); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Sends `number` (0: none) and reaps.
  void end(int number) {
    if (pid_ == -1) return;
    if (number != 0) ::kill(pid_, number);
    waitpid(pid_, nullptr, __WALL);
    pid_ = -1;
  }
  /// Waits until the child is a zombie.
  void become_zombie() {
    siginfo_t info = {};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  [[nodiscard]] Tag tag() const { return shared_[0]; }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  SharedNumbers shared_;
  Gate attached_;
  pid_t pid_ = -1;
};

}  // namespace sluice::tests

#endif  // SLUICE_TESTS_SYNC_LIVING_CHILD_H_
