// SPDX-License-Identifier: Apache-2.0
//
// TaskSupervisor: who puts a TaskBoard in order after deaths, to users TaskBoard::Supervisor. The
// contract is in lockfree/task_board.h.
//
// If a process dies here: each slot is put in order by one compare-and-swap which leaves the dead
// one's tag in the word, then by the push of an entry. Whoever calls take_over() of the same tag
// again goes on with both; an entry that is there twice is passed over by who meets it.
//
// Cost: take_over() one load for each slot of the board, and for each of the dead one's two
// compare-and-swaps.

#ifndef SLUICE_LOCKFREE_TASK_SUPERVISOR_H_
#define SLUICE_LOCKFREE_TASK_SUPERVISOR_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

/// Private to its process, and to one thread at a time; there may be several.
template <class Env>
class TaskSupervisor : public TaskSide<Env> {
  using Side = TaskSide<Env>;

 public:
  /// Throws Error if `memory` holds no board, or one of another registry.
  explicit TaskSupervisor(std::span<std::byte> memory)
      : Side(memory), stack_(view_.stack()), ready_(view_.ready()), done_(view_.done()) {}

  /// Ends the leases of a dead process, and does what it has not come to: ok, busy (it lives, or
  /// that can't be known) or foreign_registry. Calls on_each(Task, TaskState) before it ends a
  /// lease, with what the task is to be, ready again or dead: the last moment in which its body is
  /// in nobody's hands. May be called again and again.
  template <class OnEach>
  Status take_over(Tag dead, OnEach on_each) {
    if (this->sign() == participant::kNobody) return Status::foreign_registry;
    if (Env::probe(dead) != Liveness::dead) return Status::busy;
    for (std::uint32_t i = 0; i < view_.tasks(); ++i) {
      const std::uint64_t word = this->word_of(i);
      if (TaskWord::tag_of(word) == dead) put_in_order(i, word, on_each);
    }
    const bool had_slots = stack_.has_holder(dead);
    if (had_slots) stack_.reclaim();
    auto& control = view_.control();
    control.has_ready.notify_all();
    control.has_done.notify_all();
    if (had_slots) control.has_room.notify_all();
    return Status::ok;
  }
  Status take_over(Tag dead) {
    return take_over(dead, [](const Task&, TaskState) {});
  }

  /// What that process, which is dead, has leased is not to be started again, however many attempts
  /// are left.
  void forbid_attempts(Tag dead) {
    for (std::uint32_t i = 0; i < view_.tasks(); ++i) {
      const std::uint64_t word = this->word_of(i);
      if (TaskWord::tag_of(word) != dead || TaskWord::state_of(word) != TaskState::leased) continue;
      // Relaxed: its writer is dead, and take_over() reads it in this thread or another
      // supervisor's, for which this comes too late.
      Env::store(view_.slot(i).attempts, std::uint16_t{UINT16_MAX}, std::memory_order_relaxed);
    }
  }

  /// Cancels all that is ready; calls on_each(Task) for each, and returns how many. They come out
  /// of collect().
  template <class OnEach>
  std::size_t drain(OnEach on_each) {
    const Tag me = this->sign();
    if (me == participant::kNobody) return 0;
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < view_.tasks(); ++i) {
      const std::uint64_t word = this->word_of(i);
      if (TaskWord::state_of(word) != TaskState::ready) continue;
      const Task task = this->task_at(i, word);
      if (!this->change(i, word, TaskWord::make(task.seq, TaskState::cancelled, me))) continue;
      this->hand_in(done_, task);
      ++count;
      on_each(task);
    }
    return count;
  }
  std::size_t drain() {
    return drain([](const Task&) {});
  }

 private:
  using Side::view_;
  using typename Side::Producer;

  template <class OnEach>
  void put_in_order(std::uint32_t index, std::uint64_t word, OnEach& on_each) {
    const Task task = this->task_at(index, word);
    const Tag dead = TaskWord::tag_of(word);
    if (TaskWord::state_of(word) == TaskState::leased) {
      const TaskSlot& slot = view_.slot(index);
      // Relaxed, both: seen with the word, or written by who is dead, as the kernel has told us.
      const bool again = Env::load(slot.attempts, std::memory_order_relaxed) <
                         Env::load(slot.max_attempts, std::memory_order_relaxed);
      const TaskState next = again ? TaskState::ready : TaskState::dead;
      on_each(task, next);
      const std::uint64_t after = TaskWord::make(task.seq, next, dead);
      // If it fails, another supervisor has done it.
      word = this->change(index, word, after) ? after : this->word_of(index);
      if (TaskWord::seq_of(word) != task.seq || TaskWord::tag_of(word) != dead) return;
    }
    if (TaskWord::state_of(word) == TaskState::ready) this->offer(ready_, task);
    if (TaskWord::is_collectable(word)) this->hand_in(done_, task);
  }

  typename Side::View::Stack stack_;
  Producer ready_, done_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_TASK_SUPERVISOR_H_
