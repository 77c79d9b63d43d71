// SPDX-License-Identifier: Apache-2.0
//
// ThreadTeam: the threads of a ThreadPool and their queue, without the types of the tasks.
// Internal.
//
//   if (team->reserve(deadline)) team->add(std::make_shared<SomeTask>(...));
//
// Threads: all calls may overlap. One lock; no foreign code runs under it. Processes and death: see
// pool/thread_pool.h.
//
// Cost: two locks per task that is submitted, two per task that is run.

#ifndef SLUICE_POOL_THREAD_TEAM_H_
#define SLUICE_POOL_THREAD_TEAM_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "sluice/pool/callback_queue.h"
#include "sluice/pool/own_thread.h"
#include "sluice/pool/result_source.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/process_state.h"

namespace sluice::internal {

/// A task as its threads see it. Each one is taken off the queue once.
class TeamTask {
 public:
  TeamTask() = default;
  TeamTask(const TeamTask&) = delete;
  TeamTask& operator=(const TeamTask&) = delete;
  virtual ~TeamTask();

  /// True for one caller, who must call execute() and publish().
  virtual bool begin() = 0;
  virtual void execute() noexcept = 0;
  virtual void publish() = 0;
  /// Off the queue, and begin() was false: frees the callable if nobody else runs it.
  virtual void discard() noexcept = 0;
  /// Off the queue, and it will not be run: gives it an outcome, unless it has begun.
  virtual void cancel_queued() = 0;
  virtual void fail(const std::exception_ptr& why) = 0;
};

struct TeamOptions {
  std::string name;
  std::size_t max_threads;
  std::size_t max_queued;
  std::function<void()> initializer;
};

class ThreadTeam final : public ResultSource, public std::enable_shared_from_this<ThreadTeam> {
 public:
  ThreadTeam(TeamOptions options, RunCallbacks run_callbacks);

  /// Waits until one more task may be added: then add() or unreserve() must follow. False if the
  /// deadline passed first. Throws std::logic_error, BrokenExecutor.
  bool reserve(Deadline deadline);
  void unreserve() noexcept;
  /// Throws as reserve(), and Error where there is no thread, and none can be started.
  void add(std::shared_ptr<TeamTask> task);

  void resize(std::size_t max_threads);
  void shutdown(bool wait, bool cancel_queued);

  struct Counts {
    std::size_t threads, idle, queued, max_threads;
    bool closed;
  };
  [[nodiscard]] Counts counts() const;
  [[nodiscard]] const std::string& name() const noexcept { return options_.name; }
  [[nodiscard]] bool is_of_this_process() const noexcept { return process_ == process_mark(); }

  void run_here(FutureBase& future) override;

 private:
  void check_open() const;
  [[nodiscard]] bool has_room() const noexcept;
  void tell_of_room() noexcept;
  void start_threads(std::size_t tasks);
  void run_thread() noexcept;
  bool initialize() noexcept;
  void break_down(std::exception_ptr why) noexcept;
  void run_tasks() noexcept;
  void leave() noexcept;
  void join_all();

  TeamOptions options_;
  const std::uint64_t process_ = process_mark();
  mutable std::mutex mutex_;
  std::condition_variable work_;   ///< a task has come, or an end
  std::condition_variable room_;   ///< a task was taken, or an end
  std::condition_variable ended_;  ///< a thread has left
  std::deque<std::shared_ptr<TeamTask>> queue_;
  std::vector<OwnThread> threads_;
  std::size_t running_ = 0;   ///< threads that have not left
  std::size_t idle_ = 0;      ///< of these, without a task; those too that have just been started
  std::size_t reserved_ = 0;  ///< tasks that are about to be added
  std::size_t waiting_for_room_ = 0;
  std::size_t started_ = 0;  ///< threads in all, for their names
  bool closed_ = false;
  std::exception_ptr broken_;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_THREAD_TEAM_H_
