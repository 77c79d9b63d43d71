// SPDX-License-Identifier: Apache-2.0
//
// Pool: how it begins and ends: close, join, terminate, destructors, forks, Ctrl-C; rows PO, EX and
// the complaints C of the peers' users.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/ipc/inspect.h"
#include "sluice/ipc/object_info.h"
#include "sluice/ipc/value.h"
#include "sluice/pool/future.h"
#include "sluice/pool/interrupt.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/process.h"
#include "sluice/pool/shared_ref.h"
#include "sluice/pool/task_error.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/tests/pool/watched.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

using PoolLifeTest = tests::Watched;

int square(int n) { return n * n; }

void expect_gone(const std::vector<pid_t>& pids) {
  for (const pid_t pid : pids) {
    while (kill(pid, 0) == 0) std::this_thread::yield();
    EXPECT_EQ(errno, ESRCH);
  }
}

// EX26: what was submitted before close() is done
TEST_F(PoolLifeTest, CloseRefusesNewTasksAndJoinWaitsForTheOthers) {
  Value<int> go(0);
  Pool pool(2);
  std::vector<Future<int>> futures;
  for (int i = 0; i < 50; ++i) {
    futures.push_back(pool.submit([g = shared_ref(go)](int n) { return g->wait(0) + n; }, i));
  }
  EXPECT_THROW(pool.join(), std::logic_error);
  const std::vector<pid_t> pids = pool.pids();
  pool.close();
  pool.close();
  EXPECT_THROW(static_cast<void>(pool.submit(square, 1)), Error);  // EX23
  EXPECT_FALSE(pool.join(1ms));
  go.store(1);
  EXPECT_TRUE(pool.join(20s));
  EXPECT_TRUE(pool.join());
  for (int i = 0; i < 50; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i + 1);
  expect_gone(pids);
}

// PO16
TEST_F(PoolLifeTest, TerminateIsQuickWhateverIsQueuedRunsOrIsBeingSubmitted) {
  Pool pool({.workers = 3, .max_tasks = 2000});
  std::vector<Future<void>> futures;
  for (int i = 0; i < 2000; ++i) futures.push_back(pool.submit([] { pause(); }));
  std::atomic<bool> refused{false};
  std::thread feeder([&] {
    try {
      static_cast<void>(pool.submit(square, 1));
    } catch (const Error& e) {
      refused = e.code() == Status::closed;
    }
  });
  std::atomic<bool> told{false};
  std::thread waiter([&] {
    try {
      futures[0].get();
    } catch (const Error& e) {
      told = e.code() == Status::closed;
    }
  });
  const std::vector<pid_t> pids = pool.pids();
  const auto before = Clock::now();
  pool.terminate();
  EXPECT_LT(Clock::now() - before, 10s);
  feeder.join();
  waiter.join();
  EXPECT_TRUE(refused);
  EXPECT_TRUE(told);
  expect_gone(pids);
  for (const auto& future : futures) EXPECT_THROW(future.get(), Error);
  EXPECT_TRUE(pool.join());
  pool.terminate();
}

// PO18
TEST_F(PoolLifeTest, TheEndOfItsScopeTerminatesIt) {
  std::optional<Future<void>> future;
  std::vector<pid_t> pids;
  {
    Pool pool(2);
    future = pool.submit([] { pause(); });
    while (!future->running()) std::this_thread::yield();
    pids = pool.pids();
  }
  EXPECT_THROW(future->get(), Error);
  expect_gone(pids);
}

// EX29
TEST_F(PoolLifeTest, SubmitCancelAndCloseEndEachTime) {
  for (int round = 0; round < 50; ++round) {
    Pool pool(1);
    const auto future = pool.submit(square, 3);
    const bool cancelled = future.cancel();
    pool.close();
    EXPECT_TRUE(pool.join(20s));
    if (cancelled) {
      EXPECT_THROW(static_cast<void>(future.get()), CancelledError);
    } else {
      EXPECT_EQ(future.get(), 9);
    }
  }
}

