// SPDX-License-Identifier: Apache-2.0
//
// PoolCore: the submitting process's side of a pool, without types: tasks as bytes go in, and come
// back to who is waiting for them. Internal: users meet pool/pool.h.
//
//   const Task task = core->allocate(Deadline::never());
//   Encoder(core->argument_room(task, size)).value(arguments);
//   core->post(task, code, options, pending);       // pending->finish(bytes), fail() or cancel()
//
// There is no thread here that fetches results: whoever waits for one fetches, for everybody, until
// he has his own; the next takes over from him. A thread of its own is started for those who can't:
// callbacks, and waits for the futures of several executors.
//
// Units: bytes. Errors: Error with closed (terminated, or closed for new tasks), peer_died (the
// supervisor is gone), interrupted (pool/interrupt.h), and those of ipc/pool_memory.h; a pool whose
// initializer threw gives Error with that text. Threads: all calls may overlap. A forked child must
// not use it, but may destroy its copy.
//
// If a process dies here: a worker as pool/supervisor.h says; the supervisor: all tasks fail with
// peer_died, within 0.2 s of somebody's waiting; this one: the supervisor ends, and the workers
// with it.
// Cost: a task there and back is what lockfree/task_board.h says and two short locks of this
// process.

#ifndef SLUICE_POOL_POOL_CORE_H_
#define SLUICE_POOL_POOL_CORE_H_

#include <sys/types.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "sluice/ipc/pool_memory.h"
#include "sluice/lockfree/task_board.h"
#include "sluice/pool/own_thread.h"
#include "sluice/pool/pool_options.h"
#include "sluice/pool/result_source.h"
#include "sluice/pool/supervisor_process.h"
#include "sluice/pool/task_code.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// Who gets what becomes of a task: one of these calls, once, from whatever thread fetches.
class PendingTask {
 public:
  PendingTask() = default;
  PendingTask(const PendingTask&) = delete;
  PendingTask& operator=(const PendingTask&) = delete;
  virtual ~PendingTask() = default;

  /// The result's bytes; what it throws goes to fail().
  virtual void finish(std::span<const std::byte> result) = 0;
  virtual void fail(std::exception_ptr why) = 0;
  /// Comes perhaps twice.
  virtual void cancelled() = 0;
  [[nodiscard]] virtual bool is_cancelled() const = 0;
  /// For people: what runs.
  [[nodiscard]] virtual std::string name() const = 0;
};

/// A future's number for a task, and for many at once.
[[nodiscard]] constexpr std::uint64_t number_of(const Task& task) noexcept {
  return std::uint64_t{task.slot} << 32 | task.seq;
}

class PoolCore final : public ResultSource {
 public:
  /// Starts the supervisor. Returns when the first worker is up, if there is an initializer.
  static std::shared_ptr<PoolCore> start(PoolOptions options);
  /// terminate(), in the process that made it.
  ~PoolCore() override;

  // Submitting.

  /// A slot, when there is one.
  Task allocate(Deadline deadline);
  /// In an allocated task, once.
  std::span<std::byte> argument_room(const Task& task, std::size_t size);
  /// `task` is no concern of the caller's any more.
  void post(const Task& task, TaskCode code, const TaskOptions& options,
            std::shared_ptr<PendingTask> pending);
  /// Instead of post().
  void abandon(const Task& task);

  /// Has cancel() and is_running() of that number mean these tasks.
  std::uint64_t name_group();
  void add_to_group(std::uint64_t group, const Task& task);
  void forget_group(std::uint64_t group);

  // ResultSource.

  bool fetch_until(Done done, Deadline deadline) override;
  void fetch_in_background() override;
  void wake_fetchers() override;
  bool cancel(std::uint64_t number, bool running_too) override;
  [[nodiscard]] bool is_running(std::uint64_t number) override;

  // The pool's life.

  void close();
  /// After close() or terminate(): false if the deadline passed first.
  bool join(Deadline deadline);
  void terminate();
  void resize(unsigned workers);

  [[nodiscard]] PoolCounters counters() const;
  [[nodiscard]] const PoolOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::vector<pid_t> pids() const;

 private:
  explicit PoolCore(PoolOptions options);

  void await_first_worker();
  void grow_if_busy();

  [[nodiscard]] bool is_mine() const noexcept;
  [[noreturn]] void refuse(Status status) const;
  bool fetch(Done done, Deadline deadline);
  bool collect_until(Done done, Deadline deadline);
  bool collect_once(Done done, Deadline deadline);
  void await_news(std::unique_lock<std::mutex>& lock, std::uint64_t seen, Deadline deadline);
  void tell_followers();
  void check_supervisor();
  void deliver(const Task& task, TaskState state);
  void reclaim();
  void cancel_with_all(PendingTask& pending) const;
  void hand_to(PendingTask& pending, const Task& task, TaskState state);
  void fail_all(const std::exception_ptr& why);
  [[nodiscard]] std::exception_ptr why_dead(const TaskBody& body, const Task& task,
                                            const std::string& name) const;
  [[nodiscard]] std::exception_ptr why_broken() const;
  [[noreturn]] void end_by_interrupt();
  bool cancel_one(const Task& task, bool running_too);
  [[nodiscard]] std::vector<Task> tasks_of(std::uint64_t number) const;
  [[nodiscard]] std::shared_ptr<PendingTask> take_pending(const Task& task);
  [[nodiscard]] std::shared_ptr<PendingTask> pending_of(const Task& task) const;
  [[nodiscard]] std::size_t pending() const;
  void end_supervisor();

  PoolOptions options_;
  pid_t owner_;
  PoolMemory memory_;
  TaskBoard::Submitter submitter_;
  TaskBoard::Collector collector_;  ///< of who has collecting_
  bool had_deaths_ = false;         ///< the same's; a chunk may have been left to nobody
  std::optional<SupervisorProcess> supervisor_;
  std::mutex supervisor_mutex_;  ///< for its join()

  mutable std::mutex mutex_;
  std::condition_variable has_news_;
  std::uint64_t news_ = 0;  ///< results were delivered, or the role of the collector is free
  bool collecting_ = false;
  unsigned followers_ = 0;
  struct Slot {
    std::uint32_t seq = 0;
    std::shared_ptr<PendingTask> pending;
  };
  std::vector<Slot> slots_;
  std::size_t pending_ = 0;
  std::uint64_t last_group_ = 0;
  std::unordered_map<std::uint64_t, std::vector<Task>> groups_;
  std::exception_ptr broken_;  ///< why nothing works any more
  bool closed_ = false, terminating_ = false, ended_ = false;
  Event background_ends_;
  std::uint64_t grown_ns_ = 0;
  OwnThread background_;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_POOL_CORE_H_
