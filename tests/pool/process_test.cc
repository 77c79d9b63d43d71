// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/ipc/pipe.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::internal::CaptureStderr;
using testing::internal::CaptureStdout;
using testing::internal::GetCapturedStderr;
using testing::internal::GetCapturedStdout;

[[noreturn]] void sleep_for_ever() {
  for (;;) pause();
}

/// Installs a handler (or SIG_IGN) for the lifetime of the object.
class WithHandler {
 public:
  WithHandler(int number, void (*handler)(int)) : number_(number) {
    struct sigaction action = {};
    action.sa_handler = handler;
    sigaction(number, &action, &before_);
  }
  ~WithHandler() { sigaction(number_, &before_, nullptr); }
  WithHandler(const WithHandler&) = delete;
  WithHandler& operator=(const WithHandler&) = delete;

 private:
  int number_;
  struct sigaction before_ = {};
};

TEST(Process, EndsWithZeroWhenItsCallableReturns) {
  Process child([] {});
  EXPECT_TRUE(child.join());
  EXPECT_EQ(child.exit_code(), 0);
}

TEST(Process, IgnoresWhatItsCallableReturns) {
  Process child([] { return 1; });
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
}

TEST(Process, ReportsTheCodeItExitedWith) {
  Process child([] { _exit(77); });
  child.join();
  EXPECT_EQ(child.exit_code(), 77);
}

TEST(Process, ReportsASignalAsItsNegativeNumber) {
  Process child([] { raise(SIGUSR2); });
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGUSR2);
}

TEST(Process, RunsInAnotherProcessThatIsItsChild) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child([&tx = tx] {
    const auto sent = tx.send(std::array<pid_t, 2>{getpid(), getppid()});
    static_cast<void>(sent);
  });
  std::array<pid_t, 2> told = {};
  ASSERT_EQ(rx.recv(told), Status::ok);
  EXPECT_EQ(told[0], child.pid());
  EXPECT_EQ(told[1], getpid());
}

TEST(Process, ShowsItsNameToPs) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child("a-name-too-long-for-ps", [&tx = tx] {
    std::array<char, 16> name = {};
    prctl(PR_GET_NAME, name.data());
    static_cast<void>(tx.send(std::string_view(name.data())));
  });
  std::string name;
  ASSERT_EQ(rx.recv(name), Status::ok);
  EXPECT_EQ(name, "a-name-too-long");
  EXPECT_EQ(child.name(), "a-name-too-long-for-ps");
}

TEST(Process, PrintsAnUncaughtExceptionAndEndsWithOne) {
  CaptureStderr();
  Process child("thrower", [] { throw std::out_of_range("beyond the end"); });
  child.join();
  const std::string printed = GetCapturedStderr();
  EXPECT_EQ(child.exit_code(), 1);
  EXPECT_NE(printed.find("thrower"), std::string::npos) << printed;
  EXPECT_NE(printed.find("std::out_of_range: beyond the end"), std::string::npos) << printed;
}

TEST(Process, PrintsTheTypeOfAnExceptionThatHasNoText) {
  CaptureStderr();
  Process child([] { throw 42; });
  child.join();
  const std::string printed = GetCapturedStderr();
  EXPECT_EQ(child.exit_code(), 1);
  EXPECT_NE(printed.find("type int"), std::string::npos) << printed;
}

TEST(Process, DoesNotPrintTwiceWhatTheParentHadBuffered) {
  CaptureStdout();
  std::fputs("once", stdout);
  Process child([] { std::fputs("child", stdout); });
  child.join();
  EXPECT_EQ(GetCapturedStdout(), "oncechild");
}

TEST(Process, JoinReturnsFalseAtItsDeadlineAndNotBefore) {
  Process child(sleep_for_ever);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(child.join(30ms));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 30ms);
  EXPECT_FALSE(child.join(-1s));
  EXPECT_TRUE(child.alive());
  EXPECT_FALSE(child.exit_code().has_value());
  child.kill();
  EXPECT_TRUE(child.join());
  EXPECT_TRUE(child.join(Deadline::now())) << "joining again is allowed";
  EXPECT_FALSE(child.alive());
}

TEST(Process, TerminateAndKillEndIt) {
  Process polite(sleep_for_ever);
  polite.terminate();
  polite.join();
  EXPECT_EQ(polite.exit_code(), -SIGTERM);
  Process hard(sleep_for_ever);
  hard.kill();
  hard.join();
  EXPECT_EQ(hard.exit_code(), -SIGKILL);
  hard.kill();  // nothing happens to whoever has that number now
}

TEST(Process, SentinelBecomesReadableWhenItEnds) {
  Process child(sleep_for_ever);
  struct pollfd watched = {.fd = child.sentinel(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&watched, 1, 0), 0);
  child.kill();
  EXPECT_EQ(poll(&watched, 1, -1), 1);
}

TEST(Process, DestructorJoins) {
  auto [rx, tx] = Pipe::create(1 << 12);
  {
    Process child([&tx = tx] { static_cast<void>(tx.send(7)); });
  }
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
  EXPECT_EQ(rx.recv<int>(), 7);
}

