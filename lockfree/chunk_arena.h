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
// In memory: lockfree/arena_layout.h draws it. A word per chunk says whose it is: free, owned by a
// participant, in transit from one; and in which of its lives it is. A chunk belongs to a process,
// not to a thread: allocate() makes the caller's process its owner; give() makes another the owner;
// send() puts it in transit, from which whoever has the reference may take() it. In a forked child
// the chunks of its parent are its parent's. Chunks are multiples of 64 bytes, aligned to 64, and
// begin with whatever was in them.
//
// Units: bytes. Errors: format() and attaching throw Error. try_allocate() returns full, too_large
// (for any class), foreign_registry; allocate() throws Error with these, and figures. take()
// returns stale (neither in transit nor a dead process's, or not in that life), corrupt (no such
// chunk) or foreign_registry. free(), give() and send() throw std::logic_error for a chunk that is
// not the caller's process's, and say whose it is; Error with foreign_registry; then nothing has
// changed. bytes() is empty for a reference that is stale or no reference.
//
// Threads and processes: all calls may overlap, but for reset(); also in a signal handler of a
// thread that has attached (sync/participant.h). Words and references are untrusted: each is read
// once and checked; a word that no correct process writes makes its chunk `damaged`, which nobody
// ever gets. What is in a chunk is the users' own affair.
//
// If a process dies here: each change of owner is one compare-and-swap, the commit. Its chunks stay
// its until somebody finds no free one, and takes those of the dead on the spot, or has a reference
// to one of them and takes that: it may be half written. What it had in transit stays there, since
// a queue may have the reference. What can be lost so:
// - who dies between send() and the push leaves one chunk in transit. reclaim_in_transit(refers)
//   frees it as soon as that process is dead, while all others go on;
// - who looks at the reference, takes the chunk and only then drops the reference (peek, take,
//   release) loses none: after its death the next one finds the reference, and take() gives it the
//   chunk again, unless the dead one had freed it or somebody has taken it over;
// - who drops the reference first (pop, take), and dies between the two, leaves one chunk in
//   transit, until its sender is dead as well, and then until reclaim_in_transit().
// So the loss is at most one chunk for each thread killed in such a gap; report() counts them among
// those in transit. Nothing waits for anybody, and every loop ends after a look at each chunk.
//
// Cost: allocate, free, give, send and take one compare-and-swap each while there is something free
// where this process freed or looked last, or, of chunks from 64 KiB on, at the beginning of their
// class; a look at each chunk at worst. System calls only where
// nothing is free, or who had it is not in transit: one for each owner whose life is asked for.

#ifndef SLUICE_LOCKFREE_CHUNK_ARENA_H_
#define SLUICE_LOCKFREE_CHUNK_ARENA_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <span>

#include "sluice/lockfree/arena_layout.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/thread_state.h"
#include "sluice/sync/word.h"

namespace sluice {

/// What ChunkArena is over an environment, the machine or a test: a handle, private to its process.
template <class Env>
class BasicChunkArena {
  using Word = internal::ChunkWord;
  using State = Word::State;
  using Layout = internal::ArenaLayout;

  using Control = internal::ArenaControl;

 public:
  /// What an arena of these classes needs. Throws Error if there are none, or more than 16, if
  /// their sizes do not ascend or are above 2^30, or if there are more than 2^28 chunks.
  static std::size_t bytes_for(std::span<const ArenaClass> classes) {
    return static_cast<std::size_t>(Layout::checked(classes).size());
  }

  /// Makes an arena in which all is free, before anyone else can see it. Throws Error, also if the
  /// memory is too small or not aligned to 64.
  static void format(std::span<std::byte> memory, std::span<const ArenaClass> classes) {
    const Layout layout = Layout::checked(classes);
    auto* const control = internal::attach_object<Control>(memory);
    if (control == nullptr || memory.size() < layout.size() || !is_aligned(memory)) {
      internal::refuse_memory(layout.size(), memory.size());
    }
    std::fill_n(memory.begin(), layout.offset[0], std::byte{0});
    control->template write<Env>(layout);
  }

  /// Throws Error if `memory` holds no arena.
  explicit BasicChunkArena(std::span<std::byte> memory)
      : control_(internal::attach_object<Control>(memory)) {
    if (control_ == nullptr || !is_aligned(memory)) internal::refuse_attaching(memory.size());
    const std::optional<Layout> layout = control_->template layout<Env>();
    if (!layout || layout->size() > memory.size()) internal::refuse_attaching(memory.size());
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
    if (s != Status::ok) internal::refuse_allocation(s, bytes, layout_, report());
    return ref;
  }

  /// Throws std::logic_error, Error.
  void free(ArenaRef ref) {
    leave("free", ref, State::free, participant::kNobody);
    const std::size_t c = layout_.class_of(ref.index);
    cursors_[c].set(ref.index - layout_.first[c]);
  }

  /// From now on it is the participant's of that tag, which is not nobody's. Throws
  /// std::logic_error, Error.
  void give(ArenaRef ref, Tag to) {
    if (to == participant::kNobody) internal::refuse_giving_to_nobody();
    leave("give", ref, State::owned, to);
  }

  /// From now on it is whose who takes it first. Throws std::logic_error, Error.
  void send(ArenaRef ref) {
    leave("send", ref, State::in_transit, internal::LockWord::tag_of(Env::self().me));
  }

