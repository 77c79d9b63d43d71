// SPDX-License-Identifier: Apache-2.0
//
// ChunkArena: chunks of a few fixed sizes in memory that the caller owns and processes share: what
// is too large to be copied through a queue is written into a chunk, and the chunk's reference of
// 8 bytes is handed over. Not a heap: a request takes a chunk of the next larger size, and nothing
// ever merges. For memory that has a name see ipc/arena.h.
//
//   const std::vector<ArenaClass> classes = {{.chunk_bytes = 256, .count = 1000},
//                                            {.chunk_bytes = 65536, .count = 16}};
//   ChunkArena::format(memory, classes);                     // once, before anybody else sees it
//   ChunkArena arena(memory);                                // in each process
//   const ArenaRef ref = arena.allocate(200);                // 256 bytes, which are this process's
//   fill(arena.bytes(ref));
//   arena.send(ref);                                         // is nobody's: whoever takes it
//   queue.push(ref);
//   if (arena.take(ref) == Status::ok) arena.free(ref);      // in another process
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
// A chunk belongs to a process, not to a thread: allocate() makes the caller's process its owner;
// give() makes another the owner, send() puts it in transit, from which whoever has the reference
// may take() it. In a forked child the chunks of its parent are its parent's. Chunks are multiples
// of 64 bytes, aligned to 64, and begin with whatever was in them.
//
// Units: bytes. Errors: format() and attaching throw Error. try_allocate() returns full, too_large
// (for any class), foreign_registry; allocate() throws Error with these. take() returns stale (not
// in transit, or not in that life) or corrupt (no such chunk). free(), give() and send() of a chunk
// that is not the caller's process's throw std::logic_error and change nothing. bytes() is empty
// for a reference that is stale or no reference.
//
// Threads and processes: all calls may overlap, but for reset(); also in a signal handler of a
// thread that has attached (sync/participant.h). Words and references are untrusted: each is read
// once and checked; a word that no correct process writes makes its chunk `damaged`, which nobody
// ever gets. What is in a chunk is the users' own affair.
//
// If a process dies here: each change of owner is one compare-and-swap, the commit. Its chunks stay
// its until somebody finds no free one, and takes those of the dead on the spot. What it had in
// transit stays there, since it may be in a queue; whose reference died with a process that had it
// (one for each send() or take() under way) is lost until reclaim_in_transit(). report() counts all
// of these. Nothing waits for anybody, and every loop ends after a look at each chunk.
//
// Cost: allocate, free, give, send and take one compare-and-swap each while there is something free
// where this process freed or looked last; a look at each chunk at worst. System calls only where
// nothing is free: one for each owner whose life is asked for.

#ifndef SLUICE_LOCKFREE_CHUNK_ARENA_H_
#define SLUICE_LOCKFREE_CHUNK_ARENA_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "sluice/sync/error.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

/// So many chunks of such a size, which is rounded up to a multiple of 64.
struct ArenaClass {
  std::uint32_t chunk_bytes;
  std::uint32_t count;
};

/// One life of a chunk; fit to be sent anywhere. By itself it refers to nothing.
struct ArenaRef {
  std::uint32_t index = UINT32_MAX;
  std::uint32_t generation = 0;

  bool operator==(const ArenaRef&) const = default;
};
static_assert(sizeof(ArenaRef) == 8 && std::is_trivially_copyable_v<ArenaRef>);

/// What a walk over all chunks has found: a number of chunks each.
struct ArenaReport {
  std::size_t chunks = 0;
  std::size_t free = 0;
  std::size_t owned = 0;               ///< by processes that live, or may live
  std::size_t owned_by_dead = 0;       ///< taken over where nothing is free
  std::size_t in_transit = 0;          ///< all of them
  std::size_t in_transit_of_dead = 0;  ///< of these, those whose senders are dead
  std::size_t damaged = 0;             ///< overwritten by no correct process; given to nobody
  bool sizes_intact = true;            ///< what format() had written still stands
};

