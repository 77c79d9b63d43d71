// SPDX-License-Identifier: Apache-2.0
//
// What a pool keeps in its own process of each call under way: CallState of one task, MapState and
// its chunks of a map, StreamState of an imap. Internal: users meet pool/pool.h.
//
// Each is a PendingTask (pool/pool_core.h), called by whichever thread fetches, one at a time for
// each task; what chunks share has a lock of its own. Units: items. Errors: what decoding a result
// throws fails that task alone. Threads: as said. If a process dies here: private to the process.
// Cost: one allocation per call, map, stream or chunk.

#ifndef SLUICE_POOL_POOL_CALLS_H_
#define SLUICE_POOL_POOL_CALLS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/pool/future_state.h"
#include "sluice/pool/pool_core.h"
#include "sluice/pool/task_error.h"
#include "sluice/pool/task_run.h"
#include "sluice/pool/type_name.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

template <class T>
T decode_result(std::span<const std::byte> bytes) {
  T value{};
  if (decode(bytes, value) == Status::ok) return value;
  throw Error(Status::corrupt, {.tried = "read a task's result",
                                .expected = readable_name_of(typeid(T)),
                                .found = std::to_string(bytes.size()) + " bytes of another kind"});
}

/// One task, and its future.
template <class F, class R>
class CallState final : public FutureState<R>, public PendingTask {
 public:
  using FutureState<R>::FutureState;

  void finish(std::span<const std::byte> result) override {
    if constexpr (std::is_void_v<R>) {
      this->set_value();
    } else {
      this->set_value(decode_result<R>(result));
    }
  }
  void fail(std::exception_ptr why) override { this->set_exception(std::move(why)); }
  void cancelled() override { this->set_cancelled(); }
  [[nodiscard]] bool is_cancelled() const override {
    return this->status() == FutureStatus::cancelled;
  }
  [[nodiscard]] std::string name() const override { return readable_name_of(typeid(F)); }
};

/// So many of so many tasks of a map are done.
using Progress = std::function<void(std::size_t done, std::size_t all)>;

/// What a map returns: nothing where its function does.
template <class R>
using MapValue =
    std::conditional_t<std::is_void_v<R>, void, std::vector<typename ChunkResult<R>::Value>>;

/// A map's future, and what has come of it so far.
template <class F, class R>
class MapState final : public FutureState<MapValue<R>> {
 public:
  using Chunk = ChunkResult<R>;

  MapState(std::shared_ptr<PoolCore> core, std::uint64_t group, std::size_t items,
           Progress progress)
      : FutureState<MapValue<R>>(core, group),
        core_(core.get()),
        group_(group),
        items_(items),
        progress_(std::move(progress)) {
    if constexpr (!std::is_void_v<R>) values_.resize(items);
  }

  /// All chunks are known: the map ends with the last of them.
  void set_chunks(std::size_t chunks) {
    count([&] { left_ += chunks; });
  }

  void finish_chunk(std::size_t first, Chunk chunk) {
    count([&] {
      done_ += chunk.values().size();
      for (const auto& [place, bytes] : chunk.exceptions()) {
        note_failure(first + place, decode_exception(bytes));
      }
      if constexpr (!std::is_void_v<R>) {
        const std::size_t n = std::min(chunk.values().size(), items_ - first);
        std::move(chunk.values().begin(), chunk.values().begin() + static_cast<std::ptrdiff_t>(n),
                  values_.begin() + static_cast<std::ptrdiff_t>(first));
      }
      --left_;
    });
  }
  void fail_chunk(std::size_t first, std::exception_ptr why) {
    count([&] {
      note_failure(first, std::move(why));
      --left_;
    });
  }
  void cancel_chunk() {
    this->set_cancelled();
    count([&] { --left_; });
  }

 private:
  /// The first of the items that failed says why.
  void note_failure(std::size_t place, std::exception_ptr why) {
    if (failure_ && failed_ <= place) return;
    failed_ = place;
    failure_ = std::move(why);
  }

  template <class Change>
  void count(Change change) {
    std::size_t before = 0;
    std::size_t done = 0;
    bool is_over = false;
    {
      const std::scoped_lock lock(mutex_);
      before = done_;
      change();
      done = done_;
      is_over = left_ == 0;
    }
    if (progress_ && done != before) progress_(done, items_);
    if (is_over) end();
  }

