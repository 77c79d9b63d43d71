// SPDX-License-Identifier: Apache-2.0
//
// Daemon processes: they end with their parent, however it ends, and not before. Row PR30, and of
// BEHAVIOUR's complaints C30 and C31.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <utility>

#include "sluice/pool/exit.h"
#include "sluice/pool/process.h"
#include "sluice/pool/this_process.h"
#include "sluice/tests/pool/whole_program.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/refused_call.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

[[noreturn]] void sleep_for_ever() {
  for (;;) pause();
}

/// A daemon whom nothing but SIGKILL moves.
Process* leave_deaf_daemon(Gate& ready) {
  return leave_behind(new Process({.daemon = true}, [&] {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    ready.open();
    sleep_for_ever();
  }));
}

[[noreturn]] void die() {
  raise(SIGKILL);
  sleep_for_ever();
}

// run_program() reads until the last who holds the program's output has ended: it would tell of a
// daemon that lives on.

TEST(Daemon, PR30_EndsWithAParentThatIsKilled) {
  EXPECT_EQ(run_program([]() -> int {
              Gate ready;
              leave_deaf_daemon(ready);
              ready.wait();
              die();
            }).code,
            -SIGKILL);
}

TEST(Daemon, EndsWithAParentThatIsKilledAtAnyMomentOfItsStart) {
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(run_program([=]() -> int {
                const pid_t me = getpid();
                std::thread([=] {
                  std::this_thread::sleep_for(std::chrono::microseconds(40 * i));
                  kill(me, SIGKILL);
                }).detach();
                for (;;) {
                  Gate ready;
                  leave_deaf_daemon(ready);
                }
              }).code,
              -SIGKILL);
  }
}

TEST(Daemon, IsTiedToTheProcessNotToTheThreadThatStartedIt) {
  EXPECT_EQ(run_program([]() -> int {
              Gate ready;
              Process* daemon = nullptr;
              std::thread([&] { daemon = leave_deaf_daemon(ready); }).join();
              ready.wait();
              if (daemon->join(100ms)) return 1;  // it went with the thread
              die();
            }).code,
            -SIGKILL);
}

TEST(Daemon, LivesAsLongAsAParentWhoseMainThreadHasEnded) {
  const Ran ran = run_program([]() -> int {
    Gate ready;
    Process* const daemon = leave_deaf_daemon(ready);
    ready.wait();
    std::thread([=] {
      if (daemon->join(100ms)) _exit(1);
      die();
    }).detach();
    syscall(SYS_exit, 0);  // this thread alone
    return 2;
  });
  EXPECT_EQ(ran.code, -SIGKILL);
}

TEST(Daemon, OthersThatTheParentStartedDoNotKeepItAlive) {
  // A sibling that lives on, another program, and a process of the plain fork: none of them holds
  // the daemon's life. They hold no output here, so that only the daemon is waited for.
  Gate end;
  const auto bystand = [&] {
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    end.wait();
    _exit(0);
  };
  const Ran ran = run_program([&]() -> int {
    Gate ready, others;
    leave_deaf_daemon(ready);
    ready.wait();
    leave_behind(new Process([&] {
      others.open();
      bystand();
    }));
    if (fork() == 0) {
      others.open();
      bystand();
    }
    others.wait();
    others.wait();
    if (system("sleep 5 >/dev/null 2>&1 &") != 0) return 1;
    die();
  });
  EXPECT_EQ(ran.code, -SIGKILL);
  end.open();
  end.open();
}

TEST(Daemon, C31_MayStartProcessesWhichAreDaemonsAndEndWithIt) {
  const auto tree = [](bool killed) {
    return run_program([=]() -> int {
      Gate ready;
      leave_behind(new Process({.daemon = true}, [&] {
        if (!this_process::daemon()) sluice::exit("no daemon");
        Process child([&] {
          if (!this_process::daemon()) sluice::exit("no daemon");
          leave_deaf_daemon(ready);
          sleep_for_ever();
        });
        sleep_for_ever();
      }));
      ready.wait();
      if (killed) die();
      return 0;
    });
  };
  const Ran killed = tree(true);
  EXPECT_EQ(killed.code, -SIGKILL);
  EXPECT_EQ(killed.out, "");
  EXPECT_EQ(tree(false).code, 0);
}

TEST(Daemon, OneThatIsNoDaemonOutlivesAKilledParent) {
  Gate end;
  const Ran ran = run_program([&]() -> int {
    leave_behind(new Process([&] {
      close(STDERR_FILENO);
      parent_process()->join();
      static_cast<void>(!write(STDOUT_FILENO, "alone", 5));
    }));
    die();
  });
  EXPECT_EQ(ran.out, "alone");
}

TEST(Daemon, HasOneThreadAndItsParentOneMoreDescriptor) {
  const auto count = [](const char* what) {
    return std::distance(std::filesystem::directory_iterator(what), {});
  };
  const auto before = count("/proc/self/fd");
  Process child({.daemon = true},
                [&] { sluice::exit(static_cast<int>(count("/proc/self/task"))); });
  EXPECT_EQ(count("/proc/self/fd"), before + 2);
  EXPECT_TRUE(child.join(20s));
  EXPECT_EQ(child.exit_code(), 1);
}

TEST(Daemon, WhereTheKernelRefusesItsSignalAThreadWatches) {
  const Ran ran = run_program([]() -> int {
    refuse_calls({{.number = SYS_fcntl, .error = EPERM, .bits = F_SETSIG, .argument = 1}});
    Gate ready;
    Process* const daemon = leave_deaf_daemon(ready);
    ready.wait();
    if (daemon->join(100ms)) return 1;
    const auto threads = std::distance(
        std::filesystem::directory_iterator("/proc/" + std::to_string(daemon->pid()) + "/task"),
        {});
    if (threads != 2) return 2;
    die();
  });
  EXPECT_EQ(ran.code, -SIGKILL);
}

TEST(Daemon, ManyEndTogether) {
  EXPECT_EQ(run_program([]() -> int {
              Gate ready;
              for (int i = 0; i < 50; ++i) leave_deaf_daemon(ready);
              for (int i = 0; i < 50; ++i) ready.wait();
              die();
            }).code,
            -SIGKILL);
}

}  // namespace
}  // namespace sluice::tests
