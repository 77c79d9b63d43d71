// SPDX-License-Identifier: Apache-2.0
//
// Process: how children end, join, signals, hosts with habits of their own, many at once. Rows PR7,
// PR9, PR10, PR13, PR15 to PR17, PR21, PR25, PR27, PR29, TF9. The others: process_start_test.cc,
// process_family_test.cc, daemon_test.cc, exit_test.cc.

#include "sluice/pool/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/pipe.h"
#include "sluice/pool/exit.h"
#include "sluice/tests/support/bodies.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using testing::AllOf;
using testing::HasSubstr;

void sleep_for_ever() {
  for (;;) pause();
}

std::optional<int> code_after_join(Process& process) {
  EXPECT_TRUE(process.join(20s));
  return process.exit_code();
}

bool is_readable(int fd) {
  pollfd watched = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&watched, 1, 0) == 1;
}

/// What `body` writes to descriptor `fd` of a child, through the child's end.
template <class Body>
std::string output_of(int fd, Body body, std::optional<int>* code = nullptr) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  Process child("the-child", [&] {
    dup2(write_end.get(), fd);
    body();
  });
  write_end.reset();
  std::string text;
  char bytes[4096];
  for (ssize_t n = 0; (n = read(read_end.get(), bytes, sizeof bytes)) > 0;) {
    text.append(bytes, static_cast<std::size_t>(n));
  }
  child.join();
  if (code != nullptr) *code = child.exit_code();
  return text;
}

// -------------------------------------------------------------------------------------------------
// How a child ends

TEST(ProcessEnd, ReturningIsZeroWhateverIsReturned) {
  Process nothing([] {});
  Process number([] { return 7; });
  Process text([] { return std::string("x"); });
  EXPECT_EQ(code_after_join(nothing), 0);
  EXPECT_EQ(code_after_join(number), 0);
  EXPECT_EQ(code_after_join(text), 0);
}

TEST(ProcessEnd, ExitCodesArriveAsTheyAre) {
  for (const int code : {0, 1, 42, 255}) {
    Process child([=] { _exit(code); });
    EXPECT_EQ(code_after_join(child), code);
  }
  Process exits([] { std::exit(3); });
  EXPECT_EQ(code_after_join(exits), 3);
}

TEST(ProcessEnd, ADeathBySignalIsTheNegativeNumber) {
  for (const int number : {SIGKILL, SIGTERM, SIGABRT, SIGSEGV, SIGUSR1}) {
    Process child([=] {
      prctl(PR_SET_DUMPABLE, 0);
      raise(number);
    });
    EXPECT_EQ(code_after_join(child), -number);
  }
}

TEST(ProcessEnd, PR25_AnUncaughtExceptionIsToldAndIsOne) {
  std::optional<int> code;
  const std::string text =
      output_of(STDERR_FILENO, [] { throw std::runtime_error("marker"); }, &code);
  EXPECT_THAT(text,
              AllOf(HasSubstr("the-child"), HasSubstr("std::runtime_error"), HasSubstr("marker")));
  EXPECT_EQ(code, 1);
}

TEST(ProcessEnd, PR25_SoIsAnExceptionOfAnyType) {
  std::optional<int> code;
  EXPECT_THAT(output_of(STDERR_FILENO, [] { throw 42; }, &code), HasSubstr("of type int"));
  EXPECT_EQ(code, 1);
}

TEST(ProcessEnd, PR21_AChildWithoutStandardOutputEndsWithZero) {
  Process child([] {
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    std::cout << "into nothing";
  });
  EXPECT_EQ(code_after_join(child), 0);
}

TEST(ProcessEnd, PR28_TheParentsExitHandlersDoNotRunInTheChild) {
  EXPECT_EQ(
      output_of(STDOUT_FILENO,
                [] { std::atexit([] { static_cast<void>(!write(STDOUT_FILENO, "no", 2)); }); }),
      "");
}

// -------------------------------------------------------------------------------------------------
// join, alive, signals

TEST(Process, PR7_TellsItsNamePidAndState) {
  Gate end;
  Process child("seven", [&] { end.wait(); });
  EXPECT_EQ(child.name(), "seven");
  EXPECT_GT(child.pid(), 0);
  EXPECT_TRUE(child.alive());
  EXPECT_EQ(child.exit_code(), std::nullopt);
  EXPECT_FALSE(is_readable(child.sentinel()));
  end.open();
  EXPECT_TRUE(child.join());
  EXPECT_FALSE(child.alive());
  EXPECT_EQ(child.exit_code(), 0);
}

