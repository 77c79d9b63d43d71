// SPDX-License-Identifier: Apache-2.0
//
// The end of a process: sluice::exit, hooks, children. Rows PR19, PR26, PR28, PR30, FI1.

#include "sluice/pool/exit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "sluice/pool/process.h"
#include "sluice/tests/pool/whole_program.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

void sleep_for_ever() {
  for (;;) pause();
}

void say(const char* word) { static_cast<void>(!write(STDOUT_FILENO, word, std::strlen(word))); }

std::optional<int> code_of(std::function<void()> body) {
  Process child(std::move(body));
  EXPECT_TRUE(child.join(20s));
  return child.exit_code();
}

// -------------------------------------------------------------------------------------------------
// exit

TEST(Exit, PR26_TheCodeIsTheLowEightBits) {
  EXPECT_EQ(code_of([] { sluice::exit(); }), 0);
  EXPECT_EQ(code_of([] { sluice::exit(true); }), 1);
  EXPECT_EQ(code_of([] { sluice::exit(false); }), 0);
  EXPECT_EQ(code_of([] { sluice::exit(8); }), 8);
  EXPECT_EQ(code_of([] { sluice::exit(255); }), 255);
  EXPECT_EQ(code_of([] { sluice::exit(256); }), 0);
  EXPECT_EQ(code_of([] { sluice::exit(-1); }), 255);
}

TEST(Exit, PR26_OtherEndingsAreAsTheKernelTellsThem) {
  const auto no_core = [] { prctl(PR_SET_DUMPABLE, 0); };
  EXPECT_EQ(code_of([] { _exit(42); }), 42);
  EXPECT_EQ(code_of([=] { no_core(), std::abort(); }), -SIGABRT);
  EXPECT_EQ(code_of([=] { no_core(), raise(SIGSEGV); }), -SIGSEGV);
}

TEST(Exit, PR26_ATextIsToldAndIsOne) {
  const Ran ran = run_program([] {
    Process child([] { sluice::exit("no such file"); });
    child.join();
    return *child.exit_code() + 40;
  });
  EXPECT_EQ(ran.out, "no such file\n");
  EXPECT_EQ(ran.code, 41);
}

/// Says so when it goes out of scope.
struct Tell {
  const char* word;
  ~Tell() { say(word); }
};

void go_down(int depth, const std::function<void(int)>& down) {
  const Tell tell{"u"};
  if (depth == 0) sluice::exit(8);
  try {
    down(depth - 1);
  } catch (const std::exception&) {
    say("caught as an error");
  }
}

TEST(Exit, PR26_UnwindsFromAnyDepthPastWhoHandlesErrors) {
  const Ran ran = run_program([] {
    Process child([] {
      std::function<void(int)> down;
      down = [&](int depth) { go_down(depth, down); };
      down(4);
    });
    child.join();
    return *child.exit_code();
  });
  EXPECT_EQ(ran.out, "uuuuu");
  EXPECT_EQ(ran.code, 8);
}

TEST(Exit, InMainItIsTheStandardsExit) {
  const Ran ran = run_program([]() -> int {
    at_exit([] { say("hook"); });
    sluice::exit(256 + 7);
  });
  EXPECT_EQ(ran.out, "hook");
  EXPECT_EQ(ran.code, 7);
  EXPECT_EQ(run_program([]() -> int { sluice::exit("text"); }).out, "text\n");
}

// -------------------------------------------------------------------------------------------------
// Hooks

/// Runs its hook when it dies.
struct Owner {
  ExitHook hook;
  ~Owner() { hook.run(); }
};

TEST(AtExit, FI1_OnceEachByPriorityAndTheLastRegisteredFirst) {
  const Ran ran = run_program([] {
    Process child([] {
      const auto hook = [](const char* word) { return [word] { say(word); }; };
      {
        const Owner dies{at_exit(hook("a "))};
      }
      const ExitHook by_hand = at_exit(hook("b "));
      if (!by_hand.run() || by_hand.run() || by_hand.pending()) say("wrong ");
      const ExitHook cancelled = at_exit(hook("never "), 5);
      if (!cancelled.pending() || !cancelled.cancel() || cancelled.run()) say("wrong ");
      at_exit(hook("e "), -10);
      at_exit(hook("d01 "), 1);
      at_exit(hook("d02 "), 1);
      at_exit(hook("d10 "), 10);
      at_exit(hook("d03 "), 1);
    });
    child.join();
    return *child.exit_code();
  });
  EXPECT_EQ(ran.out, "a b d10 d03 d02 d01 e ");
  EXPECT_EQ(ran.code, 0);
}

