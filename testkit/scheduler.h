// SPDX-License-Identifier: Apache-2.0
//
// explore: runs a few virtual threads over the very templates that ship, in many schedules, and
// reports the first in which something goes wrong, so that it can be run again. For algorithms on
// words that are templates over their environment (sync/env.h). Not for code that calls the machine
// directly (std::atomic, std::mutex, system calls), and not for more than a few operations at once.
//
//   struct Shared { BasicMutex<ScheduledEnv> mutex; ScheduledData<int> count; } shared;
//   const auto add = [&] { shared.mutex.lock(); shared.count += 1; shared.mutex.unlock(); };
//   Scenario scenario{.name = "two add"};
//   scenario.setup = [&] { renew(shared); };
//   scenario.threads = {{add}, {add}};
//   scenario.check = [&](const ScheduleEnd&) { return shared.count == 2 ? "" : "one was lost"; };
//   const ScheduleResult result = explore(scenario, {.strategy = Strategy::exhaustive});
//   EXPECT_TRUE(result.holds()) << result;
//
// How it works. Each virtual thread is a fiber, and a process of its own with a tag of its own.
// Before each operation on a word the strategy says who goes on; a load may give any value that
// C++20 allows; sleepers are woken in the order in which they fell asleep.
//
//   random      seed + i for schedule i: a walk, more or less restless
//   pct         the same seeds; finds every bug of `depth` with a known probability (Burckhardt et
//               al. 2010): one thread runs until it can't, but for depth - 1 changes of priority
//   exhaustive  every schedule with at most `preemptions` changes away from a thread that could go
//               on, and at most `old_values` loads that do not give the latest value
//
// What is checked: require() in a thread, check() after the schedule, data races on ScheduledData,
// an exception that leaves a thread, a deadlock, more than `steps` steps, and a lost wake-up: a
// schedule in which only a timeout helps, where that has happened more than `timeouts` times.
//
// The memory model, and its limits. A load gives one of the last `history` values of its word that
// happens-before and coherence leave (release sequences, fences, the single order of sequentially
// consistent operations). Read-modify-writes meet the latest value; a compare-and-swap may fail on
// an older one. heavy_barrier() is a full fence in each other thread, one after the other. A
// word's values come in the order in which the schedule stores them, and no store comes before an
// earlier load of its thread: so load buffering, 2+2W and what hangs on them are never seen.
// futex_wait compares with a value not older than what the last futex_wake of the word knew, and
// who is woken sees that word as new as its waker did; futexes order nothing else.
// Words are told apart by address: one that is used must live to the end of the schedule.
//
// Death. Up to `deaths` threads that are `mortal` are killed: before any operation, after any that
// writes, or asleep. Then, each a step of its own: the kernel marks the lock that was pending and
// wakes a waiter (KernelHelp), and the tag is dead. A killed thread destroys nothing: what its
// stack owns on the heap leaks, so let it own nothing. Processes of several threads are not
// modelled.
//
// Time stands still but for 1 ns per step, and jumps to the first timeout when nobody can run. So
// make deadlines from ScheduledEnv::now(), and let threads sleep at once (WaitMode::block): each
// look of a thread that spins is a step.
//
// Errors: what is found is in the result. A scenario without threads, or with more than 16, and
// choices that can't be read throw std::invalid_argument; exceptions of setup() and check() pass.
// Threads: each may explore, on its own. setup() and check() run between schedules: there
// ScheduledEnv goes to memory directly, and must not wait.
//
// If a process dies here: private memory only. Cost: about 1 us per change of thread and some
// tenths of it per step: 50,000 schedules of 20 steps per second and more. Not under
// ThreadSanitizer.

#ifndef SLUICE_TESTKIT_SCHEDULER_H_
#define SLUICE_TESTKIT_SCHEDULER_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iosfwd>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/env.h"
#include "sluice/sync/futex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"
#include "sluice/testkit/weak_memory.h"

namespace sluice::internal {

/// The operations of the virtual thread that runs, which are those of ScheduledEnv on bits. Their
/// orders are the callers', who say why.
struct Schedule {
  enum class Modify : std::uint8_t { add, set_bits };

  /// Whether the caller is a virtual thread.
  [[nodiscard]] static bool running() noexcept;

