// SPDX-License-Identifier: Apache-2.0
//
// step_kill: kills a process after every instruction of an operation that matters, and lets a fresh
// process check what the dead one left behind. For code that works on memory or files shared by
// processes and claims to survive SIGKILL. Not for races between living processes (but for those
// with one that is frozen; testkit/kill_stress.h has the others), not for long computations (see
// Cost), and not in a sanitizer build, whose instrumentation is stepped too.
//
//   struct Shared { std::atomic<int> value, ready; };
//   SharedArea<Shared> area;
//   CrashOperation publish{.name = "publish"};
//   publish.shared = {area.bytes()};
//   publish.setup = [&] { area.reset(); };
//   publish.operation = [&] { area->value = 7; area->ready = 1; };
//   publish.survivor = [&](bool completed) -> std::string {
//     if (completed && area->ready != 1) return "acknowledged but lost";
//     return area->ready == 1 && area->value != 7 ? "published before it was written" : "";
//   };
//   EXPECT_TRUE(step_kill(publish).intact());
//
// How it works. One victim is stepped through the whole operation, under ptrace, to find its kill
// points. Then, for n = 1, 2, ...: setup() runs in the caller; a new victim is forked, runs
// prepare() at full speed, is stepped from the start of operation() to the n-th kill point, and is
// killed; a second, fresh child runs survivor() within a time limit. The last n is the one at which
// operation() had returned: survivor(true) then checks everything that was acknowledged. What the
// victim does before operation() and after it is no kill point. What only the victim knows (which
// item it popped, say) it writes into a SharedArea of the user's, which belongs to `shared` like
// the rest.
//
// Kill points. Two places with the same shared bytes and the same robust-list head are the same
// crash. So the quick profile kills where these have changed, on both sides of each system call,
// and at the operation's two ends. It relies on `shared` naming every byte that outlives the
// victim; an operation that names none is killed after every instruction, as the full profile does
// it with all. It also relies on each victim taking the same path. A victim that was not at the
// instruction where the recorded one had been is followed by others, and if none of them is, the
// result has an error and says so; the full profile counts them only.
//
// With KillAt::each_system_call the victim runs freely in between, and is killed before and after
// each system call (but for the point before the first). That is as thorough, and far quicker, for
// an operation that shares nothing with others but what the kernel keeps: files, locks.
//
// Modes. `plain` is the above. `interference`: while the victim is frozen at its kill point, and so
// alive, another process runs interfere(), which may have to wait for the victim and so needs
// deadlines; then the victim is killed. `second_death`: once the victim is dead, another process
// runs recover(), and is stepped and killed in its turn: at its end, and at second_deaths of its
// own kill points, chosen by the seed (all of them in the full profile). What survivor(completed)
// is told is about the victim alone; what the others have done they write into a SharedArea.
//
// Waiting. An operation that waits for somebody takes a partner, which is forked before the victim
// and lives beside it (testkit/partner.h): it holds the lock, say, and is told when the victim
// sleeps in a system call. That sleep is a kill point, too. Once the victim is dead the partner has
// survivor_limit to end, and only then who recovers and the survivor come; whoever is to sleep on
// through a second death is a process that setup() starts, and ends the next time. An operation
// that is to wait for ever says may_block, and is killed at each point up to that sleep, and in it;
// without either, one that blocks is an error. A sleep that ends by itself within blocked_after is
// none.
//
// Units: kill points and steps are counts; a step is an instruction (an interrupted string
// instruction counts once per repetition) or one side of a system call; limits are
// std::chrono::milliseconds.
//
// Errors: a survivor that returns text, throws, crashes or outlives its limit makes the kill point
// broken, and so does a process that interferes or recovers, or a partner, that throws, crashes or
// outlives its limit. An operation that can't be tested (it throws, crashes, exits or blocks by
// itself; prepare() fails; ptrace is refused; it is not reproducible) ends the run with `error`
// set; `refused` tells a refused ptrace apart, for a test that wants to skip itself. Exceptions of
// setup() pass through. A CrashOperation that lacks a callback throws std::invalid_argument;
// std::system_error means that the machine gave no process, page or descriptor.
//
// Threads and processes: each thread may run one step_kill; all callbacks but setup() run in forked
// children, so other threads must not hold locks that they need. Processes that survivor() starts
// are killed with it unless they leave its process group. operation() should start none: only the
// thread that calls it is stepped.
//
// If a process dies here: all children die with the thread that runs step_kill, and nothing named
// is ever made. When step_kill returns or throws, no child, zombie, descriptor or mapping of its
// own is left.
//
// Cost: a step takes some 35 to 70 microseconds on a virtual machine with two CPUs, and several
// times that where others want them as well; nearly all of it goes to the two changes of process,
// and a little to many shared bytes, which are compared after each. A kill point costs two forks,
// one more each for a partner, for who interferes and for who recovers, and the steps up to it; a
// second death costs all of that anew, and its own steps. An operation of 100 instructions and
// some eight kill points takes some tens of milliseconds in the quick profile; some ten times that
// with second deaths, or in the full profile, where it grows with the square of the instructions.
// So: small payloads, -O2, what a process does for the first time (attach, allocate) in prepare(),
// and linked with -Wl,-z,now, since each symbol bound lazily inside operation() adds about a
// thousand instructions.

#ifndef SLUICE_TESTKIT_CRASH_H_
#define SLUICE_TESTKIT_CRASH_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "sluice/testkit/partner.h"
#include "sluice/testkit/shared_area.h"

