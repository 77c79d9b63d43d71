// SPDX-License-Identifier: Apache-2.0
//
// The bytes of an arena (lockfree/chunk_arena.h): its classes and where their chunks lie, the word
// of a chunk, and what a walk over the words counts. Users meet ArenaClass, ArenaRef and
// ArenaReport; the rest is for the arena and for ipc/inspect.h.
//
// In memory (position-independent; aligned to 64):
//
//     0 magic u64   8 incarnation u32   12 number of classes u32
//    16 sixteen times: chunk bytes u32, count u32
//   192 a word u64 per chunk, class by class       then, from the next line on, the chunks
//
//   63          34 33     32 31            0
//   +-------------+---------+---------------+      state: 0 free, 1 owned, 2 in transit
//   | generation  | state   | owner's tag   |      tag: 0 if free; in transit: the sender's
//   +-------------+---------+---------------+
//   generation: one more each time the chunk is allocated, so that a reference to an earlier
//               life is told from the present one (after 2^30 lives it is not)
//
// Everything but the words is written once, before anybody else sees it. Who attaches copies the
// sizes, checks them, and computes from the copy where everything lies.
//
// If a process dies here: nothing but single words is ever changed. Cost: none to speak of.

#ifndef SLUICE_LOCKFREE_ARENA_LAYOUT_H_
#define SLUICE_LOCKFREE_ARENA_LAYOUT_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <type_traits>

#include "sluice/sync/participant.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice {

/// So many chunks of such a size, which is rounded up to a multiple of 64.
struct ArenaClass {
  std::uint32_t chunk_bytes;  ///< of each; from class to class they ascend
  std::uint32_t count;        ///< how many of them
};

/// One life of a chunk; fit to be sent anywhere. By itself it refers to nothing.
struct ArenaRef {
  std::uint32_t index = UINT32_MAX;  ///< which chunk of its arena; as it comes, none
  std::uint32_t generation = 0;      ///< in which of its lives

  bool operator==(const ArenaRef&) const = default;
};
static_assert(sizeof(ArenaRef) == 8 && std::is_trivially_copyable_v<ArenaRef>);

/// What a walk over chunks has found: a number of chunks each.
struct ArenaReport {
  std::size_t chunks = 0;              ///< all that were looked at
  std::size_t free = 0;                ///< for whoever asks next
  std::size_t owned = 0;               ///< by processes that live, or may live
  std::size_t owned_by_dead = 0;       ///< taken over where nothing is free
  std::size_t in_transit = 0;          ///< all of them
  std::size_t in_transit_of_dead = 0;  ///< of these, those whose senders are dead
  std::size_t damaged = 0;             ///< overwritten by no correct process; given to nobody
  bool sizes_intact = true;            ///< what format() had written still stands
};

/// One line of numbers, such as "16 chunks: 12 free, 4 owned, 0 of dead owners, 0 in transit".
std::ostream& operator<<(std::ostream& out, const ArenaReport& report);

namespace internal {

/// A chunk's word. Diagram above.
struct ChunkWord {
  enum class State : std::uint8_t { free = 0, owned = 1, in_transit = 2, damaged = 3 };
  static constexpr std::uint32_t kGenerations = std::uint32_t{1} << 30;

  static constexpr std::uint64_t of(State state, std::uint32_t generation, Tag tag) noexcept {
    return std::uint64_t{generation % kGenerations} << 34 |
           static_cast<std::uint64_t>(state) << 32 | tag;
  }
  static constexpr Tag tag_of(std::uint64_t word) noexcept { return static_cast<Tag>(word); }
  static constexpr std::uint32_t generation_of(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 34);
  }
  static constexpr State state_of(std::uint64_t word) noexcept {
    const auto state = static_cast<State>(word >> 32 & 3);
    if (state == State::free && tag_of(word) != participant::kNobody) return State::damaged;
    return state;
  }
  /// What a free chunk's word, or that of a dead owner, becomes for the next one.
  static constexpr std::uint64_t next_life(std::uint64_t word, Tag owner) noexcept {
    return of(State::owned, generation_of(word) + 1, owner);
  }
};

/// Adds a chunk's word to the report; is_dead(tag) is asked of those that have one.
template <class IsDead>
void count_chunk(std::uint64_t word, IsDead&& is_dead, ArenaReport& report) {
  ++report.chunks;
  switch (ChunkWord::state_of(word)) {
    case ChunkWord::State::free:
      ++report.free;
      break;
    case ChunkWord::State::owned:
      ++(is_dead(ChunkWord::tag_of(word)) ? report.owned_by_dead : report.owned);
      break;
    case ChunkWord::State::in_transit:
      ++report.in_transit;
      if (is_dead(ChunkWord::tag_of(word))) ++report.in_transit_of_dead;
      break;
    case ChunkWord::State::damaged:
      ++report.damaged;
      break;
  }
}

