// SPDX-License-Identifier: Apache-2.0
//
// Thread, as far as it is not as Process is (worker_test.cc). Rows TF1 to TF7, PR19.

#include "sluice/pool/thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/pool/exit.h"
#include "sluice/pool/process.h"
#include "sluice/pool/start_options.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/semaphore.h"
#include "sluice/sync/status.h"
#include "sluice/tests/pool/whole_program.h"
#include "sluice/tests/support/calls.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::MatchesRegex;

void say(const char* word) { static_cast<void>(!write(STDOUT_FILENO, word, std::strlen(word))); }

TEST(Thread, TF1_TenTasksBehindASemaphoreOfThree) {
  for (const std::size_t stack :
       {std::size_t{64} << 10, std::size_t{256} << 10, std::size_t{1} << 20}) {
    BoundedSemaphore room(3);
    std::atomic<int> running = 0, most = 0;
    Mutex mutex;
    std::set<pid_t> ids;
    Latch all(10);
    std::vector<Thread> threads;
    for (int i = 0; i < 10; ++i) {
      threads.emplace_back(StartOptions{.stack_size = stack}, [&] {
        room.acquire();
        const int now = ++running;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) continue;
        {
          const std::scoped_lock hold(mutex);
          ids.insert(this_thread::id());
        }
        std::this_thread::sleep_for(1ms);
        --running;
        room.release();
        all.arrive_and_wait();  // so that no id is given twice
      });
    }
    for (Thread& thread : threads) {
      EXPECT_TRUE(thread.join(20s));
      EXPECT_EQ(thread.exit_code(), 0);
      EXPECT_EQ(ids.count(thread.id()), 1U);
    }
    EXPECT_LE(most, 3);
    EXPECT_EQ(running, 0);
    EXPECT_EQ(ids.size(), 10U);
  }
}

TEST(Thread, AStackThatTheSystemRefusesIsAnErrorAndMayBeTriedAgain) {
  Thread thread({.start = Start::later, .stack_size = 1}, [] {});
  EXPECT_THAT(error_of([&] {
                thread.start();
                return 0;
              }).what(),
              HasSubstr("stack"));
  EXPECT_FALSE(thread.alive());
  EXPECT_THROW(thread.start(), Error);
}

TEST(Thread, TF2_AThreadThatIsNotOursIsKnownToo) {
  std::string name;
  bool main = true, daemon = true;
  std::thread([&] {
    pthread_setname_np(pthread_self(), "foreign");
    name = this_thread::name();
    main = this_thread::is_main();
    daemon = this_thread::daemon();
  }).join();
  EXPECT_EQ(name, "foreign");
  EXPECT_FALSE(main);
  EXPECT_FALSE(daemon);
}

TEST(Thread, TF3_NamesAndTheMainThread) {
  EXPECT_TRUE(this_thread::is_main());
  EXPECT_EQ(this_thread::name(), "MainThread");
  Thread unnamed([] {
    if (this_thread::is_main()) sluice::exit(1);
    sluice::exit(this_thread::name().starts_with("Thread-") ? 0 : 2);
  });
  EXPECT_THAT(unnamed.name(), MatchesRegex("Thread-[0-9]+"));
  EXPECT_TRUE(unnamed.join(20s));
  EXPECT_EQ(unnamed.exit_code(), 0);
}

TEST(Thread, TF3_TheNameIsWhatPsShowsCutToFifteenBytes) {
  Event end;
  Thread thread("a-name-that-is-too-long", [&] { end.wait(); });
  std::string comm;
  while (comm != "a-name-that-is-") {
    std::getline(std::ifstream("/proc/self/task/" + std::to_string(thread.id()) + "/comm"), comm);
  }
  EXPECT_EQ(thread.name(), "a-name-that-is-too-long");
  ASSERT_EQ(active_threads().size(), 1U);
  EXPECT_EQ(active_threads()[0].name, thread.name());
  EXPECT_EQ(active_threads()[0].id, thread.id());
  end.set();
  EXPECT_TRUE(thread.join(20s));
  EXPECT_TRUE(active_threads().empty());
}

TEST(Thread, JoinOfItselfIsAnError) {
  Thread* self = nullptr;
  Event known;
  Thread thread([&] {
    known.wait();
    try {
      self->join();
    } catch (const std::logic_error&) {
      sluice::exit(3);
    }
  });
  self = &thread;
  known.set();
  EXPECT_TRUE(thread.join(20s));
  EXPECT_EQ(thread.exit_code(), 3);
}

TEST(Thread, PR25_AnUncaughtExceptionEndsTheThreadAlone) {
  const Ran ran = run_program([] {
    Thread thread("thrower", [] { throw std::runtime_error("marker"); });
    thread.join();
    return thread.exit_code().value_or(9) + 40;
  });
  EXPECT_THAT(ran.out, MatchesRegex("thrower .*std::runtime_error: marker\n"));
  EXPECT_EQ(ran.code, 41);
}

