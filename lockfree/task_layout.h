// SPDX-License-Identifier: Apache-2.0
//
// What a TaskBoard looks like in memory, and a view of it whose numbers were checked once.
// Internal; the diagram is in lockfree/task_board.h.
//
// Errors: attaching to what is no board throws Error(Status::corrupt). If a process dies here:
// nothing is written but by format(), before anyone else sees the memory. Cost: some additions.

#ifndef SLUICE_LOCKFREE_TASK_LAYOUT_H_
#define SLUICE_LOCKFREE_TASK_LAYOUT_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/lockfree/stack.h"
#include "sluice/sync/error.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// Somebody had no room in a ring: who reads that ring is asked to look at all slots. Open as long
/// as the two differ.
struct TaskSearch {
  Word<std::uint32_t> asked;   ///< one up for each request
  Word<std::uint32_t> served;  ///< what `asked` was before the last search that found nothing
};

enum class TaskPhase : std::uint32_t { open, closed, stopped };

template <class Env>
struct TaskControl {
  Word<std::uint32_t> tasks;
  Word<std::uint32_t> body_bytes;
  Word<std::uint32_t> phase;  ///< a TaskPhase
  alignas(kNoSharing) BasicEventCount<Env> has_ready;
  TaskSearch ready_search;
  alignas(kNoSharing) BasicEventCount<Env> has_done;
  TaskSearch done_search;
  alignas(kNoSharing) BasicEventCount<Env> has_room;
  Word<std::uint64_t> posted;
};

/// In front of each body, in its first cache line.
struct TaskSlot {
  Word<std::uint64_t> word;          ///< a TaskWord
  Word<std::uint16_t> attempts;      ///< leases so far; written by the lease's holder
  Word<std::uint16_t> max_attempts;  ///< written by who posts
  std::uint32_t unused;
};
static_assert(sizeof(TaskSlot) == 16);

/// Where the parts begin, in bytes.
struct TaskPlan {
  static constexpr std::size_t kMaxTasks = std::size_t{1} << 20;
  static constexpr std::size_t kMaxBody = std::size_t{1} << 30;

  static constexpr bool is_possible(std::uint64_t tasks, std::uint64_t body_bytes) noexcept {
    return tasks > 0 && tasks <= kMaxTasks && body_bytes <= kMaxBody;
  }

  /// Of possible numbers.
  TaskPlan(std::size_t tasks, std::size_t body_bytes)
      : ring_capacity(2 * tasks + kMargin),
        stride(round_up(sizeof(TaskSlot) + body_bytes, kCacheLine)),
        stack_bytes(round_up(IndexStack::bytes_for(tasks), kNoSharing)),
        ring_bytes(round_up(MpmcRing<std::uint64_t>::bytes_for(ring_capacity), kNoSharing)),
        ready_at(kStackAt + stack_bytes),
        done_at(ready_at + ring_bytes),
        slots_at(done_at + ring_bytes),
        total(slots_at + tasks * stride) {}

  static constexpr std::size_t kStackAt = 4 * kNoSharing;
  /// Room in each ring for what deaths have left twice, beside two entries for each slot.
  static constexpr std::size_t kMargin = 64;

  std::size_t ring_capacity;
  std::size_t stride;
  std::size_t stack_bytes, ring_bytes;
  std::size_t ready_at, done_at, slots_at;
  std::size_t total;

 private:
  static constexpr std::size_t round_up(std::size_t bytes, std::size_t to) noexcept {
    return (bytes + to - 1) / to * to;
  }
};

/// What is known of a board, checked once and kept in private memory.
template <class Env>
class TaskView {
 public:
  using Control = TaskControl<Env>;
  using Ring = BasicMpmcRing<std::uint64_t, Env>;
  using Stack = BasicIndexStack<Env>;

  static_assert(sizeof(Control) == TaskPlan::kStackAt);

  static std::size_t bytes_for(std::size_t tasks, std::size_t body_bytes) {
    if (!TaskPlan::is_possible(tasks, body_bytes)) {
      throw Error::from_errno(
          EINVAL, {.tried = "size a task board",
                   .expected = "1 to 2^20 tasks, bodies of up to 2^30 bytes",
                   .found = std::to_string(tasks) + " of " + std::to_string(body_bytes)});
    }
    return TaskPlan(tasks, body_bytes).total;
  }

