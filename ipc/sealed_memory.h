// SPDX-License-Identifier: Apache-2.0
//
// SealedMemory: what one side of a sealed connection (ipc/sealed_connection.h) writes and the other
// one reads: its messages, how far it has read the peer's, and whether it sleeps. Internal.
//
//   SealedMemory mine = SealedMemory::make(1 << 16, 1 << 20);      // writable here, for nobody
//   else send_somehow(mine.fd()); SealedMemory theirs = SealedMemory::attach(std::move(fd), limit);
//   // read-only; throws Error
//
// In memory, behind the stamp of ipc/stamp.h (kind "sealed", of no registry), all of it written by
// the side that made it:
//
//   object + 0    longest message u64 that this side takes     set when made
//          128    data wanted u32, space wanted u32            0, or the number of an announcement:
//                                                              whoever sends, or reads, then rings
//                                                              once; bit 0: fence, see below
//          136    state u32: 0 offered, 1 open, 2 closed
//          144    user u64: mark of the process that uses it  for those forked from its maker
//          256    head u64, records u64: of the peer's ring    lockfree/byte_ring.h
//          384    byte ring of what this side sends
//
// It is a memfd that its maker maps and then seals against shrinking, growing, sealing and all
// further writing: whoever gets the descriptor can map it for reading, and can neither change it
// nor take its pages away. Who attaches looks for those seals itself, and that the file is in tmpfs
// and has all its pages, so that no access can fail.
//
// Fence: as in sync/event_count.h, for a side whose kernel refuses membarrier(2).
//
// Errors: Error. If a process dies here: the memory goes with its last user. Cost: set-up only.

#ifndef SLUICE_IPC_SEALED_MEMORY_H_
#define SLUICE_IPC_SEALED_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/ipc/stamp.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/unique_fd.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

inline constexpr SegmentKind kSealedKind = {.name = "sealed", .version = 1, .fingerprint = 0};

enum class SealedState : std::uint32_t {
  offered = 0,  ///< nobody has used this side yet
  open = 1,
  closed = 2,
};

struct SealedControl {
  Word<std::uint64_t> max_message;
  alignas(kNoSharing) Word<std::uint32_t> data_wanted;
  Word<std::uint32_t> space_wanted;
  Word<std::uint32_t> state;
  Word<std::uint64_t> user;
};
static_assert(sizeof(SealedControl) == 2 * kNoSharing && Mappable<SealedControl>);

inline constexpr std::size_t kSealedProgress = sizeof(SealedControl);
inline constexpr std::size_t kSealedRing = kSealedProgress + ByteRing::kProgressBytes;
static_assert(kSealedRing == 384);

class SealedMemory {
 public:
  /// `capacity` of the ring in bytes; `max_message` is written down as it is.
  static SealedMemory make(std::size_t capacity, std::size_t max_message);

  /// Memory that a peer made, of `most` bytes at most. Its contents beyond the stamp are not
  /// examined. Throws Error with Status::mismatch or corrupt.
  static SealedMemory attach(UniqueFd fd, std::size_t most);

  SealedMemory(SealedMemory&& other) noexcept;
  SealedMemory& operator=(SealedMemory&&) = delete;
  ~SealedMemory();

  /// In attached memory these may only be read: anything else is a SIGSEGV.
  [[nodiscard]] SealedControl& control() const noexcept { return *control_; }
  [[nodiscard]] std::span<std::byte> progress() const noexcept {
    return object().subspan(kSealedProgress, ByteRing::kProgressBytes);
  }
  [[nodiscard]] std::span<std::byte> ring() const noexcept { return object().subspan(kSealedRing); }
  [[nodiscard]] std::span<std::byte> object() const noexcept {
    return mapped_.subspan(kObjectOffset);
  }
  /// Of the maker: to be sent, then given up.
  [[nodiscard]] UniqueFd& fd() noexcept { return fd_; }

 private:
  SealedMemory(UniqueFd fd, std::size_t size, int protection);

  UniqueFd fd_;
  std::span<std::byte> mapped_;
  SealedControl* control_ = nullptr;
};

}  // namespace sluice::internal

#endif  // SLUICE_IPC_SEALED_MEMORY_H_
