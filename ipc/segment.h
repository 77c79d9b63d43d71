// SPDX-License-Identifier: Apache-2.0
//
// Segment: a piece of memory that several processes see, made, found and validated. The ground of
// every type in ipc/; users need it only for kinds of their own.
//
//   Segment s = Segment::create("orders", kKind, bytes, Lifetime::while_used,
//                               [&](std::span<std::byte> object) { Ring::format(object, 64); });
//   Segment t = Segment::open("orders", kKind);           // in another process
//
// In memory: the stamp (stamp.h) on the first page, the object from kObjectOffset on, page-aligned.
//
// Anonymous segments are memfds, sealed against growing, shrinking and further sealing; threads and
// forked children share the mapping, other processes get it through a descriptor. Named segments
// are files `obj-<name>` in the domain (sync/domain.h), mode 0600 unless the options say otherwise.
// They are made in full, then named (sync/new_file.h): nobody ever sees half of one. Where
// memfd_create(2) is refused, an anonymous segment is a file without a name in the domain. "In use"
// is a read lock on byte kInUseByte, kept by a mapping (sync/file_hold.h) and inherited by forked
// children.
//
// Lifetime::while_used: the last user to leave in good order removes the name; a name whose users
// were all killed is stale: open() says so and removes it, create() replaces it, remove_stale()
// removes all of them. Lifetime::until_removed: the name and its data stay until remove(); neither
// create() nor open_or_create() ever replaces them.
//
// Units: bytes. Errors: every call throws Error naming the object; std::errc::file_exists,
// no_such_file_or_directory, no_space_on_device, not_enough_memory (of the cgroup), file_too_large,
// too_many_files_open, permission_denied, and the Statuses stale, mismatch,
// corrupt, foreign_registry, registry_lost, busy are its codes; names where there is no domain
// directory are std::errc::operation_not_supported. A failed creation leaves nothing behind.
// Threads: calls on different objects may overlap. Processes: all calls may overlap.
//
// If a process dies here: during creation nothing is left (the file had no name; where the kernel
// refuses such files, one called `new-<tag>-...` that the next such creation removes); while
// attached the kernel ends its lock; during removal the name is there or is not.
//
// Cost: set-up only. The memory is allocated and zeroed when made, so no later access can fail for
// want of it; excluded from core dumps.

#ifndef SLUICE_IPC_SEGMENT_H_
#define SLUICE_IPC_SEGMENT_H_

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/new_file.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {

/// This process's mapping of a segment, and its part in keeping that in use.
class Segment {
 public:
  /// Read-locked by every process that uses a named segment. Far above any file's size.
  static constexpr off_t kInUseByte = off_t{1} << 40;

  /// Fills in a new object; the bytes it gets are zero.
  using Format = std::function<void(std::span<std::byte>)>;

  /// Without a name. The options' lifetime means nothing here: it goes with its last user.
  static Segment create_anonymous(const SegmentKind& kind, std::size_t bytes,
                                  const SegmentOptions& options, const Format& format);
  /// The same, with the default options.
  static Segment create_anonymous(const SegmentKind& kind, std::size_t bytes,
                                  const Format& format) {
    return create_anonymous(kind, bytes, SegmentOptions{}, format);
  }

  /// Under `name`, which must be free: std::errc::file_exists if it is in use, or until_removed.
  static Segment create(std::string_view name, const SegmentKind& kind, std::size_t bytes,
                        const SegmentOptions& options, const Format& format);
  /// The same, with the default options but for the lifetime.
  static Segment create(std::string_view name, const SegmentKind& kind, std::size_t bytes,
                        Lifetime lifetime, const Format& format) {
    return create(name, kind, bytes, SegmentOptions{.lifetime = lifetime}, format);
  }

  /// What is there under `name`.
  static Segment open(std::string_view name, const SegmentKind& kind,
                      const SegmentOptions& options = {});

  /// Either; race-free. created() tells which.
  static Segment open_or_create(std::string_view name, const SegmentKind& kind, std::size_t bytes,
                                const SegmentOptions& options, const Format& format);
  /// The same, with the default options but for the lifetime.
  static Segment open_or_create(std::string_view name, const SegmentKind& kind, std::size_t bytes,
                                Lifetime lifetime, const Format& format) {
    return open_or_create(name, kind, bytes, SegmentOptions{.lifetime = lifetime}, format);
  }

  /// From a descriptor that another process sent, or that was inherited across exec.
  static Segment from_fd(UniqueFd fd, const SegmentKind& kind, const SegmentOptions& options = {});

  /// Removes the name, whoever uses it; they go on. False if there is none.
  static bool remove(std::string_view name);

  Segment(Segment&& other) noexcept { *this = std::move(other); }
  Segment& operator=(Segment&& other) noexcept;
  /// Unmaps it. The last user removes a name that was to last while_used.
  ~Segment() { leave(); }

  /// The object's bytes, without the stamp.
  [[nodiscard]] std::span<std::byte> object() const noexcept {
    return mapped_.subspan(kObjectOffset);
  }
  /// A private copy, checked when it was attached.
  [[nodiscard]] const Stamp& stamp() const noexcept { return stamp_; }
  /// Whether this call made the segment; false if it was there already.
  [[nodiscard]] bool created() const noexcept { return created_; }
  /// What became of the wishes in the options.
  [[nodiscard]] const SegmentReport& report() const noexcept { return report_; }

  /// Empty for an anonymous segment.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// A new descriptor of the segment, for another process.
  [[nodiscard]] UniqueFd fd() const;

  /// Whether a description other than this process's probing one holds `byte`; true if that can't
  /// be known. For anonymous segments.
  [[nodiscard]] bool is_byte_held(off_t byte) const noexcept;

 private:
  Segment() = default;

  static std::optional<Segment> try_create(std::string_view name, const SegmentKind& kind,
                                           std::size_t size, const SegmentOptions& options,
                                           const Format& format, internal::NewFile& file);
  static std::optional<Segment> try_open(std::string_view name, const SegmentKind& kind,
                                         const SegmentOptions& options);
  void make(int fd, const std::string& what, const SegmentKind& kind, std::size_t size,
            const SegmentOptions& options, const Format& format);
  void attach_to(int fd, const Stamp& stamp, const SegmentOptions& options);
  void remember(int fd);
  [[nodiscard]] bool is_ours(int fd) const noexcept;
  void leave() noexcept;

  std::span<std::byte> mapped_;
  Stamp stamp_ = {};
  SegmentReport report_;
  std::string name_;
  UniqueFd fd_;  // anonymous segments only: their one way to other processes
  std::optional<internal::FileHold> in_use_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool created_ = false;
};

/// Removes all names of this domain whose objects were to last as long as they are used and have no
/// user any more, and returns them. Also what creators left that were killed. Not needed by anybody
/// who creates and opens: for those who come back to memory used up by others.
std::vector<std::string> remove_stale();

}  // namespace sluice

#endif  // SLUICE_IPC_SEGMENT_H_
