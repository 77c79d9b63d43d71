// SPDX-License-Identifier: Apache-2.0

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "sluice/ipc/inspection.h"
#include "sluice/ipc/pool_memory.h"
#include "sluice/ipc/worker_record.h"
#include "sluice/lockfree/task_layout.h"
#include "sluice/lockfree/task_word.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

constexpr std::size_t kStates = 8;

std::uint32_t load(const Word<std::uint32_t>& word) {
  // Relaxed: a word of a private copy.
  return RealEnv::load(word, std::memory_order_relaxed);
}

std::optional<PoolShape> shape_of(Inspection& inspection) {
  std::optional<ObjectCopy> copy = inspection.copy(sizeof(PoolHeader));
  if (!copy) {
    inspection.fault("too small for a pool");
    return std::nullopt;
  }
  const auto& header = *attach_object<PoolHeader>(copy->bytes());
  const PoolShape shape = {load(header.tasks), load(header.workers)};
  if (!shape.is_possible()) {
    inspection.fault("no pool has " + std::to_string(shape.tasks) + " tasks and " +
                     std::to_string(shape.workers) + " workers");
    return std::nullopt;
  }
  if (load(header.broken) != 0) inspection.fault("broken: an initializer has failed");
  inspection.counter("workers", load(header.live), "of " + std::to_string(shape.workers));
  return shape;
}

void describe_worker(Inspection& inspection, std::size_t place, const WorkerCells& cells) {
  static constexpr std::array<const char*, 5> kNames = {"vacant", "starting", "ready", "leaving",
                                                        "failed"};
  const auto state = static_cast<std::size_t>(cells.state());
  const std::string who = "worker " + std::to_string(place + 1);
  if (state >= kNames.size()) {
    inspection.fault(who + " is in no known state");
    return;
  }
  if (cells.state() == WorkerState::vacant) return;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto busy = std::chrono::nanoseconds(cells.busy_ns(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now).count())));
  inspection.owner(
      who,
      std::string(kNames[state]) + ", " + std::to_string(cells.done()) + " tasks done, " +
          std::to_string(cells.failed()) + " of them failed, " + std::to_string(cells.restarts()) +
          " restarts, busy " +
          std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(busy).count()) +
          " ms",
      cells.tag());
}

void describe_board(Inspection& inspection, std::span<std::byte> bytes) {
  try {
    const TaskView<RealLockEnv> view(bytes);
    std::array<std::uint64_t, kStates> counts = {};
    for (std::uint32_t i = 0; i < view.tasks(); ++i) {
      // Relaxed: a word of a private copy.
      const std::uint64_t word = RealLockEnv::load(view.slot(i).word, std::memory_order_relaxed);
      ++counts[static_cast<std::size_t>(TaskWord::state_of(word))];
    }
    for (const TaskState state : {TaskState::ready, TaskState::leased, TaskState::done,
                                  TaskState::cancelled, TaskState::dead}) {
      inspection.counter("tasks " + std::string(to_string(state)),
                         counts[static_cast<std::size_t>(state)], "tasks");
    }
    // Relaxed: as above.
    const auto posted = RealLockEnv::load(view.control().posted, std::memory_order_relaxed);
    inspection.counter("tasks submitted", posted, "tasks");
  } catch (const Error& e) {
    inspection.fault(e.what());
  }
}

}  // namespace

void inspect_pool(Inspection& inspection) {
  const std::optional<PoolShape> shape = shape_of(inspection);
  if (!shape) return;
  const PoolPlan plan(*shape);
  if (inspection.room() < plan.total) inspection.fault("shorter than its tasks and chunks need");
  const std::size_t size = plan.chunks <= Inspection::kCopyUpTo ? plan.chunks : plan.board;
  std::optional<ObjectCopy> copy = inspection.copy(size);
  if (!copy) return;
  auto* const workers =
      attach_object<WorkerRecord>(copy->bytes().subspan(PoolPlan::kRecords), shape->workers);
  for (std::size_t i = 0; i < shape->workers; ++i) {
    describe_worker(inspection, i, WorkerCells(workers[i]));
  }
  if (size > plan.board) describe_board(inspection, copy->bytes().subspan(plan.board));
}

}  // namespace sluice::internal