inline std::ostream& operator<<(std::ostream& out, const ArenaReport& report) {
  out << report.chunks << " chunks: " << report.free << " free, " << report.owned << " owned, "
      << report.owned_by_dead << " of dead owners, " << report.in_transit << " in transit";
  if (report.in_transit_of_dead != 0) out << " (" << report.in_transit_of_dead << " of the dead)";
  if (report.damaged != 0) out << ", " << report.damaged << " damaged";
  return report.sizes_intact ? out : out << ", sizes overwritten";
}

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

  [[nodiscard]] std::uint32_t chunks() const noexcept { return first[classes]; }
  [[nodiscard]] std::uint64_t size() const noexcept { return offset[classes]; }

  /// Nothing if there are none or too many, or their sizes do not ascend.
  static std::optional<ArenaLayout> of(std::span<const ArenaClass> classes) noexcept {
    if (classes.empty() || classes.size() > kMostClasses) return std::nullopt;
    ArenaLayout layout;
    layout.classes = classes.size();
    std::uint64_t chunks = 0;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      const ArenaClass& c = classes[i];
      if (c.chunk_bytes == 0 || c.chunk_bytes > kMostBytes || c.count == 0) return std::nullopt;
      layout.chunk_bytes[i] = in_lines(c.chunk_bytes);
      if (i != 0 && layout.chunk_bytes[i] <= layout.chunk_bytes[i - 1]) return std::nullopt;
      if ((chunks += c.count) > kMostChunks) return std::nullopt;
      layout.first[i + 1] = static_cast<std::uint32_t>(chunks);
    }
    layout.offset[0] = in_lines(kWords + chunks * sizeof(std::uint64_t));
    for (std::size_t i = 0; i < classes.size(); ++i) {
      layout.offset[i + 1] =
          layout.offset[i] + std::uint64_t{layout.chunk_bytes[i]} * classes[i].count;
    }
    return layout;
  }

  [[nodiscard]] std::size_t class_of(std::uint32_t index) const noexcept {
    std::size_t c = 0;
    while (first[c + 1] <= index) ++c;
    return c;
  }

 private:
  template <class Number>
  static constexpr Number in_lines(Number bytes) noexcept {
    return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  }
};

[[noreturn]] inline void refuse_chunk(const char* call) {
  throw std::logic_error(std::string("ChunkArena::") + call +
                         ": the chunk is not this process's, or not in that life");
}

}  // namespace internal

template <class Env>
class BasicChunkArena {
  using Word = internal::ChunkWord;
  using State = Word::State;
  using Layout = internal::ArenaLayout;

  struct Size {
    internal::Word<std::uint32_t> chunk_bytes;
    internal::Word<std::uint32_t> count;
  };
  struct Control {
    internal::Word<std::uint64_t> magic;
    internal::Word<std::uint32_t> incarnation;
    internal::Word<std::uint32_t> classes;
    std::array<Size, Layout::kMostClasses> sizes;
  };
  static_assert(sizeof(Control) == 144 && sizeof(Control) <= Layout::kWords);
  static_assert(internal::Mappable<Control>);
  static constexpr std::uint64_t kMagic = 0x31616e6572617301;  // "\1sarena1"

 public:
  /// What an arena of these classes needs. Throws Error if there are none, or more than 16, if
  /// their sizes do not ascend or are above 2^30, or if there are more than 2^28 chunks.
  static std::size_t bytes_for(std::span<const ArenaClass> classes) {
    return static_cast<std::size_t>(checked(classes).size());
  }

  /// Makes an arena in which all is free, before anyone else can see it. Throws Error, also if the
  /// memory is too small or not aligned to 64.
  static void format(std::span<std::byte> memory, std::span<const ArenaClass> classes) {
    const Layout layout = checked(classes);
    auto* const control = internal::attach_object<Control>(memory);
    if (control == nullptr || memory.size() < layout.size() || !is_aligned(memory)) {
      throw Error::from_errno(EINVAL,
                              {.tried = "make an arena",
                               .expected = std::to_string(layout.size()) + " bytes, aligned to 64",
                               .found = std::to_string(memory.size()) + " bytes"});
    }
    std::fill_n(memory.begin(), layout.offset[0], std::byte{0});
    for (std::size_t i = 0; i < classes.size(); ++i) {
      Size& size = control->sizes[i];
      // Relaxed, all: publishing the memory is the caller's step and carries the order.
      Env::store(size.chunk_bytes, layout.chunk_bytes[i], std::memory_order_relaxed);
      Env::store(size.count, classes[i].count, std::memory_order_relaxed);  // as above
    }
    Env::store(control->classes, static_cast<std::uint32_t>(classes.size()),
               std::memory_order_relaxed);                          // as above
    Env::store(control->magic, kMagic, std::memory_order_relaxed);  // as above
  }

