// SPDX-License-Identifier: Apache-2.0
//
// quickstart: a small log-analytics service. A producer process reads files and streams their lines
// in numbered batches, through one pipe each, to parser processes, which count lines, bytes, words
// and the most frequent words, and send one result per batch, through one pipe each, to the parent.
//
//   main.cc      options, and what is run in which order
//   service.h    the parent: starts everybody, gathers the results, notices who dies
//   producer.h   the process that reads and hands out; parser.h   the processes that count
//   wire.h       what goes through the pipes; pipes.h             which there are, and whose
//   input.h, batches.h, words.h, count.h, check.h, report.h      one process's business

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "sluice/examples/quickstart/check.h"
#include "sluice/examples/quickstart/input.h"
#include "sluice/examples/quickstart/report.h"
#include "sluice/examples/quickstart/service.h"
#include "sluice/sync/platform.h"

namespace {

using namespace std::chrono_literals;

constexpr int kFailed = 1;
constexpr int kBadInput = 2;

constexpr std::uint64_t kDefaultBytes = 64 << 20;
constexpr unsigned kMostParsers = 256;
constexpr auto kSecondRunAtMost = 3500ms;

struct Options {
  std::vector<std::string> paths;
  unsigned parsers = 0;
  std::uint64_t repeats = 0;
  std::uint64_t kill_at = 0;
};

void declare(CLI::App& app, Options& options) {
  app.add_option("PATH", options.paths,
                 "Files, and directories with all that is in them except links and special files. "
                 "Default: the package manager's logs and the licence texts of this machine.");
  app.add_option("--parsers", options.parsers,
                 "How many parser processes; default: one per core, with --kill-one at least two")
      ->check(CLI::Range(1U, kMostParsers));
  app.add_option("--repeat", options.repeats,
                 "How often the input is read; default: once, the default input until 64 MiB have "
                 "passed")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
  app.add_flag("--kill-one{10}", options.kill_at,
               "Kill a parser with SIGKILL in the middle of its K-th batch, or of its last if it "
               "gets fewer; --kill-one alone: of its 10th")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
  app.footer(
      "A word is a run of ASCII letters, digits and non-ASCII bytes, in lower case; a longer one\n"
      "than 64 bytes counts as several. Exits with 0 if the totals are right, with 1 if they are\n"
      "not or the service failed, with 2 if the options or the input can't be used.\n"
      "With Bazel, options follow a --:  ./bazelw run //examples/quickstart -- --kill-one");
}

/// Paths are meant relative to where the user stands, which `bazel run` tells in the environment.
void go_to_callers_directory() {
  const char* const directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory != nullptr && chdir(directory) != 0) {
    throw quickstart::InputError(std::string("cannot go to ") + directory);
  }
}

quickstart::Input choose_input(const Options& options) {
  go_to_callers_directory();
  quickstart::Input input = options.paths.empty() ? quickstart::default_input(kDefaultBytes)
                                                  : quickstart::find_input(options.paths);
  if (options.repeats != 0) input.repeats = options.repeats;
  for (const std::string& note : input.notes) std::cerr << "quickstart: " << note << '\n';
  if (input.bytes() == 0) std::cerr << "quickstart: the input is empty\n";
  return input;
}

quickstart::Plan make_plan(const Options& options) {
  const unsigned cores = std::min(static_cast<unsigned>(sluice::usable_cpus()), kMostParsers);
  quickstart::Plan plan;
  plan.parsers = options.parsers != 0 ? options.parsers : cores;
  if (options.kill_at == 0) return plan;
  plan.producer.kill_at = options.kill_at;
  if (options.parsers == 0) plan.parsers = std::max(plan.parsers, 2U);
  return plan;
}

quickstart::Outcome run(const std::string& what, const quickstart::Input& input,
                        const quickstart::Plan& plan) {
  quickstart::ProgressLine line(what, input.bytes());
  return run_service(input, plan, [&](const quickstart::Progress& p) { line.show(p); });
}

/// The same input at a tenth of the rate of `full_speed`: then hardly a batch waits for another.
quickstart::Outcome run_slowly(const quickstart::Input& input, quickstart::Plan plan,
                               const quickstart::Outcome& full_speed) {
  plan.producer.kill_at.reset();
  plan.producer.between_batches = std::chrono::nanoseconds(static_cast<std::int64_t>(
      1e9 * 10 * full_speed.seconds / static_cast<double>(full_speed.batches)));
  plan.producer.at_most = kSecondRunAtMost;
  return run("at a tenth of the rate", input, plan);
}

void print_incidents(const quickstart::Outcome& outcome, const quickstart::Plan& plan) {
  for (const std::string& incident : outcome.incidents) std::cout << "  ! " << incident << '\n';
  if (plan.producer.kill_at && outcome.incidents.empty()) {
    std::cout << "  ! nobody was killed: there was no batch to do it in\n";
  }
  if (outcome.second_results > 0) {
    std::cout << "  ! " << outcome.second_results << " batches had two results; one counted\n";
  }
}

/// Returns whether the totals are right.
bool serve(const Options& options) {
  const quickstart::Input input = choose_input(options);
  const quickstart::Plan plan = make_plan(options);
  std::cout << "quickstart: " << input.sources.size()
            << (input.sources.size() == 1 ? " file, " : " files, ")
            << quickstart::with_commas(input.bytes_once()) << " bytes, read " << input.repeats
            << (input.repeats == 1 ? " time" : " times") << "; 1 producer, " << plan.parsers
            << (plan.parsers == 1 ? " parser" : " parsers") << '\n'
            << std::flush;

  const quickstart::Outcome outcome = run("at full speed", input, plan);
  print_incidents(outcome, plan);
  const quickstart::PlainCounter plain = quickstart::count_plainly(input);
  print_totals(std::cout, outcome, plain);
  print_throughput(std::cout, outcome);
  print_latency(std::cout, "queueing time", outcome, "from send to recv, at full speed");
  if (outcome.seconds > 0) {
    print_latency(std::cout, "transit time", run_slowly(input, plan, outcome),
                  "from send to recv, at a tenth of that rate");
  }
  if (plain.agrees_with(outcome.counts)) return true;
  for (const std::string& path : changed_files(input)) {
    std::cout << "  ! " << path << " was modified meanwhile, which may explain it\n";
  }
  return false;
}

int fail(int code, const std::exception& e) {
  std::cerr << "quickstart: " << e.what() << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Counts lines, words and the most frequent words of text files, in several processes.");
  Options options;
  declare(app, options);
  try {
    app.parse(argc, argv);
    return serve(options) ? EXIT_SUCCESS : kFailed;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? EXIT_SUCCESS : kBadInput;
  } catch (const quickstart::InputError& e) {
    return fail(kBadInput, e);
  } catch (const std::exception& e) {
    return fail(kFailed, e);
  }
}
