// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/thread_team.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "sluice/pool/future_base.h"
#include "sluice/pool/uncaught.h"
#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

/// The team whose thread this is.
constinit thread_local const ThreadTeam* t_team = nullptr;

}  // namespace

TeamTask::~TeamTask() = default;

ThreadTeam::ThreadTeam(TeamOptions options, RunCallbacks run_callbacks)
    : ResultSource(std::move(run_callbacks)), options_(std::move(options)) {
  if (options_.max_threads == 0) {
    throw std::invalid_argument("sluice::ThreadPool: it needs one thread at least");
  }
}

void ThreadTeam::check_open() const {
  if (broken_ != nullptr) std::rethrow_exception(broken_);
  if (closed_) throw std::logic_error("sluice::ThreadPool: a task was submitted after shutdown()");
}

bool ThreadTeam::has_room() const noexcept {
  // Beside the queue's own places, one for each thread that has nothing to do or could be started.
  const std::size_t startable = options_.max_threads - std::min(running_, options_.max_threads);
  const std::size_t taken = queue_.size() + reserved_;
  return taken < options_.max_queued || taken - options_.max_queued < idle_ + startable;
}

bool ThreadTeam::reserve(Deadline deadline) {
  if (!is_of_this_process()) {
    throw std::logic_error("sluice::ThreadPool: its threads are in the process that made it");
  }
  std::unique_lock lock(mutex_);
  check_open();
  if (!has_room()) {
    if (deadline.is_now()) return false;
    const auto may_go_on = [this] { return has_room() || closed_; };
    ++waiting_for_room_;
    const bool in_time = deadline.is_never() ? (room_.wait(lock, may_go_on), true)
                                             : room_.wait_until(lock, deadline.time(), may_go_on);
    --waiting_for_room_;
    if (!in_time) return false;
    check_open();
  }
  ++reserved_;
  return true;
}

void ThreadTeam::unreserve() noexcept {
  const std::lock_guard lock(mutex_);
  --reserved_;
  tell_of_room();
}

void ThreadTeam::tell_of_room() noexcept {
  if (waiting_for_room_ != 0) room_.notify_one();
}

void ThreadTeam::add(std::shared_ptr<TeamTask> task) {
  {
    const std::lock_guard lock(mutex_);
    --reserved_;
    check_open();
    start_threads(queue_.size() + 1);
    queue_.push_back(std::move(task));
    if (idle_ == 0) return;
  }
  work_.notify_one();
}

/// So that there is one for each task, as far as there may be and can be: one at least.
void ThreadTeam::start_threads(std::size_t tasks) {
  while (idle_ < tasks && running_ < options_.max_threads) {
    const std::string name = options_.name + "_" + std::to_string(started_);
    try {
      threads_.emplace_back(name, [self = shared_from_this()] { self->run_thread(); });
    } catch (const Error&) {
      if (running_ == 0) throw;
      return;
    }
    ++started_;
    ++running_;
    ++idle_;
  }
}

void ThreadTeam::run_thread() noexcept {
  t_team = this;
  if (initialize()) run_tasks();
  leave();
  t_team = nullptr;
}

bool ThreadTeam::initialize() noexcept {
  if (options_.initializer == nullptr) return true;
  try {
    options_.initializer();
    return true;
  } catch (...) {
    const std::exception_ptr why = std::current_exception();
    report_uncaught("the initializer of ThreadPool " + options_.name, why);
    break_down(std::make_exception_ptr(
        BrokenExecutor("the initializer of a thread threw " + describe(why))));
    return false;
  }
}

void ThreadTeam::break_down(std::exception_ptr why) noexcept {
  std::deque<std::shared_ptr<TeamTask>> left;
  {
    const std::lock_guard lock(mutex_);
    broken_ = why;
    closed_ = true;
    left.swap(queue_);
  }
  work_.notify_all();
  room_.notify_all();
  for (const auto& task : left) task->fail(why);
}

void ThreadTeam::run_tasks() noexcept {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock,
               [this] { return !queue_.empty() || closed_ || running_ > options_.max_threads; });
    if (queue_.empty() || running_ > options_.max_threads) return;
    std::shared_ptr<TeamTask> task = std::move(queue_.front());
    queue_.pop_front();
    --idle_;
    tell_of_room();
    lock.unlock();
    const bool mine = task->begin();
    if (mine) {
      task->execute();
    } else {
      task->discard();
    }
    lock.lock();
    // Before the outcome is out: who has seen it and submits the next finds this thread idle.
    ++idle_;
    tell_of_room();
    lock.unlock();
    if (mine) task->publish();
    task.reset();
    lock.lock();
  }
}

void ThreadTeam::leave() noexcept {
  OwnThread self;  // destroyed last, without the lock: lets the thread end by itself
  {
    const std::lock_guard lock(mutex_);
    --running_;
    --idle_;
    const auto mine = std::ranges::find_if(threads_, &OwnThread::is_current);
    if (!closed_ && mine != threads_.end()) {
      self = std::move(*mine);
      threads_.erase(mine);
    }
  }
  ended_.notify_all();
  // In case a task has come for which this thread was counted.
  work_.notify_one();
}

void ThreadTeam::resize(std::size_t max_threads) {
  {
    const std::lock_guard lock(mutex_);
    options_.max_threads = max_threads;
    if (!closed_) start_threads(queue_.size());
  }
  work_.notify_all();
  room_.notify_all();
}

void ThreadTeam::shutdown(bool wait, bool cancel_queued) {
  std::deque<std::shared_ptr<TeamTask>> cancelled;
  std::exception_ptr failure;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (cancel_queued) cancelled.swap(queue_);
    // What is queued is to be run, whatever resize() said.
    options_.max_threads = std::max<std::size_t>(options_.max_threads, 1);
    try {
      if (!queue_.empty()) start_threads(1);
    } catch (const Error&) {
      failure = std::current_exception();
      cancelled.swap(queue_);
    }
  }
  work_.notify_all();
  room_.notify_all();
  for (const auto& task : cancelled) {
    failure != nullptr ? task->fail(failure) : task->cancel_queued();
  }
  if (wait && t_team != this) join_all();
}

void ThreadTeam::join_all() {
  std::vector<OwnThread> ended;
  {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return running_ == 0; });
    ended.swap(threads_);
  }
  ended.clear();
  callbacks().wait_idle();
}

ThreadTeam::Counts ThreadTeam::counts() const {
  const std::lock_guard lock(mutex_);
  return {.threads = running_,
          .idle = idle_,
          .queued = queue_.size(),
          .max_threads = options_.max_threads,
          .closed = closed_};
}

void ThreadTeam::run_here(FutureBase& future) {
  if (t_team != this) return;
  auto* const task = dynamic_cast<TeamTask*>(&future);
  // It stays in the queue; the thread that takes it off finds that it has begun.
  if (task == nullptr || !task->begin()) return;
  task->execute();
  task->publish();
}

}  // namespace sluice::internal