  /// Throws Error if `memory` holds no arena.
  explicit BasicChunkArena(std::span<std::byte> memory)
      : control_(internal::attach_object<Control>(memory)) {
    const std::optional<Layout> layout = control_ == nullptr ? std::nullopt : read_layout();
    if (!layout || layout->size() > memory.size() || !is_aligned(memory)) {
      throw Error(Status::corrupt,
                  {.tried = "attach to an arena in " + std::to_string(memory.size()) + " bytes",
                   .expected = "an arena of at most that size, aligned to 64",
                   .found = "something else",
                   .hint = "format it anew if nobody uses it"});
    }
    layout_ = *layout;
    memory_ = memory;
    words_ = internal::attach_object<internal::Word<std::uint64_t>>(memory.subspan(Layout::kWords),
                                                                    layout_.chunks());
  }

  /// ok: `ref` is a chunk of at least `bytes`, which is this process's. full: `ref` is as before;
  /// and so with too_large and foreign_registry.
  Status try_allocate(std::size_t bytes, ArenaRef& ref) {
    internal::ThreadState& self = Env::self();
    if (!belongs_to(self.incarnation)) return Status::foreign_registry;
    const Tag me = internal::LockWord::tag_of(self.me);
    std::size_t least = 0;
    while (least < layout_.classes && layout_.chunk_bytes[least] < bytes) ++least;
    if (least == layout_.classes) return Status::too_large;
    for (std::size_t c = least; c < layout_.classes; ++c) {
      if (take_free(c, me, ref)) return Status::ok;
    }
    Verdicts verdicts;
    for (std::size_t c = least; c < layout_.classes; ++c) {
      if (take_from_dead(c, me, verdicts, ref)) return Status::ok;
    }
    return Status::full;
  }

  /// Throws Error.
  ArenaRef allocate(std::size_t bytes) {
    ArenaRef ref;
    const Status s = try_allocate(bytes, ref);
    if (s != Status::ok) {
      throw Error(s, {.tried = "allocate " + std::to_string(bytes) + " bytes of an arena",
                      .expected = "a free chunk of that size"});
    }
    return ref;
  }

  /// Throws std::logic_error.
  void free(ArenaRef ref) {
    if (!leave(ref, State::free, participant::kNobody)) internal::refuse_chunk("free");
    const std::size_t c = layout_.class_of(ref.index);
    cursors_[c].set(ref.index - layout_.first[c]);
  }

  /// From now on it is the participant's of that tag. Throws std::logic_error.
  void give(ArenaRef ref, Tag to) {
    if (to == participant::kNobody || !leave(ref, State::owned, to)) internal::refuse_chunk("give");
  }

  /// From now on it is whose who takes it first. Throws std::logic_error.
  void send(ArenaRef ref) {
    const Tag me = internal::LockWord::tag_of(Env::self().me);
    if (!leave(ref, State::in_transit, me)) internal::refuse_chunk("send");
  }

  /// ok: what was in transit is this process's. stale, corrupt, foreign_registry.
  Status take(ArenaRef ref) {
    internal::ThreadState& self = Env::self();
    if (!belongs_to(self.incarnation)) return Status::foreign_registry;
    if (ref.index >= layout_.chunks()) return Status::corrupt;
    // Relaxed: the swap orders.
    std::uint64_t word = Env::load(words_[ref.index], std::memory_order_relaxed);
    if (!is_life(word, ref) || Word::state_of(word) != State::in_transit) return Status::stale;
    const Tag me = internal::LockWord::tag_of(self.me);
    // Acquire: pairs with the release of the sender. A failure means that another took it.
    return Env::cas(words_[ref.index], word, Word::of(State::owned, ref.generation, me),
                    std::memory_order_acquire)
               ? Status::ok
               : Status::stale;
  }

  /// The chunk's memory, whoever owns it; empty unless it is in that life.
  [[nodiscard]] std::span<std::byte> bytes(ArenaRef ref) const noexcept {
    if (ref.index >= layout_.chunks()) return {};
    // Acquire: pairs with the release of give().
    const std::uint64_t word = Env::load(words_[ref.index], std::memory_order_acquire);
    if (!is_life(word, ref) || Word::state_of(word) == State::free) return {};
    const std::size_t c = layout_.class_of(ref.index);
    const std::size_t size = layout_.chunk_bytes[c];
    return memory_.subspan(layout_.offset[c] + size * (ref.index - layout_.first[c]), size);
  }

  /// Whether the chunk is the calling process's.
  [[nodiscard]] bool is_mine(ArenaRef ref) const {
    const Tag me = internal::LockWord::tag_of(Env::self().me);
    if (ref.index >= layout_.chunks()) return false;
    // Acquire: pairs with the release of give().
    return Env::load(words_[ref.index], std::memory_order_acquire) ==
           Word::of(State::owned, ref.generation, me);
  }