TEST(Process, PR7_TheNameIsWhatPsShowsCutToFifteenBytes) {
  EXPECT_EQ(output_of(STDOUT_FILENO,
                      [] {
                        std::string comm;
                        std::getline(std::ifstream("/proc/self/comm"), comm);
                        std::cout << comm;
                      }),
            "the-child");
  Gate end;
  Process child("a-name-that-is-too-long", [&] { end.wait(); });
  std::string comm;
  while (comm != "a-name-that-is-") {
    std::getline(std::ifstream("/proc/" + std::to_string(child.pid()) + "/comm"), comm);
  }
  EXPECT_EQ(child.name(), "a-name-that-is-too-long");
  end.open();
}

TEST(Process, PR9_JoinWithZeroOrNegativeTimeLooksOnce) {
  Process child(sleep_for_ever);
  EXPECT_LT(time_of([&] {
              EXPECT_FALSE(child.join(0s));
              EXPECT_FALSE(child.join(-1s));
              EXPECT_FALSE(child.join(Deadline::now()));
            }),
            1s);
  EXPECT_TRUE(child.alive());
  child.terminate();
  EXPECT_EQ(code_after_join(child), -SIGTERM);
  EXPECT_TRUE(child.join(0s)) << "again, at once";
  EXPECT_EQ(child.exit_code(), -SIGTERM);
}

TEST(Process, JoinWaitsForItsDeadlineAndNotLess) {
  Process child(sleep_for_ever);
  for (const auto timeout : {1ms, 20ms, 60ms}) {
    const auto waited = time_of([&] { EXPECT_FALSE(child.join(timeout)); });
    EXPECT_GE(waited, timeout);
    EXPECT_LT(waited, timeout + 1s);
  }
  child.kill();
}

TEST(Process, PR10_OnlyKillEndsAChildThatBlocksSigterm) {
  Gate blocked;
  Process child([&] {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    blocked.open();
    sleep_for_ever();
  });
  blocked.wait();
  child.terminate();
  EXPECT_FALSE(child.join(30ms));
  child.kill();
  EXPECT_EQ(code_after_join(child), -SIGKILL);
}

TEST(Process, SignalsToAChildThatHasEndedDoNothing) {
  Process child([] {});
  while (child.alive()) sched_yield();
  EXPECT_NO_THROW(child.terminate());
  EXPECT_EQ(code_after_join(child), 0);
  EXPECT_NO_THROW(child.kill());
}

TEST(Process, TheSentinelBecomesReadableAtTheEndAndStaysSo) {
  Gate end;
  Process child([&] { end.wait(); });
  EXPECT_FALSE(is_readable(child.sentinel()));
  end.open();
  pollfd watched = {.fd = child.sentinel(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&watched, 1, 20000), 1);
  EXPECT_TRUE(is_readable(child.sentinel()));
  EXPECT_FALSE(child.alive());
  EXPECT_EQ(child.exit_code(), std::nullopt) << "not joined yet";
  EXPECT_EQ(code_after_join(child), 0);
}

TEST(Process, PrintsItself) {
  Process child("printed", [] { _exit(3); });
  std::ostringstream before, after;
  before << child;
  EXPECT_THAT(before.str(), AllOf(HasSubstr("printed"), HasSubstr(std::to_string(child.pid()))));
  child.join();
  after << child;
  EXPECT_THAT(after.str(), HasSubstr("exited with 3"));
}

// -------------------------------------------------------------------------------------------------
// Whose process it is

TEST(Process, PR29_AnotherProcessCannotJoinIt) {
  Gate end;
  Process sibling("sibling", [&] { end.wait(); });
  Process other("other", [&] {
    const auto refused = [](auto call) {
      try {
        call();
      } catch (const std::logic_error&) {
        return true;
      }
      return false;
    };
    if (!refused([&] { sibling.join(); })) _exit(1);
    if (!refused([&] { static_cast<void>(sibling.alive()); })) _exit(2);
    if (!refused([&] { sibling.kill(); })) _exit(3);
    if (sibling.exit_code()) _exit(4);
    const Process gone = std::move(sibling);  // its destructor neither waits nor reaps
  });
  EXPECT_EQ(code_after_join(other), 0);
  EXPECT_TRUE(sibling.alive());
  end.open();
  EXPECT_EQ(code_after_join(sibling), 0) << "the parent's join is undisturbed";
}

TEST(Process, PR15_AProcessThatWasMovedFromIsNoProcess) {
  Gate end;
  Process first("first", [&] { end.wait(); });
  const pid_t pid = first.pid();
  Process second = std::move(first);
  EXPECT_EQ(second.pid(), pid);
  EXPECT_TRUE(second.alive());
  EXPECT_THROW(first.join(), std::logic_error);
  EXPECT_THROW(static_cast<void>(first.alive()), std::logic_error);
  EXPECT_THROW(first.terminate(), std::logic_error);
  end.open();
  EXPECT_EQ(code_after_join(second), 0);
}
static_assert(!std::is_copy_constructible_v<Process> && !std::is_move_assignable_v<Process>);

