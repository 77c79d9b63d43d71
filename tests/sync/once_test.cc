// SPDX-License-Identifier: Apache-2.0
//
// Once: done once, again after an exception or a death; its misuse; what others see; by threads,
// forked children, and processes that meet by name.

#include "sluice/sync/once.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"
#include "sluice/tests/support/child_party.h"
#include "sluice/tests/support/lock_ways.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;

constinit Once g_once;  // needs no dynamic initialisation

std::string text_of(const Once& once) {
  std::ostringstream out;
  out << once;
  return out.str();
}

void overwrite(Once& once, std::uint64_t word, std::uint32_t incarnation) {
  std::memcpy(static_cast<void*>(&once), &word, sizeof word);
  std::memcpy(reinterpret_cast<char*>(&once) + sizeof word, &incarnation, sizeof incarnation);
}

std::uint32_t incarnation_of(const Once& once) {
  std::uint32_t incarnation = 0;
  std::memcpy(&incarnation, reinterpret_cast<const char*>(&once) + 8, sizeof incarnation);
  return incarnation;
}

TEST(Once, IsDoneOnce) {
  Once once;
  EXPECT_FALSE(once.done());
  int calls = 0;
  once.call([&] { ++calls; });
  EXPECT_TRUE(once.done());
  once.call([&] { ++calls; });
  EXPECT_EQ(once.call([&] { ++calls; }, Deadline::now()), Status::ok);
  EXPECT_EQ(calls, 1);
  g_once.call([] {});
  EXPECT_TRUE(g_once.done());
}

