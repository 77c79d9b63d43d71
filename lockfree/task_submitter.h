// SPDX-License-Identifier: Apache-2.0
//
// TaskSubmitter: who posts tasks on a TaskBoard, to users TaskBoard::Submitter. The contract is in
// lockfree/task_board.h.
//
// If a process dies here: before the word says `ready` nothing has been posted; after it,
// take_over() of this process makes up for the entry. A slot that was allocated comes back with
// take_over(), too.
//
// Cost: try_allocate() the stack's two compare-and-swaps and one more; post() one, a counter and a
// push; a lock of this handle's in each, private to the process.

#ifndef SLUICE_LOCKFREE_TASK_SUBMITTER_H_
#define SLUICE_LOCKFREE_TASK_SUBMITTER_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <stdexcept>

#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// All calls may overlap.
template <class Env>
class TaskSubmitter : public TaskSide<Env> {
  using Side = TaskSide<Env>;

 public:
  /// Throws Error if `memory` holds no board, or one of another registry.
  explicit TaskSubmitter(std::span<std::byte> memory)
      : Side(memory), stack_(view_.stack()), ready_(view_.ready()), done_(view_.done()) {}

  /// A slot for a new task, to fill its body and post(), or release(): ok, full, closed, corrupt or
  /// foreign_registry.
  Status try_allocate(Task& task) {
    if (!view_.is_open()) return Status::closed;
    const Tag me = this->sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    // A slot that cannot be had belongs to a task of a submitter that is dead. From now on it is
    // ours, to be given back when that task is released.
    for (std::uint32_t tries = 0; tries < view_.tasks(); ++tries) {
      std::uint32_t index = 0;
      if (const Status status = pop(index); status != Status::ok) return status;
      if (index >= view_.tasks()) return Status::corrupt;
      if (begin(index, me, task)) return Status::ok;
    }
    return Status::full;
  }

  /// Waits until there may be room, which somebody else may have taken by then: ok, closed or
  /// timeout.
  Status await_room(Deadline deadline) {
    const auto may_go_on = [this] { return !stack_.empty() || !view_.is_open(); };
    const Status status = view_.control().has_room.await(deadline, may_go_on, still_hopeful);
    return status == Status::ok && !view_.is_open() ? Status::closed : status;
  }

  /// Gives an allocated task to the workers, to be leased up to `max_attempts` times: ok, closed
  /// (it stays allocated), stale or foreign_registry. After ok it comes out of collect(), once; if
  /// close() or stop() overlapped, perhaps as cancelled.
  Status post(const Task& task, std::uint16_t max_attempts = 1) {
    if (const Status status = make_ready(task, max_attempts); status != Status::ok) return status;
    {
      const std::scoped_lock hold(lock_);
      this->offer(ready_, task);
    }
    view_.control().has_ready.notify_one();
    if (!view_.is_open()) [[unlikely]]
      withdraw(task);
    return Status::ok;
  }

  /// Posts the first so many of `tasks`, and returns how many: all, unless the board is closed or
  /// one is stale. Workers are woken once.
  std::size_t post_n(std::span<const Task> tasks, std::uint16_t max_attempts = 1) {
    std::size_t count = 0;
    while (count < tasks.size() && make_ready(tasks[count], max_attempts) == Status::ok) ++count;
    const std::span<const Task> posted = tasks.first(count);
    offer_all(posted);
    auto& has_ready = view_.control().has_ready;
    if (count > 1) {
      has_ready.notify_all();
    } else if (count == 1) {
      has_ready.notify_one();
    }
    if (!view_.is_open()) [[unlikely]] {
      for (const Task& task : posted) withdraw(task);
    }
    return count;
  }

  /// Ends a task that no worker has: ok (it comes out of collect() as cancelled), busy (leased),
  /// closed (it has ended already), stale (also if it is not posted) or foreign_registry.
  Status cancel(const Task& task) {
    const Tag me = this->sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    for (int tries = 0; tries < kMostTries; ++tries) {
      std::uint64_t word = 0;
      if (!this->look(task, word)) return Status::stale;
      if (TaskWord::is_finished(word)) return Status::closed;
      const TaskState state = TaskWord::state_of(word);
      if (state == TaskState::leased) return Status::busy;
      if (state != TaskState::ready) return Status::stale;
      const std::uint64_t ended = TaskWord::make(task.seq, TaskState::cancelled, me);
      if (!this->change(task.slot, word, ended)) continue;
      const std::scoped_lock hold(lock_);
      this->hand_in(done_, task);
      return Status::ok;
    }
    return Status::busy;
  }