TEST(Process, TheDestructorJoins) {
  Gate end;
  pid_t pid = 0;
  {
    Process child([&] { end.wait(); });
    pid = child.pid();
    end.open();
  }
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), -1) << "reaped";
}

TEST(Process, PR17_TheCapturesLiveInTheChildAlone) {
  const auto shared = std::make_shared<int>(5);
  auto unique = std::make_unique<int>(7);
  Gate end;
  Process child([&end, shared, unique = std::move(unique)] {
    end.wait();
    _exit(*shared + *unique);
  });
  EXPECT_EQ(shared.use_count(), 1);
  end.open();
  EXPECT_EQ(code_after_join(child), 12);
}

TEST(Process, PR13_ProcessesStartProcesses) {
  auto [rx, tx] = Pipe::create(1 << 12);
  // One after the other, each tells its place in the tree through the pipe that all inherited.
  const auto tell = [t = &tx](const std::string& place) {
    if (t->send(place) != Status::ok) _exit(1);
    t->close();
  };
  const std::function<void(const std::string&)> grow = [&](const std::string& place) {
    Process self([&] { tell(place); });
    self.join();
    if (self.exit_code() != 0) _exit(2);
    if (place.size() == 2) return;
    for (const char* next : {"0", "1"}) {
      Process child([&] { grow(place + next); });
      child.join();
      if (child.exit_code() != 0) _exit(3);
    }
  };
  Process root("root", [&] { grow(""); });
  EXPECT_EQ(code_after_join(root), 0);
  for (const char* place : {"", "0", "00", "01", "1", "10", "11"}) {
    std::string text = "nothing";
    ASSERT_EQ(rx.recv(text, 10s), Status::ok);
    EXPECT_EQ(text, place);
  }
  std::string text;
  EXPECT_EQ(rx.recv(text, 10s), Status::closed);
}

// -------------------------------------------------------------------------------------------------
// Hosts with habits of their own

/// Restores a signal's disposition at the end of the scope.
class Disposition {
 public:
  Disposition(int number, void (*handler)(int)) : number_(number) {
    struct sigaction action = {};
    action.sa_handler = handler;
    sigaction(number, &action, &before_);
  }
  ~Disposition() { sigaction(number_, &before_, nullptr); }
  Disposition(const Disposition&) = delete;
  Disposition& operator=(const Disposition&) = delete;

 private:
  int number_;
  struct sigaction before_ = {};
};

/// Whether this kernel tells the exit code of a child that somebody else has reaped.
bool kernel_tells_codes_of_the_reaped() {
  utsname name = {};
  uname(&name);
  int major = 0, minor = 0;
  std::sscanf(name.release, "%d.%d", &major, &minor);
  return major > 6 || (major == 6 && minor >= 15);
}

TEST(ProcessHost, AHostThatIgnoresSigchldCanJoin) {
  const Disposition ignored(SIGCHLD, SIG_IGN);
  const bool told = kernel_tells_codes_of_the_reaped();
  for (int i = 0; i < 300; ++i) {  // the pidfd may be readable before the kernel knows the code
    Process exits([] { _exit(5); });
    Process killed(sleep_for_ever);
    killed.kill();
    ASSERT_EQ(code_after_join(exits), told ? std::optional(5) : std::nullopt) << "round " << i;
    ASSERT_EQ(code_after_join(killed), told ? std::optional(-SIGKILL) : std::nullopt);
    ASSERT_EQ(kill(killed.pid(), 0), -1) << "joined, but still there";
  }
}

TEST(ProcessHost, AHostThatReapsInAHandlerCanJoin) {
  const Disposition reaper(SIGCHLD, [](int) {
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
  });
  for (int i = 0; i < 50; ++i) {
    Process child([] { _exit(5); });
    const auto code = code_after_join(child);
    EXPECT_TRUE(code == 5 || (!code && !kernel_tells_codes_of_the_reaped())) << "round " << i;
    EXPECT_FALSE(child.alive());
    EXPECT_NO_THROW(child.kill());
  }
}

TEST(ProcessHost, PR27_SignalsDoNotShortenAJoin) {
  static std::atomic<int> signals = 0;
  const Disposition handled(SIGUSR1, [](int) { ++signals; });
  Gate end;
  Process child([&] { end.wait(); });
  const pid_t parent = getpid();
  Process storm([=] {
    for (;;) kill(parent, SIGUSR1);
  });
  while (signals == 0) continue;
  const auto waited = time_of([&] { EXPECT_FALSE(child.join(50ms)); });
  EXPECT_GE(waited, 50ms);
  storm.kill();
  storm.join();
  end.open();
  EXPECT_EQ(code_after_join(child), 0);
}

