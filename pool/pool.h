// SPDX-License-Identifier: Apache-2.0
//
// Pool: runs functions in worker processes that are forked beforehand, and brings back what they
// return or throw. Not for work that is shorter than a microsecond one by one (map it in chunks),
// nor for what must share the submitter's heap (pool/thread_pool.h).
//
//   Pool pool;                                             // a worker per CPU
//   Future<double> area = pool.submit(integrate, 0.0, 1.0);
//   std::vector<Thumb> thumbs = pool.map(shrink, photos);
//   for (const Page& page : pool.imap_unordered(fetch, urls)) show(page);
//   std::cout << area.get();                               // or throws what integrate() threw
//
// Functions: plain ones, lambdas and function objects whose captures are trivially copyable and
// hold no pointer, reference or view (pool/task_function.h); what lies in memory that the workers
// have inherited goes by shared_ref(). Arguments and results travel by Codec (ipc/codec.h); string
// literals as std::string. A worker has the process's memory as it was when the pool was made, and
// keeps what its tasks leave in it.
//
// Make the pool, or call Pool::prepare(), before the program's threads: the process that forks the
// workers is forked then, and locks that other threads held at that moment stay locked in it (those
// of the C library and of sluice do not). What is forked later is forked from there, and has one
// thread.
//
// In memory: an anonymous segment (ipc/pool_memory.h), about 0.4 KiB per task slot; arguments and
// results of up to 148 bytes lie in the slot, larger ones, up to 256 MiB, in chunks that are kept.
//
// Errors: submitting throws what encoding threw; Error with closed, peer_died, too_large; Error
// with the initializer's text if that threw. Results: what the function threw (pool/task_error.h);
// WorkerDied, TaskTimedOut, CancelledError; Error with closed if the pool was terminated.
//
// Threads: all calls may overlap, but for moving and destroying. Processes: a forked child must not
// use its parent's pool, and may destroy its copy. A worker may make pools of its own.
//
// Back-pressure: submit() and map() wait while `max_tasks` are under way or unfetched, and fetch
// meanwhile; imap reads its input as results are taken.
//
// If a process dies here: a worker's death fails the task that it ran (WorkerDied), or has it
// started again, as TaskOptions say: then it may run twice, and one result is accepted. The worker
// is replaced. Where a replacement dies before its first task is done, the next one waits, 1 ms to
// 1 s. The supervisor's death ends the workers, and all that is pending fails with peer_died. The
// submitter's death, however it comes, ends all of them and frees the memory.
//
// Cost: a task there and back and awake: no system call in the submitter, about eleven
// compare-and-swaps in all, one allocation. Idle: each worker wakes once a second.

#ifndef SLUICE_POOL_POOL_H_
#define SLUICE_POOL_POOL_H_

#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <ostream>
#include <ranges>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/pool/future.h"
#include "sluice/pool/pool_calls.h"
#include "sluice/pool/pool_core.h"
#include "sluice/pool/pool_options.h"
#include "sluice/pool/result_stream.h"
#include "sluice/pool/supervisor_process.h"
#include "sluice/pool/task_code.h"
#include "sluice/pool/task_function.h"
#include "sluice/pool/task_run.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"

namespace sluice {

namespace internal {

template <class A>
inline constexpr bool kIsLiteral =
    std::is_array_v<std::remove_reference_t<A>> &&
    std::is_same_v<std::remove_cv_t<std::remove_extent_t<std::remove_reference_t<A>>>, char>;

/// As what an argument arrives.
template <class A>
using TaskArgument = std::conditional_t<kIsLiteral<A>, std::string, std::decay_t<A>>;

}  // namespace internal

/// How a map cuts its input into tasks, and what each of these is told.
struct PoolMapOptions {
  /// Items per task. 0: for map, such that each worker gets four; for imap, 1.
  std::size_t chunk = 0;
  /// imap: how many chunks are under way at most. 0: 256, if the pool has as many slots.
  std::size_t window = 0;
  TaskOptions task = {};  ///< of each chunk: attempts, and a time limit for all of it
  /// map: called after each chunk, by whoever fetches it; must not throw.
  internal::Progress progress = {};
};

/// Worker processes that run what is submitted, and the futures of what comes of it.
class Pool {
 public:
  /// Starts the supervisor and the workers, and waits for the first one if there is an initializer.
  /// Throws Error.
  explicit Pool(PoolOptions options = {}) : core_(internal::PoolCore::start(std::move(options))) {}
  /// With so many workers, and the defaults else. Throws Error for 0.
  explicit Pool(unsigned workers) : Pool(PoolOptions{.workers = checked(workers)}) {}
  Pool(Pool&&) noexcept = default;
  Pool& operator=(Pool&&) = delete;

