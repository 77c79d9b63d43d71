// SPDX-License-Identifier: Apache-2.0
//
// ThreadPool: rows TP2 to TP4, EX7 to EX33 as far as they are about threads, the race of FU5, AS3
// and PO5 through a pool.

#include "sluice/pool/thread_pool.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/pool/executor.h"
#include "sluice/pool/future.h"
#include "sluice/pool/future_base.h"
#include "sluice/pool/uncaught.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/latch.h"
#include "sluice/sync/platform.h"
#include "sluice/tests/pool/watched.h"
#include "sluice/tests/support/child_party.h"

namespace sluice::tests {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsSupersetOf;
using Futures = std::vector<Future<int>>;

class ThreadPoolTest : public Watched {};

int twice(int n) { return 2 * n; }

struct Adder {
  int base;
  int add(int n) { return base + n; }
  int operator()(int n) const { return base + n; }
};

/// The names of this process's threads.
std::multiset<std::string> thread_names() {
  std::multiset<std::string> names;
  DIR* const directory = opendir("/proc/self/task");
  while (const dirent* entry = readdir(directory)) {
    std::ifstream comm(std::string("/proc/self/task/") + entry->d_name + "/comm");
    std::string name;
    if (std::getline(comm, name)) names.insert(name);
  }
  closedir(directory);
  return names;
}

/// Submits tasks that hold all threads of a pool.
class Busy {
 public:
  explicit Busy(ThreadPool& pool, std::size_t threads) : begun_(static_cast<long>(threads)) {
    for (std::size_t i = 0; i < threads; ++i) {
      tasks_.push_back(pool.submit([this] {
        begun_.count_down();
        go_on_.wait();
        return 0;
      }));
    }
    begun_.wait();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { end(); }
  void end() {
    go_on_.set();
    wait(tasks_);
  }

 private:
  Latch begun_;
  Event go_on_;
  Futures tasks_;
};

TEST_F(ThreadPoolTest, RunsCallablesOfAnyKind) {
  ThreadPool pool(2);
  Adder adder{10};
  EXPECT_EQ(pool.submit(twice, 4).get(), 8);
  EXPECT_EQ(pool.submit(&twice, 4).get(), 8);
  EXPECT_EQ(pool.submit(adder, 4).get(), 14);
  EXPECT_EQ(pool.submit(&Adder::add, &adder, 5).get(), 15);
  EXPECT_EQ(pool.submit(&Adder::base, adder).get(), 10);
  EXPECT_EQ(pool.submit(std::function<int(int)>(twice), 4).get(), 8);
  EXPECT_EQ(pool.submit(std::bind_front(twice, 6)).get(), 12);
  EXPECT_EQ(pool.submit([](auto p) { return *p + 1; }, std::make_unique<int>(3)).get(), 4);
  EXPECT_EQ(*pool.submit([p = std::make_unique<int>(7)]() mutable { return std::move(p); }).take(),
            7);
  int changed = 0;
  pool.submit([](int& n) { n = 5; }, std::ref(changed)).get();
  EXPECT_EQ(changed, 5);
}

TEST_F(ThreadPoolTest, ExceptionsComeBack) {
  ThreadPool pool(1);
  const Future<int> failing = pool.submit([]() -> int { throw std::out_of_range("far out"); });
  EXPECT_THROW(failing.get(), std::out_of_range);
  EXPECT_THROW(failing.get(), std::out_of_range);
  EXPECT_EQ(pool.submit(twice, 1).get(), 2);
}

TEST_F(ThreadPoolTest, AnIdleThreadIsUsedAgain) {  // TP2
  ThreadPool pool(8);
  EXPECT_EQ(pool.threads(), 0);
  for (int i = 0; i < 1000; ++i) {
    pool.submit(twice, i).wait();
    ASSERT_EQ(pool.threads(), 1);
    ASSERT_EQ(pool.idle(), 1);
  }
  EXPECT_EQ(pool.queued(), 0);
}

TEST_F(ThreadPoolTest, BusyThreadsAreAsManyAsAllowed) {  // EX10, TP2
  ThreadPool pool(4);
  {
    const Busy busy(pool, 4);
    Futures more;
    for (int i = 0; i < 56; ++i) more.push_back(pool.submit(twice, i));
    EXPECT_EQ(pool.threads(), 4);
    EXPECT_EQ(pool.idle(), 0);
    EXPECT_EQ(pool.queued(), 56);
    std::ostringstream text;
    text << pool;
    EXPECT_EQ(text.str(), "ThreadPool pool: 4 of 4 threads, 0 idle, 56 tasks queued, open");
  }
  pool.shutdown();
  EXPECT_EQ(pool.threads(), 0);
  EXPECT_EQ(pool.idle(), 0);
}

TEST_F(ThreadPoolTest, Sizes) {  // EX7, EX9
  EXPECT_THROW(ThreadPool(0), std::invalid_argument);
  EXPECT_EQ(ThreadPool().max_threads(), std::min(32, usable_cpus() + 4));
}

TEST_F(ThreadPoolTest, AFullQueueWaitsFailsOrTimesOut) {
  ThreadPool pool(1, 2);
  std::optional<Busy> busy(std::in_place, pool, 1);
  auto argument = std::make_unique<int>(3);
  const auto use = [](const std::unique_ptr<int>& p) { return *p; };
  pool.submit(twice, 1);
  pool.submit(twice, 1);
  EXPECT_EQ(pool.try_submit(use, std::move(argument)), std::nullopt);
  const auto start = Deadline::Clock::now();
  EXPECT_EQ(pool.submit_before(20ms, use, std::move(argument)), std::nullopt);
  EXPECT_GE(Deadline::Clock::now() - start, 20ms);
  ASSERT_NE(argument, nullptr);  // untouched
  std::atomic<bool> is_in = false;
  std::jthread waiting([&] {
    const Future<int> task = pool.submit(use, std::move(argument));
    is_in = true;
    EXPECT_EQ(task.get(), 3);
  });
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(is_in);
  busy.reset();
  waiting.join();
  EXPECT_TRUE(pool.submit_before(10s, twice, 1).has_value());
}

TEST_F(ThreadPoolTest, WithoutPlacesInTheQueueTasksGoToThreads) {
  ThreadPool pool(2, 0);
  {
    const Busy busy(pool, 2);
    EXPECT_EQ(pool.try_submit(twice, 1), std::nullopt);
  }
  const auto task = pool.try_submit(twice, 1);
  ASSERT_TRUE(task.has_value());
  EXPECT_EQ(task->get(), 2);
}

TEST_F(ThreadPoolTest, SubmittersThatWaitAreToldOfTheEnd) {
  ThreadPool pool(1, 0);
  std::optional<Busy> busy(std::in_place, pool, 1);
  std::jthread waiting([&] { EXPECT_THROW(pool.submit(twice, 1), std::logic_error); });
  std::this_thread::sleep_for(20ms);
  pool.shutdown({.wait = false});
  waiting.join();
  busy.reset();
}

TEST_F(ThreadPoolTest, CanBeResized) {  // TP3
  ThreadPool pool(2);
  std::optional<Busy> busy(std::in_place, pool, 2);
  const Future<int> waiting = pool.submit(twice, 1);
  pool.resize(3);
  EXPECT_EQ(waiting.get(), 2);
  EXPECT_EQ(pool.threads(), 3);
  pool.resize(1);
  busy.reset();
  while (pool.threads() > 1) std::this_thread::yield();
  pool.resize(0);
  while (pool.threads() > 0) std::this_thread::yield();
  const Future<int> until_later = pool.submit(twice, 2);
  EXPECT_FALSE(until_later.wait(20ms));
  pool.resize(1);
  EXPECT_EQ(until_later.get(), 4);
  pool.resize(0);
  const Future<int> at_the_end = pool.submit(twice, 3);
  pool.shutdown();
  EXPECT_EQ(at_the_end.get(), 6);
}

TEST_F(ThreadPoolTest, TasksMaySubmitAndWait) {  // TP4
  for (const std::size_t threads : {1, 2}) {
    ThreadPool pool(threads);
    const std::function<int(int)> sum_to = [&](int n) -> int {
      return n == 0 ? 0 : n + pool.submit(sum_to, n - 1).get();
    };
    EXPECT_EQ(pool.submit(sum_to, 50).get(), 1275);
    const auto of_several = [&] {
      const Futures parts = {pool.submit(twice, 1), pool.submit(twice, 2)};
      int sum = 0;
      for (const Future<int>& part : as_completed(parts)) sum += part.get();
      return sum + static_cast<int>(wait(parts).done.size());
    };
    EXPECT_EQ(pool.submit(of_several).get(), 8);
  }
}

TEST_F(ThreadPoolTest, CancelAgainstTheThreadThatTakesTheTask) {  // FU5 *
  ThreadPool pool(1);
  int cancelled = 0;
  constexpr int kRounds = 100'000;
  for (int i = 0; i < kRounds; ++i) {
    std::atomic<int> runs = 0;
    const Future<void> task = pool.submit([&] { runs++; });
    for (volatile int spin = i % 64 * 16; spin > 0;) spin = spin - 1;
    const bool is_cancelled = task.cancel();
    task.wait();
    ASSERT_EQ(is_cancelled, task.cancelled());
    if (is_cancelled) pool.submit([] {}).wait();  // behind it
    ASSERT_EQ(runs, is_cancelled ? 0 : 1);
    cancelled += is_cancelled;
  }
  RecordProperty("cancelled", cancelled);
}

TEST_F(ThreadPoolTest, CallbacksAreNotRunByWorkersAndBeforeTheResult) {  // PO5
  ThreadPool pool({.max_threads = 3, .name = "workers"});
  std::set<std::thread::id> workers;
  std::set<std::thread::id> callers;
  std::mutex mutex;
  int called = 0;
  Futures tasks;
  for (int i = 0; i < 300; ++i) {
    tasks.push_back(pool.submit([&, i] {
      const std::lock_guard lock(mutex);
      workers.insert(std::this_thread::get_id());
      return i;
    }));
    tasks.back().on_done([&] {  // no lock: one at a time
      callers.insert(std::this_thread::get_id());
      ++called;
    });
  }
  wait(tasks);
  EXPECT_EQ(called, 300);
  std::erase_if(callers, [](auto id) { return id == std::this_thread::get_id(); });
  EXPECT_LE(callers.size(), 1);
  for (const auto caller : callers) EXPECT_FALSE(workers.contains(caller));
}

TEST_F(ThreadPoolTest, ThePoolMayBeUsedAndShutDownInCallbacks) {
  ThreadPool pool(1);
  Event done;
  int from_callback = 0;
  Event go_on;
  const Future<void> first = pool.submit([&] { go_on.wait(); });
  first.on_done([&] {
    from_callback = pool.submit(twice, 4).get();
    pool.shutdown();
    done.set();
  });
  go_on.set();
  done.wait();
  EXPECT_EQ(from_callback, 8);
  EXPECT_THROW(pool.submit(twice, 1), std::logic_error);
}

TEST_F(ThreadPoolTest, CallbacksOnAnotherPool) {
  ThreadPool calls({.max_threads = 1, .name = "mine"});
  ThreadPool pool({.max_threads = 1, .run_callbacks = [&](std::function<void()> job) {
                     calls.submit(std::move(job));
                   }});
  Event go_on;
  const Future<void> task = pool.submit([&] { go_on.wait(); });
  std::string name;
  task.on_done([&] {
    char text[16] = {};
    pthread_getname_np(pthread_self(), text, sizeof text);
    name = text;
  });
  go_on.set();
  task.get();
  EXPECT_EQ(name, "mine_0");
}

TEST_F(ThreadPoolTest, TheDestructorRunsAllAndItsCallbacks) {  // EX24, EX26, EX30
  std::atomic<int> runs = 0;
  int called = 0;
  Event go_on;
  Futures tasks;
  {
    ThreadPool pool(3);
    for (int i = 0; i < 200; ++i) {
      tasks.push_back(pool.submit([&, i] {
        if (i == 199) go_on.wait();  // until it has its callback
        runs++;
        return i;
      }));
      tasks.back().on_done([&, i] {
        if (i == 199) std::this_thread::sleep_for(30ms);
        ++called;
      });
    }
    go_on.set();
  }
  EXPECT_EQ(runs, 200);
  EXPECT_EQ(called, 200);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(tasks[static_cast<std::size_t>(i)].get(), i);
}

TEST_F(ThreadPoolTest, NothingAfterShutdown) {  // EX23
  ThreadPool pool(1);
  pool.shutdown();
  pool.shutdown();
  EXPECT_THROW(pool.submit(twice, 1), std::logic_error);
  EXPECT_THROW(pool.try_submit(twice, 1), std::logic_error);
}

TEST_F(ThreadPoolTest, ShutdownMayCancel) {  // EX27, EX30
  for (const bool wait_for_it : {true, false}) {
    ThreadPool pool(2);
    Busy busy(pool, 2);
    Futures tasks;
    int called = 0;
    for (int i = 0; i < 50; ++i) tasks.push_back(pool.submit(twice, i));
    tasks[7].on_error([&](const std::exception_ptr&) { ++called; });
    std::jthread later([&] {
      std::this_thread::sleep_for(20ms);
      busy.end();
    });
    pool.shutdown({.wait = wait_for_it, .cancel_queued = true});
    EXPECT_EQ(pool.threads(), wait_for_it ? 0 : 2);
    EXPECT_EQ(wait(tasks, Wait::all_completed, 0s).done.size(), 50);
    for (const Future<int>& task : tasks) EXPECT_TRUE(task.cancelled());
    later.join();
    pool.shutdown();
    EXPECT_EQ(called, 1);
  }
}

TEST_F(ThreadPoolTest, SubmitCancelAndShutdownDoNotHang) {  // EX29
  for (int round = 0; round < 500; ++round) {
    ThreadPool pool(2);
    const Future<int> task = pool.submit(twice, 1);
    task.cancel();
    pool.shutdown();
    ASSERT_TRUE(task.done());
  }
}

TEST_F(ThreadPoolTest, ThreadsHaveNamesAndNoSignals) {  // EX30
  ThreadPool pool({.max_threads = 2, .name = "crunch"});
  const Busy busy(pool, 2);
  EXPECT_THAT(thread_names(), IsSupersetOf({"crunch_0", "crunch_1"}));
  ThreadPool other(1);
  other
      .submit([] {
        sigset_t blocked;
        pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        EXPECT_TRUE(sigismember(&blocked, SIGINT));
        EXPECT_FALSE(sigismember(&blocked, SIGSEGV));
      })
      .get();
}

TEST_F(ThreadPoolTest, EachThreadIsInitialized) {  // EX32
  thread_local int ready = 0;
  std::atomic<int> calls = 0;
  ThreadPool pool({.max_threads = 2, .initializer = [&] {
                     ready = 5;
                     calls++;
                   }});
  Futures tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back(pool.submit([] { return ready; }));
  for (const Future<int>& task : tasks) EXPECT_EQ(task.get(), 5);
  const Busy busy(pool, 2);
  EXPECT_EQ(calls, 2);
}

TEST_F(ThreadPoolTest, AnInitializerThatThrowsBreaksThePool) {  // EX33
  static std::atomic<int> reports = 0;
  const UncaughtHook before =
      set_uncaught_hook([](std::string_view, const std::exception_ptr&) { reports++; });
  int calls = 0;
  ThreadPool pool({.max_threads = 1, .initializer = [&] {
                     ++calls;
                     throw std::runtime_error("no licence");
                   }});
  Futures tasks;
  try {
    for (int i = 0; i < 3; ++i) tasks.push_back(pool.submit(twice, i));
  } catch (const BrokenExecutor&) {  // NOLINT(bugprone-empty-catch): as soon as that
  }
  for (const Future<int>& task : tasks) EXPECT_THROW(task.get(), BrokenExecutor);
  try {
    while (true) pool.submit(twice, 1).wait();
  } catch (const BrokenExecutor& e) {
    EXPECT_THAT(e.what(), HasSubstr("std::runtime_error: no licence"));
  }
  pool.shutdown();
  EXPECT_EQ(calls, 1);  // nobody tries again
  EXPECT_EQ(reports, 1);
  set_uncaught_hook(before);
}

TEST_F(ThreadPoolTest, WhereThereAreNoThreadsSubmitThrows) {  // EX22
  ChildParty poor([] {
    // The limit does not bind root.
    if (geteuid() == 0 && setuid(65534) != 0) GTEST_SKIP() << "cannot become nobody";
    const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
    ASSERT_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
    ThreadPool pool(2);
    EXPECT_THROW(pool.submit(twice, 1), Error);
    EXPECT_EQ(pool.queued(), 0);
    pool.shutdown();
  });
  poor.finish();
}

TEST_F(ThreadPoolTest, ManyThreadsSubmit) {
  ThreadPool pool(3, 10);
  std::atomic<int> runs = 0;
  {
    std::vector<std::jthread> submitters;
    for (int i = 0; i < 4; ++i) {
      submitters.emplace_back([&] {
        for (int n = 0; n < 2000; ++n) pool.submit([&] { runs++; });
      });
    }
  }
  pool.shutdown();
  EXPECT_EQ(runs, 8000);
}

TEST_F(ThreadPoolTest, MayBeDestroyedByItsOwnTask) {
  auto pool = std::make_unique<ThreadPool>(2);
  Event go_on;
  const Future<void> task = pool->submit([&] {
    go_on.wait();
    pool.reset();
  });
  go_on.set();
  task.get();
  EXPECT_EQ(pool, nullptr);
}

}  // namespace
}  // namespace sluice::tests
