// SPDX-License-Identifier: Apache-2.0
//
// TaskRun: what a task's code finds in a worker, and where it leaves its result; and the code
// itself, one function for each kind of call, made by the compiler where the task is submitted
// (pool/pool.h) and run where it was sent. Internal.
//
// In memory, as ipc/codec.h writes it:
//   a call:  the function (pool/task_function.h), a tuple of its arguments  ->  what it returns
//   a chunk: the function, a sequence of items  ->  a sequence of what it returned, one of pairs of
//            an item's place u32 and its exception's bytes
// Of a call nothing is written for void; in a chunk each item has a byte then.
//
// Units: bytes. Errors: what the function throws goes through; Error with corrupt for bytes that
// the submitter did not write. Threads: a worker has one. If a process dies here: what room() gave
// is the worker's chunk (ipc/pool_memory.h). Cost: one pass over arguments and results.

#ifndef SLUICE_POOL_TASK_RUN_H_
#define SLUICE_POOL_TASK_RUN_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/pool/exit.h"
#include "sluice/pool/task_code.h"
#include "sluice/pool/task_error.h"
#include "sluice/pool/task_function.h"
#include "sluice/pool/task_trace.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

template <class F, class... Args>
using CallResult = std::decay_t<std::invoke_result_t<F&, Args...>>;

/// A vector<bool> has no elements to refer to.
template <class T>
using Items = std::conditional_t<std::is_same_v<T, bool>, std::deque<T>, std::vector<T>>;

class TaskRun {
 public:
  TaskRun(std::span<const std::byte> arguments, CodeTable& codes, const std::string& worker)
      : in_(arguments), codes_(&codes), worker_(&worker) {}
  TaskRun(const TaskRun&) = delete;
  TaskRun& operator=(const TaskRun&) = delete;

  Decoder& in() noexcept { return in_; }
  CodeTable& codes() noexcept { return *codes_; }
  [[nodiscard]] const std::string& worker() const noexcept { return *worker_; }

  /// The worker has no such function.
  void refuse() noexcept { refused_ = true; }
  [[nodiscard]] bool refused() const noexcept { return refused_; }

  /// Leaves a value as the result.
  template <class T>
  void leave(const T& value) {
    if constexpr (TellsItsSize<T>) {
      Encoder(room(encoded_size(value))).value(value);
    } else {
      leave_bytes(encode(value));
    }
  }
  void leave_bytes(std::span<const std::byte> bytes) { Encoder(room(bytes.size())).bytes(bytes); }

 protected:
  ~TaskRun() = default;
  virtual std::span<std::byte> room(std::size_t size) = 0;

 private:
  Decoder in_;
  CodeTable* codes_;
  const std::string* worker_;
  bool refused_ = false;
};

using TaskEntry = void (*)(TaskRun&);

[[noreturn]] inline void refuse_arguments() {
  throw Error(Status::corrupt, {.tried = "read a task's arguments",
                                .expected = "what its submitter has written",
                                .found = "bytes that mean something else"});
}

template <class F, class... Args>
void run_call(TaskRun& run) {
  const bool known = with_function<F>(run.in(), run.codes(), [&run](F function) {
    std::tuple<Args...> arguments;
    // A tuple of nothing would have a byte, and the submitter writes one argument after the other.
    if (sizeof...(Args) != 0 && !run.in().value(arguments)) refuse_arguments();
    if constexpr (std::is_void_v<CallResult<F, Args...>>) {
      std::apply(function, std::move(arguments));
    } else {
      run.leave(std::apply(function, std::move(arguments)));
    }
  });
  if (!known) run.refuse();
}

/// What became of the items of one chunk.
template <class R>
class ChunkResult {
 public:
  /// Nothing is kept of void.
  using Value = std::conditional_t<std::is_void_v<R>, std::tuple<>, R>;

  void add(Value value) { values_.push_back(std::move(value)); }
  /// In a catch block.
  void add_exception(const std::string& worker, std::string trace) {
    exceptions_.emplace_back(values_.size(), encode_current_exception(worker, std::move(trace)));
    values_.emplace_back();
  }
  void reserve(std::size_t items) {
    if constexpr (requires { values_.reserve(items); }) values_.reserve(items);
  }

  [[nodiscard]] Items<Value>& values() noexcept { return values_; }
  /// By the places of their items, ascending; their values are none.
  [[nodiscard]] const std::vector<std::pair<std::uint32_t, std::vector<std::byte>>>& exceptions()
      const noexcept {
    return exceptions_;
  }

  auto sluice_members() { return std::tie(values_, exceptions_); }

 private:
  Items<Value> values_;
  std::vector<std::pair<std::uint32_t, std::vector<std::byte>>> exceptions_;
};

/// `kApply`: each item is a tuple of arguments.
template <class F, class T, bool kApply>
auto call_with(F& function, T&& item) {
  if constexpr (kApply) {
    return std::apply(function, std::forward<T>(item));
  } else {
    return std::invoke(function, std::forward<T>(item));
  }
}

template <class F, class T, bool kApply>
using ItemResult =
    std::decay_t<decltype(call_with<F, T, kApply>(std::declval<F&>(), std::declval<T>()))>;

template <class F, class T, bool kApply>
void run_items(TaskRun& run, F& function, Items<T>& items) {
  using R = ItemResult<F, T, kApply>;
  ChunkResult<R> result;
  result.reserve(items.size());
  for (T& item : items) {
    try {
      if constexpr (std::is_void_v<R>) {
        call_with<F, T, kApply>(function, std::move(item));
        result.add({});
      } else {
        result.add(call_with<F, T, kApply>(function, std::move(item)));
      }
    } catch (const TraceProbe&) {
      throw;
    } catch (...) {
      if (is_exit_request()) throw;
      result.add_exception(run.worker(),
                           take_trace(__builtin_frame_address(0), TraceEnd::with_handler));
    }
  }
  run.leave(result);
}

template <class F, class T, bool kApply>
void run_chunk(TaskRun& run) {
  const bool known = with_function<F>(run.in(), run.codes(), [&run](F function) {
    Items<T> items;
    if (!run.in().value(items)) refuse_arguments();
    run_items<F, T, kApply>(run, function, items);
  });
  if (!known) run.refuse();
}

}  // namespace sluice::internal

#endif  // SLUICE_POOL_TASK_RUN_H_