  /// terminate(): what is pending fails. Returns when the callbacks have run, unless it is called
  /// by one.
  ~Pool() {
    if (core_ == nullptr) return;
    core_->terminate();
    core_->callbacks().wait_idle();
  }

  /// Forks, now, the process that the workers of all later pools of this process come from: to be
  /// called before the program's threads start, by a program that makes pools afterwards. Those
  /// have the memory as it is now, so that functions are the ones loaded now, shared_ref() may
  /// refer to what is mapped now, and an initializer must be one that can travel (PoolOptions);
  /// another is refused by the Pool's constructor. Throws Error.
  static void prepare() { internal::prepare_supervisors(); }

  /// Has `function(arguments...)` run in a worker.
  template <class F, class... Args>
    requires(!std::is_same_v<std::decay_t<F>, TaskOptions>)
  auto submit(F&& function, Args&&... arguments) {
    return submit(TaskOptions(), std::forward<F>(function), std::forward<Args>(arguments)...);
  }
  /// The same, for a task that may be started again if its worker dies, or has a time limit.
  template <class Fn, class... Args>
  auto submit(const TaskOptions& options, Fn&& fn, Args&&... arguments) {
    using F = std::decay_t<Fn>;
    static_assert(internal::explain_why_no_task<F>());
    using R = internal::CallResult<F, internal::TaskArgument<Args>...>;
    static const internal::TaskCode code = internal::code_of(
        reinterpret_cast<internal::Code>(&internal::run_call<F, internal::TaskArgument<Args>...>));
    const F function = std::forward<Fn>(fn);
    const Task task = core_->allocate(Deadline::never());
    const auto state = prepared(core_, task, [&] {
      write(core_, task, function, static_cast<const internal::TaskArgument<Args>&>(arguments)...);
      return std::make_shared<internal::CallState<F, R>>(core_, internal::number_of(task));
    });
    core_->post(task, code, options, state);
    return Future<R>(state);
  }

  /// submit(), and waits for the result.
  template <class F, class... Args>
  auto apply(F&& function, Args&&... arguments) {
    return submit(std::forward<F>(function), std::forward<Args>(arguments)...).take();
  }

  /// function(item) for each item of the range, in order. Several ranges: function(a, b, ...), as
  /// many as the shortest has. All items are tried; the exception of the first that failed is
  /// thrown. What the range's iterator throws comes out of the call.
  template <class F, std::ranges::input_range... Ranges>
  auto map(F&& function, Ranges&&... ranges) {
    return map(PoolMapOptions(), std::forward<F>(function), std::forward<Ranges>(ranges)...);
  }
  /// The same, cut into chunks, limited and watched as the options say.
  template <class F, std::ranges::input_range... Ranges>
  auto map(const PoolMapOptions& options, F&& function, Ranges&&... ranges) {
    return map_async(options, std::forward<F>(function), std::forward<Ranges>(ranges)...).take();
  }

  /// The same, as a future of the vector of results, or of void.
  template <class F, std::ranges::input_range... Ranges>
  auto map_async(F&& function, Ranges&&... ranges) {
    return map_async(PoolMapOptions(), std::forward<F>(function), std::forward<Ranges>(ranges)...);
  }
  /// The same, as the options say.
  template <class F, std::ranges::input_range Range>
  auto map_async(const PoolMapOptions& options, F&& function, Range&& range) {
    return map_items<false>(options, std::forward<F>(function), items_of(range));
  }
  /// The same over several ranges: function(a, b, ...), as many as the shortest has.
  template <class F, std::ranges::input_range... Ranges>
    requires(sizeof...(Ranges) > 1)
  auto map_async(const PoolMapOptions& options, F&& function, Ranges&&... ranges) {
    return map_items<true>(options, std::forward<F>(function), zipped(ranges...));
  }

