// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/kill_stress.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/testkit/child.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::testkit {
namespace {

using internal::Child;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kKillsPerRollCall = 16;  // on average
constexpr int kSinglesPerDouble = 4;   // on average; with three workers or more
constexpr microseconds kLook{20};      // between two looks at the progress

// What the children write. The last worker that complains is heard.
struct Reports {
  internal::Words worker;
  internal::Answer verdict;
};

// One run of kill_stress.
class Stress {
 public:
  Stress(const KillStress& stress, const KillStressOptions& options);

  KillStressResult run();

 private:
  using Counts = std::vector<std::uint64_t>;

  void start(unsigned worker);
  std::vector<unsigned> choose_victims();
  void kill_some();
  void roll_call();
  bool wait_for_progress(const std::vector<unsigned>& of, bool of_all, const Counts& since);
  bool is_over() const {
    const bool enough = steady_clock::now() >= end_ && result_.kills >= options_.min_kills;
    return enough || !result_.intact();
  }
  void look_for_the_ended();
  Counts counts() const;
  void judge();
  std::uint64_t below(std::uint64_t n) {
    return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random_);
  }

  const KillStress& stress_;
  const KillStressOptions& options_;
  SharedArea<Reports> reports_;
  std::vector<std::unique_ptr<Child>> workers_;
  std::vector<unsigned> all_;
  std::mt19937_64 random_;
  steady_clock::time_point end_{};
  std::vector<microseconds> pauses_;
  KillStressResult result_;
};

Stress::Stress(const KillStress& stress, const KillStressOptions& options)
    : stress_(stress), options_(options), workers_(stress.workers) {
  result_.name = stress.name;
  result_.seed = options.seed ? *options.seed : std::random_device()();
  random_.seed(result_.seed);
  for (unsigned worker = 0; worker < stress.workers; ++worker) all_.push_back(worker);
}

void Stress::start(unsigned worker) {
  workers_[worker].reset();  // killed and reaped before the replacement comes
  workers_[worker] = std::make_unique<Child>([this, worker] {
    const std::string who = "worker " + std::to_string(worker);
    try {
      stress_.work(worker);
      reports_->worker.say(who + " returned");
    } catch (...) {
      reports_->worker.say(who + " threw: " + internal::text_of(std::current_exception()));
    }
  });
}

Stress::Counts Stress::counts() const {
  Counts counts;
  for (const unsigned worker : all_) counts.push_back(stress_.progress(worker));
  return counts;
}

// A worker that has ended was not killed by us: those are replaced at once.
void Stress::look_for_the_ended() {
  for (const unsigned worker : all_) {
    if (!workers_[worker]->wait_for_end(milliseconds(0))) continue;
    workers_[worker]->end();
    const std::string said = reports_->worker.text;
    result_.wrong = !said.empty() ? said
                                  : "worker " + std::to_string(worker) + " " +
                                        internal::how_it_ended(workers_[worker]->status());
    return;
  }
}

// False, with `hung` or `wrong` set, if they, or one of them, don't advance in time.
bool Stress::wait_for_progress(const std::vector<unsigned>& of, bool of_all, const Counts& since) {
  const auto limit = steady_clock::now() + options_.hang_after;
  const auto stands_still = [&](unsigned worker) {
    return stress_.progress(worker) == since[worker];
  };
  for (int looks = 1;; ++looks) {
    std::vector<unsigned> still;
    std::copy_if(of.begin(), of.end(), std::back_inserter(still), stands_still);
    if (still.empty() || (!of_all && still.size() < of.size())) return true;
    if (looks % 100 == 0) look_for_the_ended();
    if (!result_.wrong.empty()) return false;
    if (steady_clock::now() >= limit) {
      result_.hung = std::move(still);
      return false;
    }
    std::this_thread::sleep_for(kLook);
  }
}

// Now and then two: the second dies in the midst of what it does about the first one's death.
std::vector<unsigned> Stress::choose_victims() {
  std::vector<unsigned> workers(all_.begin(), all_.end() - stress_.spared);
  std::shuffle(workers.begin(), workers.end(), random_);
  const bool two = workers.size() > 2 && below(kSinglesPerDouble + 1) == 0;
  workers.resize(two ? 2 : 1);
  return workers;
}

void Stress::kill_some() {
  const std::vector<unsigned> victims = choose_victims();
  std::vector<unsigned> others;
  for (const unsigned worker : all_) {
    if (std::find(victims.begin(), victims.end(), worker) == victims.end())
      others.push_back(worker);
  }
  for (const unsigned victim : victims) {
    workers_[victim].reset();
    ++result_.kills;
    if (victims.size() > 1) std::this_thread::sleep_for(microseconds(below(100)));
  }
  const Counts since = counts();
  const auto start_of_pause = steady_clock::now();
  for (const unsigned victim : victims) start(victim);
  if (!wait_for_progress(others, false, since)) return;
  pauses_.push_back(std::chrono::duration_cast<microseconds>(steady_clock::now() - start_of_pause));
}

void Stress::roll_call() {
  look_for_the_ended();
  if (result_.intact()) wait_for_progress(all_, true, counts());
}

void Stress::judge() {
  for (auto& worker : workers_) worker.reset();
  if (!stress_.verdict || !result_.intact()) return;
  result_.wrong =
      internal::ask("the verdict", stress_.verdict, options_.verdict_limit, reports_->verdict);
}

KillStressResult Stress::run() {
  const auto start_time = steady_clock::now();
  end_ = start_time + options_.duration;
  if (stress_.setup) stress_.setup();
  for (const unsigned worker : all_) start(worker);
  roll_call();
  const auto span = options_.longest_interval - options_.shortest_interval;
  while (!is_over()) {
    std::this_thread::sleep_for(
        options_.shortest_interval +
        microseconds(below(static_cast<std::uint64_t>(std::max(span.count(), {})) + 1)));
    kill_some();
    if (result_.intact() && below(kKillsPerRollCall) == 0) roll_call();
  }
  if (result_.intact()) roll_call();
  judge();
  std::sort(pauses_.begin(), pauses_.end());
  if (!pauses_.empty()) {
    result_.median_pause = pauses_[pauses_.size() / 2];
    result_.p99_pause = pauses_[pauses_.size() * 99 / 100];
    result_.longest_pause = pauses_.back();
  }
  result_.time = std::chrono::round<milliseconds>(steady_clock::now() - start_time);
  return result_;
}

}  // namespace

KillStressResult kill_stress(const KillStress& stress, const KillStressOptions& options) {
  if (!stress.work || !stress.progress || stress.workers < 2 || stress.spared >= stress.workers) {
    throw std::invalid_argument("KillStress \"" + stress.name +
                                "\" takes work, progress, two workers at least, and one to kill");
  }
  return Stress(stress, options).run();
}

std::ostream& operator<<(std::ostream& out, const KillStressResult& result) {
  out << result.name << ": " << result.kills << " kills, " << result.hung.size() << " hung";
  for (std::size_t i = 0; i < result.hung.size(); ++i) {
    out << (i == 0 ? " (worker " : ", ") << result.hung[i];
  }
  if (!result.hung.empty()) out << ')';
  if (!result.wrong.empty()) out << "; wrong: " << result.wrong;
  out << "; pause median " << result.median_pause.count() << ", p99 " << result.p99_pause.count()
      << ", max " << result.longest_pause.count() << " us";
  return out << "; seed " << result.seed << "; " << result.time.count() << " ms";
}

}  // namespace sluice::testkit
