// SPDX-License-Identifier: Apache-2.0
//
// step_kill: kills a process after every single instruction of an operation, and lets a fresh
// process check what the dead one left behind. For code that works on memory or files shared by
// processes and claims to survive SIGKILL. Not for races between living processes (the victim runs
// alone), not for what happens inside a blocked system call (a system call is one step), not for
// long computations (see Cost), and not in a sanitizer build, whose instrumentation is stepped too.
//
//   struct Shared { std::atomic<int> value, ready; };
//   SharedArea<Shared> area;
//   CrashOperation publish{.name = "publish"};
//   publish.setup = [&] { area.reset(); };
//   publish.operation = [&] { area->value = 7; area->ready = 1; };
//   publish.survivor = [&](bool completed) -> std::string {
//     if (completed && area->ready != 1) return "acknowledged but lost";
//     return area->ready == 1 && area->value != 7 ? "published before it was written" : "";
//   };
//   EXPECT_TRUE(step_kill(publish).intact());
//
// How it works. One victim first runs to its end, undisturbed, to see that the operation can be
// tested at all. Then, for k = 1, 2, ...: setup() runs in the caller; a forked victim runs
// prepare() at full speed and k instructions of operation() under ptrace, and is killed; a second,
// fresh child runs survivor() within a time limit. The last k is the one at which operation() had
// returned: survivor(true) then checks everything that was acknowledged. What the victim does
// before operation() and after it is no kill point. What only the victim knows (which item it
// popped, say) it writes into a SharedArea of the user's.
//
// With KillAt::each_system_call the victim runs freely in between, and is killed before and after
// each system call (but for the point before the first). That is as thorough, and far quicker, for
// an operation that shares nothing with others but what the kernel keeps: files, locks.
//
// In memory: SharedArea<T> is one anonymous shared mapping with a T at its start, on a page
// boundary, seen by all children; the harness maps one page for its own reports.
//
// Units: kill points are instructions (an interrupted string instruction counts once per
// repetition) or system calls (twice each); limits are std::chrono::milliseconds.
//
// Errors: a survivor that returns text, throws, crashes or outlives its limit makes the kill point
// broken. An operation that can't be tested (it throws, crashes, exits or blocks by itself;
// prepare() fails; ptrace is refused) ends the run with `error` set; `refused` tells the last of
// these apart, for a test that wants to skip itself. Exceptions of setup() pass through. A
// CrashOperation without operation or survivor throws std::invalid_argument; std::system_error
// means that the machine gave no process, page or descriptor.
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
// Cost: N instructions take N * N / 2 steps of some microseconds and 2 * N forks: 100 instructions
// a few tenths of a second, 1,000 some ten seconds. So: small payloads, -O2, and linked with
// -Wl,-z,now, since each symbol bound lazily inside operation() adds about a thousand instructions.
// N system calls take 4 * N forks.

#ifndef SLUICE_TESTKIT_CRASH_H_
#define SLUICE_TESTKIT_CRASH_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iosfwd>
#include <new>
#include <string>
#include <type_traits>

namespace sluice::internal {

/// Zeroed memory that children forked later share. Throws std::system_error.
[[nodiscard]] void* map_shared(std::size_t bytes);
void unmap_shared(void* memory, std::size_t bytes) noexcept;

}  // namespace sluice::internal

namespace sluice::testkit {

/// A T in memory that forked children share. Nobody destroys the T: a killed process could not.
template <class T>
class SharedArea {
  static_assert(std::is_default_constructible_v<T>, "reset() makes a new T without arguments");
  static_assert(std::is_trivially_destructible_v<T>,
                "a T whose process was killed is never destroyed");
  static_assert(alignof(T) <= 4096, "the T lies at the start of a page");

 public:
  SharedArea() : memory_(internal::map_shared(sizeof(T))) { object_ = ::new (memory_) T(); }
  ~SharedArea() { internal::unmap_shared(memory_, sizeof(T)); }
  SharedArea(const SharedArea&) = delete;
  SharedArea& operator=(const SharedArea&) = delete;

  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }

  /// Zeroes the bytes and constructs a new T. For setup(), when no other process uses the area.
  void reset() {
    std::memset(memory_, 0, sizeof(T));
    object_ = ::new (memory_) T();
  }

 private:
  void* memory_;
  T* object_;
};

/// What is tested. `operation` and `survivor` are required.
struct CrashOperation {
  std::string name;
  /// In the calling process, before each victim: puts the shared state back to its start.
  std::function<void()> setup = {};
  /// In the victim, at full speed: what a process has long done before (attached, touched memory).
  std::function<void()> prepare = {};
  /// In the victim: every instruction of it is a kill point.
  std::function<void()> operation = {};
  /// In a fresh process: works with what is left, and returns what is wrong with it, or an empty
  /// string. `completed` means that operation() had returned, so that its effect must be there.
  std::function<std::string(bool completed)> survivor = {};
};

enum class KillAt : std::uint8_t { each_instruction, each_system_call };

struct CrashOptions {
  KillAt kill_at = KillAt::each_instruction;
  /// An operation with more kill points than this is not killed everywhere, and so not intact.
  std::uint64_t max_kill_points = 5000;
  /// A survivor that needs longer is killed, and its kill point is broken.
  std::chrono::milliseconds survivor_limit{3000};
  /// A victim that needs longer, for prepare() and all its steps, is killed: an error.
  std::chrono::milliseconds victim_limit{30000};
  /// Gives up once so many kill points are broken.
  std::uint64_t stop_after_broken = 10;
};

struct CrashResult {
  std::string name;
  std::uint64_t kill_points = 0;   ///< victims killed and checked
  std::uint64_t broken = 0;        ///< of these, the ones whose survivor complained
  std::uint64_t first_broken = 0;  ///< the number of the first of them, from 1; 0 if none
  std::string reason;              ///< what that survivor said
  bool completed = false;          ///< the last victim had finished: no point was left out
  bool refused = false;            ///< this machine does not let us trace a child
  std::string error;               ///< why there is no verdict; empty if there is one
  std::chrono::milliseconds time{};

  /// True if the operation was killed everywhere and nothing was ever wrong.
  [[nodiscard]] bool intact() const noexcept { return completed && broken == 0 && error.empty(); }
};

/// One line: "name: N kill points, M broken", then whatever else is worth knowing.
std::ostream& operator<<(std::ostream& out, const CrashResult& result);

[[nodiscard]] CrashResult step_kill(const CrashOperation& operation,
                                    const CrashOptions& options = {});

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_CRASH_H_
