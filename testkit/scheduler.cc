// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/scheduler.h"

#include <linux/futex.h>

#include <algorithm>
#include <array>
#include <iomanip>
#include <ostream>
#include <span>
#include <sstream>
#include <stdexcept>

#include "sluice/testkit/fiber.h"
#include "sluice/testkit/strategy.h"

namespace sluice::testkit {
namespace {

using internal::Choice;
using internal::FutexWait;
using internal::LockWord;
using internal::WordAt;
using Order = std::memory_order;
using TimePoint = Deadline::TimePoint;

constexpr unsigned kMostThreads = 16;
constexpr std::uint32_t kFirstThreadId = 101;
constexpr std::uint32_t kBystander = 1000;
constexpr TimePoint kStart{std::chrono::seconds(1)};
constexpr std::size_t kTraced = 40;

/// One line of a trace.
struct Step {
  unsigned thread = 0;
  const char* what = "";
  const char* outcome = "";
  WordAt word = {};
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  Order order{};
  std::size_t back = 0;  ///< how many stores ago the value was written
};

enum class Life : std::uint8_t { ready, asleep, killed, marked, unwoken, dead, done };

/// A virtual thread.
struct Party {
  explicit Party(std::function<void()> body) : fiber(std::move(body)) { state.held.watch(&list); }
  ~Party() { state.held.free_memory(); }
  Party(const Party&) = delete;
  Party& operator=(const Party&) = delete;

  internal::Fiber fiber;
  robust_list_head list = {};  ///< what the kernel would read at its death
  internal::ThreadState state;
  Life life = Life::ready;
  bool doomed = false;  ///< will never run again, but has not died yet
  WordAt word = {};     ///< asleep: on what
  std::uint32_t expected = 0;
  TimePoint until = {};
  FutexWait woken_by = FutexWait::woken;
};

/// A bystander's state: setup() and check().
internal::ThreadState& bystander() {
  thread_local internal::ThreadState state;
  thread_local robust_list_head list;
  state.held.watch(&list);
  state.me = std::uint64_t{kBystander} << 32 | kBystander;
  state.incarnation = 1;
  return state;
}

/// Runs the schedules of one explore().
class Explorer final : public internal::Chooser {
 public:
  Explorer(const Scenario& scenario, const ExploreOptions& options);
  ~Explorer() override;
  Explorer(const Explorer&) = delete;
  Explorer& operator=(const Explorer&) = delete;

  ScheduleResult run();

  // By the virtual thread that runs.
  std::uint64_t load(WordAt word, Order order);
  void store(WordAt word, std::uint64_t value, Order order);
  bool cas(WordAt word, std::uint64_t& expected, std::uint64_t desired, Order order);
  std::uint64_t modify(WordAt word, internal::Schedule::Modify how, std::uint64_t operand,
                       Order order);
  void fence();
  void light_barrier();
  bool heavy_barrier(bool within_process);
  FutexWait futex_wait(WordAt word, std::uint32_t expected, TimePoint until);
  int futex_wake(WordAt word, int count);
  void yield();
  Liveness probe(std::uint32_t tag);
  void data(const void* cell, bool writes);
  [[noreturn]] void fail(const char* why);

  [[nodiscard]] TimePoint now() const { return now_; }
  internal::ThreadState& self() { return parties_[running_]->state; }
  [[nodiscard]] bool in_schedule() const { return in_schedule_; }

  std::size_t choose(std::size_t n) override { return back_ = decide(Choice::value, n); }

  static thread_local Explorer* t_current;

 private:
  static constexpr unsigned kNobody = ~0U;

  void begin();
  void one_schedule();
  void body(unsigned thread);

  // Whose turn it is.
  void point();
  void after_write();
  void leave();
  void go_on_with(unsigned next, unsigned self);
  unsigned pick_next();
  void gather(bool yielding);
  unsigned nobody_can_run();
  void time_out(unsigned thread);
  void kernel_step(unsigned thread);
  void mark_pending(unsigned thread);
  int wake(WordAt word, int count);
  bool may_die() const;
  [[noreturn]] void die();
  [[noreturn]] void stop();
  [[noreturn]] static void unreachable();

