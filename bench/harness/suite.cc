// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/suite.h"

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "sluice/bench/harness/conditions.h"
#include "sluice/bench/harness/entry.h"
#include "sluice/bench/harness/options.h"
#include "sluice/bench/harness/page.h"
#include "sluice/bench/harness/runner.h"
#include "sluice/bench/harness/stats.h"

namespace sluice::bench {

namespace {

/// The table at the end is ours; Google Benchmark prints nothing meanwhile.
class Silence : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {}
};

Better better_of(Yardstick yardstick) {
  return text_of(yardstick).higher_is_better ? Better::higher : Better::lower;
}

/// What the command line wants written.
class Files {
 public:
  explicit Files(const Options& options) : options_(options) {
    open(json_, options.json);
    open(html_, options.html);
    std::error_code error;
    if (!options.svg.empty()) std::filesystem::create_directories(options.svg, error);
    if (error) trouble_ = "cannot write into " + options.svg + ": " + error.message();
  }

  [[nodiscard]] const std::string& trouble() const { return trouble_; }

  /// Says what went wrong, if anything did.
  std::string write(const std::vector<Row>& rows, const Conditions& conditions,
                    const std::string& ours) {
    if (json_.is_open()) write_json(json_, rows, conditions, ours);
    if (html_.is_open()) write_page(html_, rows, conditions, ours);
    if (json_.is_open() && !json_.flush()) return "cannot write " + options_.json;
    if (html_.is_open() && !html_.flush()) return "cannot write " + options_.html;
    if (options_.svg.empty()) return "";
    for (const Picture& picture : pictures_of(rows, ours)) {
      const std::string name = options_.svg + "/" + picture.name + ".svg";
      std::ofstream file(name);
      if (!(file << picture.svg).flush()) return "cannot write " + name;
    }
    return "";
  }

 private:
  void open(std::ofstream& file, const std::string& name) {
    if (name.empty()) return;
    file.open(name);
    if (!file) trouble_ = "cannot write " + name;
  }

  const Options& options_;
  std::ofstream json_, html_;
  std::string trouble_;
};

}  // namespace

/// Google Benchmark's side of a run: state, progress, failures.
class Suite::Session {
 public:
  explicit Session(bool quick) : runner_(quick) {}

  [[nodiscard]] const Placement& placement() const { return runner_.placement(); }
  [[nodiscard]] bool failed() const { return failed_; }

  void run(benchmark::State& state, const Entry& entry, Entry::Trial& trial) {
    for (auto _ : state) {
      show_progress(entry.name_of(trial));
      try {
        state.SetIterationTime(seconds_of(entry.what(), runner_.repeat(entry.what(), trial)));
      } catch (const std::exception& e) {
        complain(entry.name_of(trial) + ": " + e.what());
        state.SkipWithError(e.what());
        break;
      }
    }
    const Series& series = trial.figures[0];
    state.counters["ratio"] = series.ratio().median;
    state.counters["kept"] = static_cast<double>(series.ratio().runs);
    state.counters["dropped"] = static_cast<double>(series.dropped());
  }

  void complain(const std::string& text) {
    failed_ = true;
    end_progress();
    std::cerr << text << '\n';
  }

  void end_progress() const {
    if (progress_) std::cerr << "\r\033[K";
  }

 private:
  /// What Google Benchmark shows as time: of one call, message or trip, or of a thousand bytes.
  static double seconds_of(const Case& what, double value) {
    return what.better == Better::lower ? value * 1e-9 : 1e-6 / value;
  }

  void show_progress(const std::string& name) {
    ++repetitions_;
    if (progress_) std::cerr << "\r\033[K" << repetitions_ << "  " << name << std::flush;
  }

  Runner runner_;
  bool progress_ = ::isatty(STDERR_FILENO) == 1;
  std::size_t repetitions_ = 0;
  bool failed_ = false;
};

Suite::Suite(std::string ours) : ours_(std::move(ours)) {
  for (std::size_t i = 0; i < kYardsticks; ++i) {
    const auto yardstick = static_cast<Yardstick>(i);
    const YardstickText text = text_of(yardstick);
    add({.group = "limit",
         .name = "limit/" + std::string(text.name),
         .unit = std::string(text.unit),
         .better = better_of(yardstick),
         .limit = yardstick},
        {{"limit", {{"", [yardstick] { return Yardsticks().roles(yardstick); }}}}});
  }
}

Suite::~Suite() = default;

void Suite::add(const Case& what, const std::vector<Subject>& subjects) {
  if (what.figures.size() > kMaxFigures) throw std::logic_error(what.name + ": too many figures");
  for (const Subject& subject : subjects) {
    entries_.push_back(std::make_unique<Entry>(what, subject));
  }
}

std::vector<Row> Suite::rows() const {
  std::vector<Row> rows;
  for (std::size_t first = 0; first < entries_.size();) {
    const Case& what = entries_[first]->what();
    const Entry::Trial* ours = nullptr;
    std::vector<double> limits;
    std::size_t dropped = 0;
    std::size_t last = first;
    for (; last < entries_.size() && entries_[last]->what().name == what.name; ++last) {
      if (entries_[last]->subject() == ours_) ours = entries_[last]->best_trial();
      entries_[last]->collect_limits(limits, dropped);
    }
    if (what.group != "limit" && limits.size() + dropped > 0) {
      rows.push_back({.group = what.group,
                      .name = what.name,
                      .subject = "limit",
                      .unit = what.unit,
                      .better = what.better,
                      .value = summarize(std::move(limits)),
                      .ratio = {},
                      .yardstick = std::string(text_of(what.limit).name),
                      .dropped = dropped,
                      .sluice_is = {},
                      .variant = {},
                      .variants = {}});
    }
    for (; first < last; ++first) entries_[first]->report(ours, rows);
  }
  return rows;
}

void Suite::register_all(Session& session) {
  for (const std::unique_ptr<Entry>& entry : entries_) {
    for (Entry::Trial& trial : entry->trials()) {
      benchmark::RegisterBenchmark(entry->name_of(trial).c_str(),
                                   [&session, &entry, &trial](benchmark::State& state) {
                                     session.run(state, *entry, trial);
                                   })
          ->Iterations(1)
          ->UseManualTime();
    }
  }
}

int Suite::run(int argc, char** argv) {
  const std::optional<Options> options = parse_options(argc, argv);
  if (!options) return 1;
  // Opened before hours are spent on what can't be written.
  Files files(*options);
  if (!files.trouble().empty()) {
    std::cerr << files.trouble() << '\n';
    return 1;
  }
  Session session(options->quick);
  const Conditions conditions = conditions_now(session.placement());
  if (!session.placement().pinned) {
    std::cerr << "only one CPU may be used: the processes take turns on it, not pinned\n";
  }
  register_all(session);
  Silence silence;
  const std::size_t matched = options->google_report ? benchmark::RunSpecifiedBenchmarks()
                                                     : benchmark::RunSpecifiedBenchmarks(&silence);
  session.end_progress();
  const std::vector<Row> measured = rows();
  // With --benchmark_list_tests there is nothing to say.
  if (!measured.empty()) {
    print_table(options->google_report ? std::cerr : std::cout, measured, conditions, ours_);
  }
  if (const std::string trouble = files.write(measured, conditions, ours_); !trouble.empty()) {
    session.complain(trouble);
  }
  return matched == 0 || session.failed() ? 1 : 0;
}

}  // namespace sluice::bench
