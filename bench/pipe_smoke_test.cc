// SPDX-License-Identifier: Apache-2.0
//
// Runs the benchmark as a user does, shortly, and checks what it says: the command line, the shape
// of the JSON, and figures that are possible at all. How fast anything is, is not checked here.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace {

// Tests run where the runfiles are.
const std::string kBinary = "bench/pipe";

struct Result {
  int exit_code;
  std::string output;
};

Result run(const std::string& flags) {
  std::FILE* const stream = ::popen((kBinary + " 2>&1 " + flags).c_str(), "r");
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

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// What follows `"name": ` in a row; "" if it is absent.
std::string after_name(const std::string& row, const std::string& name) {
  const std::string key = "\"" + name + "\": ";
  const std::size_t at = row.find(key);
  return at == std::string::npos ? "" : row.substr(at + key.size());
}

std::string text_member(const std::string& row, const std::string& name) {
  const std::string rest = after_name(row, name);
  return rest.starts_with('"') ? rest.substr(1, rest.find('"', 1) - 1) : "(absent)";
}

/// -1 if it is absent or null.
double number_member(const std::string& row, const std::string& name) {
  const std::string rest = after_name(row, name);
  char* end = nullptr;
  const double value = std::strtod(rest.c_str(), &end);
  return end == rest.c_str() ? -1 : value;
}

void expect_sound(const std::string& row) {
  SCOPED_TRACE(row);
  for (const char* name : {"group", "case", "subject", "unit", "yardstick"}) {
    EXPECT_NE(text_member(row, name), "(absent)") << name;
  }
  const bool higher = text_member(row, "unit") != "ns";
  EXPECT_EQ(text_member(row, "better"), higher ? "higher" : "lower");
  for (const char* name : {"cpu", "placement", "kernel", "compiler", "flags", "load_average"}) {
    EXPECT_NE(text_member(row, name), "(absent)") << name;
  }
  EXPECT_TRUE(row.starts_with("{") && (row.ends_with("}}") || row.ends_with("}},")));
  if (number_member(row, "runs") == 0) {
    // On a busy machine all repetitions may have been dropped.
    EXPECT_GT(number_member(row, "dropped"), 0);
    return;
  }
  EXPECT_GT(number_member(row, "min"), 0);
  EXPECT_LE(number_member(row, "min"), number_member(row, "q1"));
  EXPECT_LE(number_member(row, "q1"), number_member(row, "median"));
  EXPECT_LE(number_member(row, "median"), number_member(row, "q3"));
  EXPECT_LE(number_member(row, "q3"), number_member(row, "max"));
  // A message takes from a fifth of a nanosecond to a second.
  const double median = number_member(row, "median");
  const std::string unit = text_member(row, "unit");
  EXPECT_TRUE(unit != "ns" || (median > 1 && median < 1e9)) << median;
  EXPECT_TRUE(unit != "Mmsg/s" || (median > 1e-6 && median < 5e3)) << median;
}

TEST(PipeBenchmark, WritesRowsForAllSubjects) {
  const std::string json = testing::TempDir() + "/pipe_smoke_test.json";
  const Result result = run("--quick --runs=1 '--benchmark_filter=/64/|^limit/' --json=" + json);
  EXPECT_EQ(result.exit_code, 0) << result.output;
  std::vector<std::string> rows = lines_of(json);
  std::filesystem::remove(json);
  ASSERT_GT(rows.size(), 2u);
  EXPECT_EQ(rows.front(), "[");
  EXPECT_EQ(rows.back(), "]");
  std::set<std::string> seen;
  for (std::size_t i = 1; i + 1 < rows.size(); ++i) {
    expect_sound(rows[i]);
    seen.insert(text_member(rows[i], "case") + " " + text_member(rows[i], "subject"));
    EXPECT_EQ(rows[i].ends_with(","), i + 2 < rows.size());
  }
  for (const char* name : {"pingpong", "reference_ring", "memcpy4k", "futex_pingpong"}) {
    EXPECT_EQ(seen.count("limit/" + std::string(name) + " limit"), 1u) << name;
  }
  for (const std::string what : {"oneway/64", "rtt/64"}) {
    for (const char* subject : {"limit", "sluice", "pipe", "socketpair", "boost_interprocess"}) {
      EXPECT_EQ(seen.count("pipe/" + what + " " + subject), 1u) << what << " " << subject;
    }
    for (const char* subject : {"limit", "sluice", "boost_lockfree"}) {
      EXPECT_EQ(seen.count("spsc/" + what + " " + subject), 1u) << what << " " << subject;
    }
  }
  EXPECT_NE(result.output.find("load_average: "), std::string::npos) << "no table";
}

TEST(PipeBenchmark, ListsItsCasesWithoutRunningThem) {
  const Result result = run("--benchmark_list_tests");
  EXPECT_EQ(result.exit_code, 0);
  for (const char* name :
       {"spsc/oneway/8/boost_lockfree", "spsc/rtt/1024/sluice", "pipe/oneway/65536/pipe",
        "pipe/oneway/4096/socketpair", "pipe/rtt/8/boost_interprocess"}) {
    EXPECT_NE(result.output.find(name), std::string::npos) << name;
  }
  EXPECT_EQ(result.output.find("median"), std::string::npos);
}

TEST(PipeBenchmark, LeavesStandardOutputToGoogleBenchmarkWhenAsked) {
  const Result result =
      run("--quick --runs=1 --benchmark_filter=limit/pingpong --benchmark_format=csv 2>/dev/null");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.output.find("\"limit/pingpong"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("dropped"), std::string::npos) << "no counters";
  EXPECT_EQ(result.output.find("load_average"), std::string::npos);
}

TEST(PipeBenchmark, RefusesWhatItDoesNotUnderstand) {
  const Result unknown = run("--no-such-flag");
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_NE(unknown.output.find("--no-such-flag"), std::string::npos);
  const Result nothing = run("--benchmark_filter=no/such/case");
  EXPECT_EQ(nothing.exit_code, 1);
  const Result nowhere = run("--json=/no/such/directory/x.json --benchmark_filter=limit");
  EXPECT_EQ(nowhere.exit_code, 1);
  EXPECT_NE(nowhere.output.find("/no/such/directory/x.json"), std::string::npos);
}

}  // namespace