  // Choices and the trace.
  std::size_t decide(Choice what, std::size_t n);
  Step& note(unsigned thread, const char* what, const char* outcome = "");
  [[nodiscard]] std::string trace() const;
  void print(std::ostream& out, const Step& step) const;
  [[nodiscard]] std::string name_of(const void* address) const;
  [[nodiscard]] std::string sleepers() const;

  const Scenario& scenario_;
  const ExploreOptions& options_;
  unsigned threads_;
  std::unique_ptr<internal::Strategy> strategy_;
  ScheduleResult result_;
  Explorer* outer_ = t_current;

  internal::Fiber main_;
  std::vector<std::unique_ptr<Party>> parties_;
  internal::WeakMemory memory_;

  // Of the schedule that runs.
  bool in_schedule_ = false;
  unsigned running_ = 0;
  bool yielding_ = false;
  TimePoint now_ = kStart;
  unsigned steps_ = 0;
  unsigned deaths_ = 0;
  unsigned timeouts_ = 0;
  unsigned early_timeouts_ = 0;
  std::size_t back_ = 0;
  std::vector<unsigned> queue_;       ///< sleepers, in the order in which they fell asleep
  std::vector<unsigned> candidates_;  ///< threads, then threads_ + whose timeout
  bool could_go_on_ = false;
  std::vector<std::uint32_t> choices_;
  std::array<Step, kTraced> steps_traced_;
  std::uint64_t traced_ = 0;
};

thread_local Explorer* Explorer::t_current = nullptr;

std::unique_ptr<internal::Strategy> make(const ExploreOptions& options) {
  if (!options.replay.empty()) return internal::make_replay(options.replay);
  switch (options.strategy) {
    case Strategy::pct:
      return internal::make_pct(options.seed, options.depth);
    case Strategy::exhaustive:
      return internal::make_exhaustive({options.preemptions, options.old_values});
    case Strategy::random:
      break;
  }
  return internal::make_random(options.seed);
}

Explorer::Explorer(const Scenario& scenario, const ExploreOptions& options)
    : scenario_(scenario),
      options_(options),
      threads_(static_cast<unsigned>(scenario.threads.size())),
      strategy_(make(options)) {
  if (threads_ == 0 || scenario.threads.size() > kMostThreads) {
    throw std::invalid_argument("sluice testkit: a scenario has 1 to 16 threads");
  }
  if (outer_ != nullptr) throw std::logic_error("sluice testkit: explore() within explore()");
  for (unsigned i = 0; i < threads_; ++i) {
    if (!scenario.threads[i].body) throw std::invalid_argument("sluice testkit: an empty body");
    parties_.push_back(std::make_unique<Party>([this, i] { body(i); }));
    parties_.back()->state.me = std::uint64_t{i + 1} << 32 | (kFirstThreadId + i);
    parties_.back()->state.incarnation = 1;
  }
  result_.name = scenario.name;
  t_current = this;
}

Explorer::~Explorer() { t_current = outer_; }

ScheduleResult Explorer::run() {
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    if (result_.schedules == options_.schedules || !result_.failure.empty()) break;
    if (!strategy_->begin(result_.schedules, threads_)) {
      result_.complete = options_.strategy == Strategy::exhaustive && options_.replay.empty();
      break;
    }
    one_schedule();
  }
  result_.time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  return std::move(result_);
}

void Explorer::begin() {
  if (scenario_.setup) scenario_.setup();
  memory_.reset(threads_, options_.memory == MemoryOrder::weak ? options_.history : 1);
  for (const auto& party : parties_) {
    party->fiber.restart();
    party->state.held.forget();
    party->state.reader_cell = LockWord::tag_of(party->state.me);
    party->list.list_op_pending = nullptr;
    party->life = Life::ready;
    party->doomed = false;
  }
  now_ = kStart;
  steps_ = deaths_ = timeouts_ = early_timeouts_ = 0;
  traced_ = 0;
  queue_.clear();
  choices_.clear();
  running_ = kNobody;
  yielding_ = false;
}

void Explorer::one_schedule() {
  begin();
  in_schedule_ = true;
  const unsigned first = pick_next();
  running_ = first;
  main_.switch_to(parties_[first]->fiber);
  in_schedule_ = false;
  ++result_.schedules;
  result_.steps += steps_;
  result_.deaths += deaths_;
  result_.timeouts += timeouts_;
  if (result_.failure.empty() && scenario_.check) {
    ScheduleEnd end{.died = {}, .timeouts = timeouts_};
    for (const auto& party : parties_) end.died.push_back(party->life == Life::dead);
    result_.failure = scenario_.check(end);
  }
  if (result_.failure.empty()) return;
  result_.strategy = strategy_->name();
  result_.choices = internal::choices_to_text(choices_);
  result_.trace = trace();
}

void Explorer::body(unsigned thread) {
  try {
    scenario_.threads[thread].body();
  } catch (const std::exception& e) {
    result_.failure = "T" + std::to_string(thread) + " threw: " + e.what();
  } catch (...) {
    result_.failure = "T" + std::to_string(thread) + " threw what is no std::exception";
  }
  if (!result_.failure.empty()) stop();
  parties_[thread]->life = Life::done;
  note(thread, "returns");
  leave();
  unreachable();
}

// -------------------------------------------------------------------------------------------------
// Whose turn it is

/// Before each operation: others may come first, or this thread may die.
void Explorer::point() {
  const unsigned self = running_;
  if (++steps_ > options_.steps) {
    result_.failure = "more than " + std::to_string(options_.steps) + " steps";
    stop();
  }
  now_ += std::chrono::nanoseconds(1);
  go_on_with(pick_next(), self);
  if (may_die() && decide(Choice::death, 2) != 0) die();
}

void Explorer::after_write() {
  if (may_die() && decide(Choice::death, 2) != 0) die();
}

bool Explorer::may_die() const {
  return deaths_ < options_.deaths && scenario_.threads[running_].mortal;
}

/// The thread that runs does not go on: for now, or for good.
void Explorer::leave() {
  const unsigned self = running_;
  go_on_with(pick_next(), self);
}

void Explorer::go_on_with(unsigned next, unsigned self) {
  running_ = next;
  if (next == self) return;
  parties_[self]->fiber.switch_to(next == kNobody ? main_ : parties_[next]->fiber);
}

void Explorer::die() {
  Party& self = *parties_[running_];
  if (!self.doomed) ++deaths_;
  self.doomed = true;
  self.life = Life::killed;
  note(running_, "is killed");
  leave();
  unreachable();
}

void Explorer::unreachable() { __builtin_trap(); }

void Explorer::fail(const char* why) {
  result_.failure = why;
  stop();
}

/// After a failure has been noted. What the caller's stack owns is lost.
void Explorer::stop() {
  parties_[running_]->fiber.switch_to(main_);
  unreachable();
}

/// Who can go on: the thread that runs first, if it is among them.
void Explorer::gather(bool yielding) {
  candidates_.clear();
  const auto can_go = [&](unsigned i) {
    const Party& p = *parties_[i];
    if (p.life == Life::asleep) return p.doomed;
    return p.life != Life::dead && p.life != Life::done;
  };
  could_go_on_ = running_ != kNobody && !yielding && can_go(running_);
  if (could_go_on_) candidates_.push_back(running_);
  for (unsigned i = 0; i < threads_; ++i) {
    if (i != running_ && can_go(i)) candidates_.push_back(i);
  }
  if (yielding && candidates_.empty() && can_go(running_)) candidates_.push_back(running_);
  if (early_timeouts_ == options_.early_timeouts) return;
  for (unsigned i = 0; i < threads_; ++i) {
    if (parties_[i]->life == Life::asleep && parties_[i]->until != TimePoint::max()) {
      candidates_.push_back(threads_ + i);
    }
  }
}

/// The thread that runs next, after whatever the kernel does before; kNobody at the end.
unsigned Explorer::pick_next() {
  for (;;) {
    gather(std::exchange(yielding_, false));
    if (candidates_.empty() || candidates_[0] >= threads_) {
      // A timeout while nobody can run is none that comes early.
      const unsigned thread = nobody_can_run();
      if (thread == kNobody) return kNobody;
      time_out(thread);
      continue;
    }
    std::size_t chosen = 0;
    if (candidates_.size() > 1) {
      chosen = strategy_->next(candidates_, could_go_on_);
      choices_.push_back(static_cast<std::uint32_t>(chosen));
    }
    const unsigned thread = candidates_[chosen];
    if (thread >= threads_) {
      ++early_timeouts_;
      time_out(thread - threads_);
      continue;
    }
    if (parties_[thread]->life == Life::ready) return thread;
    running_ = thread;
    kernel_step(thread);
  }
}

/// Whose timeout comes first; kNobody if the schedule is over.
unsigned Explorer::nobody_can_run() {
  unsigned first = kNobody;
  bool asleep = false;
  for (unsigned i = 0; i < threads_; ++i) {
    if (parties_[i]->life != Life::asleep) continue;
    asleep = true;
    if (parties_[i]->until == TimePoint::max()) continue;
    if (first == kNobody || parties_[i]->until < parties_[first]->until) first = i;
  }
  if (!asleep) return kNobody;
  if (first == kNobody) {
    result_.failure = "deadlock: " + sleepers();
  } else if (timeouts_ == options_.timeouts) {
    result_.failure = "lost wake-up: only a timeout helps: " + sleepers();
    first = kNobody;
  } else {
    ++timeouts_;
  }
  return first;
}

void Explorer::time_out(unsigned thread) {
  Party& p = *parties_[thread];
  now_ = std::max(now_, p.until);
  p.life = Life::ready;
  p.woken_by = FutexWait::timeout;
  std::erase(queue_, thread);
  note(thread, "times out");
}

/// What the kernel does at a thread's death, bit by bit.
void Explorer::kernel_step(unsigned thread) {
  Party& p = *parties_[thread];
  ++steps_;
  switch (p.life) {
    case Life::asleep:  // doomed
      std::erase(queue_, thread);
      p.life = Life::killed;
      note(thread, "is killed asleep");
      break;
    case Life::killed:
      p.life = Life::marked;
      if (options_.kernel != KernelHelp::none && p.list.list_op_pending != nullptr) {
        mark_pending(thread);
      }
      break;
    case Life::unwoken:
      p.life = Life::marked;
      note(thread, "kernel wakes").word = p.word;
      memory_.futex_woke(thread, p.word);
      wake(p.word, 1);
      break;
    default:
      p.life = Life::dead;
      note(thread, "is dead");
      break;
  }
}

/// handle_futex_death() of Linux, for list_op_pending.
void Explorer::mark_pending(unsigned thread) {
  Party& p = *parties_[thread];
  const WordAt word = {p.list.list_op_pending, 8};
  const std::uint64_t found = memory_.latest(word);
  const std::uint64_t owner = found & LockWord::kThread;
  p.word = word;
  if (owner == 0) {
    const bool wakes = options_.kernel == KernelHelp::full || LockWord::futex_of(found) == 0;
    if (wakes) p.life = Life::unwoken;
    return;
  }
  if (owner != (p.state.me & LockWord::kThread)) return;
  Step& step = note(thread, "kernel marks");
  step.word = word;
  step.before = found;
  step.after = LockWord::abandoned(found);
  // Sequentially consistent: the kernel's compare-and-exchange is fully ordered.
  memory_.exchange(thread, word, step.after, Order::seq_cst);
  if ((found & LockWord::kWaiters) != 0) p.life = Life::unwoken;
}

int Explorer::wake(WordAt word, int count) {
  int woken = 0;
  for (std::size_t i = 0; i < queue_.size() && woken < count;) {
    Party& p = *parties_[queue_[i]];
    if (p.word.address != word.address) {
      ++i;
      continue;
    }
    p.life = Life::ready;
    p.woken_by = FutexWait::woken;
    memory_.futex_resume(queue_[i], word);
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
    ++woken;
  }
  return woken;
}

// -------------------------------------------------------------------------------------------------
// The operations

std::uint64_t Explorer::load(WordAt word, Order order) {
  point();
  back_ = 0;
  const std::uint64_t value = memory_.load(running_, word, order, *this);
  Step& step = note(running_, "load");
  step.word = word;
  step.before = step.after = value;
  step.order = order;
  step.back = back_;
  return value;
}

void Explorer::store(WordAt word, std::uint64_t value, Order order) {
  point();
  Step& step = note(running_, "store");
  step.word = word;
  step.before = memory_.latest(word);
  step.after = value;
  step.order = order;
  memory_.store(running_, word, value, order);
  after_write();
}

bool Explorer::cas(WordAt word, std::uint64_t& expected, std::uint64_t desired, Order order) {
  point();
  back_ = 0;
  const std::uint64_t hoped = expected;
  const bool done = memory_.cas(running_, word, expected, desired, order, *this);
  Step& step = note(running_, "cas", done ? "" : " fails");
  step.word = word;
  step.before = expected;
  step.after = done ? desired : hoped;
  step.order = order;
  step.back = back_;
  if (done) after_write();
  return done;
}

std::uint64_t Explorer::modify(WordAt word, internal::Schedule::Modify how, std::uint64_t operand,
                               Order order) {
  point();
  const std::uint64_t before = memory_.latest(word);
  const std::uint64_t all = word.bytes == 8 ? ~std::uint64_t{0} : (1ULL << (8 * word.bytes)) - 1;
  const bool adds = how == internal::Schedule::Modify::add;
  const std::uint64_t after = adds ? (before + operand) & all : before | operand;
  memory_.exchange(running_, word, after, order);
  Step& step = note(running_, adds ? "fetch_add" : "fetch_or");
  step.word = word;
  step.before = before;
  step.after = after;
  step.order = order;
  after_write();
  return before;
}

void Explorer::fence() {
  point();
  memory_.fence(running_);
  note(running_, "fence");
}

void Explorer::light_barrier() {
  if (options_.membarrier == Membarrier::unregistered) fence();
}

bool Explorer::heavy_barrier(bool within_process) {
  if (options_.membarrier == Membarrier::refused) return false;
  if (options_.membarrier == Membarrier::unregistered) {
    // The kernel interrupts nobody; within a process nobody asks it.
    static_cast<void>(within_process);
    fence();
    return true;
  }
  fence();
  for (unsigned i = 0; i < threads_; ++i) {
    if (i == running_) continue;
    // A thread that has ended has passed its barrier on the way out.
    const Life life = parties_[i]->life;
    if (life != Life::dead && life != Life::done) point();
    memory_.fence(i);
    note(running_, "membarrier in another thread");
  }
  memory_.fence(running_);
  return true;
}

FutexWait Explorer::futex_wait(WordAt word, std::uint32_t expected, TimePoint until) {
  point();
  back_ = 0;
  const std::uint64_t found = memory_.futex_load(running_, word, *this);
  const bool sleeps = LockWord::futex_of(found) == expected;
  Step& step = note(running_, "futex_wait", sleeps ? " sleeps" : " has changed");
  step.word = word;
  step.before = step.after = found;
  step.back = back_;
  if (!sleeps) return FutexWait::changed;
  Party& self = *parties_[running_];
  if (may_die() && decide(Choice::death, 2) != 0) {
    self.doomed = true;
    ++deaths_;
  }
  self.life = Life::asleep;
  self.word = word;
  self.expected = expected;
  self.until = until;
  queue_.push_back(running_);
  leave();
  if (self.doomed) die();
  return self.woken_by;
}

int Explorer::futex_wake(WordAt word, int count) {
  point();
  memory_.futex_woke(running_, word);
  const int woken = wake(word, count);
  Step& step = note(running_, "futex_wake");
  step.word = word;
  step.before = static_cast<std::uint64_t>(woken);
  after_write();
  return woken;
}

void Explorer::yield() {
  strategy_->yielded(running_);
  yielding_ = true;
  point();
}

Liveness Explorer::probe(std::uint32_t tag) {
  point();
  Liveness answer = Liveness::dead;
  if (tag >= 1 && tag <= threads_) {
    const bool dead = parties_[tag - 1]->life == Life::dead;
    answer = dead ? Liveness::dead : Liveness::alive;
    if (dead) memory_.observe_death(running_, tag - 1);
  } else if (tag == kBystander) {
    answer = Liveness::alive;
  }
  note(running_, "probe", answer == Liveness::dead ? " says dead" : " says alive").before = tag;
  return answer;
}

void Explorer::data(const void* cell, bool writes) {
  const char* const race =
      writes ? memory_.write_data(running_, cell) : memory_.read_data(running_, cell);
  Step& step = note(running_, writes ? "writes data" : "reads data");
  step.word.address = const_cast<void*>(cell);
  if (race == nullptr) return;
  result_.failure = "data race on " + name_of(cell) + ": " + race;
  stop();
}

// -------------------------------------------------------------------------------------------------
// Choices and the trace

std::size_t Explorer::decide(Choice what, std::size_t n) {
  const std::size_t chosen = strategy_->choose(what, n);
  choices_.push_back(static_cast<std::uint32_t>(chosen));
  return chosen;
}

Step& Explorer::note(unsigned thread, const char* what, const char* outcome) {
  Step& step = steps_traced_[traced_++ % kTraced];
  step = Step{.thread = thread, .what = what, .outcome = outcome};
  return step;
}

std::string Explorer::trace() const {
  std::ostringstream out;
  for (std::uint64_t i = traced_ > kTraced ? traced_ - kTraced : 0; i < traced_; ++i) {
    print(out, steps_traced_[i % kTraced]);
  }
  return out.str();
}

const char* order_name(Order order) {
  static constexpr const char* kNames[] = {"relaxed", "consume", "acquire",
                                           "release", "acq_rel", "seq_cst"};
  const auto i = static_cast<std::size_t>(order);
  return i < std::size(kNames) ? kNames[i] : "?";
}

void Explorer::print(std::ostream& out, const Step& step) const {
  const std::string what = step.what;
  out << "  T" << step.thread << ' ' << what;
  if (step.word.address != nullptr) out << ' ' << name_of(step.word.address);
  const bool on_word = step.word.bytes != 0;
  if (what == "futex_wake") {
    out << ": " << step.before << " woken";
  } else if (what == "probe") {
    out << ' ' << step.before;
  } else if (on_word && what != "kernel wakes") {
    out << std::hex << " 0x" << step.before;
    if (step.after != step.before)
      out << (*step.outcome != 0 ? ", not 0x" : " -> 0x") << step.after;
    out << std::dec;
    if (what != "futex_wait" && what != "kernel marks") out << ' ' << order_name(step.order);
  }
  out << step.outcome;
  if (step.back != 0) out << ", " << step.back << " older than the latest";
  out << '\n';
}

std::string Explorer::name_of(const void* address) const {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (const ScheduledName& name : scenario_.names) {
    if (at < name.begin || at - name.begin >= name.bytes) continue;
    return at == name.begin ? name.text : name.text + '+' + std::to_string(at - name.begin);
  }
  std::ostringstream out;
  out << address;
  return out.str();
}

std::string Explorer::sleepers() const {
  std::ostringstream out;
  const char* separator = "";
  for (const unsigned i : queue_) {
    out << separator << 'T' << i << " sleeps on " << name_of(parties_[i]->word.address) << " = 0x"
        << std::hex << parties_[i]->expected << std::dec;
    separator = ", ";
  }
  return out.str();
}

}  // namespace