  static void format(std::span<std::byte> memory, std::size_t tasks, std::size_t body_bytes) {
    check(memory, tasks, body_bytes);
    // All zero: open, each slot free in its life 0.
    std::memset(memory.data(), 0, bytes_for(tasks, body_bytes));
    format_zeroes(memory, tasks, body_bytes);
  }
  /// The same, of bytes that are zero: slots and cells are not touched.
  static void format_zeroes(std::span<std::byte> memory, std::size_t tasks,
                            std::size_t body_bytes) {
    Control* const control = check(memory, tasks, body_bytes);
    const TaskPlan plan(tasks, body_bytes);
    Stack::format(memory.subspan(TaskPlan::kStackAt, plan.stack_bytes), tasks);
    Ring::format_zeroes(memory.subspan(plan.ready_at, plan.ring_bytes), plan.ring_capacity);
    Ring::format_zeroes(memory.subspan(plan.done_at, plan.ring_bytes), plan.ring_capacity);
    // Relaxed, both: publishing the memory is the caller's step and carries the order.
    Env::store(control->tasks, static_cast<std::uint32_t>(tasks), std::memory_order_relaxed);
    Env::store(control->body_bytes, static_cast<std::uint32_t>(body_bytes),
               std::memory_order_relaxed);
  }

  explicit TaskView(std::span<std::byte> memory) : control_(attach_object<Control>(memory)) {
    // Relaxed: written before the memory was published, and copied here once.
    const std::uint32_t tasks =
        control_ == nullptr ? 0 : Env::load(control_->tasks, std::memory_order_relaxed);
    // Relaxed, as above.
    body_bytes_ = tasks == 0 ? 0 : Env::load(control_->body_bytes, std::memory_order_relaxed);
    if (!TaskPlan::is_possible(tasks, body_bytes_) ||
        TaskPlan(tasks, body_bytes_).total > memory.size()) {
      throw Error(
          Status::corrupt,
          {.tried = "attach to a task board in " + std::to_string(memory.size()) + " bytes",
           .expected = "numbers of tasks and bytes that fit",
           .found = std::to_string(tasks) + " tasks of " + std::to_string(body_bytes_) + " bytes"});
    }
    const TaskPlan plan(tasks, body_bytes_);
    tasks_ = tasks;
    stride_ = plan.stride;
    stack_ = memory.subspan(TaskPlan::kStackAt, plan.stack_bytes);
    ready_ = memory.subspan(plan.ready_at, plan.ring_bytes);
    done_ = memory.subspan(plan.done_at, plan.ring_bytes);
    slots_ = memory.subspan(plan.slots_at, tasks * plan.stride);
  }

  [[nodiscard]] Control& control() const noexcept { return *control_; }
  [[nodiscard]] std::uint32_t tasks() const noexcept { return tasks_; }
  [[nodiscard]] std::size_t ring_capacity() const noexcept {
    return 2 * std::size_t{tasks_} + TaskPlan::kMargin;
  }

  [[nodiscard]] std::span<std::byte> stack() const noexcept { return stack_; }
  [[nodiscard]] std::span<std::byte> ready() const noexcept { return ready_; }
  [[nodiscard]] std::span<std::byte> done() const noexcept { return done_; }

  /// Below tasks().
  [[nodiscard]] TaskSlot& slot(std::uint32_t index) const noexcept {
    return *attach_object<TaskSlot>(slots_.subspan(index * stride_, sizeof(TaskSlot)));
  }
  [[nodiscard]] std::span<std::byte> body(std::uint32_t index) const noexcept {
    return slots_.subspan(index * stride_ + sizeof(TaskSlot), body_bytes_);
  }

  [[nodiscard]] std::uint32_t phase() const noexcept {
    // Sequentially consistent: see TaskSide::end(). On x86-64 a plain load.
    return Env::load(control_->phase, std::memory_order_seq_cst);
  }
  [[nodiscard]] bool is_open() const noexcept {
    return phase() == static_cast<std::uint32_t>(TaskPhase::open);
  }
  /// What is no phase counts as stopped.
  [[nodiscard]] bool is_stopped() const noexcept {
    return phase() > static_cast<std::uint32_t>(TaskPhase::closed);
  }

 private:
  static Control* check(std::span<std::byte> memory, std::size_t tasks, std::size_t body_bytes) {
    const std::size_t needed = bytes_for(tasks, body_bytes);
    Control* const control = attach_object<Control>(memory);
    if (control != nullptr && memory.size() >= needed) return control;
    throw Error::from_errno(EINVAL, {.tried = "make a board of " + std::to_string(tasks) + " tasks",
                                     .expected = std::to_string(needed) + " bytes, aligned to 128",
                                     .found = std::to_string(memory.size()) + " bytes"});
  }

  Control* control_;
  std::uint32_t tasks_ = 0;
  std::uint32_t body_bytes_ = 0;
  std::size_t stride_ = 0;
  std::span<std::byte> stack_, ready_, done_, slots_;
};

}  // namespace sluice::internal

#endif  // SLUICE_LOCKFREE_TASK_LAYOUT_H_