namespace sluice::testkit {

/// What is tested. `operation` and `survivor` are required.
struct CrashOperation {
  std::string name;  ///< begins the line of its result
  /// Everything that the operation writes and that outlives the victim, as mapped in the calling
  /// process. Empty: every instruction is a kill point.
  std::vector<std::span<const std::byte>> shared = {};
  /// In the calling process, before each victim: puts the shared state back to its start.
  std::function<void()> setup = {};
  /// In the victim, at full speed: what a process has long done before (attached, touched memory).
  std::function<void()> prepare = {};
  /// In the victim: what is killed, at all of its kill points.
  std::function<void()> operation = {};
  /// In a fresh process: works with what is left, and returns what is wrong with it, or an empty
  /// string. `completed` means that operation() had returned, so that its effect must be there.
  std::function<std::string(bool completed)> survivor = {};
  /// For CrashMode::interference, in a fresh process: uses the shared state while the victim is
  /// frozen.
  std::function<void()> interfere = {};
  /// For CrashMode::second_death, in a fresh process: the first successor, which is killed, too.
  std::function<void()> recover = {};
  /// In that process, before recover(), at full speed: as prepare().
  std::function<void()> prepare_recovery = {};
  /// In a process that lives beside the victim and must end once that is dead.
  std::function<void(Partner&)> partner = {};
  /// operation() need not return: a system call in which it blocks is its last kill point.
  bool may_block = false;
};

/// What else happens at a death: nothing; another process works beside the frozen victim; or the
/// first who comes after it is killed, too.
enum class CrashMode : std::uint8_t { plain, interference, second_death };
/// Where it kills: quick where what is shared has changed, full after every instruction.
enum class CrashProfile : std::uint8_t { quick, full };
/// Whether victims are stepped, or run freely from one system call to the next.
enum class KillAt : std::uint8_t { each_instruction, each_system_call };

/// As the line of a result has it: "plain", "interference", "second death".
std::ostream& operator<<(std::ostream& out, CrashMode mode);

/// How step_kill() kills, and when it has had enough.
struct CrashOptions {
  CrashMode mode = CrashMode::plain;           ///< the others want interfere(), or recover()
  CrashProfile profile = CrashProfile::quick;  ///< quick relies on CrashOperation::shared
  KillAt kill_at = KillAt::each_instruction;   ///< holds for who recovers, too
  /// Begins here, to look into one kill point again: with max_kill_points = 1.
  std::uint64_t first_kill_point = 1;
  /// An operation with more kill points than this is not killed everywhere, and so not intact.
  std::uint64_t max_kill_points = 5000;
  /// An operation with more steps than this is an error.
  std::uint64_t max_steps = 100'000;
  /// A survivor (or a process that interferes) that needs longer is killed, and its kill point is
  /// broken.
  std::chrono::milliseconds survivor_limit{3000};
  /// A victim that needs longer, for prepare() and all its steps, is killed: an error. So is a
  /// recovery, and its kill point is broken.
  std::chrono::milliseconds victim_limit{30000};
  /// A system call in which the victim sleeps so long blocks (2 ms if it has a partner).
  std::chrono::milliseconds blocked_after{200};
  /// Gives up once so many kill points are broken.
  std::uint64_t stop_after_broken = 10;
  /// For each kill point, at so many points of the recovery, in the quick profile.
  std::uint64_t second_deaths = 4;
  /// Chooses them.
  std::uint64_t seed = 1;
};

/// What SLUICE_CRASH_PROFILE says: "full" or "quick", which is also what an unset one means. Throws
/// std::invalid_argument if it says anything else.
[[nodiscard]] CrashProfile profile_from_environment();

/// What step_kill() has found.
struct CrashResult {
  std::string name;                   ///< CrashOperation::name
  CrashMode mode = CrashMode::plain;  ///< CrashOptions::mode
  std::uint64_t stepped = 0;          ///< steps of the whole operation
  std::uint64_t kill_points = 0;      ///< the distinct ones: where victims were killed and checked
  std::uint64_t second_deaths = 0;    ///< recoverers killed
  std::uint64_t broken = 0;           ///< kill points after which something was wrong
  std::uint64_t first_broken = 0;     ///< the number of the first of them, from 1; 0 if none
  std::uint64_t first_broken_step = 0;      ///< how many steps its victim had done
  std::uint64_t first_broken_recovery = 0;  ///< the kill point of the recovery; 0 if there was none
  std::string reason;                       ///< what was wrong there
  std::uint64_t strayed = 0;  ///< kill points whose victims were not where the recorded one was
  bool completed = false;     ///< the last victim had finished: no point was left out
  bool blocked = false;       ///< the last victim was killed where it blocks, as may_block allows
  bool refused = false;       ///< this machine does not let us trace a child
  std::string error;          ///< why there is no verdict; empty if there is one
  std::uint64_t seed = 0;     ///< CrashOptions::seed, which chose the second deaths
  std::chrono::milliseconds time{};  ///< that all of it took

  /// True if the operation was killed everywhere and nothing was ever wrong.
  [[nodiscard]] bool intact() const noexcept {
    return (completed || blocked) && broken == 0 && error.empty();
  }
};

/// One line: "name, mode: N stepped, M distinct, B broken", then whatever else is worth knowing.
std::ostream& operator<<(std::ostream& out, const CrashResult& result);

/// Kills the operation at each of its kill points, in one mode, and returns when all of them are
/// done, or it gives up. Throws std::invalid_argument if the mode wants a callback that is not
/// there.
[[nodiscard]] CrashResult step_kill(const CrashOperation& operation,
                                    const CrashOptions& options = {});

/// The modes for which the operation has callbacks, beginning with plain.
[[nodiscard]] std::vector<CrashMode> modes_of(const CrashOperation& operation);

/// One result for each of them.
[[nodiscard]] std::vector<CrashResult> step_kill_in_all_modes(const CrashOperation& operation,
                                                              CrashOptions options = {});

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_CRASH_H_