TEST(AtExit, FI1_RunsInTheProcessThatRegisteredItAlone) {
  const Ran ran = run_program([] {
    const ExitHook hook = at_exit([] { say("parent "); });
    Process child([=] {
      if (hook.pending() || hook.run() || hook.cancel()) say("wrong ");
      at_exit([] { say("child "); });
    });
    child.join();
    const pid_t forked = fork();
    if (forked == 0) std::exit(0);  // one that no Process has started
    waitpid(forked, nullptr, 0);
    return 0;
  });
  EXPECT_EQ(ran.out, "child parent ");
}

TEST(AtExit, PR28_RunsHoweverTheChildEndsInGoodOrder) {
  const auto out = [](std::function<void()> body) {
    return run_program([=] {
             Process child([=] {
               at_exit([] { say("hook "); });
               body();
             });
             child.join();
             return 0;
           })
        .out;
  };
  EXPECT_EQ(out([] {}), "hook ");
  EXPECT_EQ(out([] { sluice::exit(3); }), "hook ");
  EXPECT_EQ(out([] { std::exit(3); }), "hook ");
  EXPECT_THAT(out([] { throw std::runtime_error("marker"); }), HasSubstr("marker\nhook "));
  EXPECT_EQ(out([] { _exit(3); }), "");
}

TEST(AtExit, WhatAHookWritesAndThrowsAndRegisters) {
  const Ran ran = run_program([] {
    at_exit([] { say("last "); });
    at_exit([] { sluice::exit(5); });
    at_exit([] { throw std::runtime_error("marker\n"); });
    at_exit([] {
      at_exit([] { std::cout << "first "; }, 100);  // while they run
      at_exit([] { std::cout << std::flush; });
    });
    return 0;
  });
  EXPECT_THAT(ran.out, testing::MatchesRegex("first a hook at exit.*marker\n\nlast "));
  EXPECT_EQ(ran.code, 0);
}

// -------------------------------------------------------------------------------------------------
// Children at the end of their parent

/// What main leaves behind, on the heap: nobody runs its destructor.
template <class Body>
Process* leave_running(const char* name, bool daemon, Body body) {
  return leave_behind(new Process({.name = name, .daemon = daemon}, std::move(body)));
}

int leave_children() {
  Process* const daemon = leave_running("daemon", true, [] {
    sleep_for_ever();
    say("the daemon went on ");
  });
  leave_running("worker", false, [] {
    std::this_thread::sleep_for(100ms);
    say("worker ");
  });
  at_exit([=] { say(daemon->alive() ? "alive " : "wrong "); });
  at_exit([] { say(active_children().empty() ? "gone " : "wrong "); }, -1);
  return 6;
}

TEST(AtExit, PR30_AProgramJoinsItsChildrenAndEndsItsDaemons) {
  const Ran ran = run_program(leave_children);
  EXPECT_EQ(ran.out, "alive worker gone ");
  EXPECT_EQ(ran.code, 6);
}

TEST(AtExit, PR30_SoDoesAChild) {
  const Ran ran = run_program([] {
    Process child([] { sluice::exit(leave_children()); });
    child.join();
    return *child.exit_code();
  });
  EXPECT_EQ(ran.out, "alive worker gone ");
  EXPECT_EQ(ran.code, 6);
}

TEST(AtExit, PR30_ADaemonThatRefusesIsKilledInTime) {
  const auto waited = time_of([] {
    Gate deaf;
    const Ran ran = run_program([&] {
      for (int i = 0; i < 3; ++i) {
        leave_running("deaf", true, [&] {
          signal(SIGTERM, SIG_IGN);
          deaf.open();
          sleep_for_ever();
        });
      }
      for (int i = 0; i < 3; ++i) deaf.wait();
      return 0;
    });
    EXPECT_EQ(ran.code, 0);
  });
  EXPECT_LT(waited, 10s);
}

TEST(AtExit, PR30_ADestroyedDaemonIsEndedNotWaitedFor) {
  auto* const daemon = new Process({.daemon = true}, sleep_for_ever);
  const int watched = dup(daemon->sentinel());
  EXPECT_LT(time_of([&] { delete daemon; }), 10s);
  pollfd end = {.fd = watched, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&end, 1, 0), 1);
  close(watched);
}

}  // namespace
}  // namespace sluice::tests
