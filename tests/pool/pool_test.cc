// SPDX-License-Identifier: Apache-2.0
//
// Pool: tasks, arguments, results and exceptions; the rows PO, AS and EX of the behaviour that the
// peers' tests demand, by number.

#include "sluice/pool/pool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/value.h"
#include "sluice/pool/future.h"
#include "sluice/pool/shared_ref.h"
#include "sluice/pool/task_error.h"
#include "sluice/pool/task_function.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"
#include "sluice/tests/pool/watched.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

using PoolTest = tests::Watched;

int square(int n) { return n * n; }
int add(int a, int b) { return a + b; }

struct Person {
  std::string name;
  std::vector<std::string> nicknames;
  auto sluice_members() { return std::tie(name, nicknames); }
};

// PO9, AS1
TEST_F(PoolTest, ATaskRunsInAWorkerAndItsResultComesBack) {
  Pool pool(2);
  EXPECT_EQ(pool.submit(square, 7).get(), 49);
  const pid_t worker = pool.submit([] { return getpid(); }).get();
  EXPECT_NE(worker, getpid());
  EXPECT_EQ(std::ranges::count(pool.pids(), worker), 1);
}

TEST_F(PoolTest, FunctionsLambdasAndCapturesTravel) {
  Pool pool(1);
  const int three = 3;
  const double half = 0.5;
  EXPECT_EQ(pool.apply(add, 1, 2), 3);
  EXPECT_EQ(pool.apply([](const std::string& s) { return s.size(); }, std::string("four")), 4U);
  EXPECT_EQ(pool.apply([three, half](int n) { return n * three + half; }, 2), 6.5);
  EXPECT_EQ(pool.apply(std::plus<>(), 2, 3), 5);
}

TEST_F(PoolTest, ArgumentsAndResultsOfAnyTypeThatTravels) {
  Pool pool(1);
  const Person ada{"Ada", {"Countess", "Enchantress"}};
  const Person back = pool.apply(
      [](Person p) {
        p.nicknames.push_back(p.name);
        return p;
      },
      ada);
  EXPECT_EQ(back.nicknames, (std::vector<std::string>{"Countess", "Enchantress", "Ada"}));
  using Map = std::map<std::string, std::optional<double>>;
  const Map map = {{"a", 1.5}, {"b", std::nullopt}};
  EXPECT_EQ(pool.apply([](const Map& m) { return m; }, map), map);
  EXPECT_EQ(pool.apply([](const std::string& s) { return s + "!"; }, "literal"), "literal!");
}

TEST_F(PoolTest, ATaskMayReturnNothing) {
  Value<int> seen(0);
  Pool pool(1);
  pool.apply([value = shared_ref(seen)](int n) { value->store(n); }, 5);
  EXPECT_EQ(seen.load(), 5);
}