/// Where everything lies, computed from the classes alone.
struct ArenaLayout {
  static constexpr std::size_t kMostClasses = 16;
  static constexpr std::uint64_t kMostChunks = std::uint64_t{1} << 28;
  static constexpr std::uint32_t kMostBytes = std::uint32_t{1} << 30;
  static constexpr std::size_t kWords = 192;

  std::size_t classes = 0;
  std::array<std::uint32_t, kMostClasses> chunk_bytes = {};
  std::array<std::uint32_t, kMostClasses + 1> first = {};   ///< index of the class's first chunk
  std::array<std::uint64_t, kMostClasses + 1> offset = {};  ///< of it; last: the size of all

  bool operator==(const ArenaLayout&) const = default;

  [[nodiscard]] std::uint32_t chunks() const noexcept { return first[classes]; }
  [[nodiscard]] std::uint64_t size() const noexcept { return offset[classes]; }
  [[nodiscard]] std::uint32_t chunks_in(std::size_t c) const noexcept {
    return first[c + 1] - first[c];
  }
  /// Of an index below chunks().
  [[nodiscard]] std::size_t class_of(std::uint32_t index) const noexcept {
    std::size_t c = 0;
    while (first[c + 1] <= index) ++c;
    return c;
  }

  /// Nothing if there are none or too many, or their sizes do not ascend.
  static std::optional<ArenaLayout> of(std::span<const ArenaClass> classes) noexcept;

  /// The same, but throws Error.
  static ArenaLayout checked(std::span<const ArenaClass> classes);
};

/// What precedes the words.
struct ArenaControl {
  struct Size {
    Word<std::uint32_t> chunk_bytes;
    Word<std::uint32_t> count;
  };

  static constexpr std::uint64_t kMagic = 0x31616e6572617301;  // "\1sarena1"

  Word<std::uint64_t> magic;
  Word<std::uint32_t> incarnation;
  Word<std::uint32_t> classes;
  std::array<Size, ArenaLayout::kMostClasses> sizes;

  /// What stands there, copied once and then checked; nothing if that is no arena's.
  template <class Env>
  [[nodiscard]] std::optional<ArenaLayout> layout() const noexcept {
    // Relaxed, all: written before the memory was published.
    if (Env::load(magic, std::memory_order_relaxed) != kMagic) return std::nullopt;
    const std::uint32_t n = Env::load(classes, std::memory_order_relaxed);  // as above
    if (n > ArenaLayout::kMostClasses) return std::nullopt;
    std::array<ArenaClass, ArenaLayout::kMostClasses> found = {};
    for (std::size_t i = 0; i < n; ++i) {
      found[i] = {Env::load(sizes[i].chunk_bytes, std::memory_order_relaxed),  // as above
                  Env::load(sizes[i].count, std::memory_order_relaxed)};       // as above
    }
    return ArenaLayout::of(std::span(found).first(n));
  }

  /// Over zeroes.
  template <class Env>
  void write(const ArenaLayout& layout) noexcept {
    for (std::size_t i = 0; i < layout.classes; ++i) {
      // Relaxed, all: publishing the memory is the caller's step and carries the order.
      Env::store(sizes[i].chunk_bytes, layout.chunk_bytes[i], std::memory_order_relaxed);
      Env::store(sizes[i].count, layout.chunks_in(i), std::memory_order_relaxed);  // as above
    }
    Env::store(classes, static_cast<std::uint32_t>(layout.classes),
               std::memory_order_relaxed);                 // as above
    Env::store(magic, kMagic, std::memory_order_relaxed);  // as above
  }
};
static_assert(sizeof(ArenaControl) == 144 && sizeof(ArenaControl) <= ArenaLayout::kWords);
static_assert(Mappable<ArenaControl>);

// What can be said of a call that is refused. `word` is the chunk's, if there is such a chunk.

/// Throws std::logic_error.
[[noreturn]] void refuse_chunk(const char* call, ArenaRef ref, const ArenaLayout& layout,
                               std::optional<std::uint64_t> word);

/// Throws std::logic_error.
[[noreturn]] void refuse_giving_to_nobody();

/// Throws Error with foreign_registry.
[[noreturn]] void refuse_foreign(const char* call);

/// Throws Error with `status`, which is full, too_large or foreign_registry.
[[noreturn]] void refuse_allocation(Status status, std::size_t bytes, const ArenaLayout& layout,
                                    const ArenaReport& report);

/// Throws Error: `found` bytes of memory, aligned or not, where `needed` are wanted.
[[noreturn]] void refuse_memory(std::uint64_t needed, std::size_t found);
[[noreturn]] void refuse_attaching(std::size_t found);

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_LOCKFREE_ARENA_LAYOUT_H_
