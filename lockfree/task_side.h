// SPDX-License-Identifier: Apache-2.0
//
// TaskSide: what the four kinds of handles of a TaskBoard have in common: what they tell of a task,
// how a task's entry gets into a ring, and how the board is closed. Internal; the contract is in
// lockfree/task_board.h.
//
// If a process dies here: an entry that is not pushed is made up for by take_over(), since the
// slot's word still names the dead process; a search that was asked for and not finished stays
// asked for.
//
// Cost: a look at a task one load; a snapshot of all one load for each slot.

#ifndef SLUICE_LOCKFREE_TASK_SIDE_H_
#define SLUICE_LOCKFREE_TASK_SIDE_H_

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>

#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

/// How many slots are in which state: a snapshot, slot by slot.
struct TaskCounts {
  std::size_t free = 0,       ///< for try_allocate()
      allocated = 0,          ///< and not posted yet
      ready = 0,              ///< waiting for a worker
      leased = 0;             ///< in a worker's hands, alive or dead
  std::size_t finished = 0;   ///< done, cancelled or dead, and not collected
  std::size_t collected = 0;  ///< and not released
  std::uint64_t posted = 0;   ///< in all, since format()

  friend bool operator==(const TaskCounts&, const TaskCounts&) = default;
  friend std::ostream& operator<<(std::ostream& out, const TaskCounts& counts) {
    return out << "task board: " << counts.ready << " ready, " << counts.leased << " leased, "
               << counts.finished << " finished, " << counts.collected << " collected, "
               << counts.allocated << " allocated, " << counts.free << " free, " << counts.posted
               << " posted in all";
  }
};

namespace internal {

template <class Env>
class TaskSide {
 public:
  TaskSide(const TaskSide&) = delete;
  TaskSide& operator=(const TaskSide&) = delete;

  /// The bytes of a task's own, aligned to 16. Empty if it is no task of this board.
  [[nodiscard]] std::span<std::byte> body(const Task& task) const noexcept {
    return is_possible(task) ? view_.body(task.slot) : std::span<std::byte>();
  }
  [[nodiscard]] std::size_t tasks() const noexcept { return view_.tasks(); }

  // Snapshots. Of a life that is over: free, nobody, 0.

  [[nodiscard]] TaskState state(const Task& task) const noexcept {
    std::uint64_t word = 0;
    return look(task, word) ? TaskWord::state_of(word) : TaskState::free;
  }
  /// Who has it (leased), or had it last (dead); nobody in all other states.
  [[nodiscard]] Tag holder(const Task& task) const noexcept {
    std::uint64_t word = 0;
    if (!look(task, word)) return participant::kNobody;
    const TaskState state = TaskWord::state_of(word);
    const bool has_one = state == TaskState::leased || state == TaskState::dead;
    return has_one ? TaskWord::tag_of(word) : participant::kNobody;
  }
  /// How often it has been leased.
  [[nodiscard]] std::uint16_t attempts(const Task& task) const noexcept {
    std::uint64_t word = 0;
    if (!look(task, word)) return 0;
    // Relaxed: a number for people, and for who holds the task.
    return Env::load(view_.slot(task.slot).attempts, std::memory_order_relaxed);
  }
  [[nodiscard]] TaskCounts counts() const noexcept {
    TaskCounts counts;
    // Relaxed: a snapshot.
    counts.posted = Env::load(view_.control().posted, std::memory_order_relaxed);
    for (std::uint32_t i = 0; i < view_.tasks(); ++i) count(word_of(i), counts);
    return counts;
  }
  [[nodiscard]] bool is_open() const noexcept { return view_.is_open(); }

  /// Whether a worker sleeps, for want of tasks.
  [[nodiscard]] bool has_idle_workers() const noexcept {
    return view_.control().has_ready.maybe_waiting();
  }

  /// Has collectors look again.
  void wake() noexcept { view_.control().has_done.notify_all(); }

  /// No more posts: workers do what is left, then they are told `closed`, and so is the collector
  /// once it has all. Whoever likes may close, and more than once.
  void close() noexcept { end(TaskPhase::closed); }

  /// As close(), but workers are told `closed` at once; what is ready comes out as cancelled.
  void stop() noexcept { end(TaskPhase::stopped); }

 protected:
  using View = TaskView<Env>;
  using Producer = typename View::Ring::Producer;
  using Consumer = typename View::Ring::Consumer;

  explicit TaskSide(std::span<std::byte> memory)
      : view_(memory), incarnation_(Env::self().incarnation) {}
  ~TaskSide() = default;

  /// How this process signs; nobody, if it now belongs to another registry than when the handle was
  /// made.
  [[nodiscard]] Tag sign() const {
    const ThreadState& self = Env::self();
    return self.incarnation != incarnation_ ? participant::kNobody : LockWord::tag_of(self.me);
  }

