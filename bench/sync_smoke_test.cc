// SPDX-License-Identifier: Apache-2.0
//
// Runs each of the synchronisation and memory benchmarks shortly, and checks that every case that
// it lists is there in the JSON, with figures that are possible at all. The command line and the
// shape of the JSON are pipe_smoke_test.cc's. How fast anything is, is not checked here.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace {

struct Result {
  int exit_code;
  std::string output;
};

Result run(const std::string& command) {
  std::FILE* const stream = ::popen(command.c_str(), "r");
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

/// What follows `"name": ` in a row, without its quotation marks; "" if it is absent.
std::string member(const std::string& row, const std::string& name) {
  const std::string key = "\"" + name + "\": ";
  std::size_t at = row.find(key);
  if (at == std::string::npos) return "";
  at += key.size();
  if (row[at] == '"') return row.substr(at + 1, row.find('"', at + 1) - at - 1);
  return row.substr(at, row.find_first_of(",}", at) - at);
}

/// The rows, by "case/subject".
std::map<std::string, std::string> rows_of(const std::string& path) {
  std::ifstream file(path);
  std::map<std::string, std::string> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('{')) rows[member(line, "case") + "/" + member(line, "subject")] = line;
  }
  return rows;
}

/// Of "case/subject/variant/...", where a case may have slashes in it.
const std::string* row_of(const std::map<std::string, std::string>& rows, const std::string& name) {
  for (const auto& [key, row] : rows) {
    if (name.starts_with(key + "/")) return &row;
  }
  return nullptr;
}

class SyncBenchmark : public testing::TestWithParam<const char*> {};

TEST_P(SyncBenchmark, RunsAllThatItLists) {
  const std::string binary = std::string("bench/") + GetParam();  // where the runfiles are
  const std::string json = testing::TempDir() + "/" + GetParam() + "_smoke_test.json";
  const Result all = run(binary + " --quick --runs=1 --json=" + json + " 2>&1");
  EXPECT_EQ(all.exit_code, 0) << all.output;
  const std::map<std::string, std::string> rows = rows_of(json);
  std::filesystem::remove(json);

  std::istringstream list(run(binary + " --benchmark_list_tests 2>/dev/null").output);
  std::size_t listed = 0;
  for (std::string name; std::getline(list, name);) {
    if (name.starts_with("limit/")) continue;
    ++listed;
    SCOPED_TRACE(name);
    const std::string* const row = row_of(rows, name);
    ASSERT_NE(row, nullptr);
    if (member(*row, "runs") == "0") {
      // On a busy machine all repetitions may have been dropped.
      EXPECT_GT(std::atof(member(*row, "dropped").c_str()), 0);
      continue;
    }
    const double median = std::atof(member(*row, "median").c_str());
    EXPECT_TRUE(median > 0 && median < 1e9) << median;
  }
  EXPECT_GT(listed, 3U);
}

INSTANTIATE_TEST_SUITE_P(Of, SyncBenchmark,
                         testing::Values("arena", "barrier", "boost_containers", "event", "lock",
                                         "queue", "semaphore", "shared_mutex", "task_board"),
                         [](const auto& program) { return std::string(program.param); });

}  // namespace
