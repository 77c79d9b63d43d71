// SPDX-License-Identifier: Apache-2.0
//
// The wrong memory order under ThreadSanitizer, which this test alone is always built with: it
// reports the ring that publishes with a relaxed store, and does not report the twin. Each runs in
// a process of its own, this program once more, since a report ends in the exit code.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>

#include "sluice/testkit/planted/seam_queues.h"

namespace sluice::tests {
namespace {

constexpr int kReported = 66;
constexpr std::uint64_t kItems = 1000;

/// What runs in the other process: items from one thread to another.
template <class Ring>
void pass_items() {
  Ring ring(4);
  std::thread producer([&] {
    for (std::uint64_t item = 0; item < kItems; ++item) {
      while (!ring.try_push(item)) std::this_thread::yield();
    }
  });
  std::uint64_t in_order = 0;
  for (std::uint64_t i = 0; i < kItems; ++i) {
    std::uint64_t item = 0;
    while (!ring.try_pop(item)) std::this_thread::yield();
    in_order += item == i ? 1 : 0;
  }
  producer.join();
  EXPECT_EQ(in_order, kItems);  // on x86 in both
}

TEST(DISABLED_Racer, Relaxed) { pass_items<testkit::PublishesRelaxed<std::uint64_t>>(); }
TEST(DISABLED_Racer, Released) { pass_items<testkit::PublishesReleased<std::uint64_t>>(); }

struct Ended {
  int code = -1;       ///< -1: by a signal
  std::string output;  ///< of both kinds
};

[[noreturn]] void become(const std::string& racer, int output) {
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  setenv("TSAN_OPTIONS", ("exitcode=" + std::to_string(kReported)).c_str(), 1);
  unsetenv("XML_OUTPUT_FILE");  // Bazel's, for the test itself
  const std::string filter = "--gtest_filter=DISABLED_Racer." + racer;
  execl("/proc/self/exe", "racer", filter.c_str(), "--gtest_also_run_disabled_tests", nullptr);
  _exit(127);
}

Ended run(const std::string& racer) {
  std::array<int, 2> ends = {};
  if (pipe(ends.data()) != 0) return {.code = -1, .output = "no pipe"};
  const pid_t child = fork();
  if (child == 0) become(racer, ends[1]);
  close(ends[1]);
  Ended ended;
  std::array<char, 4096> some = {};
  for (ssize_t n = 0; (n = read(ends[0], some.data(), some.size())) > 0;) {
    ended.output.append(some.data(), static_cast<std::size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
  return ended;
}

constexpr const char* kReport = "WARNING: ThreadSanitizer: data race";

TEST(WrongOrder, IsReported) {
  const Ended ended = run("Relaxed");
  EXPECT_EQ(ended.code, kReported) << "ThreadSanitizer misses it\n" << ended.output;
  EXPECT_NE(ended.output.find(kReport), std::string::npos) << ended.output;
}

TEST(WrongOrder, TheRightOneIsNot) {
  const Ended ended = run("Released");
  EXPECT_EQ(ended.code, 0) << "a false alarm\n" << ended.output;
  EXPECT_EQ(ended.output.find(kReport), std::string::npos) << ended.output;
  EXPECT_NE(ended.output.find("1 test from 1 test suite ran"), std::string::npos) << ended.output;
}

}  // namespace
}  // namespace sluice::tests
