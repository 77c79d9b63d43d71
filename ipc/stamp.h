// SPDX-License-Identifier: Apache-2.0
//
// Stamp: the first bytes of every segment; they say what it is, so that nobody attaches to
// something else. Written once, before the segment is published, and never changed.
//
//   Stamp stamp = read_stamp(fd, "orders");           // a private copy; throws Error
//   check_stamp(stamp, expected, "orders");           // throws Error: expected ..., found ...
//
// In memory, offset 0 of the segment (bytes; all little-endian):
//
//     0 magic u64          8 byte order u32     12 stamp version u32
//    16 kind char[16]     32 kind version u32   36 flags u32
//    40 fingerprint u64   48 total size u64     56 incarnation u64
//    64 creator tag u32   68 creator pid i32    72 made at, seconds since 1970 i64
//    80 checksum u64 over the 80 bytes before
//   128 the type's name, for people: char[128], zeroes if it has none
//   4096 the object
//
//   flags: bit 0 the lifetime, bits 8 to 13 what others than the owner may do (mode & 077)
//
// Units: bytes. Errors: Error with Status::corrupt (not a stamp, damaged, or the sizes disagree),
// mismatch (another byte order, stamp version, kind, version or type) or foreign_registry; each
// names expected and found.
// Threads and processes: immutable once published. If a process dies here: the segment was not
// published yet, and nobody ever sees it. Cost: set-up only.

#ifndef SLUICE_IPC_STAMP_H_
#define SLUICE_IPC_STAMP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace sluice {

/// Where the object begins: behind the page of the stamp.
inline constexpr std::size_t kObjectOffset = 4096;

/// What a segment must be for the caller.
struct SegmentKind {
  std::string_view name;       ///< "pipe", "value", ...; at most 15 characters
  std::uint32_t version;       ///< of the kind's own layout
  std::uint64_t fingerprint;   ///< of the user's type; 0 if there is none
  std::string_view type = {};  ///< that type's name, for people
};

/// How long a named object's name lasts.
enum class Lifetime : std::uint32_t {
  while_used = 0,     ///< it goes with the last user
  until_removed = 1,  ///< it stays, with its data, for a later user
};

/// A segment's first 88 bytes: who reads one has a private copy, valid or not.
struct Stamp {
  std::uint64_t magic;          ///< "sluice1"; anything else is no segment
  std::uint32_t byte_order;     ///< 0x01020304, as the creator's machine writes it
  std::uint32_t stamp_version;  ///< of these bytes; another one than the reader's is refused
  std::array<char, 16> kind;    ///< the kind's name, and zeroes behind it
  std::uint32_t kind_version;   ///< of the layout of the object behind the stamp
  std::uint32_t flags;          ///< as drawn above: see lifetime() and others_mode()
  std::uint64_t fingerprint;    ///< of the user's type (ipc/fingerprint.h); 0 if there is none
  std::uint64_t total_size;     ///< of the whole file in bytes, the stamp's page among them
  std::uint64_t incarnation;    ///< of the registry that its creator was of; 0 if of none
  std::uint32_t creator_tag;    ///< of the process that made it; 0 without a registry
  std::int32_t creator_pid;     ///< as that process knew its own; for people
  std::int64_t made_at;         ///< in seconds since 1970, by the creator's clock
  std::uint64_t checksum;       ///< FNV-1a over what is before it: against accidents, not malice

  /// The kind's name, as far as it is printable.
  [[nodiscard]] std::string kind_name() const;
  /// What the creator chose for the name; until_removed in a file of the user's.
  [[nodiscard]] Lifetime lifetime() const { return static_cast<Lifetime>(flags & 1); }
  /// The permission bits that the creator gave to others than the owner.
  [[nodiscard]] std::uint32_t others_mode() const { return flags >> 8 & 077; }
};
static_assert(sizeof(Stamp) == 88 && std::is_trivially_copyable_v<Stamp>);

/// A stamp for a new segment of this process with the permissions `mode`, checksum included.
Stamp make_stamp(const SegmentKind& kind, Lifetime lifetime, std::size_t total_size,
                 std::uint32_t mode = 0600);

/// A stamp for memory that belongs to no registry: without incarnation and tag.
Stamp make_stamp_of_no_registry(const SegmentKind& kind, std::size_t total_size);

/// What is wrong with the bytes as a stamp of a segment of `file_size` bytes; empty if nothing.
std::string stamp_fault(const Stamp& stamp, std::uint64_t file_size);

/// Reads and validates the stamp of the file behind `fd`; `object` names it in errors.
Stamp read_stamp(int fd, const std::string& object);

/// Writes the name of the user's type beside the stamp, as much of it as there is room for.
void write_type_name(std::span<std::byte> segment, std::string_view type);

/// Reads it again, as far as it is printable; empty if there is none.
std::string read_type_name(int fd);

/// Checks that a valid stamp is what the caller wants, whatever registry it was made under.
void check_kind(const Stamp& stamp, const SegmentKind& wanted, const std::string& object,
                std::string_view found_type = {});

/// Checks that a valid stamp is what the caller wants, made under this process's registry.
/// `found_type` is what read_type_name() said.
void check_stamp(const Stamp& stamp, const SegmentKind& wanted, const std::string& object,
                 std::string_view found_type = {});

/// For people, one line: kind, version, bytes, who made it, lifetime.
std::ostream& operator<<(std::ostream& out, const Stamp& stamp);

}  // namespace sluice

#endif  // SLUICE_IPC_STAMP_H_
