// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/pool_memory.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/env.h"
#include "sluice/sync/error.h"

namespace sluice::internal {
namespace {

constexpr SegmentKind kKind{
    .name = PoolMemory::kKindName, .version = PoolMemory::kVersion, .fingerprint = 0};

constexpr std::uint32_t kPage = 4096;

/// Sizes that a power of two and its codec's few bytes fit in. Memory is taken as they are used.
constexpr std::array kClasses = {
    ArenaClass{.chunk_bytes = 1024, .count = 4096},
    ArenaClass{.chunk_bytes = (16U << 10) + kPage, .count = 1024},
    ArenaClass{.chunk_bytes = (128U << 10) + kPage, .count = 256},
    ArenaClass{.chunk_bytes = (1U << 20) + kPage, .count = 128},
    ArenaClass{.chunk_bytes = (16U << 20) + kPage, .count = 32},
    ArenaClass{.chunk_bytes = PoolMemory::kMostBytes, .count = 4},
};

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

void check(PoolShape shape) {
  const auto refuse = [](const char* what, std::uint32_t most, std::uint32_t found) {
    throw Error::from_errno(EINVAL,
                            {.tried = "make a pool",
                             .expected = std::string(what) + " from 1 to " + std::to_string(most),
                             .found = std::to_string(found)});
  };
  if (shape.tasks == 0 || shape.tasks > PoolShape::kMostTasks) {
    refuse("a number of tasks", PoolShape::kMostTasks, shape.tasks);
  }
  if (shape.workers == 0 || shape.workers > PoolShape::kMostWorkers) {
    refuse("a number of workers", PoolShape::kMostWorkers, shape.workers);
  }
}

Segment make_segment(std::string_view name, PoolShape shape) {
  check(shape);
  const PoolPlan plan(shape);
  SegmentOptions options;
  options.backed = plan.backed;
  const auto format = [shape, plan](std::span<std::byte> object) {
    auto* const header = attach_object<PoolHeader>(object);
    // Relaxed, both: the segment is published afterwards, which carries the order.
    RealEnv::store(header->tasks, shape.tasks, std::memory_order_relaxed);
    RealEnv::store(header->workers, shape.workers, std::memory_order_relaxed);
    TaskBoard::format_zeroes(object.subspan(plan.board, plan.chunks - plan.board), shape.tasks,
                             sizeof(TaskBody));
    ChunkArena::format(object.subspan(plan.chunks), kClasses);
  };
  return name.empty() ? Segment::create_anonymous(kKind, plan.total, options, format)
                      : Segment::create(name, kKind, plan.total, options, format);
}

[[noreturn]] void refuse_pool(std::uint64_t found) {
  throw Error(Status::corrupt, {.tried = "attach to a pool",
                                .expected = "the tasks and workers that it says it has",
                                .found = std::to_string(found) + " bytes"});
}

PoolShape shape_in(const PoolHeader* header) {
  if (header == nullptr) refuse_pool(0);
  // Relaxed, both: written before the segment was published, and copied here once.
  const PoolShape shape = {RealEnv::load(header->tasks, std::memory_order_relaxed),
                           RealEnv::load(header->workers, std::memory_order_relaxed)};
  if (!shape.is_possible()) refuse_pool(0);
  return shape;
}

}  // namespace

PoolPlan::PoolPlan(PoolShape shape)
    : board(kRecords + std::size_t{shape.workers} * sizeof(WorkerRecord)),
      chunks(round_up(board + TaskBoard::bytes_for(shape.tasks, sizeof(TaskBody)), kPage)),
      total(chunks + ChunkArena::bytes_for(kClasses)) {
  std::size_t words = kPage;  // of the chunks, and what comes before them
  for (const ArenaClass& c : kClasses) words += c.count * sizeof(std::uint64_t);
  backed = std::min(total, chunks + round_up(words, kPage));
}

PoolMemory::PoolMemory(std::string_view name, PoolShape shape)
    : PoolMemory(make_segment(name, shape)) {}

PoolMemory::PoolMemory(UniqueFd fd) : PoolMemory(Segment::from_fd(std::move(fd), kKind)) {}

PoolMemory::PoolMemory(Segment segment)
    : segment_(std::move(segment)),
      header_(attach_object<PoolHeader>(segment_.object())),
      shape_(shape_in(header_)) {
  const PoolPlan plan(shape_);
  if (plan.total > segment_.object().size()) refuse_pool(segment_.object().size());
  const std::span<std::byte> object = segment_.object();
  workers_ = {attach_object<WorkerRecord>(object.subspan(PoolPlan::kRecords), shape_.workers),
              shape_.workers};
  board_ = object.subspan(plan.board, plan.chunks - plan.board);
  chunks_memory_ = object.subspan(plan.chunks);
  chunks_ = std::make_unique<ChunkArena>(chunks_memory_);
  growth_ = std::make_unique<GrowingMemory>(segment_, plan.chunks, "a pool's chunks");
  std::size_t count = 0;
  for (const ArenaClass& c : kClasses) count += c.count;
  backed_.resize(count);
}

void PoolMemory::set_broken() noexcept {
  // Release, with broken()'s acquire: the worker's record says why.
  RealEnv::store(header_->broken, 1U, std::memory_order_release);
}

bool PoolMemory::broken() const noexcept {
  // Acquire: as above.
  return RealEnv::load(header_->broken, std::memory_order_acquire) != 0;
}

void PoolMemory::set_workers(std::uint32_t live, std::uint32_t wanted) noexcept {
  // Relaxed, here and below: numbers for people, and for a guess.
  RealEnv::store(header_->live, live, std::memory_order_relaxed);
  RealEnv::store(header_->wanted, wanted, std::memory_order_relaxed);  // as above
}

std::uint32_t PoolMemory::live() const noexcept {
  // Relaxed: as above.
  return RealEnv::load(header_->live, std::memory_order_relaxed);
}

std::uint32_t PoolMemory::wanted() const noexcept {
  // Relaxed: as above.
  return RealEnv::load(header_->wanted, std::memory_order_relaxed);
}

void PoolMemory::back(ArenaRef ref) {
  {
    const std::scoped_lock lock(backed_mutex_);
    if (backed_[ref.index]) return;
  }
  const std::span<std::byte> chunk = chunks_->bytes(ref);
  const auto from = static_cast<std::uint64_t>(chunk.data() - chunks_memory_.data());
  if (!growth_->back(from, from + chunk.size())) {
    chunks_->free(ref);
    throw Error(Status::full, {.tried = "find room for a task's bytes",
                               .expected = std::to_string(chunk.size()) + " bytes of memory",
                               .found = GrowingMemory::trouble()});
  }
  const std::scoped_lock lock(backed_mutex_);
  backed_[ref.index] = true;
}

Status PoolMemory::try_make_room(TaskBytes& bytes, std::size_t size, std::span<std::byte>& room) {
  bytes.chunk = ArenaRef();
  bytes.size = static_cast<std::uint32_t>(size);
  if (size <= TaskBytes::kInline) {
    room = std::span(bytes.here).first(size);
    return Status::ok;
  }
  ArenaRef ref;
  if (const Status status = chunks_->try_allocate(size, ref); status != Status::ok) return status;
  back(ref);
  bytes.chunk = ref;
  room = chunks_->bytes(ref).first(size);
  return Status::ok;
}

std::span<std::byte> PoolMemory::make_room(TaskBytes& bytes, std::size_t size, Deadline deadline) {
  std::span<std::byte> room;
  Status found = Status::full;
  const auto look = [&] { return (found = try_make_room(bytes, size, room)) != Status::full; };
  const Status waited = header_->freed.await(deadline, look, [] { return Status::ok; });
  if (found == Status::ok) return room;
  throw Error(
      found == Status::full ? waited : found,
      {.tried = "find room for " + std::to_string(size) + " bytes of a task",
       .expected =
           "at most " + std::to_string(kMostBytes) + " bytes, and results that are collected",
       .found = chunks_->report().in_transit == 0 ? "none in transit" : "results in transit"});
}

std::span<const std::byte> PoolMemory::read(const TaskBytes& bytes) const {
  const std::size_t size = bytes.size;
  if (bytes.chunk == ArenaRef()) {
    return size <= TaskBytes::kInline ? std::span(bytes.here).first(size)
                                      : std::span<const std::byte>();
  }
  const std::span<const std::byte> chunk = chunks_->bytes(bytes.chunk);
  return size <= chunk.size() ? chunk.first(size) : std::span<const std::byte>();
}

void PoolMemory::free(TaskBytes& bytes) {
  const ArenaRef ref = std::exchange(bytes.chunk, ArenaRef());
  if (ref == ArenaRef()) return;
  if (!chunks_->is_mine(ref) && chunks_->take(ref) != Status::ok) return;
  chunks_->free(ref);
  header_->freed.notify_all();
}

void PoolMemory::hand_over(const TaskBytes& bytes) {
  if (bytes.chunk != ArenaRef()) chunks_->send(bytes.chunk);
}

void PoolMemory::reclaim() {
  if (chunks_->reclaim_in_transit() != 0) header_->freed.notify_all();
}

}  // namespace sluice::internal