  /// function(a, b, ...) for each tuple of the range.
  template <class F, std::ranges::input_range Range>
  auto starmap(F&& function, Range&& range, const PoolMapOptions& options = {}) {
    return starmap_async(std::forward<F>(function), std::forward<Range>(range), options).take();
  }
  /// The same, as a future of the vector of results, or of void.
  template <class F, std::ranges::input_range Range>
  auto starmap_async(F&& function, Range&& range, const PoolMapOptions& options = {}) {
    return map_items<true>(options, std::forward<F>(function), items_of(range));
  }

  /// As map, but a stream of results in the input's order, which reads the input as it is read.
  template <class F, std::ranges::input_range Range>
  auto imap(F&& function, Range&& range, const PoolMapOptions& options = {}) {
    return stream(true, options, std::decay_t<F>(std::forward<F>(function)),
                  std::views::all(std::forward<Range>(range)));
  }
  /// In the order in which chunks are done.
  template <class F, std::ranges::input_range Range>
  auto imap_unordered(F&& function, Range&& range, const PoolMapOptions& options = {}) {
    return stream(false, options, std::decay_t<F>(std::forward<F>(function)),
                  std::views::all(std::forward<Range>(range)));
  }

  /// No more tasks: submitting throws Error(closed). What was submitted is done, then the workers
  /// end.
  void close() { core_->close(); }
  /// After close() or terminate(): waits until all is done, and fetches it; the workers have ended
  /// then. False if the deadline passed first.
  bool join(Deadline deadline = Deadline::never()) { return core_->join(deadline); }
  /// Kills the workers; what is pending fails. Takes milliseconds, whatever they are busy with.
  void terminate() { core_->terminate(); }

  /// From now on so many workers, up to max_workers; who is too many ends when it is idle.
  void resize(unsigned workers) { core_->resize(workers); }

  /// A look at each slot and each worker, while they are at work; no system call.
  [[nodiscard]] PoolCounters counters() const { return core_->counters(); }
  /// Of the workers.
  [[nodiscard]] std::vector<pid_t> pids() const { return core_->pids(); }
  /// As they were given, with the numbers of workers that 0 stands for.
  [[nodiscard]] const PoolOptions& options() const noexcept { return core_->options(); }

  friend std::ostream& operator<<(std::ostream& out, const Pool& pool) {
    return out << '"' << pool.options().name << "\", " << pool.counters();
  }

 private:
  static unsigned checked(unsigned workers) {
    if (workers != 0) return workers;
    throw Error::from_errno(EINVAL,
                            {.tried = "make a pool", .expected = "1 worker or more", .found = "0"});
  }

  using Core = std::shared_ptr<internal::PoolCore>;

  /// What `prepare()` gives; if it throws, the task is given back.
  template <class Prepare>
  static auto prepared(const Core& core, const Task& task, Prepare prepare) {
    try {
      return prepare();
    } catch (...) {
      core->abandon(task);
      throw;
    }
  }

  template <class F, class... Args>
  static void write(const Core& core, const Task& task, const F& function,
                    const Args&... arguments) {
    if constexpr ((TellsItsSize<Args> && ...)) {
      const std::size_t size = (internal::function_size<F>() + ... + encoded_size(arguments));
      Encoder out(core->argument_room(task, size));
      internal::encode_function(function, out);
      (out.value(arguments), ...);
    } else {
      std::vector<std::byte> bytes;
      {
        Encoder out(bytes);
        internal::encode_function(function, out);
        (out.value(arguments), ...);
      }
      std::ranges::copy(bytes, core->argument_room(task, bytes.size()).begin());
    }
  }

  /// As a vector: itself, if it is one.
  template <class Range>
  static decltype(auto) items_of(Range& range) {
    using T = std::ranges::range_value_t<Range>;
    if constexpr (std::is_same_v<std::remove_cv_t<Range>, internal::Items<T>>) {
      return std::as_const(range);
    } else {
      internal::Items<T> items;
      if constexpr (std::ranges::sized_range<Range> && requires { items.reserve(1); }) {
        items.reserve(std::ranges::size(range));
      }
      for (auto&& item : range) items.emplace_back(std::forward<decltype(item)>(item));
      return items;
    }
  }

