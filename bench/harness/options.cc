// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/options.h"

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string_view>
#include <vector>

namespace sluice::bench {
namespace {

constexpr std::string_view kRuns = "11";
constexpr std::string_view kQuickRuns = "3";

void print_help() {
  std::cout << "--only=REGEX what to measure, by case and subject: 'pipe/.*/8', 'python'\n"
               "--json=FILE  write all rows as JSON\n"
               "--html=FILE  write a page with charts of all rows\n"
               "--svg=DIR    write each chart into a file of its own\n"
               "--runs=N     repetitions of each subject, default "
            << kRuns
            << "\n"
               "--quick      "
            << kQuickRuns
            << " short repetitions: a look, not a figure\n\n"
               "and Google Benchmark's flags:\n\n";
  benchmark::PrintDefaultHelp();
}

/// `bazel run` starts programs elsewhere; the user means the directory of the command.
std::string in_working_directory(const std::string& path) {
  const char* const directory = std::getenv("BUILD_WORKING_DIRECTORY");
  return directory == nullptr ? path : (std::filesystem::path(directory) / path).string();
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  std::string runs;
  std::vector<std::string> theirs;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--json=")) {
      options.json = in_working_directory(argument.substr(7));
    } else if (argument.starts_with("--html=")) {
      options.html = in_working_directory(argument.substr(7));
    } else if (argument.starts_with("--svg=")) {
      options.svg = in_working_directory(argument.substr(6));
    } else if (argument.starts_with("--only=")) {
      theirs.push_back("--benchmark_filter=" + argument.substr(7));
    } else if (argument.starts_with("--runs=")) {
      runs = argument.substr(7);
    } else if (argument == "--quick") {
      options.quick = true;
    } else {
      options.google_report |= argument.starts_with("--benchmark_format");
      theirs.push_back(argument);
    }
  }
  if (runs.empty()) runs.append(options.quick ? kQuickRuns : kRuns);
  // In front, so that the user's own choice comes later and wins.
  theirs.insert(theirs.begin(),
                {"--benchmark_repetitions=" + runs, "--benchmark_enable_random_interleaving=true"});
  // Google Benchmark keeps the pointer to the program's name.
  std::vector<char*> pointers = {argv[0]};
  for (std::string& argument : theirs) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data(), print_help);
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return std::nullopt;
  return options;
}

}  // namespace sluice::bench
