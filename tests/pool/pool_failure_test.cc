// SPDX-License-Identifier: Apache-2.0
//
// Pool: workers that die, initializers that throw, a supervisor that is killed; rows PO, EX and the
// complaints C of the peers' users.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/ipc/value.h"
#include "sluice/pool/exit.h"
#include "sluice/pool/future.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/process.h"
#include "sluice/pool/shared_ref.h"
#include "sluice/pool/task_error.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"
#include "sluice/tests/pool/watched.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

using PoolFailureTest = tests::Watched;

int square(int n) { return n * n; }

/// Waits, for as long as the fixture allows, until the kernel knows no such process, not even as a
/// zombie.
void expect_gone(pid_t pid) {
  while (kill(pid, 0) == 0) std::this_thread::yield();
  EXPECT_EQ(errno, ESRCH);
}

pid_t parent_of(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::array<char, 512> text = {};
  const ssize_t size = read(fd, text.data(), text.size() - 1);
  close(fd);
  if (size <= 0) return -1;
  const std::string line = text.data();
  return std::atoi(line.c_str() + line.rfind(')') + 4);
}

// C1, C4: a worker that is killed fails its own task, with signal and task named
TEST_F(PoolFailureTest, AKilledWorkerFailsItsTaskAloneAndIsReplaced) {
  Pool pool(2);
  std::vector<Future<int>> futures;
  for (int i = 0; i < 100; ++i) {
    futures.push_back(pool.submit(
        [](int n) {
          if (n == 50) raise(SIGKILL);
          return n;
        },
        i));
  }
  int died = 0;
  for (int i = 0; i < 100; ++i) {
    try {
      EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
    } catch (const WorkerDied& e) {
      ++died;
      EXPECT_EQ(i, 50);
      EXPECT_EQ(e.signal(), SIGKILL);
      EXPECT_NE(std::string(e.what()).find("lambda"), std::string::npos) << e.what();
    }
  }
  EXPECT_EQ(died, 1);
  while (pool.counters().restarts == 0) std::this_thread::yield();
  EXPECT_EQ(pool.counters().restarts, 1U);
}

TEST_F(PoolFailureTest, HowAWorkerEndedIsTold) {
  Pool pool(1);
  const auto ends = [&](auto task, int argument) {
    try {
      pool.apply(task, argument);
    } catch (const WorkerDied& e) {
      return e.exit_code();
    }
    return 1000;
  };
  EXPECT_EQ(ends([](int n) { raise(n); }, SIGTERM), -SIGTERM);
  EXPECT_EQ(ends([](int n) { raise(n); }, SIGKILL), -SIGKILL);
  EXPECT_EQ(ends([](int n) { _exit(n); }, 42), 42);  // C18
  EXPECT_EQ(ends([](int n) { _exit(n); }, 0), 0);
  EXPECT_EQ(ends([](int n) { sluice::exit(n); }, 43), 43);
  EXPECT_EQ(pool.apply(square, 5), 25);
}

TEST_F(PoolFailureTest, AnItemThatExitsEndsItsWorker) {
  Pool pool(1);
  const auto leave_at_five = [](int n) {
    if (n == 5) sluice::exit(44);
    return n;
  };
  try {
    pool.map(leave_at_five, std::vector<int>{4, 5, 6});
    FAIL() << "it went on";
  } catch (const WorkerDied& e) {
    EXPECT_EQ(e.exit_code(), 44);
  }
  EXPECT_EQ(pool.apply(square, 5), 25);
}

// C32: where the host ignores SIGCHLD nobody else may be told how a worker ended
TEST_F(PoolFailureTest, HowAWorkerEndedIsToldWhereTheHostIgnoresItsChildren) {
  const auto before = signal(SIGCHLD, SIG_IGN);
  {
    Pool pool(1);
    try {
      pool.apply([] { raise(SIGKILL); });
      FAIL();
    } catch (const WorkerDied& e) {
      EXPECT_EQ(e.signal(), SIGKILL);
    }
    EXPECT_EQ(pool.apply(square, 5), 25);
  }
  signal(SIGCHLD, before);
}

// C31's kin: a pool whose supervisor is killed while its first worker starts is no pool
TEST_F(PoolFailureTest, ASupervisorThatDiesBeforeThereIsAWorkerIsAnError) {
  PoolOptions options = {.workers = 1};
  options.initializer = [] {
    kill(getppid(), SIGKILL);
    pause();
  };
  EXPECT_THROW(const Pool pool(options), Error);
}