TEST(Once, AnExceptionLetsTheNextTry) {
  Once once;
  EXPECT_THROW(once.call([] { throw std::runtime_error("no"); }), std::runtime_error);
  EXPECT_FALSE(once.done());
  EXPECT_EQ(text_of(once), "Once: not done");
  EXPECT_THROW(static_cast<void>(once.call([] { throw 1; }, 1s)), int);
  int calls = 0;
  once.call([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(once.done());
}

TEST(Once, RecursionIsRefused) {
  Once once;
  Once other;
  int calls = 0;
  once.call([&] {
    EXPECT_THROW(once.call([&] { ++calls; }), std::logic_error);
    EXPECT_THROW(static_cast<void>(once.call([&] { ++calls; }, Deadline::now())), std::logic_error);
    other.call([&] { ++calls; });
    // Another thread is not: it waits.
    std::jthread([&] { EXPECT_EQ(once.call([&] { ++calls; }, 5ms), Status::timeout); });
  });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(once.done());
}

TEST(Once, ARecursionThatIsNotCaughtLetsTheNextTry) {
  Once once;
  EXPECT_THROW(once.call([&] { once.call([] {}); }), std::logic_error);
  EXPECT_FALSE(once.done());
  once.call([] {});
  EXPECT_TRUE(once.done());
}

TEST(Once, AForkedChildDoesNotEndItsParentsCall) {
  Once once;  // the child has a copy: what it does to that is seen by its return alone
  once.call([&] {
    ChildParty child([] {});
    child.finish();
  });
  EXPECT_TRUE(once.done());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Once second;
  pid_t pid = -1;
  try {
    second.call([&] { pid = fork(); });
  } catch (const std::logic_error&) {
    const char refused = second.done() ? 'd' : 'r';
    static_cast<void>(!write(ends[1], &refused, 1));
    _exit(EXIT_SUCCESS);
  }
  if (pid == 0) _exit(EXIT_FAILURE);
  char answer = 0;
  close(ends[1]);
  EXPECT_EQ(read(ends[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'r');
  EXPECT_TRUE(second.done());
  waitpid(pid, nullptr, 0);
  close(ends[0]);
}

TEST(Once, AnotherRegistrysIsLeftAlone) {
  Once once;
  once.call([] {});
  const std::uint32_t mine = incarnation_of(once);
  // Begun by somebody of another registry.
  overwrite(once, (std::uint64_t{1} << 62) | 77, mine ^ 1);
  EXPECT_EQ(once.call([] { FAIL(); }, 1s), Status::foreign_registry);
  try {
    once.call([] { FAIL(); });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), make_error_code(Status::foreign_registry));
  }
  // Done is done.
  overwrite(once, std::uint64_t{1} << 30, mine ^ 1);
  EXPECT_EQ(once.call([] { FAIL(); }, 1s), Status::ok);
}

TEST(Once, BytesOfNobodyAreTakenOver) {
  attach();
  for (const std::uint64_t word :
       {std::uint64_t{1} << 31, std::uint64_t{77}, std::uint64_t{0xdead} << 32,
        ~std::uint64_t{0} & ~(std::uint64_t{1} << 30)}) {
    Once once;
    overwrite(once, word, 0);
    int calls = 0;
    EXPECT_EQ(once.call([&] { ++calls; }, 5s), Status::ok) << std::hex << word;
    EXPECT_EQ(calls, 1);
  }
}

TEST(Once, OverwrittenWhileItRunsIsAnError) {
  Once once;
  EXPECT_THROW(once.call([&] { overwrite(once, 12345, 0); }), Error);
}

TEST(Once, PrintsItselfInOneLine) {
  Once once;
  EXPECT_EQ(text_of(once), "Once: not done");
  once.call([&] {
    const std::string text = "Once: begun by " + participant::to_text(participant::self());
    EXPECT_EQ(text_of(once), text);
    std::jthread([&] {
      set_wait_policy({.mode = WaitMode::block});
      EXPECT_EQ(once.call([] {}, 1ms), Status::timeout);
    }).join();
    EXPECT_EQ(text_of(once), text + "; others may be waiting");
  });
  EXPECT_EQ(text_of(once), "Once: done");
}

// -------------------------------------------------------------------------------------------------
// With others

struct Shared {
  Once once;
  int made;  ///< plain: the Once orders
  std::atomic<int> calls, begun, passed;
  std::atomic<bool> go;
};

void sleep_long() {
  set_wait_policy({.mode = WaitMode::block, .first_slice = 1h, .longest_slice = 1h});
}

template <class Way>
class OnceBehaviour : public testing::Test {
 public:
  Stage<Way, Shared> stage_;
};

TYPED_TEST_SUITE(OnceBehaviour, Ways, WayNames);

void make(Shared& shared) {
  ++shared.calls;
  shared.begun = 1;
  while (!shared.go) sched_yield();
  shared.made = 7;
}

TYPED_TEST(OnceBehaviour, TheOthersWaitForTheFirst) {
  auto& stage = this->stage_;
  stage.start([](Shared& shared) { shared.once.call([&] { make(shared); }); });
  while (stage->begun == 0) sched_yield();
  EXPECT_EQ(stage->once.call([] { FAIL(); }, 20ms), Status::timeout);
  EXPECT_EQ(stage->once.call([] { FAIL(); }, Deadline::now()), Status::timeout);
  for (int i = 0; i < 4; ++i) {
    const int party = stage.start([](Shared& shared) {
      sleep_long();
      shared.once.call([&] { make(shared); });
      EXPECT_EQ(shared.made, 7);
      ++shared.passed;
    });
    stage.wait_until_asleep(party);
  }
  EXPECT_EQ(stage->passed, 0);
  stage->go = true;
  stage.finish();
  EXPECT_EQ(stage->calls, 1);
  EXPECT_EQ(stage->passed, 4);
}

TYPED_TEST(OnceBehaviour, AllAtOnce) {
  auto& stage = this->stage_;
  for (int i = 0; i < 8; ++i) {
    stage.start([](Shared& shared) {
      while (!shared.go) sched_yield();
      shared.once.call([&] { make(shared); });
      EXPECT_EQ(shared.made, 7);
    });
  }
  stage->go = true;
  stage.finish();
  EXPECT_EQ(stage->calls, 1);
}

TYPED_TEST(OnceBehaviour, AfterAnExceptionASleeperTries) {
  auto& stage = this->stage_;
  stage.start([](Shared& shared) {
    EXPECT_THROW(shared.once.call([&] {
      make(shared);
      throw std::runtime_error("no");
    }),
                 std::runtime_error);
  });
  while (stage->begun == 0) sched_yield();
  for (int i = 0; i < 2; ++i) {
    const int party = stage.start([](Shared& shared) {
      sleep_long();
      shared.once.call([&] { make(shared); });
    });
    stage.wait_until_asleep(party);
  }
  stage->go = true;
  stage.finish();
  EXPECT_EQ(stage->calls, 2);
  EXPECT_TRUE(stage->once.done());
}

// -------------------------------------------------------------------------------------------------
// Deaths

template <class Way>
class OnceDeath : public OnceBehaviour<Way> {};
using Processes = testing::Types<ByFork, ByName>;
TYPED_TEST_SUITE(OnceDeath, Processes, WayNames);

TYPED_TEST(OnceDeath, TheNextBeginsAgain) {
  auto& stage = this->stage_;
  const int victim = stage.start([](Shared& shared) { shared.once.call([&] { make(shared); }); });
  while (stage->begun == 0) sched_yield();
  stage.kill(victim);
  stage->go = true;
  // At once: a call that may not even wait asks for the life of who is at it.
  EXPECT_EQ(stage->once.call([&] { make(*stage); }, Deadline::now()), Status::ok);
  EXPECT_EQ(stage->calls, 2);
  EXPECT_EQ(stage->made, 7);
}

TYPED_TEST(OnceDeath, AWaiterBeginsAgain) {
  auto& stage = this->stage_;
  const int victim = stage.start([](Shared& shared) { shared.once.call([&] { make(shared); }); });
  while (stage->begun == 0) sched_yield();
  for (int i = 0; i < 3; ++i) {
    const int party = stage.start([](Shared& shared) { shared.once.call([&] { make(shared); }); });
    stage.wait_until_asleep(party);
  }
  stage->go = true;  // it is killed here or there
  stage.kill(victim);
  stage.finish();
  EXPECT_LE(stage->calls, 2);
  EXPECT_TRUE(stage->once.done());
}

TYPED_TEST(OnceDeath, AKilledWaiterHindersNobody) {
  auto& stage = this->stage_;
  stage.start([](Shared& shared) { shared.once.call([&] { make(shared); }); });
  while (stage->begun == 0) sched_yield();
  const auto waiter = [&] {
    const int party = stage.start([](Shared& shared) {
      sleep_long();
      shared.once.call([] { FAIL(); });
      ++shared.passed;
    });
    stage.wait_until_asleep(party);
    return party;
  };
  const int victim = waiter();
  waiter();
  stage.kill(victim);
  stage->go = true;
  stage.finish();
  EXPECT_EQ(stage->passed, 1);
}

}  // namespace
}  // namespace sluice::tests