  /// Looks at each chunk. What others do meanwhile may be in it or not.
  [[nodiscard]] ArenaReport report() const {
    ArenaReport report{.chunks = layout_.chunks()};
    const std::optional<Layout> now = read_layout();
    report.sizes_intact = now && now->first == layout_.first && now->offset == layout_.offset;
    Verdicts verdicts;
    for (std::uint32_t i = 0; i < layout_.chunks(); ++i) {
      // Relaxed: a snapshot for people.
      count(Env::load(words_[i], std::memory_order_relaxed), verdicts, report);
    }
    return report;
  }

  /// By whoever knows that no reference of a dead sender is under way any more: frees what the dead
  /// have left in transit. Returns how many chunks.
  std::size_t reclaim_in_transit() {
    if (!belongs_to(Env::self().incarnation)) return 0;
    std::size_t freed = 0;
    Verdicts verdicts;
    for (std::uint32_t i = 0; i < layout_.chunks(); ++i) {
      // Relaxed: the swap orders.
      std::uint64_t word = Env::load(words_[i], std::memory_order_relaxed);
      if (Word::state_of(word) != State::in_transit || !verdicts.is_dead(Word::tag_of(word))) {
        continue;
      }
      const std::uint64_t freed_word =
          Word::of(State::free, Word::generation_of(word), participant::kNobody);
      // Acquire-release: the next owner sees what the dead sender, whose release this takes over,
      // had written.
      if (Env::cas(words_[i], word, freed_word, std::memory_order_acq_rel)) ++freed;
    }
    return freed;
  }

  /// For whoever knows that nobody uses the arena: frees all, damaged or not, and makes it one of
  /// this process's registry. References from before are stale.
  void reset() {
    for (std::uint32_t i = 0; i < layout_.chunks(); ++i) {
      // Relaxed, twice: the caller vouches that nobody else looks.
      const std::uint64_t word = Env::load(words_[i], std::memory_order_relaxed);
      Env::store(words_[i], Word::of(State::free, Word::generation_of(word), participant::kNobody),
                 std::memory_order_relaxed);  // as above
    }
    // Release: who finds this incarnation finds all of them free.
    Env::store(control_->incarnation, Env::self().incarnation, std::memory_order_release);
  }

  /// In all classes.
  [[nodiscard]] std::size_t capacity() const noexcept { return layout_.chunks(); }

  /// For people, one line.
  friend std::ostream& operator<<(std::ostream& out, const BasicChunkArena& arena) {
    return out << "arena: " << arena.report();
  }

 private:
  /// Whose lives were asked for, in one call.
  class Verdicts {
   public:
    bool is_dead(Tag tag) noexcept {
      Known& known = known_[tag % known_.size()];
      if (!known.is_set || known.tag != tag) {
        known = {tag, Env::probe(tag) == Liveness::dead, true};
      }
      return known.is_dead;
    }

   private:
    struct Known {
      Tag tag = participant::kNobody;
      bool is_dead = false, is_set = false;
    };
    std::array<Known, 32> known_ = {};
  };

  /// Where in its class this handle's process looks first; threads may share it.
  class Cursor {
   public:
    Cursor() = default;
    Cursor(const Cursor& other) noexcept : at_(other.get()) {}
    Cursor& operator=(const Cursor& other) noexcept {
      set(other.get());
      return *this;
    }
    // Relaxed, both: a hint.
    [[nodiscard]] std::uint32_t get() const noexcept { return at_.load(std::memory_order_relaxed); }
    void set(std::uint32_t at) noexcept { at_.store(at, std::memory_order_relaxed); }  // as above

   private:
    std::atomic<std::uint32_t> at_ = UINT32_MAX;
  };

  static Layout checked(std::span<const ArenaClass> classes) {
    if (const auto layout = Layout::of(classes)) return *layout;
    std::string found = std::to_string(classes.size()) + " classes:";
    for (std::size_t i = 0; i < std::min(classes.size(), Layout::kMostClasses); ++i) {
      found += ' ' + std::to_string(classes[i].count) + " of " +
               std::to_string(classes[i].chunk_bytes) + " bytes;";
    }
    throw Error::from_errno(EINVAL, {.tried = "size an arena",
                                     .expected = "1 to 16 classes of ascending sizes of at most "
                                                 "2^30 bytes, and at most 2^28 chunks",
                                     .found = found});
  }

  static bool is_aligned(std::span<std::byte> memory) noexcept {
    return reinterpret_cast<std::uintptr_t>(memory.data()) % kCacheLine == 0;
  }

