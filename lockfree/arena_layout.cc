// SPDX-License-Identifier: Apache-2.0

#include "sluice/lockfree/arena_layout.h"

#include <algorithm>
#include <cerrno>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "sluice/sync/error.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"

namespace sluice {

std::ostream& operator<<(std::ostream& out, const ArenaReport& report) {
  out << report.chunks << " chunks: " << report.free << " free, " << report.owned << " owned, "
      << report.owned_by_dead << " of dead owners, " << report.in_transit << " in transit";
  if (report.in_transit_of_dead != 0) out << " (" << report.in_transit_of_dead << " of the dead)";
  if (report.damaged != 0) out << ", " << report.damaged << " damaged";
  return report.sizes_intact ? out : out << ", sizes overwritten";
}

namespace internal {
namespace {

template <class Number>
constexpr Number in_lines(Number bytes) noexcept {
  return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

std::string to_text(const ArenaReport& report) {
  std::ostringstream out;
  out << report;
  return out.str();
}

/// What a chunk's word says, for a reference that its caller believes to be its.
std::string to_text(std::uint64_t word, ArenaRef ref) {
  const std::uint32_t generation = ChunkWord::generation_of(word);
  if (generation != ref.generation) {
    return "it was freed since: this is its life " + std::to_string(generation) + ", not " +
           std::to_string(ref.generation);
  }
  switch (ChunkWord::state_of(word)) {
    case ChunkWord::State::free:
      return "it is free";
    case ChunkWord::State::owned:
      return "it is participant " + std::to_string(ChunkWord::tag_of(word)) + "'s";
    case ChunkWord::State::in_transit:
      return "it is in transit, sent by participant " + std::to_string(ChunkWord::tag_of(word));
    case ChunkWord::State::damaged:
      break;
  }
  return "its word is damaged";
}

}  // namespace

std::optional<ArenaLayout> ArenaLayout::of(std::span<const ArenaClass> classes) noexcept {
  if (classes.empty() || classes.size() > kMostClasses) return std::nullopt;
  ArenaLayout layout;
  layout.classes = classes.size();
  std::uint64_t chunks = 0;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const ArenaClass& c = classes[i];
    if (c.chunk_bytes == 0 || c.chunk_bytes > kMostBytes || c.count == 0) return std::nullopt;
    layout.chunk_bytes[i] = static_cast<std::uint32_t>(in_lines(std::uint64_t{c.chunk_bytes}));
    if (i != 0 && layout.chunk_bytes[i] <= layout.chunk_bytes[i - 1]) return std::nullopt;
    chunks += c.count;
    if (chunks > kMostChunks) return std::nullopt;
    layout.first[i + 1] = static_cast<std::uint32_t>(chunks);
  }
  layout.offset[0] = in_lines(kWords + chunks * sizeof(std::uint64_t));
  for (std::size_t i = 0; i < classes.size(); ++i) {
    layout.offset[i + 1] =
        layout.offset[i] + std::uint64_t{layout.chunk_bytes[i]} * classes[i].count;
  }
  return layout;
}

ArenaLayout ArenaLayout::checked(std::span<const ArenaClass> classes) {
  if (const auto layout = of(classes)) return *layout;
  std::string found = std::to_string(classes.size()) + " classes:";
  for (std::size_t i = 0; i < std::min(classes.size(), kMostClasses); ++i) {
    found += ' ' + std::to_string(classes[i].count) + " of " +
             std::to_string(classes[i].chunk_bytes) + " bytes;";
  }
  throw Error::from_errno(EINVAL, {.tried = "size an arena",
                                   .expected = "1 to 16 classes of ascending sizes of at most "
                                               "2^30 bytes, and at most 2^28 chunks",
                                   .found = found});
}

void refuse_chunk(const char* call, ArenaRef ref, const ArenaLayout& layout,
                  std::optional<std::uint64_t> word) {
  throw std::logic_error(
      std::string("ChunkArena::") + call + ": chunk " + std::to_string(ref.index) + " of " +
      std::to_string(layout.chunks()) + ", life " + std::to_string(ref.generation) +
      ", is not this process's: " + (word ? to_text(*word, ref) : "there is no such chunk"));
}

void refuse_giving_to_nobody() {
  throw std::logic_error("ChunkArena::give: to nobody; free() does that");
}

void refuse_foreign(const char* call) {
  throw Error(Status::foreign_registry, {.tried = std::string("ChunkArena::") + call,
                                         .expected = "an arena of this domain's registry",
                                         .found = "one that was used under another",
                                         .hint = "if nobody else uses it any more, reset() it"});
}

void refuse_allocation(Status status, std::size_t bytes, const ArenaLayout& layout,
                       const ArenaReport& report) {
  const std::string tried = "allocate " + std::to_string(bytes) + " bytes of an arena";
  const std::string most = std::to_string(layout.chunk_bytes[layout.classes - 1]);
  switch (status) {
    case Status::too_large:
      throw Error(status, {.tried = tried,
                           .expected = "at most " + most + " bytes, the size of its largest chunks",
                           .found = std::to_string(bytes)});
    case Status::full:
      throw Error(status, {.tried = tried,
                           .expected = "a free chunk of that size or larger",
                           .found = to_text(report) + ", in all classes"});
    default:
      refuse_foreign("allocate");
  }
}

void refuse_memory(std::uint64_t needed, std::size_t found) {
  throw Error::from_errno(EINVAL, {.tried = "make an arena",
                                   .expected = std::to_string(needed) + " bytes, aligned to 64",
                                   .found = std::to_string(found) + " bytes"});
}

void refuse_attaching(std::size_t found) {
  throw Error(Status::corrupt,
              {.tried = "attach to an arena in " + std::to_string(found) + " bytes",
               .expected = "an arena of at most that size, aligned to 64",
               .found = "something else",
               .hint = "format it anew if nobody uses it"});
}

}  // namespace internal
}  // namespace sluice
