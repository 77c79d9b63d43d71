// SPDX-License-Identifier: Apache-2.0
//
// CallbackQueue: runs the callbacks of an executor's futures one at a time, in the order in which
// their tasks were done, on one thread named "sluice-calls" that is started when the first comes,
// or on an executor of the user's choice. Internal: users meet it as `on_done` of a future.
//
//   CallbackQueue calls;                                    // a thread of its own
//   CallbackQueue posted([&](auto job) { loop.post(job); });   // the user's: runs it when it likes
//   calls.post(future);                                     // future->run_callbacks(), in its turn
//
// Units, memory: private to the process. Errors: post() throws std::bad_alloc alone: where no
// thread can be started, or the user's executor throws, the callbacks run in the caller.
//
// Threads: all calls may overlap. The destructor waits for what was posted, unless it is called by
// a callback. Processes and death: a child that is forked has no thread here: its own jobs get a
// new one; those of its parent are not run.
//
// Cost: post() one mutex, and a wake-up of the thread where it sleeps.

#ifndef SLUICE_POOL_CALLBACK_QUEUE_H_
#define SLUICE_POOL_CALLBACK_QUEUE_H_

#include <functional>
#include <memory>

namespace sluice {

/// An executor of the user's choice: has the job run soon, once, in whatever thread it likes.
using RunCallbacks = std::function<void(std::function<void()> job)>;

namespace internal {

/// What has callbacks to run.
class CallbackJob {
 public:
  CallbackJob() = default;
  CallbackJob(const CallbackJob&) = delete;
  CallbackJob& operator=(const CallbackJob&) = delete;
  virtual ~CallbackJob();
  virtual void run_callbacks() noexcept = 0;
};

class CallbackQueue {
 public:
  CallbackQueue();
  explicit CallbackQueue(RunCallbacks run);
  CallbackQueue(const CallbackQueue&) = delete;
  CallbackQueue& operator=(const CallbackQueue&) = delete;
  ~CallbackQueue();

  void post(std::shared_ptr<CallbackJob> job);

  /// Waits until the thread of this queue has run what was posted. Not for a callback, nor for an
  /// executor of the user's, which may be the caller: then it does nothing.
  void wait_idle();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

/// Whether the calling thread is running a callback: then it must not wait for callbacks.
[[nodiscard]] bool in_callback() noexcept;

/// Marks the calling thread as one that runs a callback.
class InCallback {
 public:
  InCallback() noexcept;
  InCallback(const InCallback&) = delete;
  InCallback& operator=(const InCallback&) = delete;
  ~InCallback();
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_POOL_CALLBACK_QUEUE_H_
