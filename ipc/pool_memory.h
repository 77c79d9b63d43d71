// SPDX-License-Identifier: Apache-2.0
//
// PoolMemory: what the processes of a pool (pool/pool.h) share: the board of tasks, a record per
// worker, and chunks for arguments and results that are too large for a task's own bytes. Internal.
//
//   PoolMemory memory(PoolShape{.tasks = 1024, .workers = 4}, options);     // before the fork
//   TaskBody body = memory.body(task);                                      // in any of them
//   if (auto chunk = memory.allocate(1 << 20)) fill(memory.bytes(*chunk));
//
// In memory: a segment of kind `pool`, version 1, with this object:
//
//      0 tasks u32, workers u32                    set when made
//      8 live u32, wanted u32, broken u32          by the supervisor
//     20 freed, an event count                     by who frees a chunk
//    128 worker records (ipc/worker_record.h), 1 KiB each
//        then, each at a multiple of 128: the board (lockfree/task_board.h), whose bodies are a
//        TaskBody, and the chunks (lockfree/chunk_arena.h), which get memory when they are first
//        used and keep it
//
// Units: bytes, nanoseconds. Errors: making one throws Error; allocate() too. Threads and
// processes: a body belongs to who holds its task; a record's words have one writer each. What is
// read of them is read once and checked by who uses it.
//
// If a process dies here: its task is given to another or up by the supervisor; its chunks are
// taken over where they are needed. A record keeps what its worker had done.
// Cost: allocate() as lockfree/chunk_arena.h, and once for each chunk and process a fallocate(2).

#ifndef SLUICE_IPC_POOL_MEMORY_H_
#define SLUICE_IPC_POOL_MEMORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/worker_record.h"
#include "sluice/lockfree/arena_layout.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/lockfree/task_board.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

/// How a task ended, as its worker says.
enum class TaskEnd : std::uint8_t {
  none = 0,
  value,      ///< the result is the value's bytes
  exception,  ///< the result is the exception's bytes (pool/task_error.h)
  refused,    ///< the worker has no such code
};

/// How a worker ended under a task, as the supervisor says.
enum class DeathCause : std::uint8_t { died = 0, time_limit, cancelled };

/// Bytes that go with a task: in its body if they fit, else in a chunk.
struct TaskBytes {
  static constexpr std::size_t kInline = 148;

  std::uint32_t size;
  ArenaRef chunk;
  std::array<std::byte, kInline> here;
};

/// What a task's slot holds. Written by the submitter (code, arguments, limit), then by the worker
/// (end, result), then, if that died, by the supervisor (death). Sorted by cache lines, the first
/// of which begins with the slot's 16 bytes of lockfree/task_board.h: a small task there and back
/// moves two of them.
struct TaskBody {
  std::uint64_t module, offset;  ///< pool/task_code.h
  TaskBytes arguments;
  TaskEnd end;
  TaskBytes result;
  std::uint64_t limit_ns;  ///< 0: none
  std::int32_t death_pid, death_code;
  DeathCause cause;
};
static_assert(offsetof(TaskBody, end) + 16 == 3 * kCacheLine);
static_assert(sizeof(TaskBody) + 16 == 6 * kCacheLine && std::is_trivially_copyable_v<TaskBody>);

struct PoolShape {
  std::uint32_t tasks;
  std::uint32_t workers;

  static constexpr std::uint32_t kMostTasks = 1U << 16;
  static constexpr std::uint32_t kMostWorkers = 1024;

  [[nodiscard]] bool is_possible() const noexcept {
    return tasks != 0 && tasks <= kMostTasks && workers != 0 && workers <= kMostWorkers;
  }
};

/// Where the parts begin, in bytes from the object's start.
struct PoolPlan {
  /// Of a shape that is possible.
  explicit PoolPlan(PoolShape shape);

  static constexpr std::size_t kRecords = kNoSharing;

  std::size_t board, chunks, total;
  std::size_t backed;  ///< what needs memory from the start: all but the chunks themselves
};

struct PoolHeader {
  Word<std::uint32_t> tasks, workers, live, wanted, broken;
  EventCount freed;
};
static_assert(Mappable<PoolHeader>);

class PoolMemory {
 public:
  static constexpr std::string_view kKindName = "pool";
  static constexpr std::uint32_t kVersion = 1;

  /// Empty name: anonymous. Throws Error.
  PoolMemory(std::string_view name, PoolShape shape);
  /// What segment().fd() gave, in another process.
  explicit PoolMemory(UniqueFd fd);
  PoolMemory(const PoolMemory&) = delete;
  PoolMemory& operator=(const PoolMemory&) = delete;

  /// For handles of a TaskBoard.
  [[nodiscard]] std::span<std::byte> board() const noexcept { return board_; }
  /// Of a place below shape().workers.
  [[nodiscard]] WorkerCells worker(std::size_t place) const noexcept {
    return WorkerCells(workers_[place]);
  }
  static constexpr std::size_t kMostBytes = 256U << 20;

  [[nodiscard]] const Segment& segment() const noexcept { return segment_; }
  [[nodiscard]] PoolShape shape() const noexcept { return shape_; }

  /// What a handle's body(task) gave, as what it is; nullptr for no task of the board.
  [[nodiscard]] static TaskBody* body(std::span<std::byte> bytes) noexcept {
    return attach_object<TaskBody>(bytes);
  }

  /// The pool is of no use any more; why is in a worker's record.
  void set_broken() noexcept;
  [[nodiscard]] bool broken() const noexcept;
  /// How many workers there are, and are to be where there is nothing to do, as the supervisor
  /// says.
  void set_workers(std::uint32_t live, std::uint32_t wanted) noexcept;
  [[nodiscard]] std::uint32_t live() const noexcept;
  [[nodiscard]] std::uint32_t wanted() const noexcept;

  /// Room for `size` bytes in `bytes`: its own, or a new chunk's; ok, full, or too_large. Throws
  /// Error if the kernel has no memory for it.
  Status try_make_room(TaskBytes& bytes, std::size_t size, std::span<std::byte>& room);
  /// Waits for a chunk. Throws Error: too_large, timeout, and as above.
  std::span<std::byte> make_room(TaskBytes& bytes, std::size_t size, Deadline deadline);

  /// What was written there; empty if the bytes make no sense.
  [[nodiscard]] std::span<const std::byte> read(const TaskBytes& bytes) const;

  /// Gives the chunk back, if there is one: the caller's own, or one that was handed over.
  void free(TaskBytes& bytes);
  /// Makes the chunk nobody's, for who collects the task.
  void hand_over(const TaskBytes& bytes);
  /// Gives back what workers had handed over and died before they had committed. No task may be
  /// under way.
  void reclaim();

 private:
  explicit PoolMemory(Segment segment);
  void back(ArenaRef ref);

  Segment segment_;
  PoolHeader* header_;
  PoolShape shape_;
  std::span<WorkerRecord> workers_;
  std::span<std::byte> board_;
  std::unique_ptr<ChunkArena> chunks_;
  std::unique_ptr<GrowingMemory> growth_;
  std::span<std::byte> chunks_memory_;
  std::mutex backed_mutex_;   ///< threads share the memory
  std::vector<bool> backed_;  ///< by this process
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_POOL_MEMORY_H_