TEST_F(PoolTest, LargeArgumentsAndResultsGoThroughChunks) {
  Pool pool(2);
  for (const std::size_t size : {100U, 148U, 149U, 5000U, 200'000U, 1U << 20, 20U << 20}) {
    std::vector<char> bytes(size);
    std::iota(bytes.begin(), bytes.end(), '\0');
    const std::vector<char> back = pool.apply(
        [](std::vector<char> b) {
          std::ranges::reverse(b);
          return b;
        },
        bytes);
    std::ranges::reverse(bytes);
    EXPECT_TRUE(back == bytes) << size;
  }
}

TEST_F(PoolTest, MoreResultsThanThereAreChunksWaitForTheirReader) {
  Pool pool(2);
  std::vector<Future<std::vector<char>>> futures;
  constexpr std::size_t kSize = std::size_t{3} << 20;  // of the chunks of 16 MiB there are 32
  for (int i = 0; i < 40; ++i) {
    futures.push_back(
        pool.submit([](char c) { return std::vector<char>(kSize, c); }, static_cast<char>(i)));
  }
  for (int i = 0; i < 40; ++i) {
    const std::vector<char> bytes = futures[static_cast<std::size_t>(i)].take();
    ASSERT_EQ(bytes.size(), kSize);
    ASSERT_EQ(bytes.back(), static_cast<char>(i));
  }
}

// PO22: more than there are chunks, one after the other, also of tasks that fail or kill their
// worker
TEST_F(PoolTest, ChunksOfArgumentsAndResultsAreGivenBack) {
  Pool pool(2);
  const std::vector<char> bytes(3 << 20, 'x');  // 36 chunks are as large
  for (int i = 0; i < 60; ++i) {
    if (i % 3 == 0) {
      const auto killed = pool.submit([](const std::vector<char>&) { raise(SIGKILL); }, bytes);
      EXPECT_THROW(killed.get(), WorkerDied);
    } else if (i % 3 == 1) {
      EXPECT_THROW(pool.apply(
                       [](const std::vector<char>& b) {
                         throw std::range_error(std::string(b.begin(), b.end()));
                       },
                       bytes),
                   std::range_error);
    } else {
      EXPECT_EQ(pool.apply([](std::vector<char> b) { return b; }, bytes).size(), bytes.size());
    }
  }
}

// PO26
TEST_F(PoolTest, AResultThatIsTooLargeFailsItsTaskAlone) {
  Pool pool(1);
  const pid_t worker = pool.apply([] { return getpid(); });
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(pool.apply([] { return std::vector<char>(std::size_t{257} << 20); }), Error);
  }
  EXPECT_EQ(pool.apply([] { return getpid(); }), worker);
}

// PO19, EX17
TEST_F(PoolTest, AnExceptionComesBackAsTheSameTypeWithItsTextAndItsOrigin) {
  Pool pool(1);
  const auto future =
      pool.submit([](int n) -> int { throw std::out_of_range("no " + std::to_string(n)); }, 7);
  try {
    static_cast<void>(future.get());
    FAIL();
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "no 7");
    try {
      std::rethrow_if_nested(e);
      FAIL();
    } catch (const RemoteTrace& trace) {
      EXPECT_NE(std::string(trace.what()).find("pool-1 (pid "), std::string::npos) << trace.what();
      EXPECT_NE(std::string(trace.what()).find("std::out_of_range: no 7"), std::string::npos);
    }
  }
  EXPECT_THROW(static_cast<void>(future.get()), std::out_of_range);  // AS3: again and again
}

struct OwnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class E>
[[noreturn]] void throw_one() {
  throw E("text");
}

template <class E>
void expect_back(Pool& pool) {
  try {
    pool.apply(throw_one<E>);
    FAIL();
  } catch (const E& e) {
    EXPECT_STREQ(e.what(), "text");
  }
}

TEST_F(PoolTest, TheStandardExceptionsKeepTheirTypes) {
  Pool pool(1);
  expect_back<std::runtime_error>(pool);
  expect_back<std::logic_error>(pool);
  expect_back<std::invalid_argument>(pool);
  expect_back<std::domain_error>(pool);
  expect_back<std::length_error>(pool);
  expect_back<std::range_error>(pool);
  expect_back<std::overflow_error>(pool);
  expect_back<std::underflow_error>(pool);
  EXPECT_THROW(pool.apply([] { throw std::bad_alloc(); }), std::bad_alloc);
  EXPECT_THROW(pool.apply([] { throw std::bad_cast(); }), std::bad_cast);
  try {
    pool.apply([] { throw std::system_error(ENOENT, std::generic_category(), "file"); });
    FAIL();
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::no_such_file_or_directory);
    EXPECT_EQ(std::string(e.what()),
              std::system_error(ENOENT, std::generic_category(), "file").what());
  }
  try {
    pool.apply([] { throw Error(Status::stale, {.tried = "open it", .hint = "make a new one"}); });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Status::stale);
    EXPECT_EQ(e.text().hint, "make a new one");
  }
}

TEST_F(PoolTest, ExceptionsOfOtherTypesArriveAsRemoteError) {
  Pool pool(1);
  try {
    pool.apply([] { throw OwnError("mine"); });
    FAIL();
  } catch (const RemoteError& e) {
    EXPECT_NE(e.type().find("OwnError"), std::string::npos) << e.type();
    EXPECT_NE(std::string(e.what()).find("mine"), std::string::npos);
  }
  try {
    pool.apply([] { throw 42; });
    FAIL();
  } catch (const RemoteError& e) {
    EXPECT_EQ(e.type(), "int");
  }
}