TEST(Thread, ADestroyedDaemonIsLetGo) {
  Event end, ended;
  {
    const Thread thread({.daemon = true}, [&] {
      end.wait();
      ended.set();
    });
  }
  EXPECT_FALSE(ended.is_set());
  end.set();
  EXPECT_EQ(ended.wait(20s), Status::ok);
  while (!active_threads().empty()) continue;  // it uses this process's tables to its end
}

TEST(Thread, AThreadOfADaemonIsADaemon) {
  Thread outer({.daemon = true}, [] {
    Thread inner([] { sluice::exit(this_thread::daemon() ? 1 : 2); });
    inner.join();
    sluice::exit(*inner.exit_code());
  });
  EXPECT_TRUE(outer.join(20s));
  EXPECT_EQ(outer.exit_code(), 1);
}

class Loop : public Thread {
 public:
  ~Loop() override {
    over.set();
    join();
  }
  Event over;

 private:
  void run() override { over.wait(); }
};

TEST(Thread, ADerivedClassJoinsInItsDestructor) {
  Loop loop;
  EXPECT_THAT(loop.name(), MatchesRegex("Loop-[0-9]+"));
  loop.start();
  EXPECT_TRUE(loop.alive());
}

class Careless : public Thread {
  void run() override {
    for (;;) pause();
  }
};

TEST(ThreadDeathTest, ADerivedClassThatDoesNotIsTold) {
  EXPECT_DEATH(
      {
        Careless careless;
        careless.start();
      },
      "destroyed while it runs");
}

// -------------------------------------------------------------------------------------------------
// Fork

TEST(ThreadFork, TF4_TF7_NoThreadOfTheParentRunsInAChild) {
  Event end;
  std::vector<std::unique_ptr<Thread>> threads;
  for (int i = 0; i < 4; ++i) threads.push_back(std::make_unique<Thread>([&] { end.wait(); }));
  for (int i = 0; i < 20; ++i) {
    Process child([&] {
      if (!active_threads().empty()) sluice::exit(1);
      for (const auto& thread : threads) {
        if (thread->alive() || !thread->join(0s) || thread->exit_code()) sluice::exit(2);
      }
      threads.clear();  // waits for nobody
      Thread own([] {});
      if (!own.join(20s)) sluice::exit(3);
    });
    ASSERT_TRUE(child.join(20s));
    ASSERT_EQ(child.exit_code(), 0);
  }
  end.set();
}

TEST(ThreadFork, TF5_WhoForksIsTheChildsMainThread) {
  Thread thread({.name = "forker", .daemon = true}, [] {
    Process child({.daemon = false}, [] {
      if (!this_thread::is_main()) sluice::exit(1);
      if (this_thread::name() != "MainThread" || this_thread::daemon()) sluice::exit(2);
      static std::atomic<bool> handled = false;
      signal(SIGALRM, [](int) { handled = this_thread::is_main(); });
      ualarm(1000, 0);
      while (!handled) pause();
      Thread own([] { sluice::exit(this_thread::is_main() ? 1 : 0); });
      own.join();
      sluice::exit(*own.exit_code());
    });
    child.join();
    sluice::exit(child.exit_code().value_or(9));
  });
  EXPECT_TRUE(thread.join(30s));
  EXPECT_EQ(thread.exit_code(), 0);
}

// -------------------------------------------------------------------------------------------------
// The end of the process

template <class Body>
void leave_running(bool daemon, Body body) {
  leave_behind(new Thread({.daemon = daemon}, std::move(body)));
}

int leave_threads() {
  leave_running(false, [] {
    std::this_thread::sleep_for(100ms);
    leave_running(false, [] { say("thread "); });  // while the others are waited for
  });
  leave_running(true, [] {
    std::this_thread::sleep_for(100s);
    say("daemon ");
  });
  at_exit([] { say("hook"); });
  return 6;
}

TEST(ThreadEnd, TF6_AProgramWaitsForItsThreadsNotForDaemons) {
  const auto waited = time_of([] {
    const Ran ran = run_program(leave_threads);
    EXPECT_EQ(ran.out, "thread hook");
    EXPECT_EQ(ran.code, 6);
  });
  EXPECT_LT(waited, 10s);
}

TEST(ThreadEnd, PR19_SoDoesAChildAlsoOfAThreadOfTheStandard) {
  const auto waited = time_of([] {
    const Ran ran = run_program([] {
      Process child([] {
        std::thread([] { std::this_thread::sleep_for(100s); }).detach();
        sluice::exit(leave_threads());
      });
      child.join();
      return *child.exit_code();
    });
    EXPECT_EQ(ran.out, "thread hook");
    EXPECT_EQ(ran.code, 6);
  });
  EXPECT_LT(waited, 10s);
}

TEST(ThreadEnd, AThreadMayEndTheProgram) {
  const Ran ran = run_program([]() -> int {
    leave_running(false, [] { std::exit(5); });
    for (;;) pause();
  });
  EXPECT_EQ(ran.code, 5);
}

}  // namespace
}  // namespace sluice::tests
