// SPDX-License-Identifier: Apache-2.0
//
// What the inspector (ipc/inspect.h) says of kinds beside pipes: each describes one object, whose
// stamp is valid and of the version that this program reads; and what it needs for all kinds.
// Internal.
//
// In memory, threads and processes, if a process dies here: as ipc/inspect.h. Bytes are copied with
// pread(2), and believed in nothing. Cost: an arena of up to two million chunks copies their words.

#ifndef SLUICE_IPC_INSPECT_KINDS_H_
#define SLUICE_IPC_INSPECT_KINDS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/ipc/inspect.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/platform.h"

namespace sluice::internal {

/// Larger objects are not copied: their counters are described, and no more.
inline constexpr std::uint64_t kCopyUpTo = std::uint64_t{16} << 20;

/// Whatever the bytes were.
[[nodiscard]] std::string printable(std::string text);

/// A private copy of the first bytes of an object, aligned as the original.
class ObjectCopy {
 public:
  /// Empty if the file does not hold `size` bytes of object.
  static std::optional<ObjectCopy> read(int fd, std::size_t size);

  [[nodiscard]] std::span<std::byte> bytes() {
    return std::as_writable_bytes(std::span(lines_)).first(size_);
  }

 private:
  struct alignas(kNoSharing) Line {
    std::array<std::byte, kNoSharing> bytes;
  };

  explicit ObjectCopy(std::size_t size)
      : lines_((size + sizeof(Line) - 1) / sizeof(Line)), size_(size) {}

  std::vector<Line> lines_;
  std::size_t size_;
};

/// Adds what is known of owner.tag, if it is of the domain's registry.
void identify(Domain& domain, const ObjectInfo& object, OwnerInfo& owner);

/// Chunks of each size, whose they are, and who has how many.
void describe_arena(Domain& domain, int fd, ObjectInfo& object);

/// Who holds the lock, or died holding it; how much is free.
void describe_boost(Domain& domain, int fd, ObjectInfo& object);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_INSPECT_KINDS_H_