  std::optional<Layout> read_layout() const noexcept {
    // Relaxed, all: written before the memory was published; copied once, then checked.
    if (Env::load(control_->magic, std::memory_order_relaxed) != kMagic) return std::nullopt;
    const std::uint32_t classes = Env::load(control_->classes, std::memory_order_relaxed);
    if (classes > Layout::kMostClasses) return std::nullopt;
    std::array<ArenaClass, Layout::kMostClasses> sizes = {};
    for (std::size_t i = 0; i < classes; ++i) {
      const Size& size = control_->sizes[i];
      sizes[i] = {Env::load(size.chunk_bytes, std::memory_order_relaxed),  // as above
                  Env::load(size.count, std::memory_order_relaxed)};       // as above
    }
    return Layout::of(std::span(sizes).first(classes));
  }

  bool belongs_to(std::uint32_t mine) noexcept {
    // Acquire: pairs with the release of reset(). Relaxed, the swap: what it found decides.
    std::uint32_t found = Env::load(control_->incarnation, std::memory_order_acquire);
    if (found == mine) [[likely]]
      return true;
    found = 0;
    return Env::cas(control_->incarnation, found, mine, std::memory_order_relaxed) ||  // as above
           found == mine;
  }

  static bool is_life(std::uint64_t word, ArenaRef ref) noexcept {
    return Word::generation_of(word) == ref.generation && Word::state_of(word) != State::damaged;
  }

  bool take_free(std::size_t c, Tag me, ArenaRef& ref) noexcept {
    const std::uint32_t count = layout_.first[c + 1] - layout_.first[c];
    std::uint32_t at = cursors_[c].get();
    // Processes begin in lines of words of their own.
    if (at >= count) at = static_cast<std::uint32_t>(me * 0x9e3779b9U % count) & ~7U;
    for (std::uint32_t looks = 0; looks < count; ++looks) {
      const std::uint32_t index = layout_.first[c] + at;
      if (++at == count) at = 0;
      // Relaxed: the swap orders.
      const std::uint64_t word = Env::load(words_[index], std::memory_order_relaxed);
      if (Word::state_of(word) == State::free && become_owner(index, word, me, ref)) {
        cursors_[c].set(at);
        return true;
      }
    }
    return false;
  }

  bool take_from_dead(std::size_t c, Tag me, Verdicts& verdicts, ArenaRef& ref) noexcept {
    for (std::uint32_t index = layout_.first[c]; index < layout_.first[c + 1]; ++index) {
      // Relaxed: the swap orders.
      const std::uint64_t word = Env::load(words_[index], std::memory_order_relaxed);
      const Tag tag = Word::tag_of(word);
      if (Word::state_of(word) != State::owned || tag == me || !verdicts.is_dead(tag)) continue;
      if (become_owner(index, word, me, ref)) return true;
    }
    return false;
  }

  bool become_owner(std::uint32_t index, std::uint64_t word, Tag me, ArenaRef& ref) noexcept {
    const std::uint64_t mine = Word::next_life(word, me);
    // Acquire: pairs with the release of who freed it. What the dead did, the kernel has ordered
    // before its verdict.
    if (!Env::cas(words_[index], word, mine, std::memory_order_acquire)) return false;
    ref = {index, Word::generation_of(mine)};
    return true;
  }

  /// Makes of a chunk of this process's one of `state` and `tag`; false if it is not its.
  bool leave(ArenaRef ref, State state, Tag tag) {
    const Tag me = internal::LockWord::tag_of(Env::self().me);
    if (ref.index >= layout_.chunks() || ref.generation >= Word::kGenerations) return false;
    std::uint64_t word = Word::of(State::owned, ref.generation, me);
    // Release: whoever has it next sees what is in it.
    return Env::cas(words_[ref.index], word, Word::of(state, ref.generation, tag),
                    std::memory_order_release);
  }

  void count(std::uint64_t word, Verdicts& verdicts, ArenaReport& report) const noexcept {
    switch (Word::state_of(word)) {
      case State::free:
        ++report.free;
        break;
      case State::owned:
        ++(verdicts.is_dead(Word::tag_of(word)) ? report.owned_by_dead : report.owned);
        break;
      case State::in_transit:
        ++report.in_transit;
        if (verdicts.is_dead(Word::tag_of(word))) ++report.in_transit_of_dead;
        break;
      case State::damaged:
        ++report.damaged;
        break;
    }
  }

  Control* control_;
  internal::Word<std::uint64_t>* words_ = nullptr;
  std::span<std::byte> memory_;
  Layout layout_;
  std::array<Cursor, Layout::kMostClasses> cursors_;
};

using ChunkArena = BasicChunkArena<internal::RealLockEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_CHUNK_ARENA_H_
