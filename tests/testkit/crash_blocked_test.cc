// SPDX-License-Identifier: Apache-2.0
//
// Victims that wait: for a partner who holds what they want, or for ever.

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "sluice/testkit/crash.h"
#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"

namespace {

using sluice::testkit::CrashMode;
using sluice::testkit::CrashOperation;
using sluice::testkit::CrashProfile;
using sluice::testkit::CrashResult;
using sluice::testkit::KillAt;
using sluice::testkit::Partner;
using sluice::testkit::SharedArea;
using sluice::testkit::step_kill;
using std::chrono::milliseconds;

using Word = std::atomic<std::uint32_t>;

// Sleeps until woken, or at once if the word has changed, or for `limit` at most.
void futex_wait(Word& word, std::uint32_t while_it_is, const timespec* limit = nullptr) {
  syscall(SYS_futex, &word, FUTEX_WAIT, while_it_is, limit, nullptr, 0);
}
void futex_wake(Word& word) { syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0); }

bool comes_true(const auto& condition) {
  for (int i = 0; i < 20'000; ++i, usleep(100)) {
    if (condition()) return true;
  }
  return false;
}

// -------------------------------------------------------------------------------------------------
// A lock whose word holds its owner's pid, and which is taken over from the dead

struct Lock {
  Word owner;
  std::atomic<int> victim_sleeps, victim_had_it;

  bool try_lock() {
    std::uint32_t free = 0;
    return owner.compare_exchange_strong(free, static_cast<std::uint32_t>(getpid()));
  }
  void lock() {
    while (!try_lock()) futex_wait(owner, owner);
  }
  void unlock() {
    owner = 0;
    futex_wake(owner);
  }
  bool take_over() {
    const std::uint32_t dead = owner;
    return try_lock() || (kill(static_cast<pid_t>(dead), 0) != 0 && (owner = 0, try_lock()));
  }
};

CrashOperation contended(SharedArea<Lock>& lock) {
  CrashOperation op{.name = "lock that another holds"};
  op.shared = {lock.bytes()};
  op.setup = [&] { lock.reset(); };
  op.partner = [&](Partner& partner) {
    lock->lock();
    if (partner.wait_until_blocked()) lock->victim_sleeps = 1;
    lock->unlock();
  };
  op.operation = [&] {
    lock->lock();
    lock->victim_had_it = 1;
    lock->unlock();
  };
  op.survivor = [&](bool completed) -> std::string {
    if (completed && lock->victim_had_it == 0) return "the victim never had it";
    return comes_true([&] { return lock->take_over(); }) ? "" : "the lock is lost";
  };
  return op;
}

TEST(Partner, LetsAVictimThatWaitsGoOn) {
  SharedArea<Lock> lock;
  const CrashResult result = step_kill(contended(lock));
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_TRUE(result.completed);
  EXPECT_FALSE(result.blocked);
}

TEST(Partner, TheSleepAndWhatFollowsAreKillPoints) {
  SharedArea<Lock> lock;
  SharedArea<std::array<std::atomic<bool>, 3>> seen;
  CrashOperation op = contended(lock);
  op.interfere = [&] {
    // 0: before or in its sleep, 1: woken, 2: it has got the lock.
    int stage = lock->victim_sleeps != 0 ? 1 : 0;
    if (lock->victim_had_it != 0) stage = 2;
    (*seen)[static_cast<std::size_t>(stage)] = true;
  };
  const CrashResult result = step_kill(op, {.mode = CrashMode::interference});
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_TRUE((*seen)[0] && (*seen)[1] && (*seen)[2]);
}

// Else what it does after it has woken the victim would fall between any two steps.
TEST(Partner, IsDoneWhenTheVictimGoesOn) {
  SharedArea<std::array<Word, 3>> words;  // the one to wait for, done, and whether it was
  CrashOperation op{.name = "wait, and look"};
  op.shared = {words.bytes()};
  op.setup = [&] { words.reset(); };
  op.partner = [&](Partner& partner) {
    if (!partner.wait_until_blocked()) return;
    futex_wake((*words)[0]);
    volatile int busy = 0;
    while (busy < 10'000'000) busy = busy + 1;
    (*words)[1] = 1;
    partner.wait_until_blocked();
  };
  op.operation = [&] {
    futex_wait((*words)[0], 0);
    (*words)[2].store((*words)[1]);
  };
  op.survivor = [&](bool completed) -> std::string {
    return completed && (*words)[2] != 1 ? "it went on beside a partner at work" : "";
  };
  const CrashResult result = step_kill(op);
  EXPECT_TRUE(result.intact()) << result;
}

TEST(Partner, TheOtherKindsOfKillPointsWorkAsWell) {
  SharedArea<Lock> lock;
  for (const KillAt kill_at : {KillAt::each_instruction, KillAt::each_system_call}) {
    const CrashResult result =
        step_kill(contended(lock), {.profile = CrashProfile::full, .kill_at = kill_at});
    EXPECT_TRUE(result.intact()) << result;
  }
}