// EX27, EX40: ends while workers die
TEST_F(PoolLifeTest, AWorkersDeathDoesNotHoldUpJoin) {
  Pool pool(2);
  const auto dead = pool.submit([] { raise(SIGKILL); });
  const auto last = pool.submit(square, 5);
  pool.close();
  EXPECT_TRUE(pool.join(20s));
  EXPECT_THROW(dead.get(), WorkerDied);
  EXPECT_EQ(last.get(), 25);
}

// PO33: a pool in a child, and output that is not written twice
TEST_F(PoolLifeTest, AForkedChildMayMakeItsOwnPoolAndDestroyItsCopyOfTheParents) {
  Pool pool(1);
  EXPECT_EQ(pool.apply(square, 2), 4);
  auto copy = std::make_unique<Pool>(1);
  Process child([&] {
    copy.reset();  // the parent's is not touched
    Pool mine(2);
    if (mine.apply(square, 3) != 9) _exit(EXIT_FAILURE);
  });
  child.join();
  EXPECT_EQ(child.exit_code(), 0);
  EXPECT_EQ(copy->apply(square, 4), 16);
  EXPECT_EQ(pool.apply(square, 5), 25);
}

// C23: a pool is made while other threads hold the locks of malloc and stdio
TEST_F(PoolLifeTest, PoolsAreMadeWhileThreadsHammerMallocAndStdio) {
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&over] {
      const std::unique_ptr<FILE, int (*)(FILE*)> sink(fopen("/dev/null", "w"), fclose);
      while (!over) {
        const std::vector<std::string> strings(100, std::string(100, 'x'));
        for (const auto& s : strings) fputs(s.c_str(), sink.get());
      }
    });
  }
  for (int round = 0; round < 30; ++round) {
    Pool pool(2);
    EXPECT_EQ(pool.apply(
                  [](const std::string& s) {
                    std::vector<std::string> strings(10, s);
                    return strings.back() + "!";
                  },
                  std::string("text")),
              "text!");
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
}

int g_generation = 1;

int generation() { return g_generation; }

bool is_an_error(PoolOptions options) {
  try {
    const Pool refused(std::move(options));
    return false;
  } catch (const Error& e) {
    return e.code() == std::errc::invalid_argument;
  }
}

// C23: the workers' origin is forked before there are threads
TEST_F(PoolLifeTest, PreparedPoolsHaveTheMemoryOfThenAndDoAllThatOthersDo) {
  Process program([] {
    Pool::prepare();
    Pool::prepare();
    g_generation = 2;
    std::thread other([] {
      Pool first(2);
      Pool second(1);
      const bool old = first.apply(generation) == 1 && second.apply(generation) == 1;
      const auto dead = first.submit([] { raise(SIGKILL); });
      dead.wait();
      const bool goes_on = first.apply(square, 5) == 25;
      second.close();
      if (!old || !goes_on || !second.join(20s) || generation() != 2) _exit(2);
    });
    other.join();
    const std::vector<pid_t> pids = [] {
      Pool last(1);
      last.apply(square, 1);
      return last.pids();
    }();
    for (const pid_t pid : pids) {
      while (kill(pid, 0) == 0) std::this_thread::yield();
    }
  });
  program.join();
  EXPECT_EQ(program.exit_code(), 0);
}

void become_5() { g_generation = 5; }

// EX32, and the complaint C23: what a worker is to have comes after the fork that it is of
TEST_F(PoolLifeTest, PreparedPoolsRunAnInitializerInEachWorker) {
  Value<int> ends(0);
  Process program([&] {
    Pool::prepare();
    PoolOptions options = {.workers = 2, .max_tasks_per_worker = 1};
    options.initializer = [base = 70] { g_generation += base; };
    options.finalizer = [e = shared_ref(ends)] { e->fetch_add(g_generation == 71 ? 1 : 100); };
    Pool captures(options);
    for (int i = 0; i < 4; ++i) {
      if (captures.apply(generation) != 71) _exit(2);
    }
    captures.close();
    if (!captures.join(20s)) _exit(3);
    if (Pool({.workers = 1, .initializer = become_5}).apply(generation) != 5) _exit(4);
    if (Pool({.workers = 1, .initializer = nullptr}).apply(generation) != 1) _exit(5);
    if (generation() != 1) _exit(6);
  });
  program.join();
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_GE(ends.load(), 4);
  EXPECT_LE(ends.load(), 6);  // and of the last who found nothing to do
}