  /// ok: what was in transit, or a dead process's, is this process's. stale, corrupt,
  /// foreign_registry.
  Status take(ArenaRef ref) {
    internal::ThreadState& self = Env::self();
    if (!belongs_to(self.incarnation)) return Status::foreign_registry;
    if (ref.index >= layout_.chunks()) return Status::corrupt;
    const Tag me = internal::LockWord::tag_of(self.me);
    // Relaxed: the swap orders.
    std::uint64_t word = Env::load(words_[ref.index], std::memory_order_relaxed);
    if (!is_life(word, ref) || !is_to_be_taken(word, me)) return Status::stale;
    // Acquire: pairs with the release of the sender; what the dead did, the kernel has ordered
    // before its verdict. A failure means that another took it.
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
    internal::ThreadState& self = Env::self();
    if (ref.index >= layout_.chunks() || !belongs_to(self.incarnation)) return false;
    // Acquire: pairs with the release of give().
    return Env::load(words_[ref.index], std::memory_order_acquire) ==
           Word::of(State::owned, ref.generation, internal::LockWord::tag_of(self.me));
  }

  /// Looks at each chunk. What others do meanwhile may be in it or not.
  [[nodiscard]] ArenaReport report() const {
    ArenaReport report{.sizes_intact = control_->template layout<Env>() == layout_};
    Verdicts verdicts;
    for (std::uint32_t i = 0; i < layout_.chunks(); ++i) {
      // Relaxed: a snapshot for people.
      internal::count_chunk(
          Env::load(words_[i], std::memory_order_relaxed),
          [&](Tag tag) { return verdicts.is_dead(tag); }, report);
    }
    return report;
  }

  /// Frees what the dead have left in transit and nobody refers to, and returns how many chunks:
  /// refers(ref) is asked of each chunk whose sender is dead. It must be true while the reference
  /// is in a queue, or with somebody who has dropped it there and not taken the chunk yet.
  template <std::predicate<ArenaRef> Refers>
  std::size_t reclaim_in_transit(Refers refers) {
    if (!belongs_to(Env::self().incarnation)) return 0;
    std::size_t freed = 0;
    Verdicts verdicts;
    for (std::uint32_t i = 0; i < layout_.chunks(); ++i) {
      // Relaxed: the swap orders.
      std::uint64_t word = Env::load(words_[i], std::memory_order_relaxed);
      if (Word::state_of(word) != State::in_transit || !verdicts.is_dead(Word::tag_of(word))) {
        continue;
      }
      // The dead can't push it any more: who is not referred to now will never be.
      if (refers(ArenaRef{i, Word::generation_of(word)})) continue;
      const std::uint64_t freed_word =
          Word::of(State::free, Word::generation_of(word), participant::kNobody);
      // Acquire-release: the next owner sees what the dead sender, whose release this takes over,
      // had written.
      if (Env::cas(words_[i], word, freed_word, std::memory_order_acq_rel)) ++freed;
    }
    return freed;
  }

  /// By whoever knows that no reference of a dead sender is under way any more.
  std::size_t reclaim_in_transit() {
    return reclaim_in_transit([](ArenaRef) { return false; });
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

  static constexpr std::uint32_t kLarge = 1U << 16;

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

  static bool is_aligned(std::span<std::byte> memory) noexcept {
    return reinterpret_cast<std::uintptr_t>(memory.data()) % kCacheLine == 0;
  }

  bool belongs_to(std::uint32_t mine) const noexcept {
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

  static bool is_to_be_taken(std::uint64_t word, Tag me) noexcept {
    if (Word::state_of(word) == State::in_transit) return true;
    const Tag tag = Word::tag_of(word);
    return Word::state_of(word) == State::owned && tag != me && Env::probe(tag) == Liveness::dead;
  }

  bool take_free(std::size_t c, Tag me, ArenaRef& ref) noexcept {
    const std::uint32_t count = layout_.chunks_in(c);
    std::uint32_t at = cursors_[c].get();
    // Processes begin in lines of words of their own.
    if (at >= count) at = static_cast<std::uint32_t>(me * 0x9e3779b9U % count) & ~7U;
    // Of large chunks the first that is free: the fewer are in use, the more of them are in caches
    // and mapped, and a look at each word is nothing beside writing one.
    if (layout_.chunk_bytes[c] >= kLarge) at = 0;
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

  /// Makes of a chunk of this process's one of `state` and `tag`; throws if it is not its.
  void leave(const char* call, ArenaRef ref, State state, Tag tag) {
    internal::ThreadState& self = Env::self();
    if (!belongs_to(self.incarnation)) internal::refuse_foreign(call);
    if (ref.index >= layout_.chunks()) internal::refuse_chunk(call, ref, layout_, {});
    const Tag me = internal::LockWord::tag_of(self.me);
    const std::uint64_t mine = Word::of(State::owned, ref.generation, me);
    std::uint64_t word = mine;
    // Release: whoever has it next sees what is in it.
    if (ref.generation >= Word::kGenerations ||
        !Env::cas(words_[ref.index], word, Word::of(state, ref.generation, tag),
                  std::memory_order_release)) {
      internal::refuse_chunk(call, ref, layout_, word);
    }
  }

  Control* control_;
  internal::Word<std::uint64_t>* words_ = nullptr;
  std::span<std::byte> memory_;
  Layout layout_;
  std::array<Cursor, Layout::kMostClasses> cursors_;
};

/// The arena that ships.
using ChunkArena = BasicChunkArena<internal::RealLockEnv>;

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_CHUNK_ARENA_H_