  static std::uint64_t load(WordAt word, std::memory_order order) noexcept;
  static void store(WordAt word, std::uint64_t value, std::memory_order order) noexcept;
  static bool cas(WordAt word, std::uint64_t& expected, std::uint64_t desired,
                  std::memory_order order) noexcept;
  static std::uint64_t modify(WordAt word, Modify how, std::uint64_t operand,
                              std::memory_order order) noexcept;
  static void fence() noexcept;
  static void light_barrier() noexcept;
  static bool heavy_barrier(bool within_process) noexcept;
  static FutexWait futex_wait(WordAt word, std::uint32_t expected,
                              Deadline::TimePoint until) noexcept;
  static int futex_wake(WordAt word, int count) noexcept;
  static Deadline::TimePoint now() noexcept;
  static void yield() noexcept;
  static ThreadState& self() noexcept;
  static Liveness probe(std::uint32_t tag) noexcept;
  static void read_data(const void* cell) noexcept;
  static void write_data(const void* cell) noexcept;
};

}  // namespace sluice::internal

namespace sluice::testkit {

/// The environment of virtual threads: RealLockEnv's members.
struct ScheduledEnv {
  /// A step; gives any of the last values that C++20 lets this thread read (see the top).
  template <class T>
  static T load(const internal::Word<T>& word, std::memory_order order) noexcept {
    if (!internal::Schedule::running()) return internal::RealEnv::load(word, order);
    return from_bits<T>(internal::Schedule::load(at(word), order));
  }
  /// A step, after which a mortal thread may be killed.
  template <class T>
  static void store(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    if (!internal::Schedule::running()) return internal::RealEnv::store(word, value, order);
    internal::Schedule::store(at(word), to_bits(value), order);
  }
  /// Strong, but may fail on an older value; `expected` is then what was read, with relaxed order.
  template <class T>
  static bool cas(internal::Word<T>& word, T& expected, T desired,
                  std::memory_order success) noexcept {
    if (!internal::Schedule::running()) {
      return internal::RealEnv::cas(word, expected, desired, success);
    }
    std::uint64_t found = to_bits(expected);
    const bool done = internal::Schedule::cas(at(word), found, to_bits(desired), success);
    expected = from_bits<T>(found);
    return done;
  }
  /// Adds to the latest value, and returns what that was; sums wrap around.
  template <class T>
  static T fetch_add(internal::Word<T>& word, T value, std::memory_order order) noexcept {
    if (!internal::Schedule::running()) return internal::RealEnv::fetch_add(word, value, order);
    return from_bits<T>(internal::Schedule::modify(at(word), internal::Schedule::Modify::add,
                                                   to_bits(value), order));
  }
  /// Sets bits in the latest value, and returns what that was.
  template <class T>
  static T fetch_or(internal::Word<T>& word, T bits, std::memory_order order) noexcept {
    if (!internal::Schedule::running()) return internal::RealEnv::fetch_or(word, bits, order);
    return from_bits<T>(internal::Schedule::modify(at(word), internal::Schedule::Modify::set_bits,
                                                   to_bits(bits), order));
  }

  /// A step: sequentially consistent, as memory_order_seq_cst is. Nothing between schedules.
  static void fence() noexcept { internal::Schedule::fence(); }
  /// A fence where Membarrier is `unregistered`; else nothing, as the other side pays.
  static void light_barrier() noexcept { internal::Schedule::light_barrier(); }
  /// A fence in each thread, one after the other, a step each; of the caller alone where Membarrier
  /// is `unregistered`. False where it is `refused`.
  static bool heavy_barrier() noexcept { return internal::Schedule::heavy_barrier(false); }
  /// As heavy_barrier(): here each thread is a process.
  static bool heavy_barrier_within_process() noexcept {
    return internal::Schedule::heavy_barrier(true);
  }

  /// Sleeps if the word's low 32 bits are `expected`, until a wake or until time has jumped to
  /// `until`; nobody interrupts it. Between schedules, a timeout at once.
  template <class T>
  static internal::FutexWait futex_wait(internal::Word<T>& word, std::uint32_t expected,
                                        Deadline::TimePoint until) noexcept {
    return internal::Schedule::futex_wait(at(word), expected, until);
  }
  /// Wakes up to `count` sleepers, the longest asleep first, and says how many. A step.
  template <class T>
  static int futex_wake(internal::Word<T>& word, int count) noexcept {
    return internal::Schedule::futex_wake(at(word), count);
  }

