// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/pool_cases.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iostream>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/yardsticks.h"
#include "sluice/bench/rivals/event.h"
#include "sluice/bench/rivals/python_pool.h"
#include "sluice/ipc/shared.h"
#include "sluice/pool/future.h"
#include "sluice/pool/pool.h"
#include "sluice/pool/process.h"
#include "sluice/pool/start_options.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {
namespace {

int same(int n) { return n; }

/// A process of a repetition is pinned; a pool's processes share all CPUs.
void use_all_cpus() {
  cpu_set_t all;
  CPU_ZERO(&all);
  const long count = sysconf(_SC_NPROCESSORS_CONF);
  for (long i = 0; i < count; ++i) CPU_SET(static_cast<std::size_t>(i), &all);
  sched_setaffinity(0, sizeof all, &all);
}

using Measure = std::function<double(SliceTimes)>;

Variant alone(const Measure& measure) {
  return {"", [measure] {
            return Roles{[measure](Slice& slice) {
              use_all_cpus();
              slice.report(0, measure(slice.times()));
            }};
          }};
}

double microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

/// The median time of a call, in us, each after a pause.
template <class Call>
double median_of_calls(SliceTimes times, Clock::duration pause, Call call) {
  std::vector<double> all;
  call();
  const Clock::time_point until = Clock::now() + times.measured;
  while (Clock::now() < until || all.size() < 5) {
    if (pause != Clock::duration::zero()) std::this_thread::sleep_for(pause);
    const Clock::time_point begin = Clock::now();
    call();
    all.push_back(microseconds(Clock::now() - begin));
  }
  std::ranges::nth_element(all, all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2));
  return all[all.size() / 2];
}

/// Millions per second of a call that does so many.
template <class Call>
double rate_of(SliceTimes times, std::size_t n, Call call) {
  call();
  std::size_t calls = 0;
  const Clock::time_point begin = Clock::now();
  while (Clock::now() < begin + times.measured) {
    call();
    ++calls;
  }
  return static_cast<double>(n * calls) / microseconds(Clock::now() - begin);
}

