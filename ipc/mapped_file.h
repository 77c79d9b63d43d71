// SPDX-License-Identifier: Apache-2.0
//
// MappedFile: as Segment, but a file of the user's, at a path of its own, whose bytes outlast all
// processes and the next reboot. The ground of Array<T>::map_file; users need it only for kinds of
// their own. Not for what only living processes share: that is faster and safer in memory.
//
//   MappedFile file = MappedFile::open_or_create("/var/lib/acme/levels", kKind, bytes, {}, format,
//                                                adopt);
//   file.flush();                                   // is on the device
//
// In memory: the stamp and the object as in a segment (ipc/stamp.h), and on the stamp's page
//
//   256 u64   the incarnation of the registry whose tags the object's owner words hold. Written by
//             the creator, and by whoever attaches first, and alone, under another registry; read
//             and written only by who holds the lock on byte kTurnByte.
//
// The file is made in full, is on the device, and is then named (sync/new_file.h): nobody ever sees
// half of one, also after a power cut. Every user keeps a read lock on byte kInUseByte. Tags mean
// something only under the registry that gave them out (sync/domain.h): who comes first under
// another one, as everybody does after a reboot, calls `adopt`, which treats every owner in the
// object as dead. While processes of another registry use the file it is refused.
//
// Units: bytes. Errors: every call throws Error naming the path: std::errc::file_exists is never
// among them; no_such_file_or_directory, permission_denied (also for a file that may only be read),
// operation_not_permitted (of another user, or one into which others may write),
// read_only_file_system, no_space_on_device, file_too_large; Statuses mismatch, corrupt,
// foreign_registry, busy. Threads: calls on different objects may overlap. Processes: all calls may
// overlap.
//
// Whoever truncates a file in use kills its users by SIGBUS: it is their own user's file. What a
// power cut leaves of bytes that were not flushed is a mixture of pages, old and new; a lock whose
// page was old by then says nothing of its last owner.
//
// If a process dies here: during creation nothing is left (where the file system has no nameless
// files, one called `<file>.new-...`, which the next creation of that file removes); while it
// adopts, the next one adopts again, since the registry's number is written last.
//
// Cost: set-up only. Making one waits for the device, twice.

#ifndef SLUICE_IPC_MAPPED_FILE_H_
#define SLUICE_IPC_MAPPED_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/ipc/segment.h"
#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/file_hold.h"

namespace sluice {

/// This process's mapping of a file, and its part in keeping that in use.
class MappedFile {
 public:
  /// Read-locked by every process that uses the file.
  static constexpr off_t kInUseByte = Segment::kInUseByte;
  /// Write-locked by who attaches, for that moment: one at a time.
  static constexpr off_t kTurnByte = kInUseByte + 1;
  /// Where the number of the owners' registry lies, in bytes.
  static constexpr std::size_t kRegistryOffset = 256;

  /// Fills in a new object; the bytes it gets are zero.
  using Format = Segment::Format;
  /// Marks every owner in an object as dead. Nobody else uses it meanwhile; it may be called again
  /// on what an earlier call, that was killed, has left. The bytes are untrusted.
  using Adopt = std::function<void(std::span<std::byte>)>;

  /// What is in that file; std::errc::no_such_file_or_directory if there is none. Who comes first
  /// under another registry calls `adopt`.
  static MappedFile open(const std::string& path, const SegmentKind& kind,
                         const SegmentOptions& options, const Adopt& adopt);

  /// Opens it if it is there, otherwise makes it; race-free. created() tells which.
  static MappedFile open_or_create(const std::string& path, const SegmentKind& kind,
                                   std::size_t bytes, const SegmentOptions& options,
                                   const Format& format, const Adopt& adopt);

  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  /// Unmaps it; the file stays, with what was written. Does not wait for the device.
  ~MappedFile() { leave(); }

  /// The object's bytes, without the stamp.
  [[nodiscard]] std::span<std::byte> object() const noexcept {
    return mapped_.subspan(kObjectOffset);
  }
  /// A private copy, as its creator wrote it: its registry may be gone since.
  [[nodiscard]] const Stamp& stamp() const noexcept { return stamp_; }
  /// Whether this call made the file; false if it was there already.
  [[nodiscard]] bool created() const noexcept { return created_; }
  /// As the caller gave it; empty if it was moved from.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// What became of the wishes in the options.
  [[nodiscard]] const SegmentReport& report() const noexcept { return report_; }

  /// Returns when all that was written before is on the device. Throws Error.
  void flush() const;

 private:
  MappedFile() = default;

  static std::optional<MappedFile> try_open(const std::string& path, const SegmentKind& kind,
                                            const SegmentOptions& options, const Adopt& adopt);
  static std::optional<MappedFile> try_create(const std::string& path, const SegmentKind& kind,
                                              std::size_t size, const SegmentOptions& options,
                                              const Format& format);
  void make(int fd, const SegmentKind& kind, const SegmentOptions& options, const Format& format,
            std::size_t size);
  void take_over(int fd, const std::string& what, const Adopt& adopt);
  void leave() noexcept;

  std::span<std::byte> mapped_;
  Stamp stamp_ = {};
  SegmentReport report_;
  std::string path_;
  std::optional<internal::FileHold> in_use_;
  bool created_ = false;
};

}  // namespace sluice

#endif  // SLUICE_IPC_MAPPED_FILE_H_