  /// The schedule's own time, for deadlines: it begins anew with each schedule and goes on by 1 ns
  /// a step.
  static Deadline::TimePoint now() noexcept { return internal::Schedule::now(); }
  /// As yield(): who spins gives way to whom it waits for.
  static void pause() noexcept { internal::Schedule::yield(); }
  /// A step that another thread takes first, if one can run.
  static void yield() noexcept { internal::Schedule::yield(); }

  /// What the virtual thread that runs knows of its locks; between schedules, a bystander's, who
  /// never dies.
  static internal::ThreadState& self() noexcept { return internal::Schedule::self(); }
  /// How the virtual thread signs: its tag, from 1 in the order of Scenario::threads, above its
  /// thread id.
  static std::uint64_t me() noexcept { return internal::Schedule::self().me; }
  /// A step: dead only once all steps of that thread's death are done. Who has returned is alive; a
  /// tag that nobody has is dead.
  static Liveness probe(std::uint32_t tag) noexcept { return internal::Schedule::probe(tag); }
  /// No: each virtual thread is a participant of its own, for probe() to know.
  static bool has_ended(std::uint32_t /*thread*/) noexcept { return false; }

 private:
  template <class T>
  static internal::WordAt at(const internal::Word<T>& word) noexcept {
    return {const_cast<T*>(&word.raw), sizeof(T)};
  }
  template <class T>
  static std::uint64_t to_bits(T value) noexcept {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    return bits;
  }
  template <class T>
  static T from_bits(std::uint64_t bits) noexcept {
    T value{};
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

/// Plain data that threads share: two accesses that are not ordered by happens-before, one of them
/// a write, are a failure of the schedule.
template <class T>
class ScheduledData {
 public:
  /// Holds T().
  ScheduledData() = default;

  /// Reads; a write of another thread that is not ordered with it ends the schedule. No step.
  [[nodiscard]] T get() const noexcept {
    internal::Schedule::read_data(this);
    return value_;
  }
  /// Writes; any access of another thread that is not ordered with it ends the schedule. No step.
  void set(T value) noexcept {
    internal::Schedule::write_data(this);
    value_ = value;
  }
  /// As get().
  // NOLINTNEXTLINE(google-explicit-constructor): stands for a T
  operator T() const noexcept { return get(); }
  /// As set().
  ScheduledData& operator=(T value) noexcept {
    set(value);
    return *this;
  }
  /// get(), then set(): two accesses, between which nobody else runs.
  ScheduledData& operator+=(T value) noexcept {
    set(get() + value);
    return *this;
  }

 private:
  T value_ = T();
};

/// Ends the schedule as a failure unless `condition`. For the bodies of threads.
void require(bool condition, const char* what) noexcept;

/// As at the start: all zero, for what lies in shared memory. For setup().
template <class T>
void renew(T& object) {
  std::memset(static_cast<void*>(&object), 0, sizeof object);
  ::new (static_cast<void*>(&object)) T();
}

/// A virtual thread of a scenario: a process of its own, with a tag and locks of its own.
struct ScheduledThread {
  std::function<void()> body;  ///< runs once in each schedule; an empty one is refused
  bool mortal = false;         ///< may be killed, if ExploreOptions::deaths allows any
};

/// What a trace calls the words of an object.
struct ScheduledName {
  /// Keeps the object's address: there it must be in each schedule.
  template <class T>
  ScheduledName(std::string as, const T& object)
      : text(std::move(as)), begin(reinterpret_cast<std::uintptr_t>(&object)), bytes(sizeof(T)) {}

  std::string text;      ///< the name; with "+offset" for a word that is not the object's first
  std::uintptr_t begin;  ///< the object's address
  std::size_t bytes;     ///< its size: addresses from `begin` on that bear the name
};

/// How a schedule ended.
struct ScheduleEnd {
  std::vector<bool> died;  ///< by thread
  unsigned timeouts = 0;   ///< how often only a timeout helped
};

/// What is explored. `threads` is required.
struct Scenario {
  std::string name;  ///< begins the line of the result
  /// Before each schedule: puts the shared state back to its start.
  std::function<void()> setup = {};
  /// All that run, 1 to 16; the first one is T0 in traces, and has tag 1.
  std::vector<ScheduledThread> threads = {};
  /// After each schedule: what is wrong, or an empty string.
  std::function<std::string(const ScheduleEnd&)> check = {};
  /// For traces and failures; a word without a name is an address there.
  std::vector<ScheduledName> names = {};
};

/// Which schedules are tried: by chance, by chance that finds bugs of a given depth, or all within
/// bounds.
enum class Strategy : std::uint8_t { random, pct, exhaustive };

/// Whether loads may give other values than the latest.
enum class MemoryOrder : std::uint8_t { weak, sequential };

/// What the kernel does with the pending lock of a thread that dies (sync/thread_state.h).
enum class KernelHelp : std::uint8_t {
  none,     ///< nothing: get_robust_list(2) was refused, or another pid namespace
  to_zero,  ///< up to Linux 6.1: of free locks, it wakes a waiter only of those that are all zero
  full,     ///< later ones: a waiter of any free lock
};

/// What membarrier(2), on which heavy_barrier() rests, does in the scenario.
enum class Membarrier : std::uint8_t {
  works,         ///< heavy_barrier() is a fence in each thread, light_barrier() nothing
  refused,       ///< to the waiter: heavy_barrier() is false, light_barrier() nothing
  unregistered,  ///< by nobody: light_barrier() is a fence
};

/// How schedules are chosen, how many at most, and what may happen in each.
struct ExploreOptions {
  Strategy strategy = Strategy::random;       ///< says which of the bounds below count
  std::uint64_t seed = 1;                     ///< random, pct: that of the first schedule
  std::uint64_t schedules = 10000;            ///< at most
  unsigned depth = 3;                         ///< pct
  unsigned preemptions = 2;                   ///< exhaustive
  unsigned old_values = 1;                    ///< exhaustive
  unsigned deaths = 0;                        ///< per schedule, at most
  unsigned timeouts = 0;                      ///< more than these per schedule are a lost wake-up
  unsigned early_timeouts = 0;                ///< per schedule: while others could run
  unsigned steps = 5000;                      ///< a longer schedule is a failure
  unsigned history = 4;                       ///< weak: a load gives one of so many last values
  MemoryOrder memory = MemoryOrder::weak;     ///< sequential: each load gives the latest
  KernelHelp kernel = KernelHelp::full;       ///< what it does for who dies
  Membarrier membarrier = Membarrier::works;  ///< what heavy_barrier() can rely on
  /// ScheduleResult::choices of a failure: runs that schedule alone, whatever the strategy. All
  /// but strategy, seed and its bounds must be as they were.
  std::string replay = {};
};

/// What explore() has found; of a failure, what happened and how to see it again.
struct ScheduleResult {
  std::string name;                  ///< Scenario::name
  std::uint64_t schedules = 0;       ///< that were run, also the one that failed
  std::uint64_t steps = 0;           ///< of all
  std::uint64_t deaths = 0;          ///< of all
  std::uint64_t timeouts = 0;        ///< of all: those that were the only thing to help
  bool complete = false;             ///< exhaustive: no schedule within the bounds was left out
  std::string failure;               ///< what went wrong; empty if nothing did
  std::string strategy;              ///< what found it, with its seed: `schedules = 1` repeats it
  std::string choices;               ///< for ExploreOptions::replay
  std::string trace;                 ///< its last steps, one a line
  std::chrono::milliseconds time{};  ///< that all of it took

  /// True if no schedule failed; a proof, within the bounds, only if it is `complete` as well.
  [[nodiscard]] bool holds() const noexcept { return failure.empty(); }
};

/// One line; after a failure the trace as well.
std::ostream& operator<<(std::ostream& out, const ScheduleResult& result);

/// Runs schedules in the calling thread until one fails, or there are no more. Not within an
/// explore() of the same thread: std::logic_error.
[[nodiscard]] ScheduleResult explore(const Scenario& scenario, const ExploreOptions& options = {});

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SCHEDULER_H_
