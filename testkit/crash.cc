// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/crash.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <ostream>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/testkit/child.h"
#include "sluice/testkit/partner_process.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/testkit/stepper.h"
#include "sluice/testkit/walk.h"

namespace sluice::testkit {
namespace {

using internal::PartnerProcess;
using internal::Place;
using internal::Progress;
using internal::Stepper;
using internal::Walk;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How many victims in a row may take another path than the one recorded before them.
constexpr int kTries = 3;

// A victim that has a partner, and sleeps so long, is one that waits for it. The partner may be
// told too early, for all that happens then.
constexpr milliseconds kWaitsForPartner{2};

// What the children of one kill point write.
struct Reports {
  Progress victim, recoverer;
  internal::Answer interfering, survivor;
};

// A victim's death, and what was wrong after it.
struct Kill {
  Place place;
  bool stuck = false;
  std::uint64_t steps = 0;
  std::uint64_t recovery_points = 0;  // of which the recoverer had reached the last
  std::string wrong;                  // empty if nothing was
};

// One run of step_kill.
class Harness {
 public:
  Harness(const CrashOperation& operation, const CrashOptions& options);

  CrashResult run();

 private:
  void begin_again();
  internal::Stepped victim() const;
  internal::Stepped recoverer() const;
  std::optional<PartnerProcess> partner() const;
  bool record();
  void cover_point(std::uint64_t n);
  bool cover_point_once(std::uint64_t n);
  bool as_recorded(std::uint64_t n, const Place& place) const;
  void note(std::uint64_t n, const Kill& kill);
  Kill kill_at(std::uint64_t n, std::uint64_t recovery_point);
  std::string interfere();
  void kill_recoverer_at(std::uint64_t m, Kill& kill);
  std::vector<std::uint64_t> second_deaths(std::uint64_t points);