struct CannotBeWritten {
  int n = 0;
};
struct CannotBeRead {
  int n = 0;
};

}  // namespace

template <>
struct Codec<CannotBeWritten> {
  static void encode(Encoder&, const CannotBeWritten&) { throw std::domain_error("not written"); }
  static bool decode(Decoder& in, CannotBeWritten& v) { return in.number(v.n); }
};
template <>
struct Codec<CannotBeRead> {
  static void encode(Encoder& out, const CannotBeRead& v) { out.number(v.n); }
  static bool decode(Decoder&, CannotBeRead&) { throw std::domain_error("not read"); }
};

namespace {

// PO6, PO26, EX35, EX36, EX39, C13, C17
TEST_F(PoolTest, WhatCannotBeWrittenOrReadFailsItsTaskAloneAndTheWorkerStays) {
  Pool pool(1);
  const pid_t worker = pool.apply([] { return getpid(); });
  EXPECT_THROW(pool.submit([](CannotBeWritten) {}, CannotBeWritten()), std::domain_error);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THROW(pool.apply([] { return CannotBeWritten(); }), std::domain_error);
    EXPECT_THROW(pool.apply([](CannotBeRead) {}, CannotBeRead()), std::domain_error);
    EXPECT_THROW(pool.apply([] { return CannotBeRead(); }), std::domain_error);
  }
  EXPECT_EQ(pool.apply([] { return getpid(); }), worker);
}

// AS3
TEST_F(PoolTest, AResultAwaitedForTooShortIsStillDelivered) {
  Value<int> go(0);
  Pool pool(1);
  const auto future = pool.submit([g = shared_ref(go)](int n) { return g->wait(0) + n; }, 5);
  EXPECT_FALSE(future.wait(1ms));
  EXPECT_FALSE(future.wait(0ms));
  EXPECT_FALSE(future.wait(-5s));
  EXPECT_THROW(static_cast<void>(future.get(1ms)), Error);
  go.store(1);
  EXPECT_EQ(future.get(), 6);
  EXPECT_EQ(future.get(), 6);
}

// PO5, PO25: callbacks, one at a time, before get() returns
TEST_F(PoolTest, CallbacksRunHereOneAtATimeBeforeTheirGetReturns) {
  Pool pool(2);
  std::atomic<int> inside{0};
  std::atomic<int> values{0}, errors{0};
  std::vector<Future<int>> futures;
  for (int i = 0; i < 50; ++i) {
    futures.push_back(
        pool.submit([](int n) { return n % 5 == 0 ? throw std::range_error("five") : n; }, i));
    futures.back().on_success([&](int) {
      EXPECT_EQ(inside.fetch_add(1), 0);
      ++values;
      --inside;
    });
    futures.back().on_error([&](const std::exception_ptr& e) {
      EXPECT_EQ(inside.fetch_add(1), 0);
      EXPECT_THROW(std::rethrow_exception(e), std::range_error);
      ++errors;
      --inside;
    });
  }
  for (const auto& future : futures) future.wait();
  EXPECT_EQ(values, 40);
  EXPECT_EQ(errors, 10);
}

TEST_F(PoolTest, ACallbackMaySubmitToThePoolAndTerminateIt) {  // C15
  Pool pool(1);
  Event over;
  pool.submit(square, 3).on_success([&](int n) {
    EXPECT_EQ(pool.submit(square, n).get(), 81);
    pool.terminate();
    over.set();
  });
  EXPECT_EQ(over.wait(20s), Status::ok);
}

// FU5
TEST_F(PoolTest, WhatHasNotBegunCanBeCancelled) {
  Value<int> go(0);
  Pool pool(1);
  const auto first = pool.submit([g = shared_ref(go)] { g->wait(0); });
  while (!first.running()) std::this_thread::yield();
  const auto second = pool.submit([] {});
  EXPECT_TRUE(second.cancel());
  EXPECT_TRUE(second.cancel());
  EXPECT_TRUE(second.cancelled());
  EXPECT_THROW(second.get(), CancelledError);
  EXPECT_FALSE(first.cancel());
  go.store(1);
  first.get();
  EXPECT_FALSE(first.cancel());
}

