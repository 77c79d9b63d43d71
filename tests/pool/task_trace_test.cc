// SPDX-License-Identifier: Apache-2.0
//
// TaskTrace: the stack of an exception that nobody between the throw and the worker's handler has
// caught; and how it travels with the exception (pool/task_error.h).

#include "sluice/pool/task_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "sluice/pool/pool.h"
#include "sluice/pool/task_error.h"
#include "sluice/tests/pool/watched.h"

// Not in an anonymous namespace: the linker exports their names, since it is told -rdynamic.
// NOLINTBEGIN(misc-use-internal-linkage)
namespace sluice::tests {

[[gnu::noinline]] void throw_out_of_range(int n) {
  if (n < 1000) throw std::out_of_range("no " + std::to_string(n));
}
[[gnu::noinline]] void throw_a_number(int n) { throw n; }
[[gnu::noinline]] int throw_from_five_on(int n) {
  if (n >= 5) throw std::out_of_range("no " + std::to_string(n));
  return n;
}
[[gnu::noinline]] void rethrow(const std::exception_ptr& what) { std::rethrow_exception(what); }

[[gnu::noinline]] void call_thrower(int n) {
  throw_out_of_range(n);
  asm volatile("");  // no tail call
}

[[gnu::noinline]] int throw_deep_down(int depth) {
  if (depth == 0) {
    throw_out_of_range(depth);
    return 0;
  }
  const int result = throw_deep_down(depth - 1);
  asm volatile("");
  return result + 1;
}

[[gnu::noinline]] void throw_again() {
  try {
    throw_out_of_range(1);
  } catch (...) {
    throw;
  }
}

struct CatchesOneWhenItGoes {
  ~CatchesOneWhenItGoes() {
    try {
      throw_a_number(1);
    } catch (int) {  // NOLINT(bugprone-empty-catch): its stack is all that it is for
    }
  }
};

[[gnu::noinline]] void throw_past_another() {
  const CatchesOneWhenItGoes on_the_way;
  throw_out_of_range(1);
}

/// As the worker does.
[[gnu::noinline]] std::string trace_of(const std::function<void()>& task) {
  try {
    task();
  } catch (const internal::TraceProbe&) {
    throw;
  } catch (...) {
    return internal::take_trace(__builtin_frame_address(0), internal::TraceEnd::before_handler);
  }
  return "nothing was thrown";
}
// NOLINTEND(misc-use-internal-linkage)

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TaskTraceTest : public Watched {
 protected:
  TaskTraceTest() { internal::start_tracing(); }
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST_F(TaskTraceTest, BeginsWhereItWasThrownAndEndsWithTheTask) {
  const std::string trace = trace_of([] { call_thrower(7); });
  const std::vector<std::string> lines = lines_of(trace);
  ASSERT_GE(lines.size(), 2U);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("  #0 "), HasSubstr("throw_out_of_range(int)"))) << trace;
  EXPECT_THAT(lines[1], AllOf(HasSubstr("  #1 "), HasSubstr("call_thrower(int)"))) << trace;
  EXPECT_THAT(trace, Not(HasSubstr("trace_of"))) << trace;
  EXPECT_THAT(trace, Not(HasSubstr("main"))) << trace;
}

TEST_F(TaskTraceTest, WithItsHandlerWhereTheTaskMayBeInlined) {
  std::string trace;
  try {
    throw_out_of_range(7);
  } catch (const internal::TraceProbe&) {
    throw;
  } catch (...) {
    trace = internal::take_trace(__builtin_frame_address(0), internal::TraceEnd::with_handler);
  }
  EXPECT_EQ(lines_of(trace).size(), 2U) << trace;
}

/// What the documents tell to do.
std::string addr2line(const std::string& frame) {
  const std::string place = lines_of(frame)[0].substr(5);
  const std::size_t plus = place.rfind("+0x");
  const std::string command = "addr2line -Cfie '" + place.substr(0, plus) + "' " +
                              place.substr(plus + 1, place.find(' ', plus) - plus - 1);
  FILE* const pipe = popen(command.c_str(), "r");
  std::array<char, 4096> text = {};
  const std::size_t size = fread(text.data(), 1, text.size() - 1, pipe);
  pclose(pipe);
  return {text.data(), size};
}

TEST_F(TaskTraceTest, FramesAreSuchAsAddr2lineTakesThem) {
  const std::string trace = trace_of([] { call_thrower(7); });
  // With the line as well, where there is any debugging information.
  EXPECT_THAT(addr2line(trace), HasSubstr("throw_out_of_range(int)"));
}

TEST_F(TaskTraceTest, OfWhatIsNoStdException) {
  EXPECT_THAT(lines_of(trace_of([] { throw_a_number(7); }))[0], HasSubstr("throw_a_number(int)"));
}

TEST_F(TaskTraceTest, OfTheLastThrow) {
  EXPECT_THAT(lines_of(trace_of(throw_again))[0], HasSubstr("throw_again"));
  const auto kept = std::make_exception_ptr(std::runtime_error("text"));
  EXPECT_THAT(lines_of(trace_of([&] { rethrow(kept); }))[0], HasSubstr("rethrow("));
}