  const CrashOperation& operation_;
  const CrashOptions& options_;
  bool quick_;
  internal::Regions regions_;  // the victim's; none: each step is a kill point
  std::vector<Place> path_;    // the kill points of the recorded victim
  std::uint64_t broken_point_ = 0;
  std::mt19937_64 random_;
  SharedArea<Reports> reports_;
  CrashResult result_;
};

Harness::Harness(const CrashOperation& operation, const CrashOptions& options)
    : operation_(operation),
      options_(options),
      quick_(options.profile == CrashProfile::quick),
      random_(options.seed) {
  result_.name = operation.name;
  result_.mode = options.mode;
  result_.seed = options.seed;
  if (quick_ && options.kill_at == KillAt::each_instruction) regions_ = operation.shared;
}

void Harness::begin_again() {
  reports_.reset();
  if (operation_.setup) operation_.setup();
}

internal::Stepped Harness::victim() const {
  return {.name = "the operation",
          .prepare = operation_.prepare,
          .body = operation_.operation,
          .by_system_call = options_.kill_at == KillAt::each_system_call,
          .limit = options_.victim_limit,
          .blocked_after = operation_.partner ? kWaitsForPartner : options_.blocked_after};
}

std::optional<PartnerProcess> Harness::partner() const {
  if (!operation_.partner) return std::nullopt;
  return std::optional<PartnerProcess>(std::in_place, operation_.partner, options_.survivor_limit);
}

internal::Stepped Harness::recoverer() const {
  return {.name = "the recovery",
          .prepare = operation_.prepare_recovery,
          .body = operation_.recover,
          .by_system_call = options_.kill_at == KillAt::each_system_call,
          .limit = options_.victim_limit,
          .blocked_after = options_.blocked_after};
}

// Steps one victim to its end: so the kill points are known, and an operation that can't be tested
// is found out at once and not at its last instruction. False if it can't.
bool Harness::record() {
  begin_again();
  path_.clear();
  std::optional<PartnerProcess> beside = partner();
  Walk walk(victim(), reports_->victim, regions_, options_.max_steps, beside ? &*beside : nullptr);
  do {
    path_.push_back(walk.next());
  } while (!walk.is_over(path_.back()));
  walk.kill();
  result_.stepped = walk.steps();
  const Place& last = path_.back();
  if (last.stop == Stepper::Stop::gone) {
    result_.error = walk.problem();
  } else if (walk.is_stuck(last) && !operation_.may_block) {
    result_.error =
        "the operation blocks in a system call, and has neither a partner nor may_block";
  } else if (!last.done && !walk.is_stuck(last)) {
    result_.error = "the operation takes more than " + std::to_string(walk.steps()) + " steps";
  }
  return result_.error.empty();
}

bool Harness::as_recorded(std::uint64_t n, const Place& place) const {
  return n <= path_.size() && place == path_[n - 1];
}

// Covers the n-th kill point. A victim that was somewhere else than the recorded one is judged all
// the same, but it has not shown what happens at the n-th point; so in the quick profile, which
// relies on the points being the same, others follow, after a new record.
void Harness::cover_point(std::uint64_t n) {
  ++result_.kill_points;
  for (int i = 0; i < kTries; ++i) {
    if (cover_point_once(n) || !result_.error.empty()) return;
    if (!quick_ || !record()) break;
  }
  ++result_.strayed;
  if (quick_ && result_.error.empty()) {
    result_.error =
        "not reproducible: at kill point " + std::to_string(n) + " each victim was somewhere else";
  }
}

// True if all of its victims were where the recorded one had been.
bool Harness::cover_point_once(std::uint64_t n) {
  constexpr std::uint64_t kEnd = UINT64_MAX;
  const bool second = options_.mode == CrashMode::second_death;
  const Kill first = kill_at(n, second ? kEnd : 0);
  note(n, first);
  bool same = as_recorded(n, first.place);
  if (!first.wrong.empty()) return same;
  for (const std::uint64_t m : second_deaths(first.recovery_points)) {
    if (!result_.error.empty()) break;
    const Kill kill = kill_at(n, m);
    note(n, kill);
    same &= as_recorded(n, kill.place);
  }
  return same;
}

void Harness::note(std::uint64_t n, const Kill& kill) {
  if (!result_.error.empty()) return;
  result_.completed = kill.place.done;
  result_.blocked = kill.stuck;
  if (kill.recovery_points > 0) ++result_.second_deaths;
  if (kill.wrong.empty() || broken_point_ == n) return;
  broken_point_ = n;
  if (++result_.broken > 1) return;
  result_.first_broken = n;
  result_.first_broken_step = kill.steps;
  result_.first_broken_recovery = kill.recovery_points;
  result_.reason = kill.wrong;
}

// Kills a victim at its n-th kill point, or at the end of its operation if that comes first; then
// a recoverer at point `recovery_point`, if not 0; and asks a survivor.
Kill Harness::kill_at(std::uint64_t n, std::uint64_t recovery_point) {
  begin_again();
  Kill kill;
  std::optional<PartnerProcess> beside = partner();
  Walk walk(victim(), reports_->victim, regions_, options_.max_steps, beside ? &*beside : nullptr);
  kill.place = walk.to(n);
  kill.stuck = walk.is_stuck(kill.place);
  kill.steps = walk.steps();
  if (kill.place.stop == Stepper::Stop::gone) {
    walk.kill();
    result_.error = walk.problem();
    return kill;
  }
  if (options_.mode == CrashMode::interference) kill.wrong = interfere();
  walk.kill();
  if (beside) {
    const std::string wrong = beside->finish();
    if (kill.wrong.empty()) kill.wrong = wrong;
  }
  if (recovery_point > 0) kill_recoverer_at(recovery_point, kill);
  if (!kill.wrong.empty()) return kill;
  const bool completed = kill.place.done;
  kill.wrong = internal::ask(
      "the survivor", [&] { return operation_.survivor(completed); }, options_.survivor_limit,
      reports_->survivor);
  return kill;
}

// While the victim is stopped. Returns what is wrong.
std::string Harness::interfere() {
  const auto body = [&] {
    operation_.interfere();
    return std::string();
  };
  return internal::ask("the interfering process", body, options_.survivor_limit,
                       reports_->interfering);
}

void Harness::kill_recoverer_at(std::uint64_t m, Kill& kill) {
  Walk walk(recoverer(), reports_->recoverer, operation_.shared, options_.max_steps, nullptr);
  const Place place = walk.to(m);
  walk.kill();
  kill.recovery_points = walk.points();
  if (place.stop == Stepper::Stop::gone) kill.wrong = walk.problem();
  if (place.stop == Stepper::Stop::blocked) kill.wrong = "the recovery blocks in a system call";
  if (walk.is_too_long() && !place.done) kill.wrong = "the recovery takes too many steps";
}

// The points of the recovery, of so many, at which a second death is tried besides its end.
std::vector<std::uint64_t> Harness::second_deaths(std::uint64_t points) {
  if (points < 2) return {};
  std::vector<std::uint64_t> chosen(points - 1);
  std::iota(chosen.begin(), chosen.end(), 1);
  if (quick_ && chosen.size() > options_.second_deaths) {
    std::shuffle(chosen.begin(), chosen.end(), random_);
    chosen.resize(options_.second_deaths);
  }
  return chosen;
}

CrashResult Harness::run() {
  const auto start = steady_clock::now();
  std::uint64_t n = options_.first_kill_point;
  bool over = !record();
  while (!over && result_.kill_points < options_.max_kill_points &&
         result_.broken < options_.stop_after_broken) {
    cover_point(n++);
    over = result_.completed || result_.blocked || !result_.error.empty();
  }
  // Relaxed: all children have ended.
  result_.refused = reports_->victim.trace_errno.load(std::memory_order_relaxed) != 0;
  result_.time = std::chrono::round<milliseconds>(steady_clock::now() - start);
  return result_;
}

void require(bool there, const CrashOperation& operation, const std::string& what) {
  if (there) return;
  throw std::invalid_argument("CrashOperation \"" + operation.name + "\" lacks " + what);
}

}  // namespace

CrashProfile profile_from_environment() {
  const char* value = std::getenv("SLUICE_CRASH_PROFILE");
  const std::string_view name = value == nullptr ? "" : value;
  if (name.empty() || name == "quick") return CrashProfile::quick;
  if (name == "full") return CrashProfile::full;
  throw std::invalid_argument("SLUICE_CRASH_PROFILE is quick or full, not " + std::string(name));
}

CrashResult step_kill(const CrashOperation& operation, const CrashOptions& options) {
  require(operation.operation != nullptr, operation, "its operation");
  require(operation.survivor != nullptr, operation, "its survivor");
  require(options.mode != CrashMode::interference || operation.interfere != nullptr, operation,
          "what interferes");
  require(options.mode != CrashMode::second_death || operation.recover != nullptr, operation,
          "its recovery");
  return Harness(operation, options).run();
}

std::vector<CrashMode> modes_of(const CrashOperation& operation) {
  std::vector<CrashMode> modes{CrashMode::plain};
  if (operation.interfere) modes.push_back(CrashMode::interference);
  if (operation.recover) modes.push_back(CrashMode::second_death);
  return modes;
}

std::vector<CrashResult> step_kill_in_all_modes(const CrashOperation& operation,
                                                CrashOptions options) {
  std::vector<CrashResult> results;
  for (const CrashMode mode : modes_of(operation)) {
    options.mode = mode;
    results.push_back(step_kill(operation, options));
  }
  return results;
}

std::ostream& operator<<(std::ostream& out, CrashMode mode) {
  switch (mode) {
    case CrashMode::plain:
      return out << "plain";
    case CrashMode::interference:
      return out << "interference";
    case CrashMode::second_death:
      return out << "second death";
  }
  return out << "mode " << static_cast<int>(mode);
}

namespace {

void print_first_broken(std::ostream& out, const CrashResult& result) {
  out << "; first at point " << result.first_broken << " (step " << result.first_broken_step;
  if (result.first_broken_recovery > 0) {
    out << ", then point " << result.first_broken_recovery << " of the recovery";
  }
  out << "): " << result.reason;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const CrashResult& result) {
  out << result.name;
  if (result.mode != CrashMode::plain) out << ", " << result.mode;
  out << ": " << result.stepped << " stepped, " << result.kill_points << " distinct, ";
  if (result.mode == CrashMode::second_death) {
    out << result.second_deaths << " second deaths (seed " << result.seed << "), ";
  }
  out << result.broken << " broken";
  if (result.broken > 0) print_first_broken(out, result);
  if (!result.error.empty()) return out << "; no verdict: " << result.error;
  if (result.strayed > 0) out << "; " << result.strayed << " took another path";
  if (result.blocked) out << "; to where it blocks";
  if (!result.completed && !result.blocked) out << "; stopped before the operation's end";
  return out << "; " << result.time.count() << " ms";
}

}  // namespace sluice::testkit
