// SPDX-License-Identifier: Apache-2.0
//
// ThreadPool: runs tasks in threads of this process, started as they are needed and used again.
// Not for tasks that may crash or must be stopped by force: those want processes (pool/pool.h, with
// the same face).
//
//   ThreadPool pool(4, 1000);                         // at most 4 threads, 1000 waiting tasks
//   Future<int> n = pool.submit(count_words, "a.txt");    // waits for room
//   if (auto m = pool.try_submit(count_words, "b.txt")) use(m->get());
//   pool.submit([](auto file) { file->flush(); }, std::move(unique_file)).get();
//   for (int n : map(pool, count_words, file_names)) sum += n;       // pool/executor.h
//
// In memory: this process's heap; a task is one allocation with its future.
//
// Tasks are begun in the order in which they were submitted. A thread is started when a task comes
// and no thread is idle, up to the maximum. A task, and what it was called with, is destroyed
// before its future is done. A task that waits without a deadline for another one of its own pool
// which has not begun runs that one itself: tasks may submit tasks and get() them, however few
// threads there are (not what then() makes of them: callbacks have another thread).
//
// Units: tasks, threads, Deadline. Errors: std::invalid_argument for no threads at all; after
// shutdown(), and in a forked child, submitting throws std::logic_error; where not even the first
// thread can be started, Error; what the copies of a callable and its arguments throw passes
// through. In all these cases nothing was submitted. If the initializer throws in a thread, the
// pool is broken: tasks that have not begun fail with BrokenExecutor, and submitting throws it.
// Only the forms with try_ or a deadline can fail because the queue is full: then they give no
// future, and have not touched their arguments.
//
// Threads: all calls may overlap, but for destroying, also from tasks and callbacks. The threads of
// the pool have the signals blocked that the host may have handlers for. Processes and death:
// private to its process. A forked child may destroy its copy, which does nothing; a lock of the
// pool that another thread held during the fork is never touched there.
//
// Cost: submitting is one allocation, one lock, and the waking of a thread if one sleeps.

#ifndef SLUICE_POOL_THREAD_POOL_H_
#define SLUICE_POOL_THREAD_POOL_H_

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "sluice/pool/callback_queue.h"
#include "sluice/pool/future.h"
#include "sluice/pool/future_base.h"
#include "sluice/pool/future_state.h"
#include "sluice/pool/result_source.h"
#include "sluice/pool/thread_team.h"
#include "sluice/sync/deadline.h"

namespace sluice {

namespace internal {

/// What a call of `Fn` with copies of `Args` gives.
template <class Fn, class... Args>
using TaskResult = std::decay_t<std::invoke_result_t<std::decay_t<Fn>, std::decay_t<Args>...>>;

template <class R, class Fn, class... Args>
class ThreadTask final : public FutureState<R>, public TeamTask {
 public:
  template <class F, class... A>
  explicit ThreadTask(std::shared_ptr<ResultSource> source, F&& fn, A&&... args)
      : FutureState<R>(std::move(source)),
        call_(std::in_place, std::forward<F>(fn), std::forward<A>(args)...) {}

  bool begin() override { return this->claim(); }

  void execute() noexcept override {
    try {
      const auto call = [](Fn& fn, Args&... args) -> decltype(auto) {
        return std::invoke(std::move(fn), std::move(args)...);
      };
      if constexpr (std::is_void_v<R>) {
        std::apply(call, *call_);
        this->value_.emplace();
      } else {
        this->value_.emplace(std::apply(call, *call_));
      }
    } catch (...) {
      failure_ = std::current_exception();
    }
    call_.reset();
  }

  void publish() override {
    if (failure_ != nullptr) return this->set_exception(std::move(failure_));
    this->settle(FutureStatus::finished, [] {});
  }

  void discard() noexcept override {
    if (this->status() == FutureStatus::cancelled) call_.reset();
  }

  void cancel_queued() override {
    if (this->cancel(false)) this->claim();  // which notices it
    discard();
  }

  void fail(const std::exception_ptr& why) override {
    if (!this->claim()) return discard();
    call_.reset();
    this->set_exception(why);
  }