TEST_F(PoolLifeTest, PreparedPoolsRefuseAnInitializerThatCantTravel) {
  Process program([] {
    Pool::prepare();
    int local = 0;
    const std::function<void()> hidden = [] {};
    const std::array<char, 65536> much = {};
    if (!is_an_error({.workers = 1, .initializer = [&local] { ++local; }})) _exit(2);
    if (!is_an_error({.workers = 1, .initializer = hidden})) _exit(3);
    if (!is_an_error({.workers = 1, .finalizer = hidden})) _exit(4);
    if (!is_an_error({.workers = 1, .initializer = [much] { g_generation = much[0]; }})) _exit(5);
    if (Pool(1).apply(square, 5) != 25) _exit(6);
  });
  program.join();
  EXPECT_EQ(program.exit_code(), 0);
}

// PO31, EX33: no fork storm
TEST_F(PoolLifeTest, PreparedPoolsTellOfAnInitializerThatThrows) {
  Value<int> starts(0);
  Process program([&] {
    Pool::prepare();
    PoolOptions options = {.workers = 3};
    options.initializer = [s = shared_ref(starts)] {
      s->fetch_add(1);
      throw std::runtime_error("no database");
    };
    try {
      const Pool pool(options);
      _exit(2);
    } catch (const Error& e) {
      if (std::string_view(e.what()).find("no database") == std::string_view::npos) _exit(3);
    }
    if (Pool(1).apply(square, 5) != 25) _exit(4);
  });
  program.join();
  EXPECT_EQ(program.exit_code(), 0);
  EXPECT_GE(starts.load(), 1);
  EXPECT_LE(starts.load(), 3);
}

TEST_F(PoolLifeTest, ItGrowsWhileTasksWaitAndShrinksWhenIdle) {
  Pool pool({.workers = 1, .max_workers = 4, .idle_time = 20ms});
  std::vector<Future<void>> futures;
  for (int i = 0; i < 40; ++i) {
    futures.push_back(pool.submit([] { std::this_thread::sleep_for(20ms); }));
    std::this_thread::sleep_for(1ms);
  }
  std::size_t most = 0;
  for (const auto& future : futures) {
    most = std::max(most, pool.pids().size());
    future.get();
  }
  EXPECT_EQ(most, 4U);
  while (pool.pids().size() != 1) std::this_thread::yield();
  EXPECT_EQ(pool.apply(square, 6), 36);
}

TEST_F(PoolLifeTest, AsManyAreIdleAsTheRuleOfPreforkServersSays) {
  EXPECT_THROW(Pool({.workers = 1, .max_workers = 4, .min_spare = 3, .max_spare = 2}), Error);
  Value<int> go(0);
  Pool pool({.workers = 1, .max_workers = 6, .idle_time = 20ms, .min_spare = 2, .max_spare = 3});
  // At least: where a new worker takes more than one look to become idle, the rule starts the next.
  while (pool.pids().size() < 2) std::this_thread::yield();
  std::vector<Future<void>> futures;
  for (int i = 0; i < 2; ++i) {
    futures.push_back(pool.submit([g = shared_ref(go)] { g->wait(0); }));
  }
  while (pool.pids().size() < 4) std::this_thread::yield();  // two at work, two idle
  futures.push_back(pool.submit([g = shared_ref(go)] { g->wait(0); }));
  futures.push_back(pool.submit([g = shared_ref(go)] { g->wait(0); }));
  while (pool.pids().size() < 6) std::this_thread::yield();
  go.store(1);
  for (auto& future : futures) future.get();
  // All idle: between the two, in the end.
  for (std::size_t n = 6; n < 2 || n > 3; n = pool.pids().size()) std::this_thread::yield();
  EXPECT_EQ(pool.apply(square, 6), 36);
}

