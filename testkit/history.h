// SPDX-License-Identifier: Apache-2.0
//
// record_history: lets some threads, or processes, call a queue as they like, and writes down who
// called what from when to when, and what it gave. To have it judged as well, take
// testkit/linearizability.h. Not for measuring: the notes cost more than the calls.
//
//   const Recording recording =
//       record_history<MyAdapter<std::uint64_t>>({.parties = 4, .calls = 250}, /*seed=*/7);
//   recording.calls;         // the history, for judge_history() of testkit/queue_judge.h
//   recording.wrong;         // a crash, a hang, an exception: what happened; else empty
//
// The items are item(party, n). Which calls a party makes, and how long it dawdles in between,
// depends on the seed; how the parties meet is the machine's choice. Parties are threads of one
// child process, or each a child process; so a queue that crashes or hangs ends neither the test
// nor the history up to there. With `kills`, processes are killed at any instruction of a call, and
// replaced by new ones, which are new parties; not all that are to be, as some end before.
//
// In memory: a log for each party, in anonymous memory that the children share: two counters, and
// the calls. A call counts as begun, and as returned, once its counter says so.
//
// The clock is CLOCK_MONOTONIC (steady_clock): one for all CPUs and processes, no line that all
// parties write (a shared counter would order all calls, but make them wait for each other, so that
// they hardly overlap). It must not make calls look shorter than they were. So between reading it
// and the call lies an atomic exchange, before and after the call: a full barrier, so that no load
// of the call is earlier than `from`, and no store of it still in the CPU's store buffer at `to`.
// Equal times count as overlapping (testkit/timed_call.h). What the clock leaves out are orders
// closer than its grain: a fault may be overlooked, none is made up.
//
// Units: nanoseconds; items. Errors: std::invalid_argument for options that fit no queue;
// std::system_error without memory or processes. What goes wrong in a party is `wrong`.
//
// Threads and processes: forks, so other threads of the caller must hold no lock that a queue
// needs. Each side of the queue gets as many parties as kTraits allows.
//
// If a process dies here: killed parties leave all calls that had returned, and one at most that
// had begun and may have happened. All children die with the thread that records.
//
// Cost: some 0.1 us a call for the notes; a fork for each round, or process; up to a dozen yields
// of each party in the midst of calls, which on a busy machine take most of the time.