// C2: an idle worker that dies costs nothing
TEST_F(PoolFailureTest, AnIdleWorkerThatIsKilledIsReplacedAndNoTaskHangs) {
  Pool pool(2);
  for (int round = 0; round < 10; ++round) {
    for (const pid_t pid : pool.pids()) kill(pid, SIGKILL);
    EXPECT_EQ(pool.apply(square, round), round * round);
  }
}

TEST_F(PoolFailureTest, ATaskIsTriedAgainAsOftenAsItsSubmitterAllows) {
  Value<int> tries(0);
  Pool pool(1);
  const auto dies_twice = [t = shared_ref(tries)](int n) {
    if (t->fetch_add(1) < 2) raise(SIGKILL);
    return n;
  };
  EXPECT_EQ(pool.apply(TaskOptions{.max_attempts = 3}, dies_twice, 8), 8);
  EXPECT_EQ(tries.load(), 3);
  tries.store(0);
  try {
    pool.apply(TaskOptions{.max_attempts = 2}, dies_twice, 8);
    FAIL();
  } catch (const WorkerDied& e) {
    EXPECT_EQ(e.attempts(), 2U);
  }
  EXPECT_EQ(tries.load(), 2);
}

// EX41: workers die while arguments and results of a MiB are under way
TEST_F(PoolFailureTest, DeathsAmongLargeMessagesAreTold) {
  Pool pool(2);
  const auto die_on_odd = [](const std::vector<int>& v) {
    if (v[0] % 2 == 1) raise(SIGKILL);
    return v;
  };
  std::vector<Future<std::vector<int>>> futures;
  for (int i = 0; i < 20; ++i) {
    futures.push_back(pool.submit(die_on_odd, std::vector<int>(1 << 18, i)));
  }
  for (int i = 0; i < 20; ++i) {
    const auto& future = futures[static_cast<std::size_t>(i)];
    if (i % 2 == 1) {
      EXPECT_THROW(static_cast<void>(future.get()), WorkerDied) << i;
    } else {
      EXPECT_EQ(future.get(), std::vector<int>(1 << 18, i));
    }
  }
}

// PO31, EX33: no fork storm
TEST_F(PoolFailureTest, AnInitializerThatThrowsIsAnErrorWithItsText) {
  Value<int> starts(0);
  PoolOptions options = {.workers = 3};
  options.initializer = [&] {
    starts.fetch_add(1);
    throw std::runtime_error("no database");
  };
  try {
    const Pool pool(options);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("no database"));
  }
  EXPECT_LE(starts.load(), 3);
}

TEST_F(PoolFailureTest, AnInitializerThatThrowsLaterBreaksThePool) {
  Value<int> starts(0);
  PoolOptions options = {.workers = 1};
  options.initializer = [&] {
    if (starts.fetch_add(1) != 0) throw std::runtime_error("only once");
  };
  Pool pool(options);
  EXPECT_EQ(pool.apply(square, 3), 9);
  const auto last = pool.submit([] { raise(SIGKILL); });
  const auto never = pool.submit(square, 4);
  EXPECT_THROW(last.get(), std::runtime_error);
  EXPECT_THROW(static_cast<void>(never.get()), Error);
  EXPECT_THROW(static_cast<void>(pool.submit(square, 5)), Error);
  EXPECT_EQ(starts.load(), 2);
}

// EX32, PO27: each worker runs it first; and the finalizer at its end
TEST_F(PoolFailureTest, InitializerAndFinalizerRunOnceInEachWorker) {
  static int g_state = 0;
  Value<int> starts(0);
  Value<int> ends(0);
  PoolOptions options = {.workers = 2, .max_tasks_per_worker = 5};
  options.initializer = [&] {
    starts.fetch_add(1);
    g_state = 7;
  };
  options.finalizer = [&] { ends.fetch_add(g_state == 7 ? 1 : 100); };
  Pool pool(options);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(pool.apply([] { return g_state; }), 7);
  pool.close();
  EXPECT_TRUE(pool.join(20s));
  EXPECT_GE(starts.load(), 10);
  EXPECT_EQ(ends.load(), starts.load());
}

