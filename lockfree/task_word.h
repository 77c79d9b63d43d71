// SPDX-License-Identifier: Apache-2.0
//
// Task, TaskState and TaskWord: how one life of a slot of a TaskBoard is named, what may become of
// it, and the word that says so. The contract is in lockfree/task_board.h.
//
//   63..36 seq, the life | 35 collected | 34..32 state | 31..0 tag
//
//   free(s) -> allocated(submitter) -> ready(poster) -> leased(worker) -> done(worker)
//                                        ^     |           |     |
//                                        |     |           |     +-> dead(worker)  no attempt left
//                                        |     +-> cancelled(who)
//                                        +-----------------+       its worker died
//   done | cancelled | dead -> the same, collected -> free(s + 1);  allocated -> free(s + 1)
//
// Each arrow is one compare-and-swap of the whole word. The tag is that of whoever has still
// something to do for it, so that what a dead process left unfinished is found by its tag: the
// push of an entry into a ring, or the task itself.
//
// If a process dies here: nothing is shared. Cost: some shifts.

#ifndef SLUICE_LOCKFREE_TASK_WORD_H_
#define SLUICE_LOCKFREE_TASK_WORD_H_

#include <cstdint>
#include <ostream>
#include <string_view>

namespace sluice {

/// One life of a slot, from try_allocate() to release().
struct Task {
  std::uint32_t slot = 0;  ///< of the board, from 0
  std::uint32_t seq = 0;   ///< which life of the slot: 28 bits, one up each time

  friend bool operator==(const Task&, const Task&) = default;
};

/// How far a life of a slot has come. After done, cancelled and dead it is collected and released.
enum class TaskState : std::uint8_t {
  free,       ///< that life has ended, or not begun
  allocated,  ///< its submitter fills the body
  ready,      ///< waits for a worker
  leased,     ///< a worker has it
  done,       ///< committed
  cancelled,  ///< ended before a worker had it
  dead,       ///< its last worker died, and no attempt is left
};

/// The enumerator's own name; "unknown" for a number outside the enumeration.
[[nodiscard]] constexpr std::string_view to_string(TaskState state) noexcept {
  constexpr std::string_view kNames[] = {"free", "allocated", "ready", "leased",
                                         "done", "cancelled", "dead",  "unknown"};
  const auto number = static_cast<std::uint8_t>(state);
  return kNames[number < 7 ? number : 7];
}

/// Writes what to_string() gives.
inline std::ostream& operator<<(std::ostream& out, TaskState state) {
  return out << to_string(state);
}

namespace internal {

struct TaskWord {
  static constexpr std::uint32_t kSeqMask = (std::uint32_t{1} << 28) - 1;

  /// Any seq; its low 28 bits count.
  static constexpr std::uint64_t make(std::uint32_t seq, TaskState state,
                                      std::uint32_t tag) noexcept {
    return std::uint64_t{seq & kSeqMask} << kSeqShift |
           std::uint64_t{static_cast<std::uint8_t>(state)} << kStateShift | tag;
  }
  static constexpr std::uint32_t seq_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> kSeqShift);
  }
  /// May be no state, if the bytes are hostile.
  static constexpr TaskState state_of(std::uint64_t word) noexcept {
    return static_cast<TaskState>(word >> kStateShift & 7);
  }
  static constexpr std::uint32_t tag_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word);
  }

  /// Whether nothing more will be done for this task, but to collect it.
  static constexpr bool is_finished(std::uint64_t word) noexcept {
    const TaskState state = state_of(word);
    return state == TaskState::done || state == TaskState::cancelled || state == TaskState::dead;
  }
  static constexpr bool is_collected(std::uint64_t word) noexcept {
    return (word & kCollected) != 0;
  }
  static constexpr std::uint64_t collected(std::uint64_t word) noexcept {
    return word | kCollected;
  }
  /// Whether a collector is still to have it.
  static constexpr bool is_collectable(std::uint64_t word) noexcept {
    return is_finished(word) && !is_collected(word);
  }

  /// What a ring holds of a task.
  static constexpr std::uint64_t entry(const Task& task) noexcept {
    return std::uint64_t{task.seq} << 32 | task.slot;
  }
  static constexpr Task task_of_entry(std::uint64_t entry) noexcept {
    return {static_cast<std::uint32_t>(entry), static_cast<std::uint32_t>(entry >> 32)};
  }

 private:
  static constexpr int kStateShift = 32;
  static constexpr int kSeqShift = 36;
  static constexpr std::uint64_t kCollected = std::uint64_t{1} << 35;
};

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_LOCKFREE_TASK_WORD_H_
