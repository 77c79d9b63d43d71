// SPDX-License-Identifier: Apache-2.0
//
// SegmentOptions: what is wished of a segment's memory; SegmentReport: what was granted. For those
// who know that the defaults are not enough.
//
//   auto bank = Shared<Bank>::create("bank", {.lifetime = Lifetime::until_removed, .lock = true});
//   if (!bank.segment().report().locked) std::cerr << bank.segment().report() << '\n';
//
// Wishes that a kernel may refuse (populate, huge_pages, lock, numa_node) never fail a call: the
// report says what became of them, and why. They concern the caller's own mapping, so they may be
// given to create, open and from_fd alike; lifetime and mode are the creator's. By default only the
// creator's pages are mapped at once: attaching shall be quick, and its first touch of a page costs
// a fault of up to a microsecond (Populate::yes takes them all when attaching).
//
// Units: bytes; permission bits as chmod(2) has them. Errors: std::errc::invalid_argument for a
// mode that is none. Threads, processes, death: plain values. Cost: with the defaults one
// madvise(2) per segment, two for its creator; huge_pages reads /proc/self/smaps.

#ifndef SLUICE_IPC_SEGMENT_OPTIONS_H_
#define SLUICE_IPC_SEGMENT_OPTIONS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/ipc/stamp.h"

namespace sluice {

/// Whether all pages are mapped at once, so that no first access costs a page fault.
enum class Populate : std::uint8_t {
  automatic,  ///< by who makes it, up to 64 MiB; who opens it touches what it needs
  yes,        ///< all of them, also by who opens it
  no,         ///< none: the first touch of each page costs a fault
};

/// What is wished of a segment's memory, and of its name.
struct SegmentOptions {
  Lifetime lifetime = Lifetime::while_used;  ///< of the name; the creator's choice
  /// Of the file. 0600 and what others than the owner may do with a descriptor that is sent to
  /// them; the domain's directory lets nobody else in. Read and write bits alone.
  mode_t mode = 0600;
  Populate populate = Populate::automatic;  ///< which pages are mapped at once
  /// Transparent huge pages, where the kernel has them for shared memory.
  bool huge_pages = false;
  /// Kept in memory (mlock(2)), which children of a fork do not inherit.
  bool lock = false;
  /// How many bytes of the object get memory when it is made; all, unless its kind gives the rest
  /// memory as it grows. Not less for who opens it.
  std::optional<std::size_t> backed = {};
  /// The NUMA node on which the pages shall lie, if it has room.
  std::optional<int> numa_node = {};
};

/// What became of the wishes of one call.
struct SegmentReport {
  bool populated = false;             ///< all pages were mapped at once
  bool locked = false;                ///< mlock(2) was granted, for all of it
  std::size_t huge_bytes = 0;         ///< as /proc/self/smaps tells it; 0 if nobody asked
  std::optional<int> numa_node = {};  ///< where its first and its last page lie, if that was asked
  std::vector<std::string> shortfalls = {};  ///< one text for each wish that was not granted
};

/// One line.
std::ostream& operator<<(std::ostream& out, const SegmentReport& report);

namespace internal {

enum class MappedBy : std::uint8_t { creator, opener };

/// Maps the first `size` bytes of the file as the options wish. Throws Error if it can't be mapped.
std::span<std::byte> map_segment(int fd, std::size_t size, MappedBy who,
                                 const SegmentOptions& options, SegmentReport& report);

}  // namespace internal
}  // namespace sluice

#endif  // SLUICE_IPC_SEGMENT_OPTIONS_H_
