// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/participant.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "sluice/sync/domain.h"
#include "sluice/sync/process_state.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/sync/asleep.h"
#include "sluice/tests/sync/living_child.h"

namespace sluice::tests {
namespace {

using participant::describe;
using participant::has_left;
using participant::kNobody;
using participant::probe;
using participant::self;
using participant::self_if_attached;

TEST(Participant, HasOneTagForGood) {
  const Tag me = self();
  EXPECT_NE(me, kNobody);
  EXPECT_EQ(self(), me);
  EXPECT_EQ(self_if_attached(), me);
  Tag elsewhere = kNobody;
  std::jthread([&] { elsewhere = self(); }).join();
  EXPECT_EQ(elsewhere, me) << "a process, not a thread";
}

TEST(Participant, IsAliveToItself) { EXPECT_EQ(probe(self()), Liveness::alive); }

TEST(Participant, NobodyAndTagsNeverGivenOutAreDead) {
  EXPECT_EQ(probe(kNobody), Liveness::dead);
  EXPECT_EQ(probe(self() + 1000000), Liveness::dead);
  EXPECT_EQ(probe(0xffffffff), Liveness::dead);
}

TEST(Participant, LivenessPrintsItself) {
  std::ostringstream text;
  text << Liveness::alive << ' ' << Liveness::dead << ' ' << Liveness::unknown;
  EXPECT_EQ(text.str(), "alive dead unknown");
}

TEST(ParticipantState, CarriesTheRegistrysIncarnationAndPidNamespace) {
  attach();
  const auto low = static_cast<std::uint32_t>(Domain::current().incarnation());
  EXPECT_EQ(internal::g_process_state.incarnation, low != 0 ? low : 1);
  EXPECT_EQ(internal::g_process_state.home_pid_namespace, 1U) << "this process made the registry";
}

TEST(ParticipantState, OfAChildIsEmptyUntilItAttachesAndThenAsItsParents) {
  attach();
  const std::uint32_t incarnation = internal::g_process_state.incarnation;
  ChildParty child([&] {
    EXPECT_EQ(internal::g_process_state.incarnation, 0U);
    EXPECT_EQ(internal::g_process_state.home_pid_namespace, 0U);
    attach();
    EXPECT_EQ(internal::g_process_state.incarnation, incarnation);
    EXPECT_EQ(internal::g_process_state.home_pid_namespace, 1U);
  });
  child.finish();
}

// -------------------------------------------------------------------------------------------------
// Fork, and who is alive

TEST(ParticipantFork, AChildHasNoTagUntilItAttachesAndThenItsOwn) {
  const Tag mine = self();
  SharedNumbers seen;
  ChildParty child([&] {
    seen[0] = self_if_attached();
    seen[1] = self();
    seen[2] = self();
    EXPECT_EQ(probe(mine), Liveness::alive) << "the parent, seen from the child";
  });
  child.finish();
  EXPECT_EQ(seen[0], kNobody);
  EXPECT_NE(seen[1], kNobody);
  EXPECT_NE(seen[1], mine);
  EXPECT_EQ(seen[2], seen[1]);
  EXPECT_EQ(self(), mine);
}

TEST(ParticipantFork, AGrandchildHasItsOwnTagToo) {
  SharedNumbers seen;
  ChildParty child([&] {
    seen[0] = self();
    ChildParty grandchild([&] { seen[1] = self(); });
    grandchild.finish();
  });
  child.finish();
  EXPECT_EQ((std::set<Tag>{self(), seen[0], seen[1]}).size(), 3U);
}

TEST(ParticipantLiveness, AKilledProcessIsDead) {
  Child child;
  EXPECT_EQ(probe(child.tag()), Liveness::alive);
  child.end(SIGKILL);
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
}

TEST(ParticipantLiveness, AZombieIsDead) {
  Child child;
  kill(child.pid(), SIGKILL);
  child.become_zombie();
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
}

TEST(ParticipantLiveness, AStoppedProcessIsAlive) {
  Child child;
  kill(child.pid(), SIGSTOP);
  ASSERT_TRUE(wait_for_state(child.pid(), 'T'));
  EXPECT_EQ(probe(child.tag()), Liveness::alive);
  kill(child.pid(), SIGCONT);
}

TEST(ParticipantLiveness, ExecEndsAParticipant) {
  Child child([] { execl("/bin/sleep", "sleep", "1000", nullptr); });
  for (int i = 0; probe(child.tag()) == Liveness::alive; ++i) {
    ASSERT_NE(state_of(child.pid()), 'Z') << "exec failed";
    sched_yield();
  }
  EXPECT_NE(state_of(child.pid()), 'Z');
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
}

TEST(ParticipantLiveness, AForkedChildDoesNotKeepItsParentAlive) {
  SharedNumbers grandchild;
  Gate forked;
  Child child([&] {
    const pid_t pid = fork();
    if (pid == 0) {
      for (;;) pause();
    }
    grandchild[0] = static_cast<std::uint32_t>(pid);
    forked.open();
    for (;;) pause();
  });
  forked.wait();
  child.end(SIGKILL);
  EXPECT_EQ(kill(static_cast<pid_t>(grandchild[0].load()), 0), 0) << "the grandchild lives";
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
  kill(static_cast<pid_t>(grandchild[0].load()), SIGKILL);
}

TEST(ParticipantLiveness, ARawCloneHasItsOwnTagAndDoesNotKeepItsParentAlive) {
  SharedNumbers seen;
  Gate cloned;
  Child child([&] {
    const Tag before = self();
    const long pid = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (pid == 0) {  // no fork handler has run
      seen[1] = self_if_attached();
      seen[2] = self();
      seen[3] = before;
      cloned.open();
      for (;;) pause();
    }
    seen[0] = static_cast<std::uint32_t>(pid);
    cloned.open();
    for (;;) pause();
  });
  cloned.wait();
  cloned.wait();
  EXPECT_EQ(seen[1], kNobody);
  EXPECT_NE(seen[2], seen[3]);
  EXPECT_EQ(seen[3], child.tag());
  child.end(SIGKILL);
  EXPECT_EQ(probe(child.tag()), Liveness::dead);
  EXPECT_EQ(probe(seen[2]), Liveness::alive);
  kill(static_cast<pid_t>(seen[0].load()), SIGKILL);
}

TEST(ParticipantLiveness, AThreadThatForksWhileAnotherAttachesHoldsUpNobody) {
  for (int round = 0; round < 30; ++round) {
    ChildParty fresh([] {
      std::atomic<bool> go = false;
      std::jthread attaching([&] {
        while (!go) continue;
        attach();
      });
      go = true;
      const pid_t pid = fork();
      if (pid == 0) {
        attach();  // would hang on a lock that was held across the fork
        _exit(probe(self()) == Liveness::alive ? 0 : 1);
      }
      int status = -1;
      waitpid(pid, &status, 0);
      EXPECT_EQ(status, 0);
    });
    fresh.finish();
  }
}

// -------------------------------------------------------------------------------------------------
// Hosts that close what is not theirs

TEST(ParticipantHost, ClosefromDoesNotEndALife) {
  Gate closed;
  Child child([&] {
    for (int fd = 3; fd < 64; ++fd) {
      // All but the gate, which tells the test.
      const std::string link = "/proc/self/fd/" + std::to_string(fd);
      if (std::filesystem::is_fifo(std::filesystem::status(link))) continue;
      close(fd);
    }
    closed.open();
    for (;;) pause();
  });
  closed.wait();
  EXPECT_EQ(probe(child.tag()), Liveness::alive);
}

TEST(ParticipantHost, AfterClosefromItStillKnowsWhoLivesAndWhoIsDead) {
  Child living;
  Child dying;
  const Tag dead = dying.tag();
  dying.end(SIGKILL);
  const Tag parent = self();
  const pid_t pid = fork();
  if (pid == 0) {
    if (probe(living.tag()) != Liveness::alive || probe(dead) != Liveness::dead) _exit(1);
    closefrom(3);
    if (probe(living.tag()) != Liveness::alive || probe(parent) != Liveness::alive) _exit(2);
    if (probe(dead) != Liveness::dead) _exit(3);
    _exit(self() != kNobody && probe(self()) == Liveness::alive ? 0 : 4);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

TEST(ParticipantHost, NumbersThatTheHostReusedDeclareNobodyDead) {
  Child living;
  Child dying;
  const Tag dead = dying.tag();
  dying.end(SIGKILL);
  const pid_t pid = fork();
  if (pid == 0) {
    if (probe(living.tag()) != Liveness::alive || probe(dead) != Liveness::dead) _exit(1);
    closefrom(3);
    // Every number that the library may remember now belongs to another file.
    std::vector<int> foreign;
    for (int i = 0; i < 40; ++i) foreign.push_back(open("/proc/self/comm", O_RDWR));
    if (probe(living.tag()) != Liveness::alive) _exit(2);
    if (probe(dead) != Liveness::dead) _exit(3);
    attach();
    for (const int fd : foreign) {
      if (fcntl(fd, F_GETFD) < 0) _exit(5);  // closed by us, although it is the host's
    }
    _exit(0);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

TEST(ParticipantHost, WhenTheDomainIsGoneNobodyIsDeclaredDead) {
  Child living;
  const pid_t pid = fork();
  if (pid == 0) {
    attach();
    const std::string path = Domain::current().path();
    closefrom(3);
    // Moved away: no descriptor is left, and none can be opened.
    if (std::rename(path.c_str(), (path + ".away").c_str()) != 0) _exit(1);
    const Liveness seen = probe(living.tag());
    if (std::rename((path + ".away").c_str(), path.c_str()) != 0) _exit(2);
    _exit(seen == Liveness::unknown ? 0 : 3);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

// -------------------------------------------------------------------------------------------------
// Leaving in good order

TEST(ParticipantLeave, WhoExitsHasLeftAndWhoIsKilledHasNot) {
  Child exits([] { std::exit(0); });
  exits.end(0);
  EXPECT_EQ(probe(exits.tag()), Liveness::dead);
  EXPECT_TRUE(has_left(exits.tag()));

  Child killed;
  EXPECT_FALSE(has_left(killed.tag()));
  killed.end(SIGKILL);
  EXPECT_FALSE(has_left(killed.tag()));

  Child leaves_at_once([] { _exit(0); });
  leaves_at_once.end(0);
  EXPECT_FALSE(has_left(leaves_at_once.tag()));
}

TEST(ParticipantLeave, TwiceIsAsOnce) {
  Child child([] {
    participant::leave();
    participant::leave();
    _exit(0);
  });
  child.end(0);
  EXPECT_TRUE(has_left(child.tag()));
}

TEST(ParticipantLeave, AChildThatExitsDoesNotLeaveForItsParent) {
  const Tag mine = self();
  const pid_t pid = fork();
  if (pid == 0) {
    participant::leave();  // has not attached: nothing to leave
    std::exit(0);
  }
  waitpid(pid, nullptr, 0);
  EXPECT_FALSE(has_left(mine));
}

// -------------------------------------------------------------------------------------------------
// Records

TEST(ParticipantRecord, SaysWhoTookTheTag) {
  prctl(PR_SET_NAME, "record-test");
  Child child;
  const auto record = describe(Domain::current(), child.tag());
  ASSERT_TRUE(record);
  EXPECT_EQ(record->tag, child.tag());
  EXPECT_EQ(record->pid, child.pid());
  EXPECT_EQ(record->name, "record-test");
  EXPECT_FALSE(record->left);
}

TEST(ParticipantRecord, OfATagThatNobodyHasIsEmpty) {
  EXPECT_FALSE(describe(Domain::current(), kNobody));
  EXPECT_FALSE(describe(Domain::current(), self() + 100000));
}

TEST(ParticipantRecord, HasRoomForTheLongestName) {
  prctl(PR_SET_NAME, "fifteen-letters");
  Child child;
  const auto record = describe(Domain::current(), child.tag());
  ASSERT_TRUE(record);
  EXPECT_EQ(record->name, "fifteen-letters");
}

// -------------------------------------------------------------------------------------------------
// Many at once

TEST(ParticipantCrowd, TwoHundredProcessesGetDistinctTags) {
  constexpr std::size_t kCount = 200;
  const SharedNumbers tags;
  Gate go;
  std::vector<pid_t> pids;
  for (std::size_t i = 0; i < kCount; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      go.wait();
      tags[i] = self();
      _exit(0);
    }
    pids.push_back(pid);
  }
  for (std::size_t i = 0; i < kCount; ++i) go.open();
  for (const pid_t pid : pids) {
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  std::set<Tag> distinct = {self()};
  for (std::size_t i = 0; i < kCount; ++i) distinct.insert(tags[i]);
  EXPECT_EQ(distinct.size(), kCount + 1);
  EXPECT_EQ(distinct.count(kNobody), 0U);
}

TEST(ParticipantCrowd, TwoHundredThreadsGetTheOneTagOfTheirProcess) {
  ChildParty fresh([] {
    std::atomic<bool> go = false;
    std::vector<Tag> tags(200);
    std::vector<std::jthread> threads;
    for (Tag& tag : tags) {
      threads.emplace_back([&] {
        go.wait(false);
        tag = self();
      });
    }
    go = true;
    go.notify_all();
    threads.clear();
    for (const Tag tag : tags) EXPECT_EQ(tag, self());
    EXPECT_NE(self(), kNobody);
  });
  fresh.finish();
}

TEST(ParticipantCrowd, OneKilledWhileItTakesATagHoldsUpNobody) {
  for (int round = 0; round < 60; ++round) {
    const pid_t pid = fork();
    if (pid == 0) {
      attach();
      _exit(0);
    }
    for (int i = 0; i < round * 20; ++i) sched_yield();
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    ChildParty next([] { EXPECT_EQ(probe(self()), Liveness::alive); });
    next.finish();
  }
}

}  // namespace
}  // namespace sluice::tests
