// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/worker.h"

#include <malloc.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/lockfree/task_board.h"
#include "sluice/pool/exit.h"
#include "sluice/pool/task_code.h"
#include "sluice/pool/task_error.h"
#include "sluice/pool/task_run.h"
#include "sluice/pool/task_trace.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::internal {
namespace {

/// A timer of the kernel's that kills this process, whatever it is busy with.
class TimeLimit {
 public:
  TimeLimit(WorkerCells cells, std::uint64_t limit_ns) : cells_(cells) {
    if (limit_ns == 0) return;
    struct sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGKILL;
    timer_t timer = {};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
      throw Error::from_errno(errno, {.tried = "limit the time of a task"});
    }
    timer_ = timer;
    cells_.set_limit(steady_ns() + limit_ns);
    constexpr std::uint64_t kSecond = 1'000'000'000;
    const struct itimerspec when = {.it_interval = {},
                                    .it_value = {.tv_sec = static_cast<time_t>(limit_ns / kSecond),
                                                 .tv_nsec = static_cast<long>(limit_ns % kSecond)}};
    timer_settime(timer, 0, &when, nullptr);
  }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;
  ~TimeLimit() {
    if (!timer_) return;
    timer_delete(*timer_);
    cells_.set_limit(0);
  }

 private:
  WorkerCells cells_;
  std::optional<timer_t> timer_;
};

/// Leaves the result in the task's own bytes or a chunk.
class Run final : public TaskRun {
 public:
  Run(std::span<const std::byte> arguments, CodeTable& codes, const std::string& worker,
      PoolMemory& memory, TaskBytes& result)
      : TaskRun(arguments, codes, worker), memory_(&memory), result_(&result) {}

 private:
  std::span<std::byte> room(std::size_t size) override {
    memory_->free(*result_);
    return memory_->make_room(*result_, size, Deadline::never());
  }

  PoolMemory* memory_;
  TaskBytes* result_;
};

class Worker {
 public:
  Worker(PoolMemory& memory, std::size_t place, const PoolOptions& options)
      : memory_(memory),
        cells_(memory.worker(place)),
        options_(options),
        name_(options.name + '-' + std::to_string(place + 1)),
        board_(memory.board()) {}

  int run() {
    cells_.begin(getpid(), participant::self(), steady_ns());
    start_tracing();
    if (!initialize()) return EXIT_FAILURE;
    cells_.set_state(WorkerState::ready);
    if (options_.initializer) board_.wake();  // who makes the pool waits for that
    work();
    cells_.set_state(WorkerState::leaving);
    if (options_.finalizer) options_.finalizer();
    return EXIT_SUCCESS;
  }

 private:
  bool initialize() {
    if (!options_.initializer) return true;
    try {
      options_.initializer();
      return true;
    } catch (...) {
      if (is_exit_request()) throw;
      cells_.fail(encode_current_exception(name_));
      return false;
    }
  }

  void work() {
    for (std::uint64_t n = 0;
         options_.max_tasks_per_worker == 0 || n < options_.max_tasks_per_worker; ++n) {
      Task task;
      if (!claim(task)) return;
      const bool failed = !run(task);
      // Counted first: who has the result sees that it was done.
      cells_.count(failed);
      static_cast<void>(board_.commit(task));
    }
  }

  /// False if there is nothing more to do for this worker.
  bool claim(Task& task) {
    Status status = board_.try_claim(task);
    if (status == Status::ok) return true;
    const std::uint64_t since = steady_ns();
    while (status == Status::empty || status == Status::timeout) {
      if (status == Status::timeout && memory_.live() > memory_.wanted()) return false;
      status = board_.claim(task, options_.idle_time);
    }
    cells_.add_idle(steady_ns() - since);
    return status == Status::ok;
  }

  /// False if the task ended with an exception.
  bool run(const Task& task) {
    TaskBody* const body = PoolMemory::body(board_.body(task));
    if (body == nullptr) return false;
    clear(body->result);
    body->end = TaskEnd::value;
    try {
      const Code found = codes_.find({body->module, body->offset});
      Run run(memory_.read(body->arguments), codes_, name_, memory_, body->result);
      const TimeLimit limit(cells_, body->limit_ns);
      if (found == nullptr) {
        run.refuse();
      } else {
        std::bit_cast<TaskEntry>(found)(run);
      }
      if (run.refused()) body->end = TaskEnd::refused;
    } catch (const TraceProbe&) {
      throw;
    } catch (...) {
      if (is_exit_request()) throw;
      leave_exception(*body, take_trace(__builtin_frame_address(0), TraceEnd::before_handler));
    }
    memory_.hand_over(body->result);
    return body->end == TaskEnd::value;
  }

  void leave_exception(TaskBody& body, std::string trace) {
    body.end = TaskEnd::exception;
    memory_.free(body.result);
    const std::vector<std::byte> bytes = encode_current_exception(name_, std::move(trace));
    try {
      std::ranges::copy(bytes, memory_.make_room(body.result, bytes.size(), kSoon).begin());
    } catch (const std::exception&) {
      // No room for the exception: the result is none, which its reader calls an unknown one.
      clear(body.result);
    }
  }

  static void clear(TaskBytes& bytes) {
    bytes.size = 0;
    bytes.chunk = ArenaRef();
  }

  static constexpr std::chrono::seconds kSoon{1};

  PoolMemory& memory_;
  WorkerCells cells_;
  const PoolOptions& options_;
  std::string name_;
  TaskBoard::Worker board_;
  CodeTable codes_;
};

/// A worker meets arguments of one size again and again: their memory is kept, not given back to
/// the kernel after each, which would cost a page fault for each of their pages.
void keep_memory() {
  constexpr int kKept = 64 << 20;
  mallopt(M_MMAP_THRESHOLD, kKept);
  mallopt(M_TRIM_THRESHOLD, kKept);
}

}  // namespace

std::uint64_t steady_ns() noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

int run_worker(PoolMemory& memory, std::size_t place, const PoolOptions& options) {
  keep_memory();
  // Whoever would have to be found dead is watched by the supervisor, who then wakes this one.
  constexpr std::chrono::milliseconds kSlice{1000};
  set_wait_policy({.mode = WaitMode::adaptive, .first_slice = kSlice, .longest_slice = kSlice});
  return Worker(memory, place, options).run();
}

}  // namespace sluice::internal
