// SPDX-License-Identifier: Apache-2.0
//
// The step-kill harness, tried on protocols that are right, on protocols with a planted bug, and on
// tests that are wrong themselves.

#include "sluice/testkit/crash.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

#include "sluice/tests/support/leftovers.h"

namespace {

using sluice::testkit::CrashOperation;
using sluice::testkit::CrashResult;
using sluice::testkit::SharedArea;
using sluice::testkit::step_kill;
using std::chrono::milliseconds;

std::string printed(const CrashResult& result) {
  std::ostringstream out;
  out << result;
  return out.str();
}

// An operation that is right by itself, to be bent by each test.
CrashOperation harmless() {
  CrashOperation op{.name = "harmless"};
  op.operation = [] {};
  op.survivor = [](bool) { return std::string(); };
  return op;
}

// -------------------------------------------------------------------------------------------------
// Two words: a payload and the word that publishes it

struct TwoWords {
  std::atomic<int> payload, ready;
};

CrashOperation publish(SharedArea<TwoWords>& area, std::function<void()> operation) {
  CrashOperation op{.name = "publish"};
  op.setup = [&area] { area.reset(); };
  op.operation = std::move(operation);
  op.survivor = [&area](bool completed) -> std::string {
    if (completed && area->ready != 1) return "acknowledged but lost";
    return area->ready == 1 && area->payload != 7 ? "published before it was written" : "";
  };
  return op;
}

TEST(Crash, ARightProtocolIsIntact) {
  SharedArea<TwoWords> area;
  const CrashResult result = step_kill(publish(area, [&] {
    area->payload = 7;
    area->ready = 1;
  }));
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_TRUE(result.completed);
  EXPECT_GT(result.kill_points, 4u);
  const std::string points = std::to_string(result.kill_points);
  EXPECT_EQ(printed(result).rfind(
                "publish: " + points + " stepped, " + points + " distinct, 0 broken; ", 0),
            0u)
      << "it names no shared bytes: " << result;
}

TEST(Crash, TheExampleInTheHeader) {
  struct Shared {
    std::atomic<int> value, ready;
  };
  SharedArea<Shared> area;
  CrashOperation publish{.name = "publish"};
  publish.shared = {area.bytes()};
  publish.setup = [&] { area.reset(); };
  publish.operation = [&] {
    area->value = 7;
    area->ready = 1;
  };
  publish.survivor = [&](bool completed) -> std::string {
    if (completed && area->ready != 1) return "acknowledged but lost";
    return area->ready == 1 && area->value != 7 ? "published before it was written" : "";
  };
  EXPECT_TRUE(step_kill(publish).intact());
}

TEST(Crash, FindsACommitBeforeThePayload) {
  SharedArea<TwoWords> area;
  const CrashResult result = step_kill(publish(area, [&] {
    area->ready = 1;
    area->payload = 7;
  }));
  EXPECT_FALSE(result.intact());
  EXPECT_TRUE(result.completed) << "one broken kill point does not end the run: " << result;
  EXPECT_GE(result.broken, 1u);
  EXPECT_GT(result.first_broken, 0u);
  EXPECT_LT(result.first_broken, result.kill_points);
  EXPECT_EQ(result.reason, "published before it was written");
  EXPECT_EQ(result.first_broken_step, result.first_broken);
  const std::string first = std::to_string(result.first_broken);
  EXPECT_NE(printed(result).find("first at point " + first + " (step " + first + "): published"),
            std::string::npos)
      << result;
}

TEST(Crash, FindsAnAcknowledgementThatIsNotTrue) {
  SharedArea<TwoWords> area;
  const CrashResult result = step_kill(publish(area, [&] { area->payload = 7; }));
  EXPECT_EQ(result.broken, 1u) << "only the last victim had finished: " << result;
  EXPECT_EQ(result.first_broken, result.kill_points);
  EXPECT_EQ(result.reason, "acknowledged but lost");
}

// -------------------------------------------------------------------------------------------------
// A queue whose claim names nobody: the classical array queue, where a producer takes its place by
// moving a shared index

struct AnonymousClaimQueue {
  static constexpr std::size_t kSlots = 4;
  struct Slot {
    std::atomic<std::size_t> turn;
    int value;
  };
  std::atomic<std::size_t> in, out;
  std::array<Slot, kSlots> slots;

