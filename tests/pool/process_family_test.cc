// SPDX-License-Identifier: Apache-2.0
//
// What processes know of each other: parents, children, nested generations. Rows PR6, PR12, TF9,
// TF12.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sluice/pool/exit.h"
#include "sluice/pool/process.h"
#include "sluice/pool/this_process.h"
#include "sluice/tests/pool/whole_program.h"
#include "sluice/tests/support/calls.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/refused_call.h"
#include "sluice/tests/sync/asleep.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

void sleep_for_ever() {
  for (;;) pause();
}

void say(const std::string& text) {
  static_cast<void>(!write(STDOUT_FILENO, text.data(), text.size()));
}

TEST(ParentProcess, PR6_IsKnownByNameAndNumber) {
  Process child("a-child", [name = this_process::name(), pid = getpid()] {
    const ParentProcess* const parent = parent_process();
    if (parent == nullptr || parent != this_process::parent()) sluice::exit(1);
    if (parent->name() != name || parent->pid() != pid) sluice::exit(2);
    if (!parent->alive() || parent->join(0s) || parent->join(10ms)) sluice::exit(3);
    Process grandchild([] { sluice::exit(parent_process()->name() == "a-child" ? 0 : 1); });
    grandchild.join();
    if (grandchild.exit_code() != 0) sluice::exit(4);
    const pid_t forked = fork();  // one that no Process has started does not take it for its own
    if (forked == 0) _exit(parent_process() == nullptr ? 0 : 1);
    int status = 0;
    waitpid(forked, &status, 0);
    sluice::exit(status == 0 ? 0 : 5);
  });
  EXPECT_TRUE(child.join(20s));
  EXPECT_EQ(child.exit_code(), 0);
}

/// The child is ended by `number`; what its own child says of that.
std::string what_a_grandchild_sees(int number, bool with_pidfds) {
  Gate ready;
  return run_program([&] {
           prctl(PR_SET_CHILD_SUBREAPER, 1);  // the grandchild's getppid() will be ours, not 1
           if (!with_pidfds) {
             refuse_calls({{.number = SYS_pidfd_open, .error = EPERM}});
           }
           Process child([&] {
             Process grandchild({.daemon = false}, [&] {
               say(parent_process()->alive() ? "alive, " : "dead too early, ");
               ready.open();
               const auto waited =
                   time_of([] { say(parent_process()->join(20s) ? "joined, " : "not joined, "); });
               say(waited < 10s && !parent_process()->alive() ? "dead" : "late or alive");
               say(getppid() == parent_process()->pid() ? ", not adopted" : "");
             });
             sleep_for_ever();
           });
           ready.wait();
           child.send_signal(number);
           child.join();
           while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) continue;  // the adopted one
           return 0;
         })
      .out;
}

TEST(ParentProcess, PR6_ItsEndIsSeenByAnAdoptedGrandchild) {
  EXPECT_EQ(what_a_grandchild_sees(SIGTERM, true), "alive, joined, dead");
  EXPECT_EQ(what_a_grandchild_sees(SIGKILL, true), "alive, joined, dead");
}

TEST(ParentProcess, PR6_AlsoWherePidfdsAreRefused) {
  EXPECT_EQ(what_a_grandchild_sees(SIGKILL, false), "alive, joined, dead");
}

TEST(ActiveChildren, PR12_FromStartToReaping) {
  Gate end;
  EXPECT_TRUE(active_children().empty());
  Process first("first", [&] { end.wait(); });
  Process second({.name = "second", .daemon = true}, sleep_for_ever);
  const std::vector<ActiveChild> active = active_children();
  ASSERT_EQ(active.size(), 2U);
  EXPECT_EQ(active[0].name, "first");
  EXPECT_FALSE(active[0].daemon);
  EXPECT_EQ(active[1].pid, second.pid());
  EXPECT_TRUE(active[1].daemon);
  end.open();
  first.join();
  ASSERT_EQ(active_children().size(), 1U);
  EXPECT_EQ(active_children()[0].name, "second");
  second.kill();
  second.join();
  EXPECT_TRUE(active_children().empty());
}

TEST(ActiveChildren, PR12_ReapsThoseThatHaveEnded) {
  std::vector<Process> children;
  for (int i = 0; i < 3; ++i) children.emplace_back([i] { sluice::exit(i); });
  for (const Process& child : children) EXPECT_TRUE(wait_for_state(child.pid(), 'Z'));
  EXPECT_TRUE(active_children().empty());
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a zombie";
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(children[static_cast<std::size_t>(i)].alive());
    EXPECT_EQ(children[static_cast<std::size_t>(i)].exit_code(), i) << "kept for its object";
    EXPECT_TRUE(children[static_cast<std::size_t>(i)].join(0s));
  }
}

TEST(ActiveChildren, AChildHasNoneOfItsParents) {
  Gate end;
  Process sibling([&] { end.wait(); });
  Process child([] { sluice::exit(static_cast<int>(active_children().size())); });
  EXPECT_TRUE(child.join(20s));
  EXPECT_EQ(child.exit_code(), 0);
  end.open();
}

TEST(ProcessGenerations, TF12_FiveGenerationsStartAsQuicklyAsOne) {
  // Handlers that each generation registered again would run 2^n times, and close what is not
  // theirs: the deepest child still has its descriptors and its parent.
  const std::function<void(int)> nest = [&](int depth) {
    if (depth == 0) sluice::exit(parent_process()->alive() ? 50 : 1);
    Process child([&] { nest(depth - 1); });
    child.join();
    sluice::exit(child.exit_code().value_or(2));
  };
  Process root([&] { nest(20); });
  EXPECT_TRUE(root.join(20s));
  EXPECT_EQ(root.exit_code(), 50);
}

}  // namespace
}  // namespace sluice::tests
