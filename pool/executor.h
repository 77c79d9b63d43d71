// SPDX-License-Identifier: Apache-2.0
//
// What can be done with tasks wherever they run: wait() for the first, the first failure, or all;
// as_completed(), in the order in which they end; map(), over one range or several. For anything
// with a submit() that gives a Future (Executor): ThreadPool, Pool, or one of your own. Not for
// waiting for pipes and queues (ipc/wait_any.h).
//
//   std::vector<Future<int>> tasks = ...;
//   auto [done, not_done] = wait(tasks, Wait::first_completed, 5s);
//   for (const Future<int>& task : as_completed(tasks, 5s)) std::cout << task.get() << '\n';
//   for (double power : map(executor, {.deadline = 5s}, pow, bases, exponents)) sum += power;
//
// In memory: this process's heap.
//
// Units: Deadline, one for the whole of a range. Errors: as_completed() and map() throw
// Error(Status::timeout) from the step that would have to wait too long, the former with both
// numbers in its text ("2 (of 4) futures unfinished"), and never before what is done has been given
// out. map() gives the results in order, and throws a task's exception at its place; after either
// the range has ended, and what has not begun is cancelled. wait() with a mode that there is not
// throws std::invalid_argument.
//
// A task that was cancelled counts as done once its executor has come by it (at once in a process
// pool, when a thread takes it off the queue in a ThreadPool): from then on its callable is gone.
//
// Threads: all calls may overlap; one range is used by one thread. Processes and death: as the
// executor's.
//
// Cost: per future a lock when the wait begins, when it is done, and when the wait ends. map()
// submits everything at once, unless told how far to run ahead; an executor whose queue is full
// then makes the call wait.

#ifndef SLUICE_POOL_EXECUTOR_H_
#define SLUICE_POOL_EXECUTOR_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sluice/pool/done_order.h"
#include "sluice/pool/future.h"
#include "sluice/pool/future_base.h"
#include "sluice/pool/future_state.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Something that runs tasks.
template <class E>
concept Executor = requires(E& executor, int (*fn)(int)) {
  { executor.submit(fn, 1) } -> std::same_as<Future<int>>;
};

/// When wait() returns, if the deadline does not pass first.
enum class Wait : std::uint8_t {
  first_completed,  ///< when one is done
  first_exception,  ///< when one has failed, or all are done
  all_completed     ///< when all are done
};

/// The futures that wait() was given, each once, in the order in which they were given.
template <class R>
struct FutureSets {
  std::vector<Future<R>> done;      ///< with a value, an exception, or cancelled
  std::vector<Future<R>> not_done;  ///< running or not begun, when wait() returned
};

namespace internal {

template <std::ranges::input_range Range>
using ResultOf = typename std::remove_cvref_t<std::ranges::range_reference_t<Range>>::value_type;

/// Some futures, each once.
template <std::ranges::input_range Range>
std::vector<Future<ResultOf<Range>>> distinct(Range&& futures) {
  std::vector<Future<ResultOf<Range>>> list;
  std::unordered_set<Future<ResultOf<Range>>> seen;
  for (const auto& future : futures) {
    if (!future.valid()) throw std::future_error(std::future_errc::no_state);
    if (seen.insert(future).second) list.push_back(future);
  }
  return list;
}

template <class R>
std::vector<FutureBase*> states_of(const std::vector<Future<R>>& futures) {
  std::vector<FutureBase*> states;
  states.reserve(futures.size());
  for (const Future<R>& future : futures) states.push_back(future.shared_state().get());
  return states;
}

[[noreturn]] void throw_unfinished(std::size_t unfinished, std::size_t all);
[[noreturn]] void throw_map_timeout();

/// The iterator of a range that has `std::optional<T> next()`.
template <class Range>
class NextIterator {
 public:
  using value_type = typename Range::value_type;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  NextIterator() = default;
  explicit NextIterator(Range& range) : range_(&range) { ++*this; }

  value_type& operator*() const noexcept { return *value_; }
  NextIterator& operator++() {
    value_ = range_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const NextIterator& it, std::default_sentinel_t) noexcept {
    return !it.value_.has_value();
  }

 private:
  Range* range_ = nullptr;
  mutable std::optional<value_type> value_;
};

}  // namespace internal

/// Waits for some of them. Of those that are done when it returns, all are in `done`.
template <std::ranges::input_range Futures>
auto wait(Futures&& futures, Wait when = Wait::all_completed, Deadline deadline = Deadline::never())
    -> FutureSets<internal::ResultOf<Futures>> {
  if (when > Wait::all_completed)
    throw std::invalid_argument("sluice::wait: there is no such mode");
  auto list = internal::distinct(futures);
  std::vector<bool> is_done(list.size());
  {
    using Order = internal::DoneOrder;
    Order order(internal::states_of(list));
    const std::size_t wanted = when == Wait::first_completed ? !list.empty() : list.size();
    const auto ends = when == Wait::first_exception ? Order::EndsWith::failure  //
                                                    : Order::EndsWith::count;
    order.await(wanted, deadline, ends);
    for (std::size_t n = order.count(); n-- > 0;) is_done[order.at(n)] = true;
  }
  FutureSets<internal::ResultOf<Futures>> sets;
  for (std::size_t i = 0; i < list.size(); ++i) {
    (is_done[i] ? sets.done : sets.not_done).push_back(std::move(list[i]));
  }
  return sets;
}

/// A range of futures in the order in which they are done, those first that were when it was made.
template <class R>
class AsCompleted {
 public:
  using value_type = Future<R>;

  /// For as_completed(), which sees to it that each future is there once.
  AsCompleted(std::vector<Future<R>> futures, Deadline deadline)
      : futures_(std::move(futures)), deadline_(deadline), order_(internal::states_of(futures_)) {}

