// SPDX-License-Identifier: Apache-2.0
//
// ResultSource: what an executor does for its futures after submit(): it brings results that nobody
// delivers by itself, cancels, and runs callbacks. Internal: for those who write an executor.
//
//   class Ring : public ResultSource { ... };          // results lie in a ring of shared memory
//   auto state = std::make_shared<FutureState<int>>(ring, task_number);   // fetched by its waiters
//   auto pushed = std::make_shared<FutureState<int>>(source);             // set by another thread
//
// A future with a task number is *fetched*: whoever waits for it calls fetch_until(), and so
// collects the results of all futures of that source, for everybody, while it waits.
//
// Threads: fetch_until() and the others are called by many threads at once, without a lock of a
// future held; a source may set futures from any of them, so it must hold no lock that cancel(),
// wake_fetchers() or fetch_in_background() takes while it does. Processes and death: as the source
// says.

#ifndef SLUICE_POOL_RESULT_SOURCE_H_
#define SLUICE_POOL_RESULT_SOURCE_H_

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "sluice/pool/callback_queue.h"
#include "sluice/sync/deadline.h"

namespace sluice::internal {

class FutureBase;

/// Refers to a predicate that outlives the call it is passed to.
class Done {
 public:
  template <std::predicate Predicate>
    requires(!std::same_as<std::remove_cvref_t<Predicate>, Done>)
  // NOLINTNEXTLINE(google-explicit-constructor): so that a lambda can be passed
  Done(const Predicate& predicate) noexcept
      : object_(&predicate),
        call_([](const void* object) { return (*static_cast<const Predicate*>(object))(); }) {}

  [[nodiscard]] bool operator()() const { return call_(object_); }

 private:
  const void* object_;
  bool (*call_)(const void*);
};

class ResultSource {
 public:
  /// Callbacks on a thread of their own.
  ResultSource() = default;
  /// Callbacks on an executor of the user's choice.
  explicit ResultSource(RunCallbacks run) : callbacks_(std::move(run)) {}
  ResultSource(const ResultSource&) = delete;
  ResultSource& operator=(const ResultSource&) = delete;
  virtual ~ResultSource();

  /// Fetches results, and sets their futures, until `done()`, which is cheap: true; or until the
  /// deadline: false. It looks at least once. `done()` becomes true by what this thread or another
  /// one fetches, or before a call of wake_fetchers(). What it throws passes through the wait.
  virtual bool fetch_until(Done done, Deadline deadline);

  /// Somebody waits who can't fetch: a callback, or a thread that waits for several sources. From
  /// now on results are to be fetched without anybody's call. Called often; cheap when it is so.
  virtual void fetch_in_background();

  /// Something other than a fetched result may have made the `done()` of a thread in fetch_until()
  /// true.
  virtual void wake_fetchers();

  /// Cancels a task that has not begun, or if `running_too` also one that has, by force. On
  /// success calls set_cancelled() of its future and returns true.
  virtual bool cancel(std::uint64_t task, bool running_too);

  /// Whether a task that is not done has begun.
  [[nodiscard]] virtual bool is_running(std::uint64_t task);

  /// Somebody will wait for this future for ever. If that is one of the source's own workers, and
  /// the task has not begun, the source may run it here and now, so that it is not waited for by
  /// all who could run it.
  virtual void run_here(FutureBase& future);

  [[nodiscard]] CallbackQueue& callbacks() noexcept { return callbacks_; }

 private:
  CallbackQueue callbacks_;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_RESULT_SOURCE_H_