  template <class... Ranges>
  static auto zipped(Ranges&... ranges) {
    std::vector<std::tuple<std::ranges::range_value_t<Ranges>...>> items;
    auto at = std::make_tuple(std::ranges::begin(ranges)...);
    const auto is_at_end = [&] {
      return std::apply([&](auto&... i) { return ((i == std::ranges::end(ranges)) || ...); }, at);
    };
    for (; !is_at_end(); std::apply([](auto&... i) { (static_cast<void>(++i), ...); }, at)) {
      std::apply([&](auto&... i) { items.emplace_back(*i...); }, at);
    }
    return items;
  }

  /// Submits a chunk of items.
  template <bool kApply, class F, class T>
  static Task post_chunk(const Core& core, const TaskOptions& options, const F& function,
                         const internal::Items<T>& items,
                         std::shared_ptr<internal::PendingTask> pending) {
    static const internal::TaskCode code =
        internal::code_of(reinterpret_cast<internal::Code>(&internal::run_chunk<F, T, kApply>));
    const Task task = core->allocate(Deadline::never());
    prepared(core, task, [&] {
      write(core, task, function, items);
      return 0;
    });
    core->post(task, code, options, std::move(pending));
    return task;
  }

  template <bool kApply, class Fn, class T, class... Rest>
  auto map_items(const PoolMapOptions& options, Fn&& fn, const std::vector<T, Rest...>& items) {
    return map_chunks<kApply, std::decay_t<Fn>, T>(options, std::forward<Fn>(fn), items);
  }
  template <bool kApply, class Fn>
  auto map_items(const PoolMapOptions& options, Fn&& fn, const std::deque<bool>& items) {
    return map_chunks<kApply, std::decay_t<Fn>, bool>(options, std::forward<Fn>(fn), items);
  }

  template <bool kApply, class F, class T>
  auto map_chunks(const PoolMapOptions& options, const F& function,
                  const internal::Items<T>& items) {
    static_assert(internal::explain_why_no_task<F>());
    using R = internal::ItemResult<F, T, kApply>;
    using Map = internal::MapState<F, R>;
    const std::size_t chunk = options.chunk != 0 ? options.chunk : chunk_for(items.size());
    const std::uint64_t group = core_->name_group();
    const auto map = std::make_shared<Map>(core_, group, items.size(), options.progress);
    std::size_t chunks = 0;
    try {
      for (std::size_t first = 0; first < items.size(); first += chunk, ++chunks) {
        const auto from = items.begin() + static_cast<std::ptrdiff_t>(first);
        const auto n = static_cast<std::ptrdiff_t>(std::min(chunk, items.size() - first));
        core_->add_to_group(group, post_chunk<kApply, F, T>(
                                       core_, options.task, function, {from, from + n},
                                       std::make_shared<internal::MapChunk<F, R>>(map, first)));
      }
    } catch (...) {
      map->set_chunks(chunks);
      throw;
    }
    map->set_chunks(chunks);
    return Future<internal::MapValue<R>>(map);
  }

  [[nodiscard]] std::size_t chunk_for(std::size_t items) const {
    const std::size_t parts = std::size_t{4} * options().workers;
    return std::max<std::size_t>(1, (items + parts - 1) / parts);
  }

  template <class F, class Input>
  auto stream(bool ordered, const PoolMapOptions& options, const F& function, Input input) {
    static_assert(internal::explain_why_no_task<F>());
    using T = std::ranges::range_value_t<Input>;
    using R = internal::ItemResult<F, T, false>;
    auto state = std::make_shared<internal::StreamState<R>>(ordered);
    const std::size_t window = options.window != 0
                                   ? options.window
                                   : std::min<std::size_t>(256, this->options().max_tasks);
    auto submit = [core = core_, function, task = options.task, state](internal::Items<T> items,
                                                                       std::size_t number) {
      post_chunk<false, F, T>(core, task, function, items,
                              std::make_shared<internal::StreamChunk<F, R>>(state, number));
    };
    return ResultStream<R, Input>(core_, state, std::move(input), std::move(submit),
                                  std::max<std::size_t>(1, options.chunk), window);
  }

  std::shared_ptr<internal::PoolCore> core_;
};

}  // namespace sluice

#endif  // SLUICE_POOL_POOL_H_