TEST_F(PoolTest, WhatRunsCanBeCancelledByForceAndTheWorkerIsReplaced) {  // C21
  Pool pool(1);
  const pid_t before = pool.apply([] { return getpid(); });
  const auto future = pool.submit(TaskOptions{.max_attempts = 5}, [] { pause(); });
  while (!future.running()) std::this_thread::yield();
  EXPECT_FALSE(future.cancel());
  EXPECT_TRUE(future.cancel(Cancel::running_too));
  EXPECT_TRUE(future.cancelled());
  EXPECT_NE(pool.apply([] { return getpid(); }), before);
}

TEST_F(PoolTest, ATimeLimitEndsTheTaskAndReplacesTheWorker) {
  Pool pool(1);
  const auto future = pool.submit(TaskOptions{.time_limit = 30ms}, [] { pause(); });
  try {
    future.get();
    FAIL();
  } catch (const TaskTimedOut& e) {
    EXPECT_NE(std::string(e.what()).find("limit of 30 ms"), std::string::npos) << e.what();
  }
  EXPECT_EQ(pool.apply(TaskOptions{.time_limit = 10s}, square, 4), 16);
}

// Many threads submit and wait at once.
TEST_F(PoolTest, ThreadsShareAPool) {
  Pool pool(2);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) wrong += pool.apply(add, t, i) != t + i;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(PoolTest, SubmittingWaitsWhereTheSlotsAreTaken) {
  Pool pool({.workers = 2, .max_tasks = 4});
  std::vector<Future<int>> futures;
  for (int i = 0; i < 1000; ++i) futures.push_back(pool.submit(square, i % 100));
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), (i % 100) * (i % 100));
  }
}

// PO15, EX7
TEST_F(PoolTest, NumbersThatMakeNoPoolAreRefused) {
  EXPECT_THROW(Pool(0), Error);
  EXPECT_THROW(Pool({.workers = 2, .max_workers = 1}), Error);
  EXPECT_THROW(Pool({.workers = 1, .max_tasks = 0}), Error);
  EXPECT_THROW(Pool({.workers = 2000}), Error);
  const Pool three(3);
  EXPECT_EQ(three.options().workers, 3U);
}

// C31: nested pools
TEST_F(PoolTest, ATaskMayMakeAPoolOfItsOwn) {
  Pool pool(1);
  EXPECT_EQ(pool.apply(
                [](int n) {
                  Pool inner(2);
                  return inner.apply(square, n);
                },
                6),
            36);
}

TEST_F(PoolTest, WhatACaptureMayBeIsKnownWhenCompiling) {
  const int n = 1;
  int m = 2;
  const char* const text = "x";
  const auto by_value = [n] { return n; };
  const auto by_reference = [&m] { return m; };
  const auto pointer = [text] { return *text; };
  const auto view = [s = std::string_view("x")] { return s.size(); };
  const auto owner = [s = std::string("x")] { return s.size(); };
  const auto wrapped = [r = shared_ref(m)] { return *r; };
  static_assert(TaskFunction<std::remove_const_t<decltype(by_value)>>);
  static_assert(!TaskFunction<std::remove_const_t<decltype(by_reference)>>);
  static_assert(!TaskFunction<std::remove_const_t<decltype(pointer)>>);
  static_assert(!TaskFunction<std::remove_const_t<decltype(view)>>);
  static_assert(!TaskFunction<std::remove_const_t<decltype(owner)>>);
  static_assert(TaskFunction<std::remove_const_t<decltype(wrapped)>>);
  static_assert(TaskFunction<int (*)(int)>);
  static_assert(!TaskFunction<int (Person::*)()>);
  EXPECT_EQ(
      by_value() + by_reference() + pointer() + static_cast<int>(view() + owner()) + wrapped(),
      1 + 2 + 'x' + 2 + 2);
}

}  // namespace
}  // namespace sluice