 private:
  std::optional<std::tuple<Fn, Args...>> call_;
  std::exception_ptr failure_;
};

}  // namespace internal

/// What a ThreadPool is made with.
struct ThreadPoolOptions {
  /// As many tasks may wait as memory holds.
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  /// The most that may run: as it comes, 4 more than there are CPUs, at most 32.
  std::size_t max_threads = default_threads();
  /// The most tasks that may wait for a thread.
  std::size_t max_queued = kUnlimited;
  /// What ps and top show, with an underscore and a number: cut to 15 bytes.
  std::string name = "pool";
  /// Called in each thread before its first task.
  std::function<void()> initializer = nullptr;
  /// Where callbacks run: as it comes, on a thread of the pool's own, "sluice-calls".
  RunCallbacks run_callbacks = nullptr;

  /// 4 more than the CPUs that the calling thread may run on, at most 32.
  [[nodiscard]] static std::size_t default_threads() noexcept;
};

/// What ThreadPool::shutdown() does beside refusing further tasks.
struct Shutdown {
  bool wait = true;            ///< for the tasks, the threads, and the callbacks
  bool cancel_queued = false;  ///< tasks that have not begun: else they are run
};

/// Threads of this process that run what is submitted, and the futures of what comes of it.
class ThreadPool {
 public:
  /// Starts no thread: the first task does. Throws std::invalid_argument for max_threads of 0.
  explicit ThreadPool(ThreadPoolOptions options = {});
  /// The same, with so many threads at most, and so many tasks that may wait for one.
  explicit ThreadPool(std::size_t max_threads,
                      std::size_t max_queued = ThreadPoolOptions::kUnlimited)
      : ThreadPool({.max_threads = max_threads, .max_queued = max_queued}) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  /// shutdown(): all that was submitted is run, and its callbacks.
  ~ThreadPool();

  /// Has `fn(args...)` called; waits for room in the queue.
  template <class Fn, class... Args>
  auto submit(Fn&& fn, Args&&... args) -> Future<internal::TaskResult<Fn, Args...>> {
    team_->reserve(Deadline::never());
    return add(std::forward<Fn>(fn), std::forward<Args>(args)...);
  }

  /// None if the queue is full.
  template <class Fn, class... Args>
  auto try_submit(Fn&& fn, Args&&... args)
      -> std::optional<Future<internal::TaskResult<Fn, Args...>>> {
    return submit_before(Deadline::now(), std::forward<Fn>(fn), std::forward<Args>(args)...);
  }

  /// None if the queue was full until the deadline.
  template <class Fn, class... Args>
  auto submit_before(Deadline deadline, Fn&& fn, Args&&... args)
      -> std::optional<Future<internal::TaskResult<Fn, Args...>>> {
    if (!team_->reserve(deadline)) return std::nullopt;
    return add(std::forward<Fn>(fn), std::forward<Args>(args)...);
  }

  /// Refuses further tasks. Twice is once; a second call may wait where the first did not. A task
  /// of this pool does not wait.
  void shutdown(Shutdown how = {}) { team_->shutdown(how.wait, how.cancel_queued); }

  /// Changes the maximum. More threads are started for tasks that wait; threads that are too many
  /// end after their task; with 0, tasks wait until there are more, or the pool is shut down.
  void resize(std::size_t max_threads) { team_->resize(max_threads); }

  /// How many threads there are now; a snapshot, as the next ones.
  [[nodiscard]] std::size_t threads() const { return team_->counts().threads; }
  /// How many of them have no task.
  [[nodiscard]] std::size_t idle() const { return team_->counts().idle; }
  /// How many tasks wait for a thread, with those that were cancelled since.
  [[nodiscard]] std::size_t queued() const { return team_->counts().queued; }
  /// How many threads there may be: as given, or as resize() has changed it.
  [[nodiscard]] std::size_t max_threads() const { return team_->counts().max_threads; }

  friend std::ostream& operator<<(std::ostream& out, const ThreadPool& pool);

 private:
  template <class Fn, class... Args>
  auto add(Fn&& fn, Args&&... args) -> Future<internal::TaskResult<Fn, Args...>> {
    using R = internal::TaskResult<Fn, Args...>;
    using Task = internal::ThreadTask<R, std::decay_t<Fn>, std::decay_t<Args>...>;
    std::shared_ptr<Task> task;
    try {
      task = std::make_shared<Task>(team_, std::forward<Fn>(fn), std::forward<Args>(args)...);
    } catch (...) {
      team_->unreserve();
      throw;
    }
    team_->add(task);
    return Future<R>(std::move(task));
  }

  std::shared_ptr<internal::ThreadTeam> team_;
};

}  // namespace sluice

#endif  // SLUICE_POOL_THREAD_POOL_H_
