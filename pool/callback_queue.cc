// SPDX-License-Identifier: Apache-2.0

#include "sluice/pool/callback_queue.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

#include "sluice/pool/own_thread.h"
#include "sluice/pool/uncaught.h"
#include "sluice/sync/error.h"
#include "sluice/sync/process_state.h"

namespace sluice::internal {
namespace {

constinit thread_local int t_callbacks = 0;

}  // namespace

CallbackJob::~CallbackJob() = default;

bool in_callback() noexcept { return t_callbacks != 0; }
InCallback::InCallback() noexcept { ++t_callbacks; }
InCallback::~InCallback() { --t_callbacks; }

/// Owned by the queue and by whoever drains it.
struct CallbackQueue::Shared {
  std::mutex mutex;
  std::condition_variable posted;
  std::condition_variable drained;
  std::deque<std::shared_ptr<CallbackJob>> jobs;
  RunCallbacks run;       ///< empty: the thread below
  bool draining = false;  ///< somebody runs jobs, or is about to
  bool closing = false;   ///< the thread is to end when it has drained the jobs
  OwnThread thread;
  const std::uint64_t process = process_mark();

  /// Runs what is there, and what comes meanwhile. Ends with `draining` false.
  void drain() noexcept {
    std::unique_lock lock(mutex);
    while (!jobs.empty()) {
      std::shared_ptr<CallbackJob> job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      job->run_callbacks();
      job.reset();  // not under the lock: it may be the last owner of much
      lock.lock();
    }
    draining = false;
    drained.notify_all();
  }

  void run_thread() noexcept {
    for (;;) {
      {
        std::unique_lock lock(mutex);
        posted.wait(lock, [&] { return !jobs.empty() || closing; });
        if (jobs.empty()) return;
      }
      drain();
    }
  }
};

CallbackQueue::CallbackQueue() : shared_(std::make_shared<Shared>()) {}

CallbackQueue::CallbackQueue(RunCallbacks run) : CallbackQueue() { shared_->run = std::move(run); }

void CallbackQueue::wait_idle() {
  std::unique_lock lock(shared_->mutex);
  if (in_callback() || shared_->run != nullptr) return;
  shared_->drained.wait(lock, [&] { return shared_->jobs.empty() && !shared_->draining; });
}

CallbackQueue::~CallbackQueue() {
  // In a forked child its parent's threads may have left the mutex locked.
  if (shared_->process != process_mark()) return;
  OwnThread thread;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closing = true;
    thread = std::move(shared_->thread);
  }
  shared_->posted.notify_one();
}

void CallbackQueue::post(std::shared_ptr<CallbackJob> job) {
  Shared& shared = *shared_;
  {
    const std::lock_guard lock(shared.mutex);
    shared.jobs.push_back(std::move(job));
    if (std::exchange(shared.draining, true)) return;
    if (shared.thread.runs_here()) {
      shared.posted.notify_one();
      return;
    }
    if (shared.run == nullptr) {
      try {
        shared.thread = OwnThread("sluice-calls", [keep = shared_] { keep->run_thread(); });
        return;
      } catch (const Error&) {
        report_uncaught("the start of the thread for callbacks", std::current_exception());
      }
    }
  }
  try {
    if (shared.run != nullptr) return shared.run([keep = shared_] { keep->drain(); });
  } catch (...) {
    report_uncaught("the executor that was chosen for callbacks", std::current_exception());
  }
  shared.drain();
}

}  // namespace sluice::internal
