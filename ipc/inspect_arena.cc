// SPDX-License-Identifier: Apache-2.0

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/ipc/boost_layout.h"
#include "sluice/ipc/inspection.h"
#include "sluice/lockfree/arena_layout.h"
#include "sluice/sync/env.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

/// So many are listed, and asked about once; what the others have is told in one sum.
constexpr std::size_t kMostOwners = 64;

/// Who has chunks, as the words say.
class Owners {
 public:
  explicit Owners(Inspection& inspection) : inspection_(inspection) {}

  bool is_dead(Tag tag) {
    const Holding* const holding = find(tag);
    return holding != nullptr ? holding->is_dead : inspection_.is_dead(tag);
  }

  void note(std::uint64_t word) {
    const ChunkWord::State state = ChunkWord::state_of(word);
    if (state != ChunkWord::State::owned && state != ChunkWord::State::in_transit) return;
    if (Holding* const holding = find(ChunkWord::tag_of(word))) {
      ++(state == ChunkWord::State::owned ? holding->owned : holding->sent);
    } else {
      ++others_;
    }
  }

  void describe() const {
    for (const auto& [tag, holding] : holdings_) {
      std::string state = std::to_string(holding.owned);
      if (holding.sent != 0) state += ", " + std::to_string(holding.sent) + " sent";
      inspection_.owner("chunks", std::move(state), tag);
    }
    if (others_ != 0) inspection_.counter("of owners that are not listed", others_, "chunks");
  }

 private:
  struct Holding {
    bool is_dead;
    std::size_t owned = 0;
    std::size_t sent = 0;
  };

  /// nullptr if it is not among the first.
  Holding* find(Tag tag) {
    if (const auto it = holdings_.find(tag); it != holdings_.end()) return &it->second;
    if (holdings_.size() == kMostOwners) return nullptr;
    return &holdings_.emplace(tag, Holding{.is_dead = inspection_.is_dead(tag)}).first->second;
  }

  Inspection& inspection_;
  std::map<Tag, Holding> holdings_;
  std::size_t others_ = 0;
};

/// The chunks of one size.
ArenaReport count_class(std::span<const Word<std::uint64_t>> words, Owners& owners) {
  ArenaReport report;
  for (const Word<std::uint64_t>& at : words) {
    // Relaxed: a word of a private copy.
    const std::uint64_t word = RealEnv::load(at, std::memory_order_relaxed);
    count_chunk(word, [&](Tag tag) { return owners.is_dead(tag); }, report);
    owners.note(word);
  }
  return report;
}

void describe_class(Inspection& inspection, std::uint32_t chunk_bytes, const ArenaReport& report) {
  const std::string name = "chunks of " + std::to_string(chunk_bytes) + " bytes";
  inspection.counter(name, report.chunks, "chunks");
  inspection.counter(name + ", free", report.free, "chunks");
  inspection.counter(name + ", owned", report.owned, "chunks");
  inspection.counter(name + ", of dead owners", report.owned_by_dead, "chunks");
}

void describe_chunks(Inspection& inspection, const ArenaLayout& layout,
                     std::span<const Word<std::uint64_t>> words) {
  Owners owners(inspection);
  ArenaReport all;
  for (std::size_t c = 0; c < layout.classes; ++c) {
    const ArenaReport report =
        count_class(words.subspan(layout.first[c], layout.chunks_in(c)), owners);
    describe_class(inspection, layout.chunk_bytes[c], report);
    all.in_transit += report.in_transit;
    all.in_transit_of_dead += report.in_transit_of_dead;
    all.damaged += report.damaged;
  }
  inspection.counter("in transit", all.in_transit, "chunks");
  inspection.counter("in transit, from the dead", all.in_transit_of_dead, "chunks");
  owners.describe();
  if (all.damaged != 0) {
    inspection.fault(std::to_string(all.damaged) + " chunks with words that no process writes");
  }
}

}  // namespace

void inspect_arena(Inspection& inspection) {
  auto head = inspection.copy(sizeof(ArenaControl));
  const auto* const control = head ? attach_object<ArenaControl>(head->bytes()) : nullptr;
  const auto layout = control != nullptr ? control->layout<RealEnv>() : std::nullopt;
  if (!layout || layout->size() > inspection.room()) {
    return inspection.fault("sizes that are no arena's of " + std::to_string(inspection.room()) +
                            " bytes");
  }
  const std::size_t size = ArenaLayout::kWords + layout->chunks() * sizeof(std::uint64_t);
  if (size > Inspection::kCopyUpTo) {
    return inspection.counter("chunks", layout->chunks(), "chunks");
  }
  auto copy = inspection.copy(size);
  if (!copy) return inspection.fault("truncated while it was read");
  const auto* const words = attach_object<Word<std::uint64_t>>(
      copy->bytes().subspan(ArenaLayout::kWords), layout->chunks());
  describe_chunks(inspection, *layout, std::span(words, layout->chunks()));
}

void inspect_boost(Inspection& inspection) {
  const std::uint64_t room = inspection.room();
  auto copy = inspection.copy(sizeof(BoostControl));
  const auto* const control = copy ? attach_object<BoostControl>(copy->bytes()) : nullptr;
  if (control == nullptr) {
    return inspection.fault(std::to_string(room) + " bytes, too few for Boost's memory");
  }
  const LockReport lock = control->mutex.report();
  inspection.lock("lock", lock, 0);
  if (lock.marked || lock.state == LockReport::State::owner_died ||
      inspection.is_dead(lock.owner)) {
    inspection.fault("a writer died in the middle of a change: refused until repaired");
  }
  // Relaxed: a word of a private copy.
  const std::uint64_t free = RealEnv::load(control->free_bytes, std::memory_order_relaxed);
  const std::uint64_t size = room - sizeof(BoostControl);
  inspection.counter("size", size, "bytes");
  inspection.counter("free when last unlocked", free, "bytes");
  if (free > size) inspection.fault(std::to_string(free) + " bytes free of fewer");
}

}  // namespace sluice::internal