TEST(Process, IsJoinedByItsParentOnly) {
  Process child(sleep_for_ever);
  Process other([&child] {
    try {
      child.join();
    } catch (const std::logic_error&) {
      _exit(42);
    }
  });
  other.join();
  EXPECT_EQ(other.exit_code(), 42);
  child.kill();
}

TEST(Process, AMovedFromProcessRefusesAndTheNewOneJoins) {
  Process first([] { _exit(3); });
  Process second(std::move(first));
  EXPECT_THROW(first.join(), std::logic_error);  // NOLINT(bugprone-use-after-move): the point
  second.join();
  EXPECT_EQ(second.exit_code(), 3);
}

TEST(Process, PrintsItselfInOneLine) {
  Process child("worker", [] { _exit(4); });
  std::ostringstream started;
  started << child;
  EXPECT_EQ(started.str(), "worker (pid " + std::to_string(child.pid()) + "): started");
  child.join();
  std::ostringstream ended;
  ended << child;
  EXPECT_EQ(ended.str(), "worker (pid " + std::to_string(child.pid()) + "): exited with 4");
}

TEST(Process, StartsWithNoSignalBlocked) {
  sigset_t term;
  sigset_t before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, &before);
  Process child(sleep_for_ever);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  child.terminate();
  EXPECT_TRUE(child.join(20s)) << "an inherited mask made SIGTERM harmless";
  child.kill();
}

TEST(Process, StartsWithTheHostsHandlersReset) {
  const WithHandler handler(SIGUSR1, [](int) {});
  Process child(sleep_for_ever);
  child.send_signal(SIGUSR1);
  child.join();
  EXPECT_EQ(child.exit_code(), -SIGUSR1);
}

TEST(Process, KeepsIgnoredSignalsIgnored) {
  const WithHandler ignored(SIGUSR1, SIG_IGN);
  Process child([] {
    raise(SIGUSR1);
    _exit(5);
  });
  child.join();
  EXPECT_EQ(child.exit_code(), 5);
}

TEST(Process, JoinIsRightWhenTheHostIgnoresSigchld) {
  const WithHandler ignored(SIGCHLD, SIG_IGN);
  Process child([] { _exit(6); });
  EXPECT_TRUE(child.join());
  // Before Linux 6.15 the kernel has forgotten how; it must not be made up.
  EXPECT_EQ(child.exit_code().value_or(6), 6);
}

TEST(Process, JoinIsRightWhenTheHostReapsEveryChild) {
  const WithHandler reaper(SIGCHLD, [](int) {
    const int saved = errno;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    errno = saved;
  });
  for (int i = 0; i < 20; ++i) {
    Process child([] { _exit(7); });
    EXPECT_TRUE(child.join());
    EXPECT_EQ(child.exit_code().value_or(7), 7);
  }
}

TEST(Process, MayBeStartedFromManyThreadsAtOnce) {
  std::atomic<int> right = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i) {
      threads.emplace_back([&right, i] {
        Process child([i] { _exit(i); });
        child.join();
        if (child.exit_code() == i) ++right;
      });
    }
  }
  EXPECT_EQ(right, 16);
}

TEST(Process, ATimedJoinIsRightWhileAGrandchildLives) {
  auto [rx, tx] = Pipe::create(1 << 12);
  Process child([&tx = tx] {
    const pid_t grandchild = fork();
    if (grandchild == 0) sleep_for_ever();
    static_cast<void>(tx.send(grandchild));
  });
  const auto grandchild = rx.recv<pid_t>();
  ASSERT_TRUE(grandchild.has_value());
  EXPECT_TRUE(child.join(20s)) << "the child has ended, whoever else lives";
  EXPECT_EQ(child.exit_code(), 0);
  ::kill(*grandchild, SIGKILL);
}

TEST(Process, AThousandOfThemLeaveNothing) {
  // What they might leave, descriptors and zombies, is looked for after every test.
  for (int i = 0; i < 1000; ++i) {
    Process child([] {});
    ASSERT_TRUE(child.join());
    ASSERT_EQ(child.exit_code(), 0);
  }
}

TEST(Process, AChildThatWasNotLetGoEndsWithItsParent) {
  // The parent is killed at some moment around the start of a child. Whatever the moment, the end
  // of the pipe that parent and child inherited must come: nobody may hang at the gate.
  for (int delay = 0; delay < 40; ++delay) {
    auto [rx, tx] = Pipe::create(1 << 12);
    Process parent([&tx = tx, delay] {
      std::thread killer([delay] {
        std::atomic<int> turns = 0;
        while (turns.fetch_add(1) < delay * 1000) {
        }
        ::kill(getpid(), SIGKILL);
      });
      Process child([&tx] { static_cast<void>(tx.send(1)); });
      killer.join();
    });
    tx.close();
    int received = 0;
    Status last = Status::ok;
    while ((last = rx.recv(received, 20s)) == Status::ok) {
    }
    EXPECT_NE(last, Status::timeout) << "a child waits for a parent that is gone";
    parent.join();
    EXPECT_EQ(parent.exit_code(), -SIGKILL);
  }
}

}  // namespace
}  // namespace sluice::tests