TEST_F(PoolLifeTest, ItIsResized) {
  Pool pool({.workers = 1, .max_workers = 3, .idle_time = 10ms});
  EXPECT_THROW(pool.resize(0), Error);
  EXPECT_THROW(pool.resize(4), Error);
  pool.resize(3);
  while (pool.pids().size() != 3) std::this_thread::yield();
  const std::vector<pid_t> pids = pool.pids();
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(pool.pids(), pids);  // who is wanted stays, however long it is idle
  pool.resize(2);
  while (pool.pids().size() != 2) std::this_thread::yield();
  EXPECT_EQ(pool.apply(square, 7), 49);
}

TEST_F(PoolLifeTest, CountersAddUp) {
  Pool pool(2);
  for (int i = 0; i < 20; ++i) {
    const auto future =
        pool.submit([](int n) { return n % 4 == 0 ? throw std::range_error("") : n; }, i);
    future.wait();
  }
  const PoolCounters counters = pool.counters();
  EXPECT_EQ(counters.submitted, 20U);
  EXPECT_EQ(counters.done, 20U);
  EXPECT_EQ(counters.failed, 5U);
  EXPECT_EQ(counters.queued, 0U);
  EXPECT_EQ(counters.running, 0U);
  EXPECT_EQ(counters.workers.size(), 2U);
  EXPECT_EQ(counters.workers[0].done + counters.workers[1].done, 20U);
}

TEST_F(PoolLifeTest, TheInspectorShowsANamedPool) {
  Pool pool({.workers = 2, .inspected_as = "seen"});
  for (int i = 0; i < 5; ++i) pool.apply(square, i);
  Domain domain(Domain::current_path(), Domain::Access::look);
  const ObjectInfo seen = describe_object(domain, "seen");
  EXPECT_EQ(seen.kind(), "pool");
  EXPECT_TRUE(seen.faults.empty()) << seen.faults.front();
  std::ostringstream text;
  print_details(text, seen);
  EXPECT_NE(text.str().find("tasks submitted: 5"), std::string::npos) << text.str();
  EXPECT_NE(text.str().find("worker 1"), std::string::npos) << text.str();
  EXPECT_NE(text.str().find("restarts, busy"), std::string::npos) << text.str();
}

// PR18's kin: a pool leaves no descriptor
TEST_F(PoolLifeTest, NoDescriptorIsLeft) {
  const auto count = [] {
    int n = 0;
    for (int fd = 0; fd < 256; ++fd) n += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return n;
  };
  {
    Pool(1).apply(square, 1);
  }
  const int before = count();
  for (int i = 0; i < 5; ++i) Pool(2).apply(square, 1);
  EXPECT_EQ(count(), before);
}

