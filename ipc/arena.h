// SPDX-License-Identifier: Apache-2.0
//
// Arena: chunks of a few fixed sizes in memory that several processes see: write into one, and hand
// it over to another process without a copy. Not a heap for containers (ipc/boost_interprocess.h),
// and not for small messages, which a pipe carries faster (ipc/pipe.h).
//
//   auto arena = Arena::create("frames", {{.chunk_bytes = 1 << 16, .count = 64}});
//   const ArenaRef ref = arena->allocate(50'000);
//   draw(arena->bytes(ref));
//   arena->send(ref);                          // now it is nobody's
//   tx.send(ref);                              // 8 bytes, through whatever carries them
//
//   auto same = Arena::open("frames");         // in another process
//   auto message = rx.peek();                  // stays until release(): see chunk_arena.h
//   std::memcpy(&ref, message.bytes().data(), sizeof ref);
//   if (same->take(ref) == Status::ok) { show(same->bytes(ref)); same->free(ref); }
//   message.release();
//
// -> gives the calls of lockfree/chunk_arena.h, which says what they do, and what it costs.
//
// In memory: behind the stamp of ipc/segment.h (kind "arena", version 1) what arena_layout.h draws.
//
// Units: bytes. Errors: making and finding it throw Error as ipc/segment.h says, with
// invalid_argument if the classes are none, and corrupt if what is there is no arena. The memory is
// allocated when it is made: there is no SIGBUS later.
//
// Threads and processes: create, open, open_or_create and remove may overlap with anything. What
// bytes() gave ends with the Arena.
//
// If a process dies here: while it makes the arena, nothing is left; afterwards its chunks are
// taken over where they are needed, and whoever finds the reference of one takes it again. Where
// the arena outlives its registry (Lifetime::until_removed) it refuses with foreign_registry, until
// who is alone with it calls reset().
//
// Cost: -> nothing. Attaching as ipc/shared.h.

#ifndef SLUICE_IPC_ARENA_H_
#define SLUICE_IPC_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/chunk_arena.h"
#include "sluice/sync/error.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// Chunks of shared memory: a handle whose -> gives their calls, and the mapping that it keeps.
class Arena {
 public:
  /// What the stamps of its segments call it; another kind is refused with Status::mismatch.
  static constexpr std::string_view kKindName = "arena";
  /// Of the bytes in memory; what was made with another is refused with Status::mismatch.
  static constexpr std::uint32_t kVersion = 1;
  /// The sizes of chunks, in ascending order, and how many there are of each.
  using Classes = std::vector<ArenaClass>;

  /// Without a name: for the threads of this process, for children forked later, and for whoever is
  /// sent fd().
  explicit Arena(const Classes& classes, const SegmentOptions& options = {})
      : Arena(Segment::create_anonymous(kKind, ChunkArena::bytes_for(classes), options,
                                        format(classes))) {}

  /// Under a name that must be free: std::errc::file_exists.
  static Arena create(std::string_view name, const Classes& classes,
                      const SegmentOptions& options = {}) {
    return Arena(
        Segment::create(name, kKind, ChunkArena::bytes_for(classes), options, format(classes)));
  }

  /// What is there: std::errc::no_such_file_or_directory, Status::stale, mismatch, ...
  static Arena open(std::string_view name, const SegmentOptions& options = {}) {
    return Arena(Segment::open(name, kKind, options));
  }

  /// Opens it if it is there, whatever its classes; otherwise makes it; race-free.
  static Arena open_or_create(std::string_view name, const Classes& classes,
                              const SegmentOptions& options = {}) {
    return Arena(Segment::open_or_create(name, kKind, ChunkArena::bytes_for(classes), options,
                                         format(classes)));
  }

  /// From a descriptor that another process obtained with fd() and sent.
  static Arena from_fd(UniqueFd fd, const SegmentOptions& options = {}) {
    return Arena(Segment::from_fd(std::move(fd), kKind, options));
  }

  /// Removes the name, whoever uses the arena; they go on. False if there is none.
  static bool remove(std::string_view name) { return Segment::remove(name); }

  /// As a pointer's: whether the chunks may be changed is not the handle's to say.
  ChunkArena* operator->() const noexcept { return chunks_.get(); }
  /// As operator->(); not through a handle that was moved from.
  ChunkArena& operator*() const noexcept { return *chunks_; }

  /// Whether this call made the arena.
  [[nodiscard]] bool created() const noexcept { return segment_.created(); }
  /// Empty if it has none.
  [[nodiscard]] const std::string& name() const noexcept { return segment_.name(); }
  /// A new descriptor, for another process's from_fd(). Throws Error.
  [[nodiscard]] UniqueFd fd() const { return segment_.fd(); }
  /// The memory that it lies in, with its stamp() and report().
  [[nodiscard]] const Segment& segment() const noexcept { return segment_; }

  /// For people, one line: kind, name, and what a walk over the chunks has found.
  friend std::ostream& operator<<(std::ostream& out, const Arena& arena) {
    out << "arena";
    if (arena.chunks_ == nullptr) return out << ", moved from";
    if (!arena.name().empty()) out << " \"" << arena.name() << '"';
    return out << ": " << arena->report();
  }

 private:
  static constexpr SegmentKind kKind{.name = kKindName, .version = kVersion, .fingerprint = 0};

  static Segment::Format format(const Classes& classes) {
    return [&classes](std::span<std::byte> object) { ChunkArena::format(object, classes); };
  }

  static std::unique_ptr<ChunkArena> attach(const Segment& segment) {
    try {
      return std::make_unique<ChunkArena>(segment.object());
    } catch (const Error& e) {
      ErrorText text = e.text();
      text.tried = "attach to arena \"" + segment.name() + '"';
      throw Error(e.code(), std::move(text));
    }
  }

  explicit Arena(Segment segment) : segment_(std::move(segment)), chunks_(attach(segment_)) {}

  Segment segment_;
  std::unique_ptr<ChunkArena> chunks_;  // where it lies does not change when the handle is moved
};

}  // namespace sluice

#endif  // SLUICE_IPC_ARENA_H_
