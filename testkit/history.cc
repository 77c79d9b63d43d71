// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/history.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "sluice/testkit/child.h"
#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/shared_area.h"
#include "sluice/testkit/timed_call.h"

namespace sluice::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testkit::History;
using testkit::HistoryOptions;
using testkit::kNever;
using testkit::QueueCall;
using testkit::QueueTraits;
using testkit::SharedArea;

std::int64_t now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             steady_clock::now().time_since_epoch())
      .count();
}

/// Whether each party may do both.
bool does_both(const QueueTraits& traits, unsigned parties) {
  return traits.producers >= parties && traits.consumers >= parties;
}

unsigned pushers_of(const QueueTraits& traits, unsigned parties) {
  const auto rest = static_cast<std::size_t>(parties - 1);
  const std::size_t fewest = parties - std::min(traits.consumers, rest);
  return static_cast<unsigned>(
      std::min<std::size_t>(traits.producers, std::max<std::size_t>(fewest, parties / 2)));
}

constexpr std::uint32_t kNotDoomed = ~0u;

/// A party in a process of its own.
class PartyProcess {
 public:
  PartyProcess(unsigned party, const std::function<void(unsigned party)>& body)
      : party_(party), child_([this, &body] {
          const auto run = [&] {
            body(party_);
            return std::string();
          };
          give_answer(who(), run, *answer_);
        }) {}

  [[nodiscard]] unsigned party() const { return party_; }
  [[nodiscard]] bool ends_within(milliseconds limit) const { return child_.wait_for_end(limit); }
  /// What went wrong; if it has not ended, that it hangs.
  std::string end() { return take_answer(who(), child_, milliseconds(0), *answer_); }
  /// Once it has ended.
  [[nodiscard]] bool was_killed() const {
    return WIFSIGNALED(child_.status()) && WTERMSIG(child_.status()) == SIGKILL;
  }

 private:
  [[nodiscard]] std::string who() const { return "party " + std::to_string(party_); }

  unsigned party_;
  SharedArea<Answer> answer_;
  Child child_;
};

}  // namespace

void validate(const HistoryOptions& options) {
  if (options.parties == 0 || options.calls == 0 || options.push_percent > 100 ||
      options.size_percent > 100) {
    throw std::invalid_argument("a history needs parties and calls, and percents up to 100");
  }
  if (options.kills != 0 && !(options.processes && options.interrupt)) {
    throw std::invalid_argument("only processes that are interrupted can be killed");
  }
}

unsigned parties_of(const QueueTraits& traits, unsigned asked) {
  if (does_both(traits, asked)) return asked;
  const unsigned parties = std::max(asked, 2u);
  const std::size_t pushers = pushers_of(traits, parties);
  return static_cast<unsigned>(pushers + std::min(traits.consumers, parties - pushers));
}

PartyRole role_of(const QueueTraits& traits, unsigned parties, unsigned party) {
  if (does_both(traits, parties)) return {};
  const bool pushes = party < pushers_of(traits, parties);
  return {.pushes = pushes, .pops = !pushes};
}

void CallLog::begin(const QueueCall& call) noexcept {
  // Relaxed: its own counter.
  const std::uint32_t n = begun.load(std::memory_order_relaxed);
  entries()[n].call = call;
  entries()[n].from = now();
  // Seq_cst: a full barrier, so that nothing of the call is before `from`; and whoever sees the
  // count, of a process that was killed, sees the entry.
  begun.exchange(n + 1, std::memory_order_seq_cst);
}

void CallLog::end(bool ok, std::uint64_t value) noexcept {
  // Relaxed: its own counter.
  const std::uint32_t n = returned.load(std::memory_order_relaxed);
  // Seq_cst: a full barrier, so that all stores of the call are visible before `to`. The value that
  // it stores is the old one.
  begun.exchange(n + 1, std::memory_order_seq_cst);
  entries()[n].to = now();
  entries()[n].call.ok = ok;
  entries()[n].call.value = value;
  // Release: pairs with the acquire in collect(), which reads the entry.
  returned.store(n + 1, std::memory_order_release);
}

CallLogs::CallLogs(unsigned parties, unsigned calls)
    : parties_(parties),
      log_bytes_((sizeof(CallLog) + calls * sizeof(CallLog::Entry) + alignof(CallLog) - 1) /
                 alignof(CallLog) * alignof(CallLog)),
      memory_(static_cast<std::byte*>(map_shared(parties * log_bytes_))) {
  for (unsigned party = 0; party < parties; ++party) {
    auto* log = ::new (memory_ + party * log_bytes_) CallLog();
    log->doomed_after = kNotDoomed;
  }
}

CallLogs::~CallLogs() { unmap_shared(memory_, parties_ * log_bytes_); }

