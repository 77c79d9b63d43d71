// SPDX-License-Identifier: Apache-2.0
//
// TaskCollector: who gets the finished tasks of a TaskBoard, to users TaskBoard::Collector. The
// contract is in lockfree/task_board.h.
//
// If a process dies here: before the word says `collected`, the entry is offered again; from then
// on the task is gone with its collector, as an item with who popped it.
//
// Cost: the ring's compare-and-swap and one more.

#ifndef SLUICE_LOCKFREE_TASK_COLLECTOR_H_
#define SLUICE_LOCKFREE_TASK_COLLECTOR_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// Private to its process, and to one thread at a time.
template <class Env>
class TaskCollector : public TaskSide<Env> {
  using Side = TaskSide<Env>;

 public:
  /// Throws Error if `memory` holds no board, or one of another registry.
  explicit TaskCollector(std::span<std::byte> memory) : Side(memory), done_(view_.done()) {}

  /// The next finished task, and how it ended (done, cancelled or dead): ok, empty, closed, corrupt
  /// or foreign_registry. Each life once.
  Status try_collect(Task& task, TaskState& state) {
    const Tag me = this->sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    if (this->is_due(view_.control().done_search) && search(me, task, state) == Status::ok)
        [[unlikely]]
      return Status::ok;
    for (std::size_t tries = 0; tries <= view_.ring_capacity(); ++tries) {
      const std::uint64_t* const entry = done_.try_peek();
      if (entry == nullptr) {
        return done_.status() == Status::empty ? search(me, task, state) : done_.status();
      }
      const Task finished = Side::read_once(*entry);
      std::uint64_t word = 0;
      const bool is_mine = this->look(finished, word) && accept(finished.slot, word, state);
      done_.release();
      if (!is_mine) continue;  // there twice, or released
      task = finished;
      return Status::ok;
    }
    return Status::empty;
  }

  /// Waits for one: ok, closed (the board was closed, and nothing is allocated, under way, or still
  /// to be collected), timeout, corrupt or foreign_registry.
  Status collect(Task& task, TaskState& state, Deadline deadline) {
    return collect(task, state, deadline, [] { return false; });
  }

  /// The same, but empty as soon as `enough()` and there is none: whoever makes that true calls
  /// wake() of any handle of the board.
  template <std::predicate Enough>
  Status collect(Task& task, TaskState& state, Deadline deadline, Enough enough) {
    Status status = try_collect(task, state);
    if (status != Status::empty) return status;
    const Status waited = view_.control().has_done.await(
        deadline,
        [&] {
          status = try_collect(task, state);
          return status != Status::empty || enough();
        },
        [this] {
          done_.suspect_claims();
          return Status::ok;
        });
    return waited == Status::ok ? status : waited;
  }

 private:
  using Side::view_;
  using typename Side::Consumer;

  bool accept(std::uint32_t index, std::uint64_t word, TaskState& state) {
    if (!TaskWord::is_collectable(word)) return false;
    // If this fails, another has it.
    if (!this->change(index, word, TaskWord::collected(word))) return false;
    state = TaskWord::state_of(word);
    // Another may wait for the last one.
    if (!view_.is_open()) [[unlikely]]
      view_.control().has_done.notify_all();
    return true;
  }

  /// The ring is empty. If an entry may be missing, or this may be the end, looks at all slots.
  Status search(Tag me, Task& task, TaskState& state) {
    TaskSearch& request = view_.control().done_search;
    const bool is_open = view_.is_open();
    if (is_open && !this->is_asked(request)) [[likely]]
      return Status::empty;
    const bool is_stopped = view_.is_stopped();
    const std::uint32_t asked = this->asked_of(request);
    bool is_over = !is_open;
    for (std::uint32_t i = 0; i < view_.tasks(); ++i) {
      std::uint64_t word = this->word_of(i);
      if (is_stopped && TaskWord::state_of(word) == TaskState::ready) {
        const std::uint64_t ended =
            TaskWord::make(TaskWord::seq_of(word), TaskState::cancelled, me);
        if (this->change(i, word, ended)) word = ended;
      }
      if (accept(i, word, state)) {
        task = this->task_at(i, word);
        return Status::ok;
      }
      is_over &= TaskWord::state_of(word) == TaskState::free || TaskWord::is_collected(word);
    }
    this->serve(request, asked);
    return is_over ? Status::closed : Status::empty;
  }

  Consumer done_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_TASK_COLLECTOR_H_