TEST(ProcessHost, AChildStartsWithNoSignalBlocked) {
  sigset_t term, before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, &before);
  Process child(sleep_for_ever);
  child.terminate();
  EXPECT_EQ(code_after_join(child), -SIGTERM);
  sigset_t now;
  sigprocmask(SIG_SETMASK, &before, &now);
  EXPECT_EQ(sigismember(&now, SIGTERM), 1) << "the parent's mask is as it was";
}

TEST(ProcessHost, AHandlerOfTheHostDoesNotRunInAChild) {
  const Disposition handled(SIGTERM, [](int) { _exit(99); });
  for (int i = 0; i < 100; ++i) {
    Process child(sleep_for_ever);
    child.terminate();  // at any moment of its start
    ASSERT_EQ(code_after_join(child), -SIGTERM) << "round " << i;
  }
}

TEST(ProcessHost, AnIgnoredSignalStaysIgnored) {
  const Disposition ignored(SIGUSR1, SIG_IGN);
  Process child([] { raise(SIGUSR1); });
  EXPECT_EQ(code_after_join(child), 0);
}

TEST(ProcessHost, WhatTheParentHadBufferedIsWrittenOnce) {
  const std::string text = output_of(STDOUT_FILENO, [] {
    std::printf("printf ");
    std::cout << "cout ";
    for (int i = 0; i < 3; ++i) {
      Process child([] { std::printf("child "); });
      child.join();
    }
  });
  const auto count = [&](const std::string& word) {
    int n = 0;
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("printf"), 1) << text;
  EXPECT_EQ(count("cout"), 1) << text;
  EXPECT_EQ(count("child"), 3) << text;
}

/// Called in the parent while it is inside the fork(2) of a Process: forks a bystander, which
/// inherits whatever is open at that moment and lives on, and dies.
Gate* g_bystander_end = nullptr;
void leave_a_bystander_and_die() {
  if (syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr) != 0) {
    kill(getpid(), SIGKILL);
    sleep_for_ever();
  }
  close(STDOUT_FILENO);
  g_bystander_end->wait();
  _exit(0);
}

TEST(ProcessHost, AChildThatWasNotLetGoEndsWithItsParentWhateverOthersInherited) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  Gate bystander_end;
  g_bystander_end = &bystander_end;
  const pid_t parent = fork();
  if (parent == 0) {
    dup2(write_end.get(), STDOUT_FILENO);  // held by all three of them, until they end
    write_end.reset();
    pthread_atfork(nullptr, leave_a_bystander_and_die, nullptr);
    Process child(sleep_for_ever);
    _exit(0);
  }
  write_end.reset();
  waitpid(parent, nullptr, 0);
  pollfd watched = {.fd = read_end.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&watched, 1, 10000), 1) << "the child waits, and nobody will let it go";
  bystander_end.open();
}

// -------------------------------------------------------------------------------------------------
// Many

TEST(ProcessMany, PR16_AHundredThatEndAndAHundredThatAreTerminated) {
  std::vector<Process> ending, sleeping;
  for (int i = 0; i < 100; ++i) ending.emplace_back([] {});
  for (int i = 0; i < 100; ++i) sleeping.emplace_back(sleep_for_ever);
  for (Process& p : sleeping) p.terminate();
  for (Process& p : ending) EXPECT_EQ(code_after_join(p), 0);
  for (Process& p : sleeping) EXPECT_EQ(code_after_join(p), -SIGTERM);
}

TEST(ProcessMany, TF9_SixteenThreadsStartProcessesWhileOthersAllocateAndPrint) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "w"),
                                                                &std::fclose);
  std::atomic<int> good = 0;
  std::vector<std::jthread> threads;
  std::vector<std::jthread> busy;
  for (int t = 0; t < 4; ++t) {
    busy.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        std::fprintf(nowhere.get(), "%s", std::string(5000, 'x').c_str());
        static_cast<void>(active_children());
      }
    });
  }
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 8; ++i) {
        const int code = (16 * i + t) % 64;
        Process child([=, &nowhere] {
          const std::string allocated(5000, 'y');
          std::fprintf(nowhere.get(), "%s", allocated.c_str());
          const auto threads_here =
              std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
          sluice::exit(threads_here == 1 ? code : 99);
        });
        if (child.join(20s) && child.exit_code() == code) ++good;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(good, 16 * 8);
}

TEST(ProcessMany, AThousandLeaveNoDescriptorAndNoZombie) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = descriptors();
  for (int i = 0; i < 1000; ++i) {
    Process child([] {});
    ASSERT_TRUE(child.join(20s));
    ASSERT_EQ(child.exit_code(), 0);
  }
  EXPECT_EQ(descriptors(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a zombie";
}

}  // namespace
}  // namespace sluice::tests
