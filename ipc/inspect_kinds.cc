// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/inspect_kinds.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "sluice/ipc/boost_layout.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/arena_layout.h"
#include "sluice/sync/env.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

/// So many are listed, and asked about once; what the others have is told in one sum.
constexpr std::size_t kMostOwners = 64;

/// Who has chunks, as the words say.
class Owners {
 public:
  Owners(Domain& domain, const ObjectInfo& object)
      : domain_(domain), known_(object.stamp->incarnation == domain.incarnation()) {}

  bool is_dead(Tag tag) {
    const Holding* const holding = find(tag);
    return holding != nullptr ? holding->is_dead : probe(tag);
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

  void describe(ObjectInfo& object) const {
    for (const auto& [tag, holding] : holdings_) {
      OwnerInfo owner{.role = "chunks", .state = std::to_string(holding.owned), .tag = tag};
      if (holding.sent != 0) owner.state += ", " + std::to_string(holding.sent) + " sent";
      identify(domain_, object, owner);
      object.owners.push_back(std::move(owner));
    }
    if (others_ != 0) {
      object.counters.push_back({"of owners that are not listed", others_, "chunks"});
    }
  }

 private:
  struct Holding {
    bool is_dead;
    std::size_t owned = 0;
    std::size_t sent = 0;
  };

  /// Tags of another registry mean other processes.
  bool probe(Tag tag) { return known_ && participant::probe(domain_, tag) == Liveness::dead; }

  /// nullptr if it is not among the first.
  Holding* find(Tag tag) {
    if (const auto it = holdings_.find(tag); it != holdings_.end()) return &it->second;
    if (holdings_.size() == kMostOwners) return nullptr;
    return &holdings_.emplace(tag, Holding{.is_dead = probe(tag)}).first->second;
  }

  Domain& domain_;
  bool known_;
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

void describe_class(std::uint32_t chunk_bytes, const ArenaReport& report, ObjectInfo& object) {
  const std::string name = "chunks of " + std::to_string(chunk_bytes) + " bytes";
  object.counters.push_back({name, report.chunks, "chunks"});
  object.counters.push_back({name + ", free", report.free, "chunks"});
  object.counters.push_back({name + ", owned", report.owned, "chunks"});
  object.counters.push_back({name + ", of dead owners", report.owned_by_dead, "chunks"});
}

void describe_chunks(Domain& domain, const ArenaLayout& layout,
                     std::span<const Word<std::uint64_t>> words, ObjectInfo& object) {
  Owners owners(domain, object);
  ArenaReport all;
  for (std::size_t c = 0; c < layout.classes; ++c) {
    const ArenaReport report =
        count_class(words.subspan(layout.first[c], layout.chunks_in(c)), owners);
    describe_class(layout.chunk_bytes[c], report, object);
    all.in_transit += report.in_transit;
    all.in_transit_of_dead += report.in_transit_of_dead;
    all.damaged += report.damaged;
  }
  object.counters.push_back({"in transit", all.in_transit, "chunks"});
  object.counters.push_back({"in transit, from the dead", all.in_transit_of_dead, "chunks"});
  owners.describe(object);
  if (all.damaged != 0) {
    object.faults.push_back(std::to_string(all.damaged) +
                            " chunks with words that no process writes");
  }
}

}  // namespace

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isprint(c) == 0; }, '?');
  return text;
}

std::optional<ObjectCopy> ObjectCopy::read(int fd, std::size_t size) {
  ObjectCopy copy(size);
  if (!read_at(fd, copy.bytes().data(), size, kObjectOffset)) return std::nullopt;
  return copy;
}

void identify(Domain& domain, const ObjectInfo& object, OwnerInfo& owner) {
  if (object.stamp->incarnation != domain.incarnation() || owner.tag == participant::kNobody) {
    return;  // tags of another registry mean other processes
  }
  owner.liveness = participant::probe(domain, owner.tag);
  if (const auto record = participant::describe(domain, owner.tag)) {
    owner.pid = record->pid;
    owner.process = printable(record->name);
    owner.left = record->left;
  }
}

void describe_arena(Domain& domain, int fd, ObjectInfo& object) {
  const std::uint64_t room = object.file_size - kObjectOffset;
  auto head = ObjectCopy::read(fd, sizeof(ArenaControl));
  const auto* const control = head ? attach_object<ArenaControl>(head->bytes()) : nullptr;
  const auto layout = control != nullptr ? control->layout<RealEnv>() : std::nullopt;
  if (!layout || layout->size() > room) {
    object.faults.push_back("sizes that are no arena's of " + std::to_string(room) + " bytes");
    return;
  }
  const std::size_t size = ArenaLayout::kWords + layout->chunks() * sizeof(std::uint64_t);
  if (size > kCopyUpTo) {
    object.counters.push_back({"chunks", layout->chunks(), "chunks"});
    return;
  }
  auto copy = ObjectCopy::read(fd, size);
  if (!copy) {
    object.faults.emplace_back("truncated while it was read");
    return;
  }
  const auto* const words = attach_object<Word<std::uint64_t>>(
      copy->bytes().subspan(ArenaLayout::kWords), layout->chunks());
  describe_chunks(domain, *layout, std::span(words, layout->chunks()), object);
}

void describe_boost(Domain& domain, int fd, ObjectInfo& object) {
  constexpr std::array<std::string_view, 4> kStates = {"free", "held", "owner died", "destroyed"};
  const std::uint64_t room = object.file_size - kObjectOffset;
  auto copy = ObjectCopy::read(fd, sizeof(BoostControl));
  const auto* const control = copy ? attach_object<BoostControl>(copy->bytes()) : nullptr;
  if (control == nullptr) {
    object.faults.push_back(std::to_string(room) + " bytes, too few for Boost's memory");
    return;
  }
  const LockReport lock = control->mutex.report();
  OwnerInfo owner{.role = "lock",
                  .state = std::string(kStates[static_cast<std::size_t>(lock.state)]),
                  .tag = lock.owner};
  identify(domain, object, owner);
  const bool is_dead = owner.tag != participant::kNobody && owner.liveness == Liveness::dead;
  if (lock.marked || lock.state == LockReport::State::owner_died || is_dead) {
    object.faults.emplace_back("a writer died in the middle of a change: refused until repaired");
  }
  object.owners.push_back(std::move(owner));
  if (lock.maybe_waiting) object.waiting.emplace_back("somebody, for the lock");
  // Relaxed: a word of a private copy.
  const std::uint64_t free = RealEnv::load(control->free_bytes, std::memory_order_relaxed);
  const std::uint64_t size = room - sizeof(BoostControl);
  object.counters = {{"size", size, "bytes"}, {"free when last unlocked", free, "bytes"}};
  if (free > size) object.faults.push_back(std::to_string(free) + " bytes free of fewer");
}

}  // namespace sluice::internal