CallLog& CallLogs::operator[](unsigned party) const {
  void* place = memory_ + party * log_bytes_;
  return *std::launder(static_cast<CallLog*>(place));
}

History CallLogs::collect() const {
  History history;
  for (unsigned party = 0; party < parties_; ++party) {
    CallLog& log = (*this)[party];
    // Acquire: pair with the stores in begin() and end(), for the entries.
    const std::uint32_t returned = log.returned.load(std::memory_order_acquire);
    const std::uint32_t begun = log.begun.load(std::memory_order_acquire);  // as above
    for (std::uint32_t i = 0; i < begun; ++i) {
      const CallLog::Entry& entry = log.entries()[i];
      const bool has_returned = i < returned;
      history.push_back({.party = party,
                         .call = entry.call,
                         .from = entry.from,
                         .to = has_returned ? entry.to : kNever,
                         .answered = has_returned});
      // Of a call that was killed on its way out it doesn't matter what it was about to note.
      if (!has_returned) history.back().call.ok = true;
    }
  }
  return history;
}

CallPlan::CallPlan(const HistoryOptions& options, bool has_size, PartyRole role, std::uint64_t seed,
                   unsigned party)
    : state_(seed * 0x9E3779B97F4A7C15 + party),
      party_(party),
      left_(options.calls),
      push_percent_(options.push_percent),
      size_percent_(has_size ? options.size_percent : 0),
      role_(role) {}

/// SplitMix64.
std::uint64_t CallPlan::random() noexcept {
  state_ += 0x9E3779B97F4A7C15;
  std::uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
  return mixed ^ (mixed >> 31);
}

