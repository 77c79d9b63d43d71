// SPDX-License-Identifier: Apache-2.0
//
// kill_stress: workers that use shared memory for ever, one of which is killed every now and then
// and replaced; the others must go on, all the time. It meets what step_kill (testkit/crash.h)
// can't: several living processes at once, real memory order, deaths one upon another. Not a proof,
// since it hits what it hits: an operation belongs under step_kill first. Not in one process: the
// workers are forked.
//
//   struct Shared { Mutex mutex; std::uint64_t value; std::atomic<std::uint64_t> rounds[4]; };
//   SharedArea<Shared> area;
//   KillStress stress{.name = "mutex"};
//   stress.setup = [&] { area.reset(); };
//   stress.work = [&](unsigned worker) {
//     for (;;) { update_under_lock(*area); ++area->rounds[worker]; }
//   };
//   stress.progress = [&](unsigned worker) { return area->rounds[worker].load(); };
//   EXPECT_TRUE(kill_stress(stress).intact());
//
// How it works. After setup() each worker runs work() in a forked process. Again and again the
// harness sleeps a random while, kills a random worker (now and then two at once), forks its
// replacement, and waits until another worker's progress() has advanced: that is the pause. Every
// now and then, and at the end, it kills nobody until each worker has advanced. Then it kills all
// of them, and a fresh process runs verdict().
//
// In memory: one page for the workers' reports; what is shared is the user's (SharedArea).
//
// Units: pauses are microseconds, limits and times std::chrono as given, the seed a number.
//
// Errors: a worker that returns, throws, exits or crashes by itself, or a verdict that is bad, is
// `wrong`; workers that don't advance within hang_after, though nobody is killed meanwhile, hang.
// Each ends the run. A KillStress without work or progress, or with less than two workers, or with
// none to kill, throws std::invalid_argument; std::system_error means that the machine gave no
// process or page.
//
// Threads and processes: setup() and progress() run in the calling thread, the others in forked
// children, so other threads must not hold locks that they need. What a worker starts is killed
// with it.
//
// If a process dies here: all workers die with the thread that runs kill_stress. When it returns or
// throws, no child, zombie, descriptor or mapping of its own is left.
//
// Cost: runs for the time given, and until it has killed often enough. A fork and a kill each
// millisecond or so; workers use all CPUs that there are.

#ifndef SLUICE_TESTKIT_KILL_STRESS_H_
#define SLUICE_TESTKIT_KILL_STRESS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace sluice::testkit {

/// What is tested. `work` and `progress` are required.
struct KillStress {
  std::string name;      ///< begins the line of its result
  unsigned workers = 4;  ///< at once, two at least
  /// Never killed, but for the end: the last so many. At least one is left to be killed.
  unsigned spared = 0;
  /// In the calling process, once: makes the shared state.
  std::function<void()> setup = {};
  /// In a worker, of the given number from 0: must not return. Runs again in each replacement.
  std::function<void(unsigned worker)> work = {};
  /// In the calling process: a count of what this worker and its predecessors have done.
  std::function<std::uint64_t(unsigned worker)> progress = {};
  /// In a fresh process, once all workers are dead: returns what is wrong, or an empty string.
  std::function<std::string()> verdict = {};
};

/// How long it kills, how often, and when it says that somebody hangs.
struct KillStressOptions {
  std::chrono::milliseconds duration{2000};  ///< at least, unless something is wrong
  /// It goes on beyond `duration` if a busy machine has not given it so many by then.
  std::uint64_t min_kills = 20;
  /// The shortest sleep before a kill.
  std::chrono::microseconds shortest_interval{200};
  /// The longest sleep before a kill; if it is less than the shortest, all are of that length.
  std::chrono::microseconds longest_interval{3000};
  /// How long a worker, or all but the killed, may stand still.
  std::chrono::milliseconds hang_after{3000};
  /// Of the verdict.
  std::chrono::milliseconds verdict_limit{10000};
  /// Chooses intervals and workers; a random one unless given. What the workers do in between is
  /// the machine's choice.
  std::optional<std::uint64_t> seed = {};
};

/// What kill_stress() has found.
struct KillStressResult {
  std::string name;            ///< KillStress::name
  std::uint64_t kills = 0;     ///< of workers that were replaced, not those at the end
  std::vector<unsigned> hung;  ///< workers that stood still
  std::string wrong;           ///< what a worker or the verdict complained of; empty if nothing
  std::chrono::microseconds median_pause{},  ///< from a kill to the first progress of another
      p99_pause{},                           ///< 99 of 100 pauses are no longer
      longest_pause{};                       ///< of all kills
  std::uint64_t seed = 0;                    ///< the one given, or the random one
  std::chrono::milliseconds time{};          ///< that all of it took

  /// True if no worker hung, and none of them, nor the verdict, complained.
  [[nodiscard]] bool intact() const noexcept { return hung.empty() && wrong.empty(); }
};

/// One line: "name: K kills, H hung", the pauses, the seed, then whatever else is worth knowing.
std::ostream& operator<<(std::ostream& out, const KillStressResult& result);

/// Runs the workers and kills them, until the time is over or something is wrong; blocks so long.
[[nodiscard]] KillStressResult kill_stress(const KillStress& stress,
                                           const KillStressOptions& options = {});

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_KILL_STRESS_H_
