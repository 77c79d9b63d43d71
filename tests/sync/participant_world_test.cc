// SPDX-License-Identifier: Apache-2.0
//
// What happens to participants from outside: traced and dumping processes, process ids that
// come again, pid namespaces.

#include <gtest/gtest.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "sluice/sync/participant.h"
#include "sluice/sync/process_state.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/sync/asleep.h"
#include "sluice/tests/sync/living_child.h"

namespace sluice::tests {
namespace {

namespace fs = std::filesystem;
using participant::probe;
using participant::self;

// -------------------------------------------------------------------------------------------------
// Alive, although nothing moves

TEST(ParticipantAlive, ATracedProcess) {
  Child child;
  ASSERT_EQ(ptrace(PTRACE_ATTACH, child.pid(), nullptr, nullptr), 0);
  waitpid(child.pid(), nullptr, 0);
  EXPECT_EQ(state_of(child.pid()), 't');
  EXPECT_EQ(probe(child.tag()), Liveness::alive);
  ptrace(PTRACE_DETACH, child.pid(), nullptr, nullptr);
}

bool is_dumping(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line == "CoreDumping:\t1") return true;
  }
  return false;
}

TEST(ParticipantAlive, AProcessThatDumpsItsCore) {
  std::string directory = "/dev/shm/sluice-core-test-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  Gate go;
  Child child([&] {
    const rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_CORE, &all) != 0 || chdir(directory.c_str()) != 0) _exit(1);
    // Large, so that the dump takes a while.
    constexpr std::size_t kSize = std::size_t{128} << 20;
    mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    prctl(PR_SET_DUMPABLE, 1);
    go.wait();
    std::abort();
  });
  go.open();
  bool seen = false;
  while (state_of(child.pid()) != 'Z') {
    const bool before = is_dumping(child.pid());
    const Liveness verdict = probe(child.tag());
    if (!before || !is_dumping(child.pid())) continue;
    seen = true;
    ASSERT_EQ(verdict, Liveness::alive);
  }
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
  fs::remove_all(directory);
  if (!seen) GTEST_SKIP() << "this machine lets no process dump its core";
}

// -------------------------------------------------------------------------------------------------
// Process ids

/// A forked child with the id `wanted`; -1 if this kernel or user may not choose.
pid_t fork_as(pid_t wanted) {
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<std::uintptr_t>(&wanted);
  args.set_tid_size = 1;
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
}

TEST(ParticipantPid, OfTheDeadThatComesAgainDoesNotBringThemBack) {
  Child child;
  const pid_t pid = child.pid();
  const Tag dead = child.tag();
  child.end(SIGKILL);
  SharedNumbers seen;
  Gate attached;
  Gate go;
  const pid_t again = fork_as(pid);
  if (again == 0) {
    seen[0] = self();
    attached.open();
    go.wait();
    _exit(0);
  }
  if (again == -1) GTEST_SKIP() << "may not choose a process id: errno " << errno;
  attached.wait();
  EXPECT_EQ(again, pid);
  EXPECT_NE(seen[0], dead);
  EXPECT_EQ(probe(seen[0]), Liveness::alive);
  EXPECT_EQ(probe(dead), Liveness::dead);
  go.open();
  waitpid(again, nullptr, 0);
}

/// Puts this process's children into a pid namespace of their own; false if that is refused.
bool enter_pid_namespace() {
  if (unshare(CLONE_NEWPID) == 0) return true;
  const std::string id = std::to_string(getuid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0) return false;
  std::ofstream("/proc/self/uid_map") << id << ' ' << id << " 1";
  return true;
}

TEST(ParticipantPid, NamespacesDoNotHideWhoLives) {
  attach();  // the registry's namespace is this process's
  Child outside;
  SharedNumbers seen;
  Gate attached;
  Gate checked;
  const Tag parent = self();
  ChildParty child([&] {
    if (!enter_pid_namespace()) {
      seen[1] = 1;
      attached.open();
      return;
    }
    const pid_t inner = fork();
    if (inner == 0) {
      seen[0] = self();
      const bool good = getpid() == 1 && probe(parent) == Liveness::alive &&
                        probe(outside.tag()) == Liveness::alive &&
                        internal::g_process_state.home_pid_namespace == 0;
      seen[2] = good ? 1 : 0;
      attached.open();
      checked.wait();
      _exit(0);
    }
    waitpid(inner, nullptr, 0);
  });
  attached.wait();
  if (seen[1] == 1) {
    child.finish();
    GTEST_SKIP() << "no pid namespace for this user";
  }
  EXPECT_EQ(seen[2], 1U);
  EXPECT_EQ(probe(seen[0]), Liveness::alive);
  checked.open();
  child.finish();
  EXPECT_EQ(probe(seen[0]), Liveness::dead);
}

}  // namespace
}  // namespace sluice::tests