std::vector<int> numbers(std::size_t n) {
  std::vector<int> all(n);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

double awake(SliceTimes times) {
  Pool pool(2);
  return Slice::seconds_per_call(times, [&] { pool.apply(same, 1); }) * 1e6;
}

/// After which who waits for a task sleeps, and so does its processor.
constexpr std::chrono::milliseconds kPause{2};

double asleep(SliceTimes times) {
  Pool pool(2);
  return median_of_calls(times, kPause, [&] { pool.apply(same, 1); });
}

struct Words {
  static constexpr std::string_view kTypeName = "sluice.bench.TwoWords/1";
  FutexEvent<Wait::block> there, back;
};

/// Two processes with a word each, asleep as long: what the machine itself takes for that.
double asleep_bare(SliceTimes times) {
  Shared<Words> words;
  Process echo(StartOptions{.daemon = true}, [&words] {
    for (;;) {
      words->there.wait();
      words->back.set();
    }
  });
  const double median = median_of_calls(times, kPause, [&words] {
    words->there.set();
    words->back.wait();
  });
  echo.kill();
  return median;
}

double submit(SliceTimes times) {
  constexpr std::size_t kTasks = 20'000;
  Pool pool(2);
  std::vector<Future<int>> futures(kTasks);
  return rate_of(times, kTasks, [&] {
    for (std::size_t i = 0; i < kTasks; ++i) futures[i] = pool.submit(same, static_cast<int>(i));
    for (const Future<int>& future : futures) future.wait();
  });
}

double map(SliceTimes times) {
  const std::vector<int> items = numbers(1'000'000);
  Pool pool(2);
  return rate_of(times, items.size(), [&] { pool.map(same, items); });
}

double imap_unordered(SliceTimes times) {
  const std::vector<int> items = numbers(20'000);
  Pool pool(2);
  return rate_of(times, items.size(), [&] {
    for (const int n : pool.imap_unordered(same, items)) static_cast<void>(n);
  });
}

double imap(SliceTimes times) {
  const std::vector<int> items = numbers(20'000);
  Pool pool(2);
  return rate_of(times, items.size(), [&] {
    for (const int n : pool.imap(same, items)) static_cast<void>(n);
  });
}

double mebibyte(SliceTimes times) {
  const std::vector<char> bytes(1 << 20, 'x');
  Pool pool(2);
  return median_of_calls(times, Clock::duration::zero(),
                         [&] { pool.apply([](std::vector<char> b) { return b; }, bytes); });
}

double start_join(SliceTimes times) {
  return median_of_calls(times, Clock::duration::zero(), [] {
    Process child([] {});
    child.join();
  });
}

/// What the machine takes for it: a fork, an end, and its being told.
double fork_and_wait(SliceTimes times) {
  return median_of_calls(times, Clock::duration::zero(), [] {
    const pid_t child = ::fork();
    if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (child == 0) ::_exit(0);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  });
}

/// Of a process that has touched so many bytes.
Measure start(unsigned workers, std::size_t touched) {
  return [=](SliceTimes times) {
    const std::vector<char> weight(touched, 'x');
    return median_of_calls(times, Clock::duration::zero(), [&] { Pool(workers).apply(same, 1); });
  };
}

Case case_of(const std::string& name, const std::string& unit, Better better, Yardstick limit) {
  // The yardsticks there and back are in ns.
  return {.group = "pool",
          .name = "pool/" + name,
          .unit = unit,
          .better = better,
          .limit = limit,
          .per_limit = better == Better::lower ? 1e-3 : 1};
}

}  // namespace

void add_pool_cases(Suite& suite) {
  const bool has_python = PythonPool::is_there();
  if (!has_python) std::cerr << "SKIPPED: python3 with multiprocessing is not there\n";
  const auto add = [&](const Case& what, const Measure& measure, const char* python,
                       const char* executor = nullptr, const Measure& bare = nullptr) {
    std::vector<Subject> subjects = {{"sluice", {alone(measure)}}};
    if (has_python && python != nullptr) {
      subjects.push_back({"python", {PythonPool::variant("", python)}});
    }
    if (has_python && executor != nullptr) {
      subjects.push_back({"python_executor", {PythonPool::variant("", executor)}});
    }
    if (bare != nullptr) subjects.push_back({"futex", {alone(bare)}});
    suite.add(what, subjects);
  };
  const auto time = [](const std::string& name, Yardstick limit) {
    return case_of(name, "us", Better::lower, limit);
  };
  const auto rate = [](const std::string& name) {
    return case_of(name, "Mtask/s", Better::higher, Yardstick::reference_ring);
  };
  add(time("roundtrip_awake", Yardstick::pingpong), awake, PythonPool::kAwake,
      PythonPool::kAwakeExecutor);
  add(time("roundtrip_asleep", Yardstick::futex_pingpong), asleep, PythonPool::kAsleep, nullptr,
      asleep_bare);
  add(rate("submit"), submit, PythonPool::kSubmit);
  add(rate("map"), map, PythonPool::kMap);
  add(rate("imap"), imap, PythonPool::kImapInOrder);
  add(rate("imap_unordered"), imap_unordered, PythonPool::kImap);
  add(time("arg_1mib", Yardstick::memcpy4k), mebibyte, PythonPool::kMebibyte);
  add(time("startup2", Yardstick::futex_pingpong), start(2, 0), PythonPool::kStart2);
  add(time("startup8", Yardstick::futex_pingpong), start(8, 0), PythonPool::kStart8);
  constexpr std::size_t kWeight = std::size_t{256} << 20;
  add(time("startup2_of_256_mib", Yardstick::futex_pingpong), start(2, kWeight), nullptr);
  Case process = time("start_join", Yardstick::futex_pingpong);
  process.group = "process";
  process.name = "process/start_join";
  add(process, start_join, PythonPool::kStartJoin);
  process.group = "limit";
  process.name = "limit/fork";
  suite.add(process, {{"limit", {alone(fork_and_wait)}}});
}

}  // namespace sluice::bench