#ifndef SLUICE_TESTKIT_HISTORY_H_
#define SLUICE_TESTKIT_HISTORY_H_

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::testkit {

/// Who calls, how often, and what comes in between.
struct HistoryOptions {
  std::string name = "queue";  ///< of the queue, in a picture's file name and title
  unsigned parties = 4;        ///< that call at once; as near to it as kTraits allows
  unsigned calls = 250;        ///< of each
  std::size_t capacity = 64;   ///< in items, as asked for
  /// Of the calls of who may push and pop.
  unsigned push_percent = 50;
  /// Of all calls, if the adapter has size(): for queues whose size() is exact.
  unsigned size_percent = 0;
  /// A timer interrupts each party now and then in the midst of a call, and gives its CPU to
  /// others: so calls overlap, also with fewer CPUs than parties. By SIGURG, in the child.
  bool interrupt = true;
  /// Else threads of one.
  bool processes = false;
  /// How many of the processes are to be killed, by the timer, in a call.
  unsigned kills = 0;
  /// Then a party that has not returned hangs.
  std::chrono::milliseconds hang_after{10'000};
};

/// What record_history() has noted.
struct Recording {
  History calls;             ///< of all parties, also of those that were killed or hang
  std::size_t capacity = 0;  ///< in items, as the queue says it; 0 if no party got so far
  unsigned kills = 0;        ///< processes that were killed as planned, and replaced
  std::string wrong;         ///< a crash, a hang, an exception: what happened; else empty
};

}  // namespace sluice::testkit

namespace sluice::internal {

/// Throws std::invalid_argument.
void validate(const testkit::HistoryOptions& options);

/// What one party may do, and how much of it.
struct PartyRole {
  bool pushes = true;
  bool pops = true;
};
/// Of the party that replaces another: that one's.
[[nodiscard]] PartyRole role_of(const testkit::QueueTraits& traits, unsigned parties,
                                unsigned party);
/// How many parties there can be.
[[nodiscard]] unsigned parties_of(const testkit::QueueTraits& traits, unsigned asked);

/// The log of one party, in memory that processes share.
struct CallLog {
  struct Entry {
    testkit::QueueCall call;
    std::int64_t from;
    std::int64_t to;
  };

  alignas(128) std::atomic<std::uint32_t> begun;
  std::atomic<std::uint32_t> returned;
  /// An interruption of a call with a number above this one kills its process.
  std::atomic<std::uint32_t> doomed_after;
  /// Whose successor this party is, or itself: it does what that one did. Written before it starts.
  unsigned place = 0;

  void begin(const testkit::QueueCall& call) noexcept;
  void end(bool ok, std::uint64_t value) noexcept;

 private:
  /// They lie behind it.
  Entry* entries() noexcept { return reinterpret_cast<Entry*>(this + 1); }
  friend class CallLogs;
};

class CallLogs {
 public:
  CallLogs(unsigned parties, unsigned calls);
  ~CallLogs();
  CallLogs(const CallLogs&) = delete;
  CallLogs& operator=(const CallLogs&) = delete;

  [[nodiscard]] CallLog& operator[](unsigned party) const;
  /// Of what nobody writes any more.
  [[nodiscard]] testkit::History collect() const;

 private:
  unsigned parties_;
  std::size_t log_bytes_;
  std::byte* memory_;
};

/// What a party calls next, by the seed.
class CallPlan {
 public:
  CallPlan(const testkit::HistoryOptions& options, bool has_size, PartyRole role,
           std::uint64_t seed, unsigned party);

  /// Its value and answer are not known yet, but for what is pushed. Dawdles before.
  std::optional<testkit::QueueCall> next();

 private:
  std::uint64_t random() noexcept;
  void dawdle() noexcept;

  std::uint64_t state_;
  unsigned party_, left_, push_percent_, size_percent_;
  std::uint32_t pushed_ = 0;
  PartyRole role_;
};

/// Parties begin together.
struct Meeting {
  std::atomic<unsigned> arrived;
  std::atomic<std::uint64_t> capacity;

  void wait_for(unsigned parties) noexcept;
};

/// Keeps the parties together: who is far ahead of another waits for it, but not for ever.
class Pace {
 public:
  Pace(const CallLogs& logs, unsigned parties, unsigned party)
      : logs_(logs), parties_(parties), party_(party) {}

  void keep() const noexcept;

 private:
  [[nodiscard]] bool is_ahead(std::uint32_t calls) const noexcept;

  const CallLogs& logs_;
  unsigned parties_, party_;
};

/// While it lives, a timer interrupts the calling thread again and again, and if that was in a
/// call, yields its CPU.
class Interruptions {
 public:
  Interruptions(bool enabled, std::uint64_t seed, const CallLog& log);
  ~Interruptions();
  Interruptions(const Interruptions&) = delete;
  Interruptions& operator=(const Interruptions&) = delete;

 private:
  bool enabled_;
};

/// Runs party(number) in threads of one child, with a queue that make(use) makes and lends to
/// use().
std::string record_threads(const testkit::HistoryOptions& options, unsigned parties,
                           const std::function<void(unsigned party)>& party,
                           const std::function<void(const std::function<void()>& use)>& make);
/// Runs party(number) in processes, and kills some; returns what went wrong.
std::string record_processes(const testkit::HistoryOptions& options, unsigned parties,
                             std::uint64_t seed, const CallLogs& logs,
                             const std::function<void(unsigned party)>& party, unsigned& kills);

/// Memory for a queue between processes, or for one between threads that needs such.
class QueueMemory {
 public:
  explicit QueueMemory(std::size_t bytes) : bytes_(bytes), memory_(map_shared(bytes)) {}
  ~QueueMemory() { unmap_shared(memory_, bytes_); }
  QueueMemory(const QueueMemory&) = delete;
  QueueMemory& operator=(const QueueMemory&) = delete;

  [[nodiscard]] void* get() const noexcept { return memory_; }

 private:
  std::size_t bytes_;
  void* memory_;
};

/// Makes a queue and lends it to use(queue).
template <class A, class Use>
void with_queue(std::size_t capacity, Use use) {
  if constexpr (testkit::LocalAdapter<A>) {
    A queue(capacity);
    use(queue);
  } else {
    const QueueMemory memory(A::bytes(capacity));
    A::make(memory.get(), capacity);
    A queue(memory.get(), capacity);
    use(queue);
  }
}

template <class Side>
bool call_queue(Side& side, testkit::QueueCall call, std::uint64_t& value) {
  switch (call.kind) {
    case testkit::QueueCall::Kind::push:
      return side.try_push(call.value);
    case testkit::QueueCall::Kind::pop:
      return side.try_pop(value);
    default:
      if constexpr (requires { value = side.size(); }) value = side.size();
      return true;
  }
}

/// All calls of one party.
template <class A>
void make_calls(A& queue, CallPlan plan, CallLog& log, const Pace& pace) {
  decltype(auto) side = testkit::party_of(queue);
  while (const auto call = plan.next()) {
    pace.keep();
    std::uint64_t value = call->value;
    log.begin(*call);
    bool ok = true;
    if (call->kind == testkit::QueueCall::Kind::size) {
      ok = call_queue(queue, *call, value);
    } else {
      ok = call_queue(side, *call, value);
    }
    log.end(ok, value);
  }
}

/// Lets the parties call, in threads or in processes: `calls(queue, party)` are those of one.
template <class A, class Calls>
void let_call(const testkit::HistoryOptions& options, unsigned parties, std::uint64_t seed,
              const CallLogs& logs, const Calls& calls, testkit::Recording& recording) {
  if (!options.processes) {
    A* shared = nullptr;
    recording.wrong = record_threads(
        options, parties, [&](unsigned party) { calls(*shared, party); },
        [&](const std::function<void()>& use) {
          with_queue<A>(options.capacity, [&](A& queue) {
            shared = &queue;
            use();
          });
        });
  } else if constexpr (testkit::SharedAdapter<A>) {
    const QueueMemory memory(A::bytes(options.capacity));
    A::make(memory.get(), options.capacity);
    const auto party_calls = [&](unsigned party) {
      A queue(memory.get(), options.capacity);
      calls(queue, party);
    };
    recording.wrong = record_processes(options, parties, seed, logs, party_calls, recording.kills);
  } else if constexpr (testkit::InheritedAdapter<A>) {
    A queue(options.capacity);
    recording.wrong = record_processes(
        options, parties, seed, logs, [&](unsigned party) { calls(queue, party); },
        recording.kills);
  } else {
    recording.wrong = "This queue can't be used between processes.";
  }
}

}  // namespace sluice::internal

namespace sluice::testkit {

/// Makes a queue, lets the parties call it, in forked children, and returns when they have ended;
/// those that hang are killed after `hang_after`.
template <QueueAdapter A>
  requires std::same_as<typename A::value_type, std::uint64_t>
Recording record_history(const HistoryOptions& options, std::uint64_t seed) {
  internal::validate(options);
  const unsigned parties = internal::parties_of(A::kTraits, options.parties);
  const internal::CallLogs logs(parties + options.kills, options.calls);
  for (unsigned party = 0; party < parties; ++party) logs[party].place = party;
  const SharedArea<internal::Meeting> meeting;
  const auto calls = [&](A& queue, unsigned party) {
    const auto role = internal::role_of(A::kTraits, parties, logs[party].place);
    internal::CallPlan plan(options, SizedAdapter<A>, role, seed, party);
    meeting->capacity = capacity_of(queue, options.capacity);
    meeting->wait_for(parties);
    const internal::Interruptions interruptions(options.interrupt, seed + party, logs[party]);
    internal::make_calls(queue, std::move(plan), logs[party], internal::Pace(logs, parties, party));
  };
  Recording recording;
  internal::let_call<A>(options, parties, seed, logs, calls, recording);
  recording.calls = logs.collect();
  recording.capacity = meeting->capacity;
  return recording;
}

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_HISTORY_H_