TEST(Partner, ALockThatIsHandedToTheDeadIsFound) {
  SharedArea<Lock> lock;
  CrashOperation op = contended(lock);
  // Hands the lock to whoever has put its name down: nobody looks whether it is still there.
  op.operation = [&] {
    lock->victim_sleeps = 1;
    while (lock->victim_had_it == 0) {
      if (lock->try_lock()) lock->victim_had_it = 1;
      futex_wait(lock->owner, lock->owner == 0 ? 1 : lock->owner.load());
    }
    lock->unlock();
  };
  op.partner = [&](Partner& partner) {
    lock->lock();
    partner.wait_until_blocked();
    if (lock->victim_sleeps == 0) {
      lock->unlock();
      return;
    }
    lock->owner = 0x7FFFFFFF;  // "yours": no pid that anybody finds dead
    lock->victim_had_it = 1;
    futex_wake(lock->owner);
  };
  op.survivor = [&](bool) -> std::string {
    for (int i = 0; i < 100; ++i) {
      if (lock->try_lock()) return "";
    }
    return "the lock is lost";
  };
  const CrashResult result = step_kill(op);
  EXPECT_GT(result.broken, 0u) << result;
  EXPECT_EQ(result.reason, "the lock is lost");
}

// -------------------------------------------------------------------------------------------------
// A waiter beside a victim that is to wake it

CrashOperation wake_up(SharedArea<Word>& word) {
  CrashOperation op{.name = "set and wake"};
  op.shared = {word.bytes()};
  op.setup = [&] { word.reset(); };
  op.operation = [&] {
    *word = 1;
    futex_wake(*word);
  };
  op.survivor = [](bool) { return std::string(); };
  return op;
}

TEST(Partner, WhoSleepsForEverBesideADeadVictimIsFound) {
  SharedArea<Word> word;
  CrashOperation op = wake_up(word);
  op.partner = [&](Partner& partner) {
    partner.ready();
    while (*word == 0) futex_wait(*word, 0);
  };
  const CrashResult result =
      step_kill(op, {.survivor_limit = milliseconds(100), .stop_after_broken = 1});
  EXPECT_EQ(result.broken, 1u) << result;
  EXPECT_EQ(result.reason, "the partner hung: not ready after 100 ms");
}

TEST(Partner, WhoLooksAgainNowAndThenIsIntact) {
  SharedArea<Word> word;
  CrashOperation op = wake_up(word);
  op.partner = [&](Partner& partner) {
    partner.ready();
    const timespec slice{0, 1'000'000};
    while (*word == 0 && !partner.victim_is_dead()) futex_wait(*word, 0, &slice);
  };
  const CrashResult result = step_kill(op);
  EXPECT_TRUE(result.intact()) << result;
}

TEST(Partner, OneThatFailsIsBroken) {
  SharedArea<Word> word;
  CrashOperation op = wake_up(word);
  op.partner = [](Partner&) { throw std::runtime_error("no lock"); };
  EXPECT_EQ(step_kill(op, {.stop_after_broken = 1}).reason, "the partner threw: no lock");
  op.partner = [](Partner&) { _exit(3); };
  EXPECT_EQ(step_kill(op, {.stop_after_broken = 1}).reason,
            "the partner ended its process with exit code 3");
}

// -------------------------------------------------------------------------------------------------
// Without a partner

CrashOperation wait_for_ever(SharedArea<Word>& word) {
  CrashOperation op{.name = "wait"};
  op.shared = {word.bytes()};
  op.setup = [&] { word.reset(); };
  op.operation = [&] {
    *word = 1;
    futex_wait(*word, 1);
    *word = 2;
  };
  op.survivor = [&](bool completed) -> std::string { return completed ? "completed" : ""; };
  return op;
}

TEST(Blocked, AnOperationThatBlocksIsAnError) {
  SharedArea<Word> word;
  const CrashResult result = step_kill(wait_for_ever(word));
  EXPECT_EQ(result.error,
            "the operation blocks in a system call, and has neither a partner nor may_block");
  EXPECT_FALSE(result.intact());
}

TEST(Blocked, OneThatMayIsKilledUpToWhereItBlocks) {
  SharedArea<Word> word;
  CrashOperation op = wait_for_ever(word);
  op.may_block = true;
  for (const KillAt kill_at : {KillAt::each_instruction, KillAt::each_system_call}) {
    const CrashResult result =
        step_kill(op, {.kill_at = kill_at, .blocked_after = milliseconds(20)});
    EXPECT_TRUE(result.intact()) << result;
    EXPECT_TRUE(result.blocked);
    EXPECT_FALSE(result.completed);
  }
  op.survivor = [&](bool) -> std::string { return *word == 0 ? "" : "a waiter is left behind"; };
  const CrashResult result = step_kill(op, {.blocked_after = milliseconds(20)});
  EXPECT_GT(result.broken, 0u) << result;
  EXPECT_TRUE(result.blocked) << "the last victim was killed in its sleep: " << result;
}

TEST(Blocked, ASleepThatEndsByItselfIsNotOneThatBlocks) {
  SharedArea<Word> word;
  CrashOperation op = wait_for_ever(word);
  op.operation = [&] {
    const timespec limit{0, 20'000'000};
    futex_wait(*word, 0, &limit);
    *word = 2;
  };
  op.survivor = [&](bool completed) -> std::string {
    return completed && *word != 2 ? "not complete" : "";
  };
  const CrashResult result = step_kill(op, {.blocked_after = milliseconds(5000)});
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_TRUE(result.completed);
}

}  // namespace