  /// Ends a life that is finished, collected or not, or was never posted; the slot is free: ok,
  /// busy (ready or leased, or the slot belongs to another process), stale, corrupt or
  /// foreign_registry.
  Status release(const Task& task) {
    const Tag me = this->sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    for (int tries = 0; tries < kMostTries; ++tries) {
      std::uint64_t word = 0;
      if (!this->look(task, word)) return Status::stale;
      const TaskState state = TaskWord::state_of(word);
      if (state == TaskState::free) return Status::stale;
      if (state != TaskState::allocated && !TaskWord::is_finished(word)) return Status::busy;
      if (stack_.owner_of(task.slot) != me) return Status::busy;
      const std::uint64_t over = TaskWord::make(task.seq + 1, TaskState::free, 0);
      if (!this->change(task.slot, word, over)) continue;
      const Status status = stack_.push(task.slot);
      view_.control().has_room.notify_one();
      if (!view_.is_open()) view_.control().has_done.notify_all();
      return status;
    }
    return Status::busy;
  }

 private:
  using Side::view_;
  using typename Side::Producer;

  static Status still_hopeful() noexcept { return Status::ok; }

  Status pop(std::uint32_t& index) {
    // The stack's own look for dead holders would ask about each task that is under way.
    if (stack_.empty()) return Status::full;
    const std::scoped_lock hold(lock_);
    const Status status = stack_.try_pop(index);
    return status == Status::empty ? Status::full : status;
  }

  /// A new life in a slot that is ours. False if there is a task in it.
  bool begin(std::uint32_t index, Tag me, Task& task) {
    const std::uint64_t word = this->word_of(index);
    const TaskState state = TaskWord::state_of(word);
    std::uint32_t seq = TaskWord::seq_of(word);
    if (state != TaskState::free) {
      // Who had allocated it, or collected it, is dead.
      if (state != TaskState::allocated && !TaskWord::is_collected(word)) return false;
      ++seq;
    }
    const std::uint64_t mine = TaskWord::make(seq, TaskState::allocated, me);
    if (!this->change(index, word, mine)) return false;
    task = {index, TaskWord::seq_of(mine)};
    return true;
  }

  Status make_ready(const Task& task, std::uint16_t max_attempts) {
    if (max_attempts == 0) throw std::invalid_argument("TaskBoard: 0 attempts");
    if (!view_.is_open()) return Status::closed;
    const Tag me = this->sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    if (!this->is_possible(task)) return Status::stale;
    const std::uint64_t mine = TaskWord::make(task.seq, TaskState::allocated, me);
    if (this->word_of(task.slot) != mine) return Status::stale;
    TaskSlot& slot = view_.slot(task.slot);
    // Relaxed, both: published by the word.
    Env::store(slot.attempts, std::uint16_t{0}, std::memory_order_relaxed);
    Env::store(slot.max_attempts, max_attempts, std::memory_order_relaxed);
    const std::uint64_t ready = TaskWord::make(task.seq, TaskState::ready, me);
    if (!this->change(task.slot, mine, ready)) return Status::stale;
    // Relaxed: a counter for people.
    Env::fetch_add(view_.control().posted, std::uint64_t{1}, std::memory_order_relaxed);
    return Status::ok;
  }

  void offer_all(std::span<const Task> tasks) {
    std::array<std::uint64_t, 64> entries;
    while (!tasks.empty()) {
      const std::size_t count = std::min(entries.size(), tasks.size());
      std::transform(tasks.begin(), tasks.begin() + static_cast<std::ptrdiff_t>(count),
                     entries.begin(), TaskWord::entry);
      const std::scoped_lock hold(lock_);
      if (ready_.try_push_n(std::span(entries).first(count)) != count) {
        this->ask(view_.control().ready_search);
      }
      tasks = tasks.subspan(count);
    }
  }

  /// The board was closed meanwhile: the workers may all have left.
  void withdraw(const Task& task) {
    const Status ignored = cancel(task);  // if it is leased or done, a worker has seen it
    static_cast<void>(ignored);
    view_.control().has_ready.notify_all();
  }

  static constexpr int kMostTries = 1000;

  BasicMutex<Env> lock_;  ///< of what follows; push() and the snapshots of the stack need none
  typename Side::View::Stack stack_;
  Producer ready_, done_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_TASK_SUBMITTER_H_