/// Mostly short, so that calls of others begin in the midst of ours; now and then it gives its CPU
/// away, since there may be fewer CPUs than parties.
void CallPlan::dawdle() noexcept {
  const std::uint64_t much = random();
  if (much % 32 == 0) sched_yield();
  for (std::uint64_t i = 0; i < much / 32 % 64; ++i) {
    // Seq_cst: no CPU sees it; it keeps the compiler from leaving the loop out.
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

std::optional<QueueCall> CallPlan::next() {
  if (left_ == 0) return std::nullopt;
  --left_;
  dawdle();
  if (random() % 100 < size_percent_) return QueueCall{QueueCall::Kind::size, 0, true};
  const bool pushes = role_.pushes && (!role_.pops || random() % 100 < push_percent_);
  if (!pushes) return QueueCall{QueueCall::Kind::pop, 0, true};
  return QueueCall{QueueCall::Kind::push, testkit::item(party_, pushed_++), true};
}

void Meeting::wait_for(unsigned parties) noexcept {
  ++arrived;
  while (arrived < parties) sched_yield();
}

bool Pace::is_ahead(std::uint32_t calls) const noexcept {
  for (unsigned other = 0; other < parties_; ++other) {
    const CallLog& log = logs_[other];
    // Relaxed: a number to go by.
    if (other != party_ && log.begun.load(std::memory_order_relaxed) + calls <
                               logs_[party_].begun.load(std::memory_order_relaxed)) {  // as above
      return true;
    }
  }
  return false;
}

void Pace::keep() const noexcept {
  constexpr std::uint32_t kAhead = 12;
  // Relaxed: our own counter.
  if (logs_[party_].begun.load(std::memory_order_relaxed) % (kAhead / 2) != 0) return;
  // The other may be dead, or not get a CPU for long.
  for (int i = 0; i < 10 && is_ahead(kAhead); ++i) sched_yield();
}

namespace {

constexpr int kInterruptions = 12;
constexpr int kTimerSignal = SIGURG;  // ignored by default: none that comes late does harm

struct Interrupted {
  timer_t timer;
  std::uint64_t random;
  const CallLog* log;
  int left;  ///< how many more, so that a round does not last for ever on a busy machine
};
thread_local Interrupted interrupted;

/// Between 1 and 16 us from now.
void set_timer() noexcept {
  interrupted.random = interrupted.random * 6364136223846793005 + 1442695040888963407;
  itimerspec next{};
  next.it_value.tv_nsec = 1000 + static_cast<long>(interrupted.random >> 33) % 15'000;
  timer_settime(interrupted.timer, 0, &next, nullptr);
}

void on_timer(int /*signal*/) {
  const int saved = errno;
  const CallLog& log = *interrupted.log;
  // Relaxed: stored before the fork.
  const std::uint32_t doomed_after = log.doomed_after.load(std::memory_order_relaxed);
  // Relaxed: the thread's own counters.
  const std::uint32_t returned = log.returned.load(std::memory_order_relaxed);
  if (log.begun.load(std::memory_order_relaxed) != returned) {  // as above
    if (returned >= doomed_after) kill(getpid(), SIGKILL);
    if (interrupted.left-- > 0) sched_yield();
  }
  if (interrupted.left > 0 || doomed_after != kNotDoomed) set_timer();
  errno = saved;
}

}  // namespace

Interruptions::Interruptions(bool enabled, std::uint64_t seed, const CallLog& log)
    : enabled_(enabled) {
  if (!enabled_) return;
  interrupted.log = &log;
  interrupted.left = kInterruptions;
  struct sigaction action = {};
  action.sa_handler = on_timer;
  action.sa_flags = SA_RESTART;
  sigaction(kTimerSignal, &action, nullptr);
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = kTimerSignal;
  event._sigev_un._tid = gettid();
  interrupted.random = seed * 0x9E3779B97F4A7C15;
  if (timer_create(CLOCK_MONOTONIC, &event, &interrupted.timer) != 0) {
    throw std::system_error(errno, std::system_category(), "making a timer for a history");
  }
  set_timer();
}

Interruptions::~Interruptions() {
  if (enabled_) timer_delete(interrupted.timer);
}

std::string record_threads(const HistoryOptions& options, unsigned parties,
                           const std::function<void(unsigned party)>& party,
                           const std::function<void(const std::function<void()>& use)>& make) {
  const SharedArea<Answer> answer;
  const auto run_all = [&] {
    std::string wrong;
    std::mutex mutex;
    const auto run = [&](unsigned number) {
      try {
        party(number);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        wrong = "party " + std::to_string(number) + " threw: " + text_of(std::current_exception());
      }
    };
    make([&] {
      std::vector<std::thread> threads;
      threads.reserve(parties);
      for (unsigned i = 0; i < parties; ++i) threads.emplace_back(run, i);
      for (std::thread& thread : threads) thread.join();
    });
    return wrong;
  };
  return ask("the process of the parties", run_all, options.hang_after, *answer);
}

namespace {

/// The parties that run, each in its place, and those that take the places of the killed.
class PartyProcesses {
 public:
  PartyProcesses(const HistoryOptions& options, unsigned parties, std::uint64_t seed,
                 const CallLogs& logs, const std::function<void(unsigned party)>& party)
      : options_(options),
        logs_(logs),
        party_(party),
        random_(seed),
        dooms_(parties),
        running_(parties) {
    for (unsigned i = 0; i < options.kills; ++i) ++dooms_[random(parties)];
  }

  /// What went wrong.
  std::string run() {
    const auto end = steady_clock::now() + options_.hang_after;
    for (unsigned place = 0; place < running_.size(); ++place) start(place);
    std::string wrong;
    for (std::size_t left = running_.size(); left > 0;) {
      for (unsigned place = 0; place < running_.size(); ++place) {
        if (!running_[place]) continue;
        const bool is_late = steady_clock::now() > end;
        if (!is_late && !running_[place]->ends_within(milliseconds(1))) continue;
        const std::string what = running_[place]->end();
        if (dooms_[place] != 0 && running_[place]->was_killed()) {
          ++kills_;
          --dooms_[place];
          start(place);
          continue;
        }
        if (wrong.empty()) wrong = what;
        running_[place].reset();
        --left;
      }
    }
    return wrong;
  }

  [[nodiscard]] unsigned kills() const { return kills_; }

 private:
  std::uint32_t random(std::uint64_t below) {
    random_ = random_ * 6364136223846793005 + 1442695040888963407;
    return static_cast<std::uint32_t>((random_ >> 33) % below);
  }

  void start(unsigned place) {
    // In the first half, so that it is met before it ends.
    const std::uint32_t doom = dooms_[place] != 0 ? random(options_.calls / 2 + 1) : kNotDoomed;
    // Relaxed: before the fork.
    logs_[started_].doomed_after.store(doom, std::memory_order_relaxed);
    logs_[started_].place = place;
    running_[place] = std::make_unique<PartyProcess>(started_++, party_);
  }

  const HistoryOptions& options_;
  const CallLogs& logs_;
  const std::function<void(unsigned party)>& party_;
  std::uint64_t random_;
  unsigned started_ = 0;
  unsigned kills_ = 0;
  std::vector<unsigned> dooms_;  ///< of each place, how many are still to be killed
  std::vector<std::unique_ptr<PartyProcess>> running_;
};

}  // namespace

std::string record_processes(const HistoryOptions& options, unsigned parties, std::uint64_t seed,
                             const CallLogs& logs, const std::function<void(unsigned party)>& party,
                             unsigned& kills) {
  PartyProcesses processes(options, parties, seed, logs, party);
  const std::string wrong = processes.run();
  kills = processes.kills();
  return wrong;
}

}  // namespace sluice::internal
