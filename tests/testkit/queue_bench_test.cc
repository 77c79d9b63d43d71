// SPDX-License-Identifier: Apache-2.0
//
// Runs a benchmark of some queues shortly: all cases that they have are there, with figures that
// are possible at all; and one that loses items is no figure, but an error. How fast anything is,
// is not checked here.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

const char* const kProgram = "tests/testkit/small_bench";  // where the runfiles are

struct Result {
  int exit_code;
  std::string output;
};

Result run(const std::string& command) {
  std::FILE* const stream = ::popen((command + " 2>&1").c_str(), "r");
  if (stream == nullptr) return {-1, "popen failed"};
  Result result{0, ""};
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), stream)) {
    result.output.append(buffer.data(), n);
  }
  const int status = ::pclose(stream);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

/// What follows `"name": ` in a row; "" if it is absent.
std::string member(const std::string& row, const std::string& name) {
  const std::string key = "\"" + name + "\": ";
  const std::size_t at = row.find(key);
  if (at == std::string::npos) return "";
  const std::size_t end = row.find_first_of(",}", at);
  return row.substr(at + key.size(), end - at - key.size());
}

TEST(QueueBench, ListsTheCasesOfEachQueue) {
  const Result list = run(std::string(kProgram) + " --benchmark_list_tests");
  EXPECT_EQ(list.exit_code, 0) << list.output;
  for (const char* const name :
       {"queue/oneway/8/ring/processes/pause", "queue/oneway/8/ring/processes/bare",
        "queue/oneway/64/std_deque/threads/pause", "queue/rtt/8/robust_lock/processes/pause",
        "queue/latency/64/ring/processes", "queue/1x1/8/ring/processes",
        "queue/2x2/8/std_deque/threads", "queue/4x4/8/robust_lock/processes",
        "queue/8x8/8/ring/processes", "queue/rtt_waiting/8/std_deque/threads",
        "queue/1x1/8/spsc/processes", "queue/4x4/8/stack/processes"}) {
    EXPECT_NE(list.output.find(name), std::string::npos) << name << " in " << list.output;
  }
  // What a queue can't do is left out.
  for (const char* const name : {"rtt_waiting/8/ring", "2x2/8/spsc", "oneway/8/stack"}) {
    EXPECT_EQ(list.output.find(name), std::string::npos) << name << " in " << list.output;
  }
}

TEST(QueueBench, MeasuresThemInOneRun) {
  const std::string json = testing::TempDir() + "/queue_bench_test.json";
  const Result all = run(std::string(kProgram) + " --quick --runs=1 --json=" + json);
  EXPECT_EQ(all.exit_code, 0) << all.output;
  EXPECT_NE(all.output.find("[x]: ring is x times as good"), std::string::npos) << all.output;
  std::ifstream file(json);
  std::size_t rows = 0;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with('{') || member(line, "group") != "\"queue\"") continue;
    if (member(line, "subject") == "\"limit\"") continue;
    ++rows;
    // On a busy machine all repetitions may have been dropped.
    if (member(line, "runs") == "0") continue;
    const double median = std::atof(member(line, "median").c_str());
    // Nothing at all in a short slice, where all sixteen processes wait for CPUs.
    EXPECT_TRUE(median >= 0 && median < 1e11) << line;
  }
  std::filesystem::remove(json);
  EXPECT_GE(rows, 3 * 8U + 5 + 5) << all.output;
}

TEST(QueueBench, SaysThatAQueueLosesItems) {
  const Result all = run("SLUICE_SMALL_BENCH_LOSES=1 " + std::string(kProgram) +
                         " --quick --runs=1 --benchmark_filter='queue/(oneway/8|2x2/8)/loses/'");
  EXPECT_EQ(all.exit_code, 1) << all.output;
  EXPECT_NE(all.output.find("expected message"), std::string::npos) << all.output;
  EXPECT_NE(all.output.find("lost or repeated"), std::string::npos) << all.output;
}

}  // namespace