  void end() {
    core_->forget_group(group_);
    if (this->status() == FutureStatus::cancelled) {
      this->set_cancelled();  // noticed: nothing of it runs any more
    } else if (failure_) {
      this->set_exception(failure_);
    } else if constexpr (std::is_void_v<R>) {
      this->set_value();
    } else {
      this->set_value(std::move(values_));
    }
  }

  struct Nothing {};

  PoolCore* core_;  ///< as the future's source, it outlives this
  std::uint64_t group_;
  std::size_t items_;
  Progress progress_;
  std::mutex mutex_;
  std::conditional_t<std::is_void_v<R>, Nothing, std::vector<typename Chunk::Value>> values_;
  std::ptrdiff_t left_ = 0;  ///< below 0 while chunks end that set_chunks() has not counted yet
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::exception_ptr failure_;
};

template <class F, class R>
class MapChunk final : public PendingTask {
 public:
  MapChunk(std::shared_ptr<MapState<F, R>> map, std::size_t first)
      : map_(std::move(map)), first_(first) {}

  void finish(std::span<const std::byte> result) override {
    map_->finish_chunk(first_, decode_result<ChunkResult<R>>(result));
  }
  void fail(std::exception_ptr why) override { map_->fail_chunk(first_, std::move(why)); }
  void cancelled() override {
    if (!std::exchange(cancelled_, true)) map_->cancel_chunk();
  }
  [[nodiscard]] bool is_cancelled() const override { return cancelled_; }
  [[nodiscard]] std::string name() const override { return readable_name_of(typeid(F)); }

 private:
  std::shared_ptr<MapState<F, R>> map_;
  std::size_t first_;
  bool cancelled_ = false;
};

/// The chunks of an imap that are under way or not read yet.
template <class R>
class StreamState {
 public:
  /// In the order in which they were submitted, or are done.
  explicit StreamState(bool ordered) : ordered_(ordered) {}

  /// A new chunk's number.
  std::size_t add() {
    const std::scoped_lock lock(mutex_);
    if (ordered_) chunks_.emplace_back();
    ++under_way_;
    return next_++;
  }
  void finish(std::size_t number, ChunkResult<R> chunk) {
    put(number, {std::move(chunk), nullptr});
  }
  void fail(std::size_t number, std::exception_ptr why) { put(number, {{}, std::move(why)}); }

  struct Ended {
    ChunkResult<R> chunk;
    std::exception_ptr failure;  ///< of all of it
  };

  [[nodiscard]] bool has_next() const {
    const std::scoped_lock lock(mutex_);
    return !chunks_.empty() && chunks_.front().has_value();
  }
  /// After has_next().
  Ended take() {
    const std::scoped_lock lock(mutex_);
    Ended ended = std::move(*chunks_.front());
    chunks_.pop_front();
    ++first_;
    --under_way_;
    return ended;
  }
  [[nodiscard]] std::size_t under_way() const {
    const std::scoped_lock lock(mutex_);
    return under_way_;
  }

 private:
  void put(std::size_t number, Ended ended) {
    const std::scoped_lock lock(mutex_);
    if (ordered_) {
      chunks_[number - first_] = std::move(ended);
    } else {
      chunks_.push_back(std::move(ended));
    }
  }

  bool ordered_;
  mutable std::mutex mutex_;
  std::deque<std::optional<Ended>> chunks_;
  std::size_t first_ = 0, next_ = 0, under_way_ = 0;
};

template <class F, class R>
class StreamChunk final : public PendingTask {
 public:
  StreamChunk(std::shared_ptr<StreamState<R>> stream, std::size_t number)
      : stream_(std::move(stream)), number_(number) {}

  void finish(std::span<const std::byte> result) override {
    stream_->finish(number_, decode_result<ChunkResult<R>>(result));
  }
  void fail(std::exception_ptr why) override { stream_->fail(number_, std::move(why)); }
  void cancelled() override {
    if (std::exchange(cancelled_, true)) return;
    stream_->fail(number_, std::make_exception_ptr(CancelledError()));
  }
  [[nodiscard]] bool is_cancelled() const override { return cancelled_; }
  [[nodiscard]] std::string name() const override { return readable_name_of(typeid(F)); }

 private:
  std::shared_ptr<StreamState<R>> stream_;
  std::size_t number_;
  bool cancelled_ = false;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_POOL_CALLS_H_
