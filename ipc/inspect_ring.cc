// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/ipc/inspection.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/ring_layout.h"
#include "sluice/lockfree/cell_word.h"
#include "sluice/lockfree/mpmc_layout.h"
#include "sluice/sync/env.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

constexpr std::size_t kHead = kQueueHeaderBytes + kRingOffset + sizeof(MpmcControl);

template <class T>
T get(const Word<T>& word) {
  return RealEnv::load(word, std::memory_order_relaxed);  // relaxed: of a private copy
}

/// What no correct process could have written; empty if there is nothing.
std::string fault_of(const QueueHeader& header, const RingControl& control, const MpmcControl& ring,
                     std::uint64_t room) {
  const std::uint64_t cells = get(ring.capacity);
  const std::uint64_t size = get(ring.cell_size);
  if (cells == 0 || size < sizeof(std::uint64_t) || size % sizeof(std::uint64_t) != 0 ||
      size > room || cells > room / size) {
    return std::to_string(cells) + " cells of " + std::to_string(size) + " bytes in " +
           std::to_string(room);
  }
  if (get(control.state) > static_cast<std::uint32_t>(QueueState::dropped) ||
      get(header.overflow) > static_cast<std::uint32_t>(Overflow::fail)) {
    return "state " + std::to_string(get(control.state)) + ", overflow policy " +
           std::to_string(get(header.overflow));
  }
  return "";
}

/// Of each cell its word: who is at work, and how many have an item, or are claimed.
std::uint64_t describe_cells(Inspection& inspection, const std::span<std::byte> cells,
                             std::uint64_t size) {
  std::uint64_t items = 0;
  for (std::uint64_t at = 0; at + size <= cells.size(); at += size) {
    const std::uint64_t word = get(*attach_object<Word<std::uint64_t>>(cells.subspan(at)));
    if (CellWord::state_of(word) != CellWord::State::empty) ++items;
    if (!CellWord::is_claimed(word)) continue;
    const bool pushes = CellWord::state_of(word) == CellWord::State::writing;
    inspection.owner(pushes ? "producer" : "consumer", pushes ? "pushes" : "pops",
                     CellWord::tag_of(word));
  }
  return items;
}

}  // namespace

void inspect_ring(Inspection& inspection) {
  auto copy = inspection.copy(kHead);
  if (!copy) {
    inspection.fault(std::to_string(inspection.room()) + " bytes, too few for a queue");
    return;
  }
  const auto& header = *attach_object<QueueHeader>(copy->bytes());
  const auto& control = *attach_object<RingControl>(copy->bytes().subspan(kQueueHeaderBytes));
  const auto& ring =
      *attach_object<MpmcControl>(copy->bytes().subspan(kQueueHeaderBytes + kRingOffset));
  std::string fault = fault_of(header, control, ring, inspection.room() - kHead);
  const std::uint64_t size = get(ring.cell_size);
  const std::uint64_t bytes = fault.empty() ? get(ring.capacity) * size : 0;
  if (fault.empty() && bytes <= Inspection::kCopyUpTo - kHead) {
    if (auto all = inspection.copy(kHead + bytes)) {
      const bool dropped = get(control.state) == static_cast<std::uint32_t>(QueueState::dropped);
      const std::uint64_t items =
          describe_cells(inspection, all->bytes().subspan(kHead, bytes), size);
      inspection.counter("items", dropped ? 0 : items, "items");
    }
  }
  inspection.counter("most items", get(ring.capacity), "items");
  inspection.counter("bytes of an item", size, "bytes");
  inspection.counter("closed", get(control.state) == 0 ? 0U : 1U, "yes or no");
  if (control.pushed.maybe_waiting()) inspection.waiting("consumers, for an item");
  if (control.popped.maybe_waiting()) inspection.waiting("producers, for room");
  if (get(header.ends_with_producers) != 0) describe_producers(inspection, header.seats);
  if (!fault.empty()) inspection.fault(std::move(fault));
}

}  // namespace sluice::internal