  void push(int value) {
    const std::size_t at = in.fetch_add(1);  // from here on the place is gone, whoever dies
    Slot& slot = slots[at % kSlots];
    slot.value = value;
    slot.turn = at + 1;
  }
  bool pop(int& value) {
    const std::size_t at = out;
    Slot& slot = slots[at % kSlots];
    if (slot.turn != at + 1) return false;
    value = slot.value;
    out = at + 1;
    return true;
  }
};

TEST(Crash, FindsAnAnonymousClaim) {
  SharedArea<AnonymousClaimQueue> queue;
  CrashOperation op{.name = "anonymous claim"};
  op.setup = [&] { queue.reset(); };
  op.operation = [&] { queue->push(7); };
  op.survivor = [&](bool) -> std::string {
    queue->push(8);
    int value = 0;
    while (queue->pop(value)) {
      if (value == 8) return "";
    }
    return "the survivor's own item does not come out";
  };
  const CrashResult result = step_kill(op, {.stop_after_broken = 1000});
  EXPECT_TRUE(result.completed) << result;
  EXPECT_GE(result.broken, 1u) << result;
  EXPECT_LT(result.broken, result.kill_points)
      << "before the claim and after the commit all is well: " << result;
}

// -------------------------------------------------------------------------------------------------
// What is a kill point

TEST(Crash, KillsAfterEachInstruction) {
  SharedArea<std::atomic<int>> value;
  SharedArea<std::array<bool, 11>> seen;
  CrashOperation op = harmless();
  op.setup = [&] { value.reset(); };
  op.operation = [&] {
    for (int i = 1; i <= 10; ++i) *value = i;
  };
  op.survivor = [&](bool completed) -> std::string {
    (*seen)[static_cast<std::size_t>(value->load())] = true;
    return completed && *value != 10 ? "not complete" : "";
  };
  const CrashResult result = step_kill(op);
  EXPECT_TRUE(result.intact()) << result;
  for (std::size_t i = 0; i < seen->size(); ++i) {
    EXPECT_TRUE((*seen)[i]) << "never stopped at " << i;
  }
}

TEST(Crash, CountsTheInstructionsOfTheOperationAndNoOthers) {
  CrashOperation op = harmless();
  const std::uint64_t nothing = step_kill(op).kill_points;
  op.operation = [] { asm volatile(".rept 100\n nop\n .endr"); };
  EXPECT_EQ(step_kill(op).kill_points, nothing + 100);

  volatile int prepared = 0;
  op.prepare = [&] {
    for (int i = 0; i < 100'000; ++i) prepared = i;
  };
  EXPECT_EQ(step_kill(op).kill_points, nothing + 100);
}

TEST(Crash, TheVictimKeepsWhatPrepareMadeAndTheCallerSeesNothingOfIt) {
  SharedArea<std::atomic<int>> seen;
  int made = 0;
  CrashOperation op = harmless();
  op.prepare = [&] { made = 42; };
  op.operation = [&] { *seen = made; };
  EXPECT_TRUE(step_kill(op).intact());
  EXPECT_EQ(*seen, 42);
  EXPECT_EQ(made, 0);
}

TEST(Crash, ASignalOfTheOperationsOwnIsDelivered) {
  SharedArea<std::atomic<int>> handled;
  static std::atomic<int>* count = nullptr;
  count = &*handled;
  CrashOperation op = harmless();
  op.setup = [&] { handled.reset(); };
  op.prepare = [] { std::signal(SIGUSR1, [](int) { ++*count; }); };
  op.operation = [] { raise(SIGUSR1); };
  op.survivor = [&](bool completed) -> std::string {
    return completed && *handled != 1 ? "the handler ran " + std::to_string(*handled) + " times"
                                      : "";
  };
  const CrashResult result = step_kill(op);
  EXPECT_TRUE(result.intact()) << result;
}

TEST(Crash, KillsBeforeAndAfterEachSystemCall) {
  SharedArea<std::array<bool, 4>> seen;
  const int fd = memfd_create("lines", MFD_CLOEXEC);
  CrashOperation op = harmless();
  op.setup = [&] {
    ASSERT_EQ(ftruncate(fd, 0), 0);
    ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
  };
  op.operation = [&] {
    for (int i = 0; i < 3; ++i) {
      volatile int busy = 0;
      while (busy < 10'000) busy = busy + 1;
      if (write(fd, "x", 1) != 1) _exit(1);
    }
  };
  op.survivor = [&](bool completed) -> std::string {
    const off_t size = lseek(fd, 0, SEEK_END);
    (*seen)[static_cast<std::size_t>(size)] = true;
    return completed && size != 3 ? "not complete" : "";
  };
  const CrashResult result = step_kill(op, {.kill_at = sluice::testkit::KillAt::each_system_call});
  EXPECT_TRUE(result.intact()) << result;
  EXPECT_EQ(result.kill_points, 6u) << "after, before, after, before, after; and at the end";
  EXPECT_EQ(*seen, (std::array<bool, 4>{false, true, true, true}));
  close(fd);
}

TEST(Crash, EndsAtTheGivenNumberOfKillPoints) {
  CrashOperation op = harmless();
  op.operation = [] { asm volatile(".rept 100\n nop\n .endr"); };
  const CrashResult result = step_kill(op, {.max_kill_points = 20});
  EXPECT_EQ(result.kill_points, 20u);
  EXPECT_FALSE(result.completed);
  EXPECT_FALSE(result.intact()) << "what was not killed everywhere is not shown to be right";
  EXPECT_NE(printed(result).find("stopped before the operation's end"), std::string::npos)
      << result;
}

TEST(Crash, GivesUpAfterTheGivenNumberOfBrokenPoints) {
  CrashOperation op = harmless();
  op.survivor = [](bool) { return std::string("never content"); };
  const CrashResult result = step_kill(op, {.stop_after_broken = 3});
  EXPECT_EQ(result.kill_points, 3u);
  EXPECT_EQ(result.broken, 3u);
  EXPECT_EQ(result.first_broken, 1u);
}

// -------------------------------------------------------------------------------------------------
// Survivors that do not report

TEST(Crash, AHangingSurvivorIsReportedWithinItsLimit) {
  CrashOperation op = harmless();
  op.survivor = [](bool) -> std::string {
    for (;;) pause();
  };
  const CrashResult result =
      step_kill(op, {.survivor_limit = milliseconds(50), .stop_after_broken = 2});
  EXPECT_EQ(result.broken, 2u) << result;
  EXPECT_EQ(result.reason, "the survivor hung: not ready after 50 ms");
  EXPECT_GE(result.time, milliseconds(100));
  EXPECT_LT(result.time, milliseconds(5000));
}

TEST(Crash, ACrashingSurvivorIsBroken) {
  CrashOperation op = harmless();
  op.survivor = [](bool) -> std::string {
    raise(SIGSEGV);
    return "";
  };
  const CrashResult result = step_kill(op, {.stop_after_broken = 1});
  EXPECT_EQ(result.broken, 1u);
  EXPECT_EQ(result.reason, "the survivor was killed by signal 11 (Segmentation fault)");
}

TEST(Crash, ASurvivorThatExitsOrThrowsIsBroken) {
  CrashOperation op = harmless();
  op.survivor = [](bool) -> std::string { _exit(0); };
  EXPECT_EQ(step_kill(op, {.stop_after_broken = 1}).reason,
            "the survivor ended its process with exit code 0");
  op.survivor = [](bool) -> std::string { throw std::runtime_error("torn"); };
  EXPECT_EQ(step_kill(op, {.stop_after_broken = 1}).reason, "the survivor threw: torn");
}

TEST(Crash, ALongReasonIsCutNotLost) {
  CrashOperation op = harmless();
  op.survivor = [](bool) { return std::string(5000, 'x'); };
  const CrashResult result = step_kill(op, {.stop_after_broken = 1});
  EXPECT_EQ(result.reason.substr(0, 900), std::string(900, 'x'));
}

// -------------------------------------------------------------------------------------------------
// Operations that can't be tested

void expect_no_verdict(const CrashResult& result, const std::string& why) {
  EXPECT_FALSE(result.intact());
  EXPECT_FALSE(result.refused);
  EXPECT_EQ(result.broken, 0u);
  EXPECT_NE(result.error.find(why), std::string::npos) << result;
  EXPECT_NE(printed(result).find("no verdict: " + result.error), std::string::npos) << result;
}

TEST(Crash, AVictimThatCrashesByItselfIsAnError) {
  CrashOperation op = harmless();
  op.operation = [] { *static_cast<volatile int*>(nullptr) = 1; };
  const CrashResult result = step_kill(op);
  expect_no_verdict(result, "was killed by signal 11 (Segmentation fault)");
  EXPECT_EQ(result.error.rfind("the operation, by itself, ", 0), 0u) << result;
}

TEST(Crash, AVictimThatExitsIsAnError) {
  CrashOperation op = harmless();
  op.operation = [] { _exit(3); };
  expect_no_verdict(step_kill(op), "ended its process with exit code 3");
}

TEST(Crash, AVictimThatThrowsIsAnError) {
  CrashOperation op = harmless();
  op.operation = [] { throw std::runtime_error("no room"); };
  expect_no_verdict(step_kill(op), "the operation threw: no room");
  op.prepare = [] { throw std::runtime_error("no ring"); };
  expect_no_verdict(step_kill(op), "prepare threw: no ring");
}

TEST(Crash, AVictimThatBlocksIsAnError) {
  CrashOperation op = harmless();
  op.operation = [] { pause(); };
  expect_no_verdict(step_kill(op, {.victim_limit = milliseconds(100)}), "does it block?");
  op = harmless();
  op.prepare = [] { pause(); };
  const CrashResult result = step_kill(op, {.victim_limit = milliseconds(100)});
  expect_no_verdict(result, "prepare, by itself, was killed by signal 9");
  EXPECT_LT(result.time, milliseconds(5000));
}

TEST(Crash, AnIncompleteOperationIsRefused) {
  CrashOperation op = harmless();
  op.survivor = nullptr;
  EXPECT_THROW((void)step_kill(op), std::invalid_argument);
  op = harmless();
  op.operation = nullptr;
  EXPECT_THROW((void)step_kill(op), std::invalid_argument);
}

TEST(Crash, AnExceptionOfSetupPassesThrough) {
  CrashOperation op = harmless();
  op.setup = [] { throw std::runtime_error("no memory"); };
  EXPECT_THROW((void)step_kill(op), std::runtime_error);
}

// Makes ptrace() fail in this process and its children, as a container's filter does.
void forbid_ptrace() {
  std::array<sock_filter, 4> code{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  const sock_fprog program{code.size(), code.data()};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    throw std::runtime_error("seccomp is not available");
}

TEST(Crash, SaysSoWherePtraceIsRefused) {
  SharedArea<std::array<char, 400>> said;
  const pid_t child = fork();
  if (child == 0) {
    forbid_ptrace();
    const CrashResult result = step_kill(harmless());
    result.error.copy(said->data(), said->size() - 1);
    _exit(result.refused && !result.intact() && result.kill_points == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << said->data();
  EXPECT_EQ(std::string(said->data()).rfind("ptrace is refused here (Operation not permitted)", 0),
            0u)
      << said->data();
}

// -------------------------------------------------------------------------------------------------
// Hygiene

TEST(Crash, LeavesNoChildDescriptorOrMapping) {
  const sluice::tests::Snapshot before = sluice::tests::take_snapshot("");
  CrashOperation op = harmless();
  EXPECT_TRUE(step_kill(op).intact());
  op.survivor = [](bool) -> std::string { pause(), abort(); };
  (void)step_kill(op, {.survivor_limit = milliseconds(10), .stop_after_broken = 2});
  op.operation = [] { _exit(3); };
  (void)step_kill(op);
  op.setup = [] { throw std::runtime_error("no memory"); };
  EXPECT_THROW((void)step_kill(op), std::runtime_error);
  EXPECT_EQ(sluice::tests::find_leftovers(before, sluice::tests::take_snapshot("")),
            std::vector<std::string>());
}

// The reading end of a pipe, whose writing end all children inherit: it reports "hung up" once the
// last of them is dead.
class AllDead {
 public:
  AllDead() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    read_ = ends[0];
    write_ = ends[1];
  }
  ~AllDead() {
    close(read_);
    forget_own();
  }
  void forget_own() {
    if (write_ != -1) close(write_);
    write_ = -1;
  }
  // Wants forget_own() first.
  bool within(milliseconds limit) const {
    pollfd event{read_, POLLIN, 0};
    return poll(&event, 1, static_cast<int>(limit.count())) == 1 && (event.revents & POLLHUP) != 0;
  }

 private:
  int read_ = -1;
  int write_ = -1;
};

TEST(Crash, WhatASurvivorStartedDiesWithIt) {
  AllDead all_dead;
  CrashOperation op = harmless();
  op.survivor = [](bool) -> std::string {
    if (fork() == 0) {
      for (;;) pause();
    }
    return "";
  };
  EXPECT_TRUE(step_kill(op).intact());
  all_dead.forget_own();
  EXPECT_TRUE(all_dead.within(milliseconds(10'000)));
}

TEST(Crash, ChildrenDieWithTheHarness) {
  AllDead all_dead;
  SharedArea<std::atomic<bool>> reached;
  const pid_t harness = fork();
  if (harness == 0) {
    CrashOperation op = harmless();
    op.survivor = [&](bool) -> std::string {
      *reached = true;
      for (;;) pause();
    };
    (void)step_kill(op, {.survivor_limit = milliseconds(60'000)});
    _exit(1);
  }
  while (!*reached) sched_yield();
  kill(harness, SIGKILL);
  EXPECT_EQ(waitpid(harness, nullptr, 0), harness);
  all_dead.forget_own();
  EXPECT_TRUE(all_dead.within(milliseconds(10'000)))
      << "the survivor lives on after the harness was killed";
}

TEST(SharedArea, IsSeenByBothSidesAndStartsAnew) {
  SharedArea<TwoWords> area;
  EXPECT_EQ(area->payload, 0);
  const pid_t child = fork();
  if (child == 0) {
    area->payload = 5;
    _exit(0);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(area->payload, 5);
  area.reset();
  EXPECT_EQ(area->payload, 0);
}

}  // namespace