TEST_F(TaskTraceTest, NotOfWhatTheTaskCatches) {
  const std::string trace = trace_of(throw_past_another);
  EXPECT_THAT(lines_of(trace)[0], HasSubstr("throw_out_of_range(int)")) << trace;
  EXPECT_THAT(trace, Not(HasSubstr("throw_a_number"))) << trace;
  EXPECT_EQ(internal::take_trace(__builtin_frame_address(0), internal::TraceEnd::with_handler), "");
}

TEST_F(TaskTraceTest, IsCutAndSaysHowManyFramesAreLeftOut) {
  const std::string trace = trace_of([] { throw_deep_down(1000); });
  const std::vector<std::string> lines = lines_of(trace);
  ASSERT_LE(lines.size(), 65U);
  EXPECT_LE(trace.size(), internal::kMostTraceBytes);
  const std::size_t shown = lines.size() - 1;
  // Thrower, 1001 times throw_deep_down(), and those that call the task, as many as elsewhere.
  const std::size_t others = lines_of(trace_of([] { throw_deep_down(0); })).size() - 2;
  EXPECT_EQ(lines.back(), "  (" + std::to_string(1002 + others - shown) + " more)");
}

TEST_F(TaskTraceTest, IsTheThreadsOwn) {
  std::string other;
  std::thread([&] { other = trace_of([] { throw_a_number(1); }); }).join();
  EXPECT_THAT(lines_of(other)[0], HasSubstr("throw_a_number(int)"));
  EXPECT_EQ(internal::take_trace(__builtin_frame_address(0), internal::TraceEnd::with_handler), "");
}

/// What is nested in what `run()` throws.
std::string nested_trace(const std::function<void()>& run) {
  try {
    run();
  } catch (const std::exception& e) {
    try {
      std::rethrow_if_nested(e);
    } catch (const RemoteTrace& trace) {
      EXPECT_THAT(trace.what(), HasSubstr(trace.trace()));
      return trace.trace();
    }
  }
  return "no trace";
}

TEST_F(TaskTraceTest, ComesBackFromAWorker) {
  Pool pool(1);
  for (int round = 0; round < 2; ++round) {
    const std::vector<std::string> lines =
        lines_of(nested_trace([&] { pool.apply(call_thrower, 7); }));
    ASSERT_GE(lines.size(), 3U);
    EXPECT_THAT(lines[0], HasSubstr("throw_out_of_range(int)"));
    EXPECT_THAT(lines[1], HasSubstr("call_thrower(int)"));
    EXPECT_THAT(lines.back(), HasSubstr("run_call<"));
  }
  EXPECT_THAT(nested_trace([&] { pool.apply(throw_a_number, 7); }),
              HasSubstr("#0 " + lines_of(trace_of([] { throw_a_number(7); }))[0].substr(5)));
}

TEST_F(TaskTraceTest, ComesBackOfAnItem) {
  Pool pool(1);
  const std::vector<std::string> lines = lines_of(nested_trace(
      [&] { pool.map({.chunk = 4}, throw_from_five_on, std::vector{1, 2, 3, 4, 5, 6, 7, 8}); }));
  ASSERT_GE(lines.size(), 2U);
  EXPECT_THAT(lines[0], HasSubstr("throw_from_five_on(int)"));
  EXPECT_THAT(lines.back(), HasSubstr("run_items<"));
}

std::vector<std::byte> encoded(const std::string& trace) {
  try {
    throw std::out_of_range("no 7");
  } catch (...) {
    return internal::encode_current_exception("pool-1", trace);
  }
}

/// What it is, and what is nested in it.
std::string told(std::span<const std::byte> bytes) {
  try {
    std::rethrow_exception(internal::decode_exception(bytes));
  } catch (const std::exception& e) {
    try {
      std::rethrow_if_nested(e);
    } catch (const RemoteTrace& trace) {
      return std::string(e.what()) + '|' + trace.trace() + '|' + trace.what();
    }
    return e.what();
  }
}

TEST_F(TaskTraceTest, TravelsWithTheException) {
  EXPECT_THAT(told(encoded("  #0 here\n  #1 there")),
              AllOf(::testing::StartsWith("no 7|  #0 here\n  #1 there|in pool-1 (pid "),
                    ::testing::EndsWith("std::out_of_range: no 7\n  #0 here\n  #1 there")));
  EXPECT_THAT(told(encoded("")), ::testing::EndsWith("std::out_of_range: no 7"));
}

TEST_F(TaskTraceTest, OfBytesThatNobodyWroteIsRefused) {
  const std::vector<std::byte> whole = encoded("  #0 here");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(told(std::span(whole).first(size)), "an exception: its bytes can't be read") << size;
  }
  EXPECT_EQ(told(encoded(std::string(internal::kMostTraceBytes + 1, '#'))),
            "an exception: its bytes can't be read");
  // Each of its lengths and letters in turn.
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::vector<std::byte> bytes = whole;
    bytes[i] = std::byte{0xff};
    EXPECT_FALSE(told(bytes).empty());
  }
}

}  // namespace
}  // namespace sluice::tests
