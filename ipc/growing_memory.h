// SPDX-License-Identifier: Apache-2.0
//
// GrowingMemory: the part of a segment that gets its memory as it is needed, and gives it back.
// Internal; for segments made with SegmentOptions::backed.
//
//   GrowingMemory memory(segment, offset, "queue \"orders\"");
//   if (!memory.back(0, 1 << 20)) std::cerr << memory.trouble();
//
// Units: bytes from `offset` of the object on; multiples of the page size are what is given and
// taken. Errors: making one throws Error; back() returns false, and trouble() says what was asked
// and what was left. Threads and processes: as the caller's lock says; trouble() is of the thread.
// If a process dies here: the file has some of the pages more, or fewer, than the caller noted:
// backing them again costs nothing.
// Cost: a descriptor that stays open; back() as ipc/allocate.h, give_back() one fallocate(2).

#ifndef SLUICE_IPC_GROWING_MEMORY_H_
#define SLUICE_IPC_GROWING_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "sluice/ipc/segment.h"
#include "sluice/sync/unique_fd.h"

namespace sluice::internal {

class GrowingMemory {
 public:
  /// What memory is asked for in.
  static constexpr std::uint64_t kStep = std::uint64_t{1} << 20;

  GrowingMemory(const Segment& segment, std::size_t offset, std::string what);

  /// Gives the bytes from `from` to `to` memory. False if there is none: trouble().
  bool back(std::uint64_t from, std::uint64_t to) noexcept;

  /// Gives the memory of those bytes back; they read as zeroes once they are backed again.
  void give_back(std::uint64_t from, std::uint64_t to) noexcept;

  /// Why the calling thread's last back() was refused; empty if it was not.
  [[nodiscard]] static const std::string& trouble() noexcept;

 private:
  UniqueFd fd_;
  std::uint64_t start_;  ///< in the file
  std::string what_;
};

/// Room of the calling thread's for a record that lies in two pieces: valid until the next call.
std::span<std::byte> record_scratch(std::size_t size);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_GROWING_MEMORY_H_
