// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/pool_core.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "sluice/pool/interrupt.h"
#include "sluice/pool/task_error.h"
#include "sluice/pool/worker.h"
#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"

namespace sluice {
namespace internal {
namespace {

/// How long the supervisor's end may go unnoticed by who waits.
constexpr std::chrono::milliseconds kLookAgain{200};
/// A supervisor does what it is told in far less.
constexpr std::chrono::seconds kEndsWithin{5};
/// No more often are more workers asked for.
constexpr std::uint64_t kGrowEveryNs = 5'000'000;
/// The highest bit of a future's number: it stands for a group of tasks.
constexpr std::uint64_t kGroup = std::uint64_t{1} << 63;

Task task_of(std::uint64_t number) {
  return {static_cast<std::uint32_t>(number >> 32), static_cast<std::uint32_t>(number)};
}

[[noreturn]] void refuse_options(const char* expected, std::uint64_t found) {
  throw Error::from_errno(
      EINVAL, {.tried = "make a pool", .expected = expected, .found = std::to_string(found)});
}

PoolOptions completed(PoolOptions options) {
  if (options.workers == 0) options.workers = static_cast<unsigned>(usable_cpus());
  if (options.max_workers == 0) options.max_workers = options.workers;
  if (options.max_workers < options.workers) {
    refuse_options("max_workers not below workers", options.max_workers);
  }
  if (options.idle_time.count() < 1) {
    refuse_options("an idle time of 1 ms or more",
                   static_cast<std::uint64_t>(options.idle_time.count()));
  }
  if (options.max_spare != 0 && options.max_spare < options.min_spare) {
    refuse_options("max_spare not below min_spare", options.max_spare);
  }
  return options;
}

PoolShape shape_of(const PoolOptions& options) {
  return {.tasks = options.max_tasks, .workers = options.max_workers};
}

Error terminated() {
  return {Status::closed, {.tried = "wait for a task", .found = "its pool was terminated"}};
}

}  // namespace

PoolCore::PoolCore(PoolOptions options)
    : ResultSource(options.run_callbacks),
      options_(completed(std::move(options))),
      owner_(getpid()),
      memory_(options_.inspected_as, shape_of(options_)),
      submitter_(memory_.board()),
      collector_(memory_.board()),
      slots_(options_.max_tasks) {}

std::shared_ptr<PoolCore> PoolCore::start(PoolOptions options) {
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): the constructor is private
  std::shared_ptr<PoolCore> core(new PoolCore(std::move(options)));
  core->supervisor_.emplace(core->memory_, core->options_);
  if (core->options_.initializer) core->await_first_worker();
  return core;
}

void PoolCore::await_first_worker() {
  const auto is_up = [this] {
    if (memory_.broken() || !supervisor_->is_alive()) return true;
    for (std::size_t i = 0; i < options_.max_workers; ++i) {
      const WorkerState state = memory_.worker(i).state();
      if (state == WorkerState::ready || state == WorkerState::leaving) return true;
    }
    return false;
  };
  fetch_until(is_up, Deadline::never());
  if (!memory_.broken() && supervisor_->is_alive()) return;
  const std::exception_ptr why = why_broken();
  terminate();
  std::rethrow_exception(why);
}

PoolCore::~PoolCore() {
  if (is_mine()) terminate();
}

bool PoolCore::is_mine() const noexcept { return owner_ == getpid(); }

// Submitting.

void PoolCore::refuse(Status status) const {
  {
    const std::scoped_lock lock(mutex_);
    if (broken_) std::rethrow_exception(broken_);
  }
  throw Error(status, {.tried = "submit a task to the pool \"" + options_.name + '"',
                       .found = status == Status::closed ? "it is closed" : "no free slot",
                       .hint = status == Status::full ? "fetch results meanwhile" : ""});
}

Task PoolCore::allocate(Deadline deadline) {
  Task task;
  Status status = submitter_.try_allocate(task);
  if (status == Status::full) {
    const auto got_one = [&] {  // once
      if (status == Status::full) status = submitter_.try_allocate(task);
      return status != Status::full;
    };
    if (!fetch_until(got_one, deadline)) refuse(Status::timeout);
  }
  if (status != Status::ok) refuse(status);
  TaskBody* const body = PoolMemory::body(submitter_.body(task));
  body->arguments.chunk = ArenaRef();
  body->arguments.size = 0;
  return task;
}

std::span<std::byte> PoolCore::argument_room(const Task& task, std::size_t size) {
  TaskBody& body = *PoolMemory::body(submitter_.body(task));
  std::span<std::byte> room;
  Status status = memory_.try_make_room(body.arguments, size, room);
  if (status == Status::full) {
    const auto got_some = [&] {  // once
      if (status == Status::full) status = memory_.try_make_room(body.arguments, size, room);
      return status != Status::full;
    };
    fetch_until(got_some, Deadline::never());
  }
  if (status == Status::ok) return room;
  throw Error(status, {.tried = "submit a task",
                       .expected = "arguments of at most " +
                                   std::to_string(PoolMemory::kMostBytes) + " bytes",
                       .found = std::to_string(size) + " bytes"});
}

void PoolCore::post(const Task& task, TaskCode code, const TaskOptions& options,
                    std::shared_ptr<PendingTask> pending) {
  TaskBody& body = *PoolMemory::body(submitter_.body(task));
  body.module = code.module;
  body.offset = code.offset;
  body.limit_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(options.time_limit.count(), 0));
  {
    const std::scoped_lock lock(mutex_);
    slots_[task.slot] = {task.seq, std::move(pending)};
    ++pending_;
  }
  const auto attempts = static_cast<std::uint16_t>(std::clamp(options.max_attempts, 1U, 60'000U));
  const Status status = submitter_.post(task, attempts);
  if (status == Status::ok) {
    if (options_.max_workers > options_.workers) grow_if_busy();
    return;
  }
  static_cast<void>(take_pending(task));
  abandon(task);
  refuse(status);
}

void PoolCore::abandon(const Task& task) {
  memory_.free(PoolMemory::body(submitter_.body(task))->arguments);
  static_cast<void>(submitter_.release(task));
}

void PoolCore::grow_if_busy() {
  if (memory_.live() >= options_.max_workers || submitter_.has_idle_workers()) return;
  {
    const std::scoped_lock lock(mutex_);
    const std::uint64_t now = steady_ns();
    if (now - grown_ns_ < kGrowEveryNs) return;
    grown_ns_ = now;
  }
  supervisor_->command({.verb = SupervisorCommand::Verb::grow});
}

std::uint64_t PoolCore::name_group() {
  const std::scoped_lock lock(mutex_);
  return kGroup | ++last_group_;
}

void PoolCore::add_to_group(std::uint64_t group, const Task& task) {
  const std::scoped_lock lock(mutex_);
  groups_[group].push_back(task);
}

void PoolCore::forget_group(std::uint64_t group) {
  const std::scoped_lock lock(mutex_);
  groups_.erase(group);
}

// Fetching.

std::size_t PoolCore::pending() const {
  const std::scoped_lock lock(mutex_);
  return pending_;
}

std::shared_ptr<PendingTask> PoolCore::take_pending(const Task& task) {
  const std::scoped_lock lock(mutex_);
  Slot& slot = slots_[task.slot];
  if (slot.seq != task.seq || slot.pending == nullptr) return nullptr;
  --pending_;
  return std::exchange(slot.pending, nullptr);
}

std::shared_ptr<PendingTask> PoolCore::pending_of(const Task& task) const {
  const std::scoped_lock lock(mutex_);
  const Slot& slot = slots_[task.slot];
  return slot.seq == task.seq ? slot.pending : nullptr;
}

bool PoolCore::fetch_until(Done done, Deadline deadline) {
  const auto enough = [&] { return done() || InterruptGuard::interrupted(); };
  const bool ended = fetch(enough, deadline);
  if (done()) return true;
  if (InterruptGuard::interrupted()) end_by_interrupt();
  return ended;
}

bool PoolCore::fetch(Done done, Deadline deadline) {
  std::unique_lock lock(mutex_);
  while (collecting_) {
    const std::uint64_t seen = news_;
    lock.unlock();
    if (done()) return true;
    if (deadline.passed()) return false;
    lock.lock();
    if (collecting_) await_news(lock, seen, deadline);
  }
  collecting_ = true;
  lock.unlock();
  const auto give_up_role = [&] {
    lock.lock();
    collecting_ = false;
    ++news_;
    has_news_.notify_all();
  };
  try {
    const bool is_done = collect_until(done, deadline);
    give_up_role();
    return is_done;
  } catch (...) {
    give_up_role();
    throw;
  }
}

bool PoolCore::collect_until(Done done, Deadline deadline) {
  for (;;) {
    Task task;
    TaskState state = TaskState::free;
    bool some = false;
    while (!done()) {
      if (collector_.try_collect(task, state) != Status::ok) break;
      deliver(task, state);
      some = true;
    }
    if (some) tell_followers();
    if (done()) return true;
    if (collect_once(done, deadline)) continue;
    if (done()) return true;
    if (deadline.passed()) return false;
    check_supervisor();
  }
}

/// Waits for one; false if there was none for a while.
bool PoolCore::collect_once(Done done, Deadline deadline) {
  Task task;
  TaskState state = TaskState::free;
  const Deadline slice = std::min(deadline, Deadline(kLookAgain));
  const Status status = collector_.collect(task, state, slice, [&done] { return done(); });
  if (status == Status::ok) {
    deliver(task, state);
    tell_followers();
    return true;
  }
  if (status == Status::closed) {  // all is delivered, or will never be
    std::unique_lock lock(mutex_);
    const std::uint64_t seen = news_;
    lock.unlock();
    if (done()) return false;
    lock.lock();
    await_news(lock, seen, deadline);
  } else if (status != Status::empty && status != Status::timeout) {
    fail_all(std::make_exception_ptr(Error(status, {.tried = "fetch a task's result"})));
  }
  return false;
}

/// For a while, unless there are some that `seen` does not count.
void PoolCore::await_news(std::unique_lock<std::mutex>& lock, std::uint64_t seen,
                          Deadline deadline) {
  ++followers_;
  has_news_.wait_until(lock, std::min(deadline, Deadline(kLookAgain)).time(),
                       [&] { return news_ != seen; });
  --followers_;
}

void PoolCore::tell_followers() {
  const std::scoped_lock lock(mutex_);
  ++news_;
  if (followers_ != 0) has_news_.notify_all();
}

void PoolCore::check_supervisor() {
  if (memory_.broken()) {
    fail_all(why_broken());
    return;
  }
  if (supervisor_->is_alive() || pending() == 0) return;
  // What its workers had done before they went with it counts.
  Task task;
  TaskState state = TaskState::free;
  while (collector_.try_collect(task, state) == Status::ok) deliver(task, state);
  fail_all(std::make_exception_ptr(
      Error(Status::peer_died, {.tried = "wait for a task of the pool \"" + options_.name + '"',
                                .found = "its supervisor has ended, and its workers with it",
                                .hint = "make a new pool"})));
}

void PoolCore::deliver(const Task& task, TaskState state) {
  const std::shared_ptr<PendingTask> pending = take_pending(task);
  TaskBody& body = *PoolMemory::body(submitter_.body(task));
  if (pending != nullptr) {
    try {
      hand_to(*pending, task, state);
    } catch (...) {
      pending->fail(std::current_exception());
    }
  }
  memory_.free(body.arguments);
  if (state == TaskState::done) memory_.free(body.result);
  had_deaths_ |= submitter_.attempts(task) > 1 || state == TaskState::dead;
  static_cast<void>(submitter_.release(task));
  if (had_deaths_) [[unlikely]]
    reclaim();
}

/// Who died between handing its result over and the commit has left a chunk to nobody. Where no
/// task is under way all such chunks can be told.
void PoolCore::reclaim() {
  const std::scoped_lock lock(mutex_);  // nothing is posted meanwhile
  if (pending_ != 0) return;
  memory_.reclaim();
  had_deaths_ = false;
}

/// By nobody's cancel(), which takes the pending one away: with all others, because the pool ends.
void PoolCore::cancel_with_all(PendingTask& pending) const {
  if (memory_.broken()) {
    pending.fail(why_broken());
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (terminating_) throw terminated();
  }
  pending.cancelled();
}

void PoolCore::hand_to(PendingTask& pending, const Task& task, TaskState state) {
  const TaskBody& body = *PoolMemory::body(submitter_.body(task));
  if (state == TaskState::cancelled) {
    cancel_with_all(pending);
  } else if (state == TaskState::dead && body.cause == DeathCause::cancelled) {
    pending.cancelled();
  } else if (state == TaskState::dead) {
    pending.fail(why_dead(body, task, pending.name()));
  } else if (body.end == TaskEnd::value) {
    pending.finish(memory_.read(body.result));
  } else if (body.end == TaskEnd::exception) {
    pending.fail(decode_exception(memory_.read(body.result)));
  } else if (body.end == TaskEnd::refused) {
    throw Error(Status::mismatch,
                {.tried = "run " + pending.name(),
                 .expected = "a worker that has loaded " + module_name(body.module),
                 .found = "one that has not",
                 .hint = "load the library before the pool is made"});
  } else {
    throw Error(Status::corrupt, {.tried = "read the result of " + pending.name()});
  }
}

std::exception_ptr PoolCore::why_dead(const TaskBody& body, const Task& task,
                                      const std::string& name) const {
  const unsigned attempts = submitter_.attempts(task);
  if (body.cause == DeathCause::time_limit) {
    return std::make_exception_ptr(TaskTimedOut(
        body.death_pid, body.death_code, attempts,
        name + " beyond its limit of " + std::to_string(body.limit_ns / 1'000'000) + " ms"));
  }
  return std::make_exception_ptr(WorkerDied(body.death_pid, body.death_code, attempts, name));
}

std::exception_ptr PoolCore::why_broken() const {
  for (std::size_t i = 0; i < options_.max_workers; ++i) {
    const WorkerCells cells = memory_.worker(i);
    if (cells.state() != WorkerState::failed) continue;
    try {
      std::rethrow_exception(decode_exception(cells.text()));
    } catch (const std::exception& e) {
      return std::make_exception_ptr(
          Error(Status::peer_died, {.tried = "start a worker of the pool \"" + options_.name + '"',
                                    .expected = "its initializer to return",
                                    .found = e.what()}));
    }
  }
  return std::make_exception_ptr(Error(
      Status::peer_died, {.tried = "start the workers of the pool \"" + options_.name + '"'}));
}

void PoolCore::fail_all(const std::exception_ptr& why) {
  std::vector<std::shared_ptr<PendingTask>> all;
  {
    const std::scoped_lock lock(mutex_);
    if (!broken_) broken_ = why;
    for (Slot& slot : slots_) {
      if (slot.pending != nullptr) all.push_back(std::exchange(slot.pending, nullptr));
    }
    pending_ = 0;
  }
  for (const auto& pending : all) pending->fail(why);
  submitter_.stop();
  tell_followers();
}

void PoolCore::fetch_in_background() {
  const std::scoped_lock lock(mutex_);
  if (ended_ || background_.runs_here()) return;
  background_ = OwnThread("sluice-fetch", [this] {
    fetch([this] { return background_ends_.is_set(); }, Deadline::never());
  });
}

void PoolCore::wake_fetchers() {
  submitter_.wake();
  tell_followers();
}

// Cancelling.

std::vector<Task> PoolCore::tasks_of(std::uint64_t number) const {
  if ((number & kGroup) == 0) return {task_of(number)};
  const std::scoped_lock lock(mutex_);
  const auto found = groups_.find(number);
  return found == groups_.end() ? std::vector<Task>() : found->second;
}

bool PoolCore::cancel(std::uint64_t number, bool running_too) {
  bool any = false;
  for (const Task& task : tasks_of(number)) any |= cancel_one(task, running_too);
  return any;
}

bool PoolCore::cancel_one(const Task& task, bool running_too) {
  Status status = submitter_.cancel(task);
  if (status == Status::ok) {
    const std::shared_ptr<PendingTask> pending = take_pending(task);
    if (pending != nullptr) pending->cancelled();
    return true;
  }
  if (status != Status::busy || !running_too) return false;
  const std::shared_ptr<PendingTask> pending = pending_of(task);
  if (pending == nullptr) return false;
  supervisor_->command({.verb = SupervisorCommand::Verb::kill_task, .task = task});
  const auto has_ended = [&] { return pending_of(task) == nullptr; };
  fetch(has_ended, kEndsWithin);
  return pending->is_cancelled();
}

bool PoolCore::is_running(std::uint64_t number) {
  const std::vector<Task> tasks = tasks_of(number);
  return std::ranges::any_of(
      tasks, [this](const Task& task) { return submitter_.state(task) == TaskState::leased; });
}

void PoolCore::end_by_interrupt() {
  TaskBoard::Supervisor(memory_.board()).drain();
  submitter_.wake();
  fetch([this] { return pending() == 0; }, options_.grace);
  terminate();
  throw Error(Status::interrupted,
              {.tried = "wait for the pool \"" + options_.name + '"', .found = "SIGINT"});
}

// The pool's life.

void PoolCore::close() {
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  submitter_.close();
}

bool PoolCore::join(Deadline deadline) {
  if (!is_mine()) throw std::logic_error("sluice::Pool: join() in a process that has not made it");
  {
    const std::scoped_lock lock(mutex_);
    if (!closed_) throw std::logic_error("sluice::Pool: join() before close() or terminate()");
  }
  if (!fetch_until([this] { return pending() == 0; }, deadline)) return false;
  {
    const std::scoped_lock lock(supervisor_mutex_);
    if (!supervisor_->join(deadline)) return false;
  }
  end_supervisor();
  return true;
}

void PoolCore::terminate() {
  if (!is_mine()) return;
  {
    const std::scoped_lock lock(mutex_);
    if (ended_) return;
    closed_ = terminating_ = true;
  }
  if (!supervisor_) return;  // it could not be started
  submitter_.stop();
  supervisor_->command({.verb = SupervisorCommand::Verb::stop});
  {
    const std::scoped_lock lock(supervisor_mutex_);
    if (!supervisor_->join(kEndsWithin)) supervisor_->kill();
    supervisor_->join(Deadline::never());
  }
  fail_all(std::make_exception_ptr(terminated()));
  end_supervisor();
}

/// The supervisor is no more: nor is what fetches in the background.
void PoolCore::end_supervisor() {
  OwnThread background;
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
    background = std::move(background_);
  }
  background_ends_.set();
  wake_fetchers();
  background.finish();
}

void PoolCore::resize(unsigned workers) {
  if (workers == 0 || workers > options_.max_workers) {
    refuse_options("a number of workers from 1 to the pool's max_workers", workers);
  }
  supervisor_->command({.verb = SupervisorCommand::Verb::resize, .workers = workers});
}

PoolCounters PoolCore::counters() const {
  PoolCounters all;
  const TaskCounts tasks = submitter_.counts();
  all.queued = tasks.ready;
  all.running = tasks.leased;
  all.submitted = tasks.posted;
  for (std::size_t i = 0; i < options_.max_workers; ++i) {
    const WorkerCells cells = memory_.worker(i);
    const std::chrono::nanoseconds busy(
        cells.pid() == 0 ? 0 : static_cast<std::int64_t>(cells.busy_ns(steady_ns())));
    all.workers.push_back({cells.pid(), cells.done(), cells.failed(), cells.restarts(), busy});
    all.done += cells.done();
    all.failed += cells.failed();
    all.restarts += cells.restarts();
  }
  return all;
}

std::vector<pid_t> PoolCore::pids() const {
  std::vector<pid_t> pids;
  for (std::size_t i = 0; i < options_.max_workers; ++i) {
    if (const pid_t pid = memory_.worker(i).pid(); pid != 0) pids.push_back(pid);
  }
  return pids;
}

}  // namespace internal

std::ostream& operator<<(std::ostream& out, const PoolCounters& counters) {
  using Milliseconds = std::chrono::milliseconds;
  out << "pool: " << counters.queued << " queued, " << counters.running << " running, "
      << counters.done << " done, " << counters.failed << " of them failed, " << counters.submitted
      << " submitted, " << counters.restarts << " restarts";
  for (std::size_t i = 0; i < counters.workers.size(); ++i) {
    const WorkerCounters& worker = counters.workers[i];
    out << "\n  worker " << i + 1 << ": ";
    if (worker.pid == 0) {
      out << "none";
    } else {
      out << "pid " << worker.pid << ", busy "
          << std::chrono::duration_cast<Milliseconds>(worker.busy).count() << " ms";
    }
    out << ", " << worker.done << " done, " << worker.failed << " failed, " << worker.restarts
        << " restarts";
  }
  return out;
}

}  // namespace sluice