void require(bool condition, const char* what) noexcept {
  if (condition) return;
  Explorer* const e = Explorer::t_current;
  if (e != nullptr && e->in_schedule()) e->fail(what);
}

ScheduleResult explore(const Scenario& scenario, const ExploreOptions& options) {
  return Explorer(scenario, options).run();
}

std::ostream& operator<<(std::ostream& out, const ScheduleResult& result) {
  out << (result.name.empty() ? "explore" : result.name) << ": " << result.schedules
      << " schedules, " << result.steps << " steps";
  if (result.complete) out << ", all within the bounds";
  if (result.deaths != 0) out << ", " << result.deaths << " deaths";
  if (result.timeouts != 0) out << ", " << result.timeouts << " times only a timeout helped";
  out << ", " << result.time.count() << " ms";
  if (result.failure.empty()) return out;
  return out << "; FAILED: " << result.failure << "\n  found by: " << result.strategy
             << "\n  replay:   " << result.choices << '\n'
             << result.trace;
}

}  // namespace sluice::testkit

namespace sluice::internal {

using testkit::Explorer;

bool Schedule::running() noexcept {
  return Explorer::t_current != nullptr && Explorer::t_current->in_schedule();
}
std::uint64_t Schedule::load(WordAt word, std::memory_order order) noexcept {
  return Explorer::t_current->load(word, order);
}
void Schedule::store(WordAt word, std::uint64_t value, std::memory_order order) noexcept {
  Explorer::t_current->store(word, value, order);
}
bool Schedule::cas(WordAt word, std::uint64_t& expected, std::uint64_t desired,
                   std::memory_order order) noexcept {
  return Explorer::t_current->cas(word, expected, desired, order);
}
std::uint64_t Schedule::modify(WordAt word, Modify how, std::uint64_t operand,
                               std::memory_order order) noexcept {
  return Explorer::t_current->modify(word, how, operand, order);
}
void Schedule::fence() noexcept {
  if (running()) Explorer::t_current->fence();
}
void Schedule::light_barrier() noexcept {
  if (running()) Explorer::t_current->light_barrier();
}
bool Schedule::heavy_barrier(bool within_process) noexcept {
  return !running() || Explorer::t_current->heavy_barrier(within_process);
}
FutexWait Schedule::futex_wait(WordAt word, std::uint32_t expected,
                               Deadline::TimePoint until) noexcept {
  if (!running()) return FutexWait::timeout;
  return Explorer::t_current->futex_wait(word, expected, until);
}
int Schedule::futex_wake(WordAt word, int count) noexcept {
  return running() ? Explorer::t_current->futex_wake(word, count) : 0;
}
Deadline::TimePoint Schedule::now() noexcept {
  return running() ? Explorer::t_current->now() : testkit::kStart;
}
void Schedule::yield() noexcept {
  if (running()) Explorer::t_current->yield();
}
ThreadState& Schedule::self() noexcept {
  return running() ? Explorer::t_current->self() : testkit::bystander();
}
Liveness Schedule::probe(std::uint32_t tag) noexcept {
  return running() ? Explorer::t_current->probe(tag) : Liveness::alive;
}
void Schedule::read_data(const void* cell) noexcept {
  if (running()) Explorer::t_current->data(cell, false);
}
void Schedule::write_data(const void* cell) noexcept {
  if (running()) Explorer::t_current->data(cell, true);
}

}  // namespace sluice::internal
