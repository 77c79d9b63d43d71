// SPDX-License-Identifier: Apache-2.0
//
// ResultStream: the results of a pool's imap (pool/pool.h), one after the other, while others are
// still being computed. Not a container: each result comes once.
//
//   for (const Page& page : pool.imap(fetch, urls)) show(page);
//   auto stream = pool.imap_unordered(fetch, urls);
//   while (auto page = stream.next(5s)) show(*page);
//
// The input is read as results are taken: no more than a window of chunks is under way at a time.
//
// Units: items; Deadline. Errors: next() throws what the function threw for that item, and the next
// call goes on with the next one; what the input's iterator threw, after all results of the items
// before it, and then the stream is at its end; Error(timeout), after which nothing is lost; what
// the pool says (pool/pool.h). Where a worker dies, each item of its chunk fails as one: next()
// throws WorkerDied once for the chunk. The end stays the end.
//
// Threads: one at a time. Processes: the pool's own. If a process dies here: as the pool. Cost: an
// allocation for each chunk under way, and its task.

#ifndef SLUICE_POOL_RESULT_STREAM_H_
#define SLUICE_POOL_RESULT_STREAM_H_

#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <utility>

#include "sluice/pool/pool_calls.h"
#include "sluice/pool/pool_core.h"
#include "sluice/pool/task_run.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice {

/// The results of an imap, one after the other; reads its input as they are taken.
template <class R, std::ranges::view Input>
  requires std::ranges::input_range<Input>
class ResultStream {
 public:
  /// What the input is made of, and the function gets.
  using Item = std::ranges::range_value_t<Input>;
  /// Nothing is in the place of void.
  using value_type = typename internal::ChunkResult<R>::Value;
  /// Gives these items to the pool, for that number of the stream's.
  using Submit = std::function<void(internal::Items<Item>, std::size_t)>;

  /// Internal: imap() makes it.
  ResultStream(std::shared_ptr<internal::PoolCore> core,
               std::shared_ptr<internal::StreamState<R>> state, Input input, Submit submit,
               std::size_t chunk, std::size_t window)
      : core_(std::move(core)),
        state_(std::move(state)),
        input_(std::move(input)),
        submit_(std::move(submit)),
        chunk_(chunk),
        window_(window),
        at_(std::ranges::begin(input_)) {
    feed();
  }
  ResultStream(const ResultStream&) = delete;
  ResultStream& operator=(const ResultStream&) = delete;

  /// The next result; empty at the end.
  std::optional<value_type> next(Deadline deadline = Deadline::never()) {
    for (;;) {
      feed();
      if (place_ < current_.values().size()) return take_one();
      if (state_->under_way() == 0) {
        if (input_failure_) std::rethrow_exception(std::exchange(input_failure_, nullptr));
        return std::nullopt;
      }
      const auto has_next = [this] { return state_->has_next(); };
      if (!has_next() && !core_->fetch_until(has_next, deadline)) {
        throw Error(Status::timeout, {.tried = "wait for the next result of a stream"});
      }
      auto ended = state_->take();
      if (ended.failure) std::rethrow_exception(ended.failure);
      current_ = std::move(ended.chunk);
      place_ = failure_ = 0;
    }
  }

  /// Takes a result each time it moves on. Of one walk: what it has passed is gone.
  class Iterator {
   public:
    using difference_type = std::ptrdiff_t;
    using value_type = ResultStream::value_type;

    /// Of no stream; to be assigned to.
    Iterator() = default;
    /// Takes the first result: waits for it, and throws as next().
    explicit Iterator(ResultStream& stream) : stream_(&stream), value_(stream.next()) {}
    /// The result that it has taken, to be moved from at will.
    value_type& operator*() const { return const_cast<value_type&>(*value_); }
    /// Takes the next result: waits for it, and throws as next().
    Iterator& operator++() {
      value_ = stream_->next();
      return *this;
    }
    /// The same; there is no iterator to the one before.
    void operator++(int) { ++*this; }
    /// Whether the stream had come to its end.
    bool operator==(std::default_sentinel_t) const { return !value_.has_value(); }

   private:
    ResultStream* stream_ = nullptr;
    std::optional<value_type> value_;
  };

  /// Takes the first result that has not been taken; a second walk goes on behind it.
  Iterator begin() { return Iterator(*this); }
  /// Reached when all results have been taken.
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  std::optional<value_type> take_one() {
    const std::size_t place = place_++;
    const auto& failures = current_.exceptions();
    if (failure_ < failures.size() && failures[failure_].first == place) {
      std::rethrow_exception(internal::decode_exception(failures[failure_++].second));
    }
    return std::move(current_.values()[place]);
  }

  /// Submits chunks, up to the window.
  void feed() {
    while (!is_read_ && state_->under_way() < window_) {
      internal::Items<Item> items = read_chunk();
      if (!items.empty()) submit_(std::move(items), state_->add());
    }
  }

  internal::Items<Item> read_chunk() {
    internal::Items<Item> items;
    try {
      for (; items.size() < chunk_ && at_ != std::ranges::end(input_); ++at_) {
        items.emplace_back(*at_);
      }
      is_read_ = items.size() < chunk_;
    } catch (...) {
      input_failure_ = std::current_exception();
      is_read_ = true;
    }
    return items;
  }

  std::shared_ptr<internal::PoolCore> core_;
  std::shared_ptr<internal::StreamState<R>> state_;
  Input input_;
  Submit submit_;
  std::size_t chunk_, window_;
  std::ranges::iterator_t<Input> at_;
  bool is_read_ = false;
  std::exception_ptr input_failure_;
  internal::ChunkResult<R> current_;
  std::size_t place_ = 0;    ///< in it
  std::size_t failure_ = 0;  ///< the next of its exceptions
};

}  // namespace sluice

#endif  // SLUICE_POOL_RESULT_STREAM_H_
