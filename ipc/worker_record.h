// SPDX-License-Identifier: Apache-2.0
//
// WorkerRecord: what everybody may know of one worker of a pool, in memory that the pool's
// processes share, and WorkerCells, how it is read and written. Internal.
//
//   WorkerCells cells(record);
//   cells.begin(getpid(), participant::self(), steady_ns());     // the worker
//   if (cells.state() == WorkerState::failed) explain(cells.text());   // who waits for it
//
// In memory, 1 KiB: the words below, and a text. Each has one writer: the worker in that place;
// when that has ended, the supervisor. What readers find are numbers for people, but for the state,
// the tag and the text, which the end of the process has published before they are looked at.
//
// Units: nanoseconds of the steady clock. Errors: none; a text is cut to what there is room for.
// Threads and processes: reading may overlap with all. If a process dies here: what it had written
// stands. Cost: one store each.

#ifndef SLUICE_IPC_WORKER_RECORD_H_
#define SLUICE_IPC_WORKER_RECORD_H_

#include <sys/types.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sluice/sync/env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

enum class WorkerState : std::uint32_t {
  vacant = 0,
  starting,
  ready,
  leaving,  ///< by itself: it has done its share, or there is nothing more to do
  failed,   ///< its initializer threw: the text is the exception's
};

struct alignas(kNoSharing) WorkerRecord {
  static constexpr std::size_t kTextBytes = 1024 - 72;

  Word<std::uint32_t> state, pid, tag;
  Word<std::uint32_t> restarts;  ///< by the supervisor
  Word<std::uint64_t> started_ns, idle_ns;
  Word<std::uint64_t> done, failed;    ///< tasks, of all who had this place
  Word<std::uint64_t> limit_until_ns;  ///< of the task that it runs; 0: none
  Word<std::uint32_t> text_size, unused;
  Word<std::uint64_t> done_before;  ///< its first task
  std::array<std::byte, kTextBytes> text;
};
static_assert(sizeof(WorkerRecord) == 1024 && Mappable<WorkerRecord>);

class WorkerCells {
 public:
  explicit WorkerCells(WorkerRecord& record) noexcept : record_(&record) {}

  // The worker.

  void begin(pid_t pid, Tag tag, std::uint64_t now_ns) noexcept {
    put(record_->pid, static_cast<std::uint32_t>(pid));
    put(record_->tag, tag);
    put(record_->started_ns, now_ns);
    put(record_->idle_ns, std::uint64_t{0});
    put(record_->limit_until_ns, std::uint64_t{0});
    put(record_->done_before, get(record_->done));
  }
  void set_state(WorkerState state) noexcept {
    // Release, with state()'s acquire: what was written before, the text above all, is seen.
    RealEnv::store(record_->state, static_cast<std::uint32_t>(state), std::memory_order_release);
  }
  void fail(std::span<const std::byte> text) noexcept {
    const std::size_t size = std::min(text.size(), record_->text.size());
    std::ranges::copy(text.first(size), record_->text.begin());
    put(record_->text_size, static_cast<std::uint32_t>(size));
    set_state(WorkerState::failed);
  }
  void count(bool failed) noexcept {
    put(record_->done, get(record_->done) + 1);
    if (failed) put(record_->failed, get(record_->failed) + 1);
  }
  void add_idle(std::uint64_t ns) noexcept { put(record_->idle_ns, get(record_->idle_ns) + ns); }
  void set_limit(std::uint64_t until_ns) noexcept { put(record_->limit_until_ns, until_ns); }

  // The supervisor.

  void vacate() noexcept {
    put(record_->pid, 0U);
    put(record_->tag, participant::kNobody);
    set_state(WorkerState::vacant);
  }
  void count_restart() noexcept { put(record_->restarts, get(record_->restarts) + 1); }

  // Everybody.

  [[nodiscard]] WorkerState state() const noexcept {
    // Acquire: as in set_state().
    return static_cast<WorkerState>(RealEnv::load(record_->state, std::memory_order_acquire));
  }
  [[nodiscard]] pid_t pid() const noexcept { return static_cast<pid_t>(get(record_->pid)); }
  [[nodiscard]] Tag tag() const noexcept { return get(record_->tag); }
  [[nodiscard]] std::uint32_t restarts() const noexcept { return get(record_->restarts); }
  [[nodiscard]] std::uint64_t done() const noexcept { return get(record_->done); }
  [[nodiscard]] std::uint64_t failed() const noexcept { return get(record_->failed); }
  [[nodiscard]] bool has_done_a_task() const noexcept {
    return done() != get(record_->done_before);
  }
  [[nodiscard]] std::uint64_t limit_until() const noexcept { return get(record_->limit_until_ns); }
  [[nodiscard]] std::uint64_t busy_ns(std::uint64_t now_ns) const noexcept {
    const std::uint64_t alive = now_ns - std::min(now_ns, get(record_->started_ns));
    return alive - std::min(alive, get(record_->idle_ns));
  }
  /// A copy of what there is.
  [[nodiscard]] std::vector<std::byte> text() const {
    const std::size_t size = std::min<std::size_t>(get(record_->text_size), record_->text.size());
    return {record_->text.begin(), record_->text.begin() + static_cast<std::ptrdiff_t>(size)};
  }

 private:
  template <class T>
  static T get(const Word<T>& word) noexcept {
    // Relaxed: one writer, and readers who want a number.
    return RealEnv::load(word, std::memory_order_relaxed);
  }
  template <class T>
  static void put(Word<T>& word, T value) noexcept {
    // Relaxed: as above.
    RealEnv::store(word, value, std::memory_order_relaxed);
  }

  WorkerRecord* record_;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_WORKER_RECORD_H_
