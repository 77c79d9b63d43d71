// SPDX-License-Identifier: Apache-2.0
//
// TaskWorker: who takes tasks from a TaskBoard and does them, to users TaskBoard::Worker. The
// contract is in lockfree/task_board.h.
//
// If a process dies here: before the word says `leased` by it, the entry is offered again; from
// then on the task is the dead worker's, and take_over() finds it by its tag. The entry, if it is
// offered once more, is passed over. After the word says `done` the result stands; the entry in the
// done ring is made up for by take_over().
//
// Cost: claim() the ring's compare-and-swap and one more; commit() the same.

#ifndef SLUICE_LOCKFREE_TASK_WORKER_H_
#define SLUICE_LOCKFREE_TASK_WORKER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_side.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// Private to its process, and to one thread at a time.
template <class Env>
class TaskWorker : public TaskSide<Env> {
  using Side = TaskSide<Env>;

 public:
  /// Throws Error if `memory` holds no board, or one of another registry.
  explicit TaskWorker(std::span<std::byte> memory)
      : Side(memory), ready_(view_.ready()), done_(view_.done()) {}

  /// Leases the oldest task that is ready: ok, empty, closed, corrupt or foreign_registry.
  Status try_claim(Task& task) {
    const Tag me = this->sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    if (view_.is_stopped()) return Status::closed;
    if (this->is_due(view_.control().ready_search) && search(me, task) == Status::ok) [[unlikely]]
      return Status::ok;
    for (std::size_t tries = 0; tries <= view_.ring_capacity(); ++tries) {
      const std::uint64_t* const entry = ready_.try_peek();
      if (entry == nullptr) {
        return ready_.status() == Status::empty ? search(me, task) : ready_.status();
      }
      const Task offered = Side::read_once(*entry);
      const bool is_mine = lease(offered, me);
      ready_.release();
      if (!is_mine) continue;  // cancelled, leased by another, or of a life that is over
      task = offered;
      return Status::ok;
    }
    return Status::empty;
  }

  /// Waits for a task: ok, closed (the board was stopped; or closed, and nothing is ready nor in
  /// another process's hands), timeout, corrupt or foreign_registry.
  Status claim(Task& task, Deadline deadline) {
    Status status = try_claim(task);
    if (status != Status::empty) return status;
    const Status waited = view_.control().has_ready.await(
        deadline,
        [&] {
          status = try_claim(task);
          return status != Status::empty;
        },
        [this] {
          ready_.suspect_claims();
          return Status::ok;
        });
    return waited == Status::ok ? status : waited;
  }

  /// The acknowledgement of a task that this process has leased: ok, stale (it has not), or
  /// foreign_registry. What has been written to the body is seen by who collects it.
  Status commit(const Task& task) {
    const Tag me = this->sign();
    if (me == participant::kNobody) return Status::foreign_registry;
    if (!this->is_possible(task)) return Status::stale;
    const std::uint64_t mine = TaskWord::make(task.seq, TaskState::leased, me);
    const std::uint64_t done = TaskWord::make(task.seq, TaskState::done, me);
    if (!this->change(task.slot, mine, done)) return Status::stale;
    this->hand_in(done_, task);
    // Others may wait for the end of the last task.
    if (!view_.is_open()) [[unlikely]]
      view_.control().has_ready.notify_all();
    return Status::ok;
  }

 private:
  using Side::view_;
  using typename Side::Consumer, typename Side::Producer;

  bool lease(const Task& task, Tag me) {
    std::uint64_t word = 0;
    if (!this->look(task, word) || TaskWord::state_of(word) != TaskState::ready) return false;
    // If this fails, another has leased it, or it was cancelled.
    if (!this->change(task.slot, word, TaskWord::make(task.seq, TaskState::leased, me))) {
      return false;
    }
    Word<std::uint16_t>& attempts = view_.slot(task.slot).attempts;
    // Relaxed, both: the lease's holder alone writes it; who finds it dead has asked the kernel.
    const auto before = Env::load(attempts, std::memory_order_relaxed);
    Env::store(attempts, static_cast<std::uint16_t>(before + 1), std::memory_order_relaxed);
    return true;
  }

  /// The ring is empty. If an entry may be missing, or this may be the end, looks at all slots.
  Status search(Tag me, Task& task) {
    TaskSearch& request = view_.control().ready_search;
    const bool is_open = view_.is_open();
    if (is_open && !this->is_asked(request)) [[likely]]
      return Status::empty;
    const std::uint32_t asked = this->asked_of(request);
    bool others_work = false;
    for (std::uint32_t i = 0; i < view_.tasks(); ++i) {
      const std::uint64_t word = this->word_of(i);
      const TaskState state = TaskWord::state_of(word);
      const Task found = this->task_at(i, word);
      if (state == TaskState::ready && lease(found, me)) {
        task = found;
        return Status::ok;
      }
      // If another was quicker, it may die.
      others_work |=
          state == TaskState::ready || (state == TaskState::leased && TaskWord::tag_of(word) != me);
    }
    this->serve(request, asked);
    return is_open || others_work ? Status::empty : Status::closed;
  }

  Consumer ready_;
  Producer done_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_TASK_WORKER_H_
