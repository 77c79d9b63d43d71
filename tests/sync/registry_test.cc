// SPDX-License-Identifier: Apache-2.0
//
// A registry that is removed, used up or overwritten while processes live in it, and processes that
// are stopped while they join it. The test's own process never attaches: its children do, each test
// in a domain of its own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/own_domain.h"
#include "sluice/tests/sync/living_child.h"

namespace sluice::tests {
namespace {

namespace fs = std::filesystem;
using participant::probe;
using participant::self;

// -------------------------------------------------------------------------------------------------
// Stopped in the middle

/// Runs `operation` in a child that is stopped before and after each of its system calls, and
/// `meanwhile` at each stop. Returns how many stops there were.
int at_each_stop(const std::function<void()>& operation, const std::function<void()>& meanwhile) {
  const pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    operation();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
  for (int stops = 0;; ++stops) {
    ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
    waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status)) {
      EXPECT_EQ(status, 0);
      return stops;
    }
    meanwhile();
  }
}

TEST(ParticipantStopped, WhileItAttachesHoldsUpNobody) {
  const OwnDomain own;
  SharedNumbers last;
  const int stops = at_each_stop(
      [&] {
        own.enter();
        attach();
      },
      [&] {
        ChildParty other([&] {
          own.enter();
          const Tag mine = self();
          EXPECT_EQ(probe(mine), Liveness::alive);
          EXPECT_GT(mine, last[0]) << "given out again";
          last[0] = mine;
        });
        other.finish();
      });
  EXPECT_GT(stops, 50) << "domain, tag and descriptors take more calls than that";
}

TEST(ParticipantStopped, AForkWhileAnotherThreadOpensTheDomainHoldsUpNobody) {
  for (int round = 0; round < 30; ++round) {
    const OwnDomain own;
    ChildParty child([&] {
      own.enter();
      std::atomic<bool> go = false;
      const std::jthread opening([&] {
        while (!go) continue;
        static_cast<void>(Domain::current().directory());
      });
      go = true;
      const pid_t pid = fork();
      if (pid == 0) {
        // Would hang on a lock, or on an initialisation, that the other thread was in.
        _exit(probe(self()) == Liveness::alive ? 0 : 1);
      }
      int status = -1;
      waitpid(pid, &status, 0);
      EXPECT_EQ(status, 0);
    });
    child.finish();
  }
}

// -------------------------------------------------------------------------------------------------
// The registry

TEST(ParticipantRegistry, RemovedWhileInUseLetsTheLivingGoOn) {
  const OwnDomain own;
  ChildParty child([&] {
    own.enter();
    attach();
    Child living;
    Child dying;
    fs::remove_all(own.path());
    EXPECT_EQ(probe(living.tag()), Liveness::alive);
    EXPECT_EQ(probe(dying.tag()), Liveness::alive);
    dying.end(SIGKILL);
    EXPECT_EQ(probe(dying.tag()), Liveness::dead) << "nobody waits for it for ever";
    ChildParty newcomer([] {
      try {
        attach();
        ADD_FAILURE() << "a life that others could not see";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Status::registry_lost);
      }
    });
    newcomer.finish();
  });
  child.finish();
}

TEST(ParticipantRegistry, UsedUpIsAClearErrorWhileSomebodyLives) {
  const OwnDomain own;
  ChildParty child([&] {
    own.enter();
    attach();
    const UniqueFd registry = Domain::current().open_registry();
    const Tag last = 0xfffffffe;
    ASSERT_TRUE(internal::write_at(registry.get(), &last, sizeof last, internal::kCounterOffset));
    ChildParty gets_the_last([&] { EXPECT_EQ(self(), last); });
    gets_the_last.finish();
    ChildParty gets_none([] {
      try {
        attach();
        ADD_FAILURE() << "there is no tag left";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), std::errc::value_too_large);
        EXPECT_THAT(e.what(), testing::HasSubstr("restart"));
      }
    });
    gets_none.finish();
  });
  child.finish();
  ChildParty next([&] {
    own.enter();
    EXPECT_EQ(self(), 1U) << "nobody lives there any more: a new registry";
  });
  next.finish();
}

/// Random bytes over all of the registry until killed.
[[noreturn]] void scribble(unsigned seed) {
  std::mt19937 random(seed);
  const UniqueFd registry = Domain::current().open_registry();
  for (;;) {
    std::array<std::uint32_t, 16> garbage = {};
    for (auto& word : garbage) word = random();
    // The counter often, as it is the most precious.
    const off_t at =
        random() % 4 == 0 ? internal::kCounterOffset : static_cast<off_t>(random() % 16384);
    static_cast<void>(internal::write_at(registry.get(), garbage.data(), sizeof garbage, at));
    if (random() % 8 == 0) {
      const Tag low = random() % 64;  // numbers that are somebody's
      static_cast<void>(
          internal::write_at(registry.get(), &low, sizeof low, internal::kCounterOffset));
    }
  }
}

TEST(ParticipantRegistry, OverwrittenWithGarbageDeclaresNobodyDeadAndDoublesNoLivingTag) {
  const OwnDomain own;
  ChildParty child([&] {
    own.enter();
    attach();
    const std::vector<Child> living(8);
    std::set<Tag> taken = {self()};
    for (const Child& c : living) taken.insert(c.tag());
    ASSERT_EQ(taken.size(), 9U);
    const pid_t scribbler = fork();
    if (scribbler == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      scribble(17);
    }
    int attached = 0;
    for (int round = 0; round < 200; ++round) {
      SharedNumbers seen;
      ChildParty newcomer([&] {
        try {
          seen[0] = self();
        } catch (const Error&) {
          return;  // corrupt, or all given out: said, not guessed
        }
        EXPECT_EQ(probe(self()), Liveness::alive);
        for (const Child& c : living) EXPECT_EQ(probe(c.tag()), Liveness::alive);
      });
      newcomer.finish();
      EXPECT_FALSE(taken.contains(seen[0])) << seen[0];
      attached += seen[0] != participant::kNobody ? 1 : 0;
      for (const Child& c : living) ASSERT_EQ(probe(c.tag()), Liveness::alive);
      static_cast<void>(participant::has_left(living[0].tag()));
    }
    EXPECT_GT(attached, 0) << "otherwise nothing was tested";
    kill(scribbler, SIGKILL);
    waitpid(scribbler, nullptr, 0);
  });
  child.finish();
}

}  // namespace
}  // namespace sluice::tests