// PO27, EX19: exactly so many tasks for each
TEST_F(PoolFailureTest, AWorkerEndsAfterAsManyTasksAsItMayRun) {
  Pool pool({.workers = 3, .max_tasks_per_worker = 10});
  std::vector<int> items(100);
  std::vector<pid_t> pids =
      pool.map(PoolMapOptions{.chunk = 1}, [](int) { return getpid(); }, items);
  std::ranges::sort(pids);
  const std::set<pid_t> distinct(pids.begin(), pids.end());
  EXPECT_GE(distinct.size(), 10U);
  for (const pid_t pid : distinct) EXPECT_LE(std::ranges::count(pids, pid), 10);
}

// PO28, EX21, C19
TEST_F(PoolFailureTest, ReplacementsAreStartedAfterCloseWhileTasksAreLeft) {
  Pool pool({.workers = 3, .max_tasks_per_worker = 1});
  std::vector<Future<int>> futures;
  for (int i = 0; i < 12; ++i) {
    futures.push_back(pool.submit(
        [](int n) {
          std::this_thread::sleep_for(20ms);
          return n;
        },
        i));
  }
  pool.close();
  EXPECT_TRUE(pool.join(20s));
  for (int i = 0; i < 12; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
}

// A pool whose supervisor is killed says so, and leaves nobody.
TEST_F(PoolFailureTest, TheSupervisorsDeathFailsWhatIsPendingAndEndsTheWorkers) {
  Pool pool(2);
  pool.apply(square, 1);
  const std::vector<pid_t> workers = pool.pids();
  ASSERT_FALSE(workers.empty());
  const auto pending = pool.submit([] { pause(); });
  kill(parent_of(workers[0]), SIGKILL);
  try {
    pending.get();
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::peer_died);
  }
  for (const pid_t pid : workers) expect_gone(pid);
  EXPECT_THROW(static_cast<void>(pool.submit(square, 1)), Error);
}

// C30: a submitter that is killed leaves nobody
TEST_F(PoolFailureTest, ASubmitterThatIsKilledLeavesNoWorkerAndNoSupervisor) {
  Value<std::array<pid_t, 3>> pids(std::array<pid_t, 3>{});
  Process submitter("submitter", [&] {
    Pool pool(2);
    const std::vector<int> items(20);
    pool.map([](int) { std::this_thread::sleep_for(1ms); }, items);
    const std::vector<pid_t> workers = pool.pids();
    pids.store({workers[0], workers.back(), parent_of(workers[0])});
    pool.apply([] { pause(); });
  });
  const std::array<pid_t, 3> found = pids.wait(std::array<pid_t, 3>{});
  submitter.kill();
  submitter.join();
  for (const pid_t pid : found) expect_gone(pid);
}

// C12, C14, C19: 100,000 tasks while workers are killed at random
TEST_F(PoolFailureTest, EachFutureEndsWhileWorkersAreKilledAtRandom) {
  constexpr int kTasks = 100'000;
  Pool pool(3);
  std::atomic<bool> over{false};
  int kills = 0;
  std::thread killer([&] {
    while (!over) {
      const std::vector<pid_t> pids = pool.pids();
      if (!pids.empty()) {
        kills += kill(pids[static_cast<std::size_t>(kills) % pids.size()], SIGKILL) == 0 ? 1 : 0;
      }
      std::this_thread::sleep_for(2ms);
    }
  });
  std::vector<Future<int>> futures;
  futures.reserve(kTasks);
  for (int i = 0; i < kTasks; ++i) {
    const TaskOptions options = {.max_attempts = i % 2 == 0 ? 100U : 1U};
    futures.push_back(pool.submit(options, [](int n) { return n; }, i));
  }
  int died = 0;
  for (int i = 0; i < kTasks; ++i) {
    try {
      EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
    } catch (const WorkerDied&) {
      EXPECT_EQ(i % 2, 1);
      ++died;
    }
  }
  over = true;
  killer.join();
  EXPECT_GT(kills, 10);
  EXPECT_LE(died, kills);
  EXPECT_EQ(pool.apply(square, 4), 16);
  const PoolCounters counters = pool.counters();
  EXPECT_EQ(counters.queued + counters.running, 0U);
  EXPECT_EQ(counters.submitted, kTasks + 1U);
}

}  // namespace
}  // namespace sluice
