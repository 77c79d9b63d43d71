// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a record queue (ipc/record_queue.h), for itself and for the inspector. Internal.
//
//   queue + 0     limit in items u64, limit in bytes u64, storage u64,         set when made
//            24   first window u64
//          128    who comes and goes: state u32, pushed, popped: event counts u32,
//                 dropped u64                          written rarely, read by everybody
//          256    push: lock, head seen u64, backed u64        under the push lock
//          384    tail u64                                     likewise
//          512    pop: lock, tail seen u64                     under the pop lock
//          640    head u64                                     likewise
//          768    the storage; records lie in its first `window` bytes, as in a ring
//
//   tail   63     58 57                    26 25             0
//          +--------+------------------------+----------------+
//          | log2   | offset of the end / 8  | records pushed |
//          | window |                        | modulo 2^26    |
//          +--------+------------------------+----------------+
//   head   as tail, without a window: offset of the beginning, records popped
//   record header u64: its length in bytes, then the payload, padded to 8 bytes; the header lies in
//          one piece, the payload may go on at the window's beginning
//
//   state: 0 open; 1 closed: what is there can be popped; 2 closed, and what was there is dropped
//
// The queue is empty where both counts are equal, whatever the offsets are. One store of `tail`
// publishes records, one store of `head` acknowledges them; each side may write its own word under
// its lock alone. Both locks are held where the window changes under a wrapped content (the content
// is moved), and where an empty queue gives memory back (the offsets begin anew).
//
// If a process dies here: a mark is one word, the old one or the new one. Dead with a lock, it may
// leave `head seen`, `tail seen` or `backed` behind the truth, and of an emptied queue equal counts
// at different offsets: whoever takes that lock next is told, and puts them right. What lies behind
// the tail means nothing.

#ifndef SLUICE_IPC_RECORD_LAYOUT_H_
#define SLUICE_IPC_RECORD_LAYOUT_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "sluice/sync/env.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/mutex.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

enum class QueueState : std::uint32_t { open = 0, closed = 1, dropped = 2 };

/// A position in the storage and how many records have passed it; `tail` and `head`, taken apart.
struct RecordMark {
  static constexpr std::uint32_t kCountMask = (std::uint32_t{1} << 26) - 1;
  static constexpr std::uint64_t kOffsetMask = (std::uint64_t{1} << 32) - 1;

  std::uint64_t window = 1;  ///< in bytes, a power of two; without a meaning in `head`
  std::uint64_t offset = 0;  ///< in bytes
  std::uint32_t count = 0;

  [[nodiscard]] static constexpr RecordMark unpack(std::uint64_t word) {
    return {std::uint64_t{1} << (word >> 58), (word >> 26 & kOffsetMask) * 8,
            static_cast<std::uint32_t>(word) & kCountMask};
  }
  [[nodiscard]] constexpr std::uint64_t packed() const {
    return static_cast<std::uint64_t>(std::countr_zero(window)) << 58 |
           (offset / 8 & kOffsetMask) << 26 | (count & kCountMask);
  }
};

/// How many records lie between two marks.
constexpr std::uint32_t records_between(const RecordMark& head, const RecordMark& tail) {
  return (tail.count - head.count) & RecordMark::kCountMask;
}

/// How many bytes; empty if no correct process leaves such marks in a storage of that size.
constexpr std::optional<std::uint64_t> bytes_between(const RecordMark& head, const RecordMark& tail,
                                                     std::uint64_t storage) {
  if (head.count == tail.count) return 0;
  if (tail.window > storage || tail.offset >= tail.window || head.offset >= tail.window) {
    return std::nullopt;
  }
  const std::uint64_t bytes = tail.offset > head.offset ? tail.offset - head.offset
                                                        : tail.window - head.offset + tail.offset;
  // Each takes 8 at least: so there are never more to go through than find room.
  if (records_between(head, tail) > bytes / 8) return std::nullopt;
  return bytes;
}

/// Those that ship can be waited for by ipc/wait_any.h.
template <class Env>
using RecordEvent =
    std::conditional_t<std::is_base_of_v<RealEnv, Env>, EventCount, BasicEventCount<Env>>;

template <class Env>
struct RecordControl {
  Word<std::uint64_t> max_items, max_bytes, storage, first_window;

  alignas(kNoSharing) Word<std::uint32_t> state;
  RecordEvent<Env> pushed, popped;
  Word<std::uint64_t> dropped;

  // The marks lie apart from the locks: the other side looks at a mark while this one locks.
  struct Push {
    alignas(kNoSharing) BasicMutex<Env> lock;
    Word<std::uint64_t> head_seen, backed;
    alignas(kNoSharing) Word<std::uint64_t> tail;
  } push;

  struct Pop {
    alignas(kNoSharing) BasicMutex<Env> lock;
    Word<std::uint64_t> tail_seen;
    alignas(kNoSharing) Word<std::uint64_t> head;
  } pop;
};
inline constexpr std::size_t kRecordStorageOffset = 6 * kNoSharing;
static_assert(sizeof(RecordControl<RealLockEnv>) == kRecordStorageOffset &&
              Mappable<RecordControl<RealLockEnv>>);

/// What a new queue shall hold.
struct RecordPlan {
  std::uint64_t max_items;
  std::uint64_t max_bytes;     ///< with what each record costs besides its length
  std::uint64_t first_window;  ///< what it begins with; max_bytes or more: it never grows
};

/// How long a record is before its length is padded, and what it then costs.
constexpr std::uint64_t record_bytes(std::uint64_t size) { return 8 + (size + 7) / 8 * 8; }

inline constexpr std::uint64_t kLeastRecordWindow = 64;

/// Bytes of storage, and of those that it begins with.
constexpr std::uint64_t record_storage(const RecordPlan& plan) {
  return std::bit_ceil(std::max(plan.max_bytes, kLeastRecordWindow));
}
constexpr std::uint64_t first_record_window(const RecordPlan& plan) {
  return std::min(std::bit_ceil(std::max(plan.first_window, kLeastRecordWindow)),
                  record_storage(plan));
}

/// Makes an empty queue in zeroed memory of kRecordStorageOffset + record_storage(plan) bytes,
/// before anyone else can see it. The memory must be aligned to kNoSharing.
template <class Env>
void format_records(std::span<std::byte> memory, const RecordPlan& plan) {
  auto* const control = attach_object<RecordControl<Env>>(memory);
  // Relaxed, all: publishing the memory is the caller's step and carries the order.
  const auto set = [](Word<std::uint64_t>& word, std::uint64_t to) {
    Env::store(word, to, std::memory_order_relaxed);
  };
  set(control->max_items, plan.max_items);
  set(control->max_bytes, plan.max_bytes);
  set(control->storage, record_storage(plan));
  set(control->first_window, first_record_window(plan));
  const RecordMark start = {.window = first_record_window(plan)};
  set(control->push.tail, start.packed());
  set(control->pop.tail_seen, start.packed());
  set(control->push.backed, first_record_window(plan));
}

/// Whether the queue in `memory` needs somebody who gives it memory.
template <class Env>
[[nodiscard]] bool records_grow(std::span<std::byte> memory) {
  const auto* const control = attach_object<RecordControl<Env>>(memory);
  if (control == nullptr) return false;
  // Relaxed, twice: written before the memory was published.
  return Env::load(control->first_window, std::memory_order_relaxed) <
         Env::load(control->storage, std::memory_order_relaxed);
}

}  // namespace sluice::internal

#endif  // SLUICE_IPC_RECORD_LAYOUT_H_