/// Runs `body` in a session of its own whose terminal gets Ctrl-C as soon as it has printed a line;
/// gives its exit code. `then` is called after Ctrl-C.
template <class Body, class Then = void (*)()>
int exit_code_after_ctrl_c(Body body, Then then = [] {}) {
  int master = -1;
  const pid_t pid = forkpty(&master, nullptr, nullptr, nullptr);
  if (pid == 0) _exit(body());
  std::array<char, 256> text = {};
  EXPECT_GT(read(master, text.data(), text.size()), 0);
  EXPECT_EQ(write(master, "\x03", 1), 1);
  then();
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  close(master);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// C34: Ctrl-C on a terminal, whatever the parent waits for
template <class Wait>
int pool_under_ctrl_c(Value<std::array<pid_t, 2>>& workers, Value<int>& ran, Wait wait) {
  const InterruptGuard guard;
  Pool pool({.workers = 2, .grace = 20ms});
  try {
    const std::vector<int> items(500);
    const auto task = [r = shared_ref(ran)](int) {
      r->fetch_add(1);
      std::this_thread::sleep_for(30s);
    };
    const auto all = pool.map_async(PoolMapOptions{.chunk = 1}, task, items);
    while (ran.load() < 2) std::this_thread::yield();
    const std::vector<pid_t> pids = pool.pids();
    workers.store({pids[0], pids[1]});
    puts("ready");
    fflush(stdout);
    wait(pool, all);
  } catch (const Error& e) {
    if (e.code() == Status::interrupted) return InterruptGuard::kExitCode;
  } catch (const std::exception& e) {
    fprintf(stderr, "%s\n", e.what());
  }
  return 1;
}

template <class Wait>
void expect_ctrl_c_ends(Wait wait) {
  Value<std::array<pid_t, 2>> workers(std::array<pid_t, 2>{});
  Value<int> ran(0);
  EXPECT_EQ(exit_code_after_ctrl_c([&] { return pool_under_ctrl_c(workers, ran, wait); }),
            InterruptGuard::kExitCode);
  const auto [first, second] = workers.load();
  expect_gone({first, second});
  EXPECT_EQ(ran.load(), 2);
}

TEST_F(PoolLifeTest, CtrlCEndsAGet) {
  expect_ctrl_c_ends([](Pool&, const auto& all) { all.get(); });
}

TEST_F(PoolLifeTest, CtrlCEndsAJoin) {
  expect_ctrl_c_ends([](Pool& pool, const auto&) {
    pool.close();
    pool.join();
  });
}

TEST_F(PoolLifeTest, CtrlCEndsAWaitBesideCallbacks) {
  expect_ctrl_c_ends([](Pool&, const auto& all) {
    all.on_done([] {});
    all.get();
  });
}

TEST_F(PoolLifeTest, WorkersDoNotHearSigint) {
  Pool pool(1);
  EXPECT_EQ(pool.apply(
                [](int n) {
                  raise(SIGINT);
                  return n;
                },
                3),
            3);
}

TEST_F(PoolLifeTest, WhatRunsMayEndWithinTheGraceTimeAfterCtrlC) {
  Value<int> go(0);
  Value<int> begun(0);
  Value<int> done(0);
  const auto program = [&] {
    const InterruptGuard guard;
    Pool pool({.workers = 2, .grace = 30s});
    const auto task = [g = shared_ref(go), b = shared_ref(begun), d = shared_ref(done)](int) {
      b->fetch_add(1);
      g->wait(0);
      d->fetch_add(1);
    };
    const auto all = pool.map_async(PoolMapOptions{.chunk = 1}, task, std::vector<int>(100));
    while (begun.load() < 2) std::this_thread::yield();
    puts("ready");
    fflush(stdout);
    try {
      all.get();
    } catch (const Error& e) {
      if (e.code() == Status::interrupted) return InterruptGuard::kExitCode;
    } catch (const CancelledError&) {
      return 1;
    }
    return 2;
  };
  // Late enough for a pool without patience to have killed them; that is all the time is for.
  const auto let_go = [&] {
    std::this_thread::sleep_for(500ms);
    go.store(1);
  };
  EXPECT_EQ(exit_code_after_ctrl_c(program, let_go), InterruptGuard::kExitCode);
  EXPECT_GE(done.load(), 2);
  EXPECT_EQ(done.load(), begun.load());
}

TEST_F(PoolLifeTest, WithoutAGuardCtrlCEndsTheProcessAndItsWorkersWithIt) {
  Value<std::array<pid_t, 2>> workers(std::array<pid_t, 2>{});
  const int code = exit_code_after_ctrl_c([&] {
    Pool pool(2);
    Value<int> ran(0);
    const auto first = pool.submit([] { pause(); });
    const auto second = pool.submit([] { pause(); });
    while (!first.running() || !second.running()) std::this_thread::yield();
    const std::vector<pid_t> pids = pool.pids();
    workers.store({pids[0], pids[1]});
    puts("ready");
    fflush(stdout);
    first.get();
    return 0;
  });
  EXPECT_EQ(code, -SIGINT);
  const auto [first, second] = workers.load();
  expect_gone({first, second});
}

}  // namespace
}  // namespace sluice