  /// The next one that is done; waits for it. None when all were given out.
  std::optional<Future<R>> next() {
    if (given_ == futures_.size()) return std::nullopt;
    if (!order_.await(given_ + 1, deadline_)) {
      internal::throw_unfinished(futures_.size() - given_, futures_.size());
    }
    const std::size_t index = order_.at(given_++);
    order_.release(index);
    return std::move(futures_[index]);
  }

  /// Waits for the first one. For one walk: what it has passed is not given out again.
  auto begin() { return internal::NextIterator<AsCompleted>(*this); }
  /// Reached when all have been given out.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  std::vector<Future<R>> futures_;
  Deadline deadline_;
  internal::DoneOrder order_;
  std::size_t given_ = 0;
};

/// The futures are read once, and each is given out once.
template <std::ranges::input_range Futures>
auto as_completed(Futures&& futures, Deadline deadline = Deadline::never()) {
  return AsCompleted<internal::ResultOf<Futures>>(internal::distinct(futures), deadline);
}

/// How long a map() may take, and how far it runs ahead of who reads its results.
struct MapOptions {
  /// For the whole range, from the call of map() on.
  Deadline deadline = Deadline::never();
  /// How many tasks may be submitted whose results have not been read.
  std::size_t ahead = std::numeric_limits<std::size_t>::max();
};

/// The results of map(), in order. Its end, however it comes, cancels what has not begun.
template <class R>
class MapResults {
 public:
  using value_type = typename internal::FutureState<R>::Value;
  /// Submits the next task; none when there is none.
  using Submit = std::function<std::optional<Future<R>>()>;

  /// For map(). Submits as many as may run ahead.
  MapResults(Submit submit, MapOptions options) : submit_(std::move(submit)), options_(options) {
    run_ahead();
  }
  MapResults(MapResults&&) noexcept = default;
  MapResults& operator=(MapResults&&) = delete;
  /// Cancels what has not begun; does not wait for what runs.
  ~MapResults() { cancel(); }

  /// The next result; waits for it. None when all were given out. Throws as the header says.
  std::optional<value_type> next() {
    run_ahead();
    if (tasks_.empty()) return std::nullopt;
    const Future<R> task = std::move(tasks_.front());
    tasks_.pop_front();
    try {
      if (!task.wait(options_.deadline)) {
        task.cancel();
        internal::throw_map_timeout();
      }
      if constexpr (std::is_void_v<R>) {
        task.take();
        return std::optional<value_type>(std::in_place);
      } else {
        return task.take();
      }
    } catch (...) {
      cancel();
      throw;
    }
  }

  /// Waits for the first result, and throws as next(). For one walk.
  auto begin() { return internal::NextIterator<MapResults>(*this); }
  /// Reached when the last result has been read.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  void run_ahead() {
    while (submit_ != nullptr && tasks_.size() < options_.ahead) {
      std::optional<Future<R>> task = submit_();
      if (!task.has_value()) {
        submit_ = nullptr;
      } else {
        tasks_.push_back(*std::move(task));
      }
    }
  }

  void cancel() noexcept {
    submit_ = nullptr;
    for (const Future<R>& task : tasks_) task.cancel();
    tasks_.clear();
  }

  Submit submit_;
  MapOptions options_;
  std::deque<Future<R>> tasks_;
};

/// Calls `fn` in the executor for each element of the range, or for the first elements of all
/// ranges, for the second ones, and so on to the end of the shortest. Elements are copied into
/// their tasks. With `ahead`, the ranges and the executor must outlive the results. Throws
/// std::invalid_argument if `ahead` is 0.
template <Executor E, class Fn, std::ranges::input_range... Ranges>
  requires(sizeof...(Ranges) > 0 && std::invocable<Fn&, std::ranges::range_value_t<Ranges>...>)
auto map(E& executor, MapOptions options, Fn fn, Ranges&&... ranges) {
  using R = std::decay_t<std::invoke_result_t<Fn&, std::ranges::range_value_t<Ranges>...>>;
  if (options.ahead == 0) throw std::invalid_argument("sluice::map: `ahead` of 0 runs nothing");
  // Shared, for std::function copies what it holds, and not every iterator can be copied.
  auto at = std::make_shared<std::tuple<std::ranges::iterator_t<Ranges>...>>(
      std::ranges::begin(ranges)...);
  auto ends = std::make_tuple(std::ranges::end(ranges)...);
  const auto more = [](const auto& its, const auto& stops) {
    return [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
      return (... && (std::get<kIndex>(its) != std::get<kIndex>(stops)));
    }(std::index_sequence_for<Ranges...>());
  };
  auto submit = [&executor, fn = std::move(fn), at, ends, more]() -> std::optional<Future<R>> {
    if (!more(*at, ends)) return std::nullopt;
    Future<R> task = std::apply(
        [&](auto&... its) {
          return executor.submit(fn, std::ranges::range_value_t<Ranges>(*its)...);
        },
        *at);
    std::apply([](auto&... its) { (++its, ...); }, *at);
    return task;
  };
  return MapResults<R>(std::move(submit), options);
}

/// The same, without a deadline, and all of it submitted at once.
template <Executor E, class Fn, std::ranges::input_range... Ranges>
  requires(sizeof...(Ranges) > 0 && std::invocable<Fn&, std::ranges::range_value_t<Ranges>...>)
auto map(E& executor, Fn fn, Ranges&&... ranges) {
  return map(executor, MapOptions{}, std::move(fn), std::forward<Ranges>(ranges)...);
}

}  // namespace sluice

#endif  // SLUICE_POOL_EXECUTOR_H_