  [[nodiscard]] bool is_possible(const Task& task) const noexcept {
    return task.slot < view_.tasks();
  }
  [[nodiscard]] std::uint64_t word_of(std::uint32_t index) const noexcept {
    // Sequentially consistent: acquire, so that what came before the last change is seen; and after
    // the look at the phase, for which see end(). On x86-64 a plain load.
    return Env::load(view_.slot(index).word, std::memory_order_seq_cst);
  }
  /// The word of a task's slot, if it is of that life.
  bool look(const Task& task, std::uint64_t& word) const noexcept {
    if (!is_possible(task)) return false;
    word = word_of(task.slot);
    return TaskWord::seq_of(word) == task.seq;
  }
  /// The one step from a state to the next.
  bool change(std::uint32_t index, std::uint64_t from, std::uint64_t to) const noexcept {
    // Sequentially consistent: acquire and release, so that who has the task next sees its body;
    // and before the look at the phase, for which see end(). On x86-64 all are the same.
    return Env::cas(view_.slot(index).word, from, to, std::memory_order_seq_cst);
  }
  [[nodiscard]] Task task_at(std::uint32_t index, std::uint64_t word) const noexcept {
    return {index, TaskWord::seq_of(word)};
  }

  /// What a hostile process may overwrite at any time is read exactly once.
  static Task read_once(const std::uint64_t& entry) noexcept {
    const volatile std::uint64_t& once = entry;
    return TaskWord::task_of_entry(once);
  }

  /// Tells the workers of a task that is ready.
  void offer(Producer& ready, const Task& task) {
    if (ready.try_push(TaskWord::entry(task)) != Status::ok) [[unlikely]]
      ask(view_.control().ready_search);
  }
  /// Tells the collector of a task that is finished.
  void hand_in(Producer& done, const Task& task) {
    if (done.try_push(TaskWord::entry(task)) != Status::ok) [[unlikely]]
      ask(view_.control().done_search);
    view_.control().has_done.notify_one();
  }

  static void ask(TaskSearch& search) noexcept {
    // Release: pairs with the acquire in asked_of(), so that the slot is seen as it is.
    Env::fetch_add(search.asked, 1U, std::memory_order_release);
  }
  /// Every now and then, though the ring is not empty: what is not in it must not wait for ever.
  [[nodiscard]] bool is_due(const TaskSearch& search) noexcept {
    return ++calls_ % kCallsPerSearch == 0 && is_asked(search);
  }
  static std::uint32_t asked_of(const TaskSearch& search) noexcept {
    // Acquire: as above.
    return Env::load(search.asked, std::memory_order_acquire);
  }
  static bool is_asked(const TaskSearch& search) noexcept {
    // Relaxed: a change that is seen late is seen by the next look.
    return asked_of(search) != Env::load(search.served, std::memory_order_relaxed);
  }
  /// A look at all slots has found nothing; it began when `asked` was this.
  static void serve(TaskSearch& search, std::uint32_t asked) noexcept {
    // Relaxed, both: who asks later makes `asked` another number.
    std::uint32_t before = Env::load(search.served, std::memory_order_relaxed);
    if (static_cast<std::int32_t>(asked - before) > 0) {
      Env::cas(search.served, before, asked, std::memory_order_relaxed);
    }
  }

  View view_;

 private:
  static void count(std::uint64_t word, TaskCounts& counts) noexcept {
    switch (TaskWord::state_of(word)) {
      case TaskState::free:
        ++counts.free;
        break;
      case TaskState::allocated:
        ++counts.allocated;
        break;
      case TaskState::ready:
        ++counts.ready;
        break;
      case TaskState::leased:
        ++counts.leased;
        break;
      default:
        ++(TaskWord::is_collected(word) ? counts.collected : counts.finished);
    }
  }

  /// Who posts makes the task ready, then looks at the phase; who is about to conclude that all is
  /// over has seen the phase, then looks at the slots. In the one order of sequentially consistent
  /// operations one of the two sees what the other has done.
  void end(TaskPhase phase) noexcept {
    auto& control = view_.control();
    const auto wanted = static_cast<std::uint32_t>(phase);
    std::uint32_t now = view_.phase();
    for (int tries = 0; now < wanted && tries < kMostTries; ++tries) {
      // Sequentially consistent: see above.
      if (Env::cas(control.phase, now, wanted, std::memory_order_seq_cst)) break;
    }
    control.has_ready.notify_all();
    control.has_done.notify_all();
    control.has_room.notify_all();
  }

  static constexpr int kMostTries = 1000;
  static constexpr std::uint32_t kCallsPerSearch = 64;

  std::uint32_t calls_ = 0;
  std::uint32_t incarnation_;  ///< of the registry under which the handle was made
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_LOCKFREE_TASK_SIDE_H_
