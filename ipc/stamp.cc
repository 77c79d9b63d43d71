// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/stamp.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ostream>
#include <span>
#include <sstream>

#include "sluice/ipc/fingerprint.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/error.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"

namespace sluice {
namespace {

constexpr std::uint64_t kMagic = 0x31'65'63'69'75'6c'73;  // "sluice1"
constexpr std::uint32_t kByteOrder = 0x01020304;
constexpr std::uint32_t kStampVersion = 1;
constexpr std::size_t kTypeNameOffset = 128;
using TypeName = std::array<char, 128>;

std::uint64_t checksum_of(const Stamp& stamp) {
  const auto bytes = std::as_bytes(std::span(&stamp, 1));
  return Fnv1a().add(bytes.first(offsetof(Stamp, checksum))).value();
}

std::string hex(std::uint64_t number) {
  std::ostringstream out;
  out << "0x" << std::hex << number;
  return out.str();
}

std::string versioned(std::string_view kind, std::uint32_t version, std::string_view type,
                      std::uint64_t fingerprint) {
  std::string text = "kind " + std::string(kind) + ", version " + std::to_string(version);
  if (type.empty()) return text + ", type " + hex(fingerprint);
  return text + ", type " + std::string(type) + " (" + hex(fingerprint) + ")";
}

/// Of a file that was written on a machine with the other byte order, all numbers are reversed.
bool is_reversed(const Stamp& stamp) { return stamp.magic == __builtin_bswap64(kMagic); }

/// Whole perhaps, but not for this program: of another version or another machine.
bool is_foreign_format(const Stamp& stamp) {
  return is_reversed(stamp) || (stamp.magic == kMagic && (stamp.byte_order != kByteOrder ||
                                                          stamp.stamp_version != kStampVersion));
}

std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return std::isprint(c) == 0; }, '?');
  return text;
}

}  // namespace

std::string Stamp::kind_name() const {
  return printable({kind.data(), strnlen(kind.data(), kind.size())});
}

Stamp make_stamp_of_no_registry(const SegmentKind& kind, std::size_t total_size) {
  Stamp stamp = {};
  stamp.magic = kMagic;
  stamp.byte_order = kByteOrder;
  stamp.stamp_version = kStampVersion;
  kind.name.copy(stamp.kind.data(), stamp.kind.size() - 1);
  stamp.kind_version = kind.version;
  stamp.fingerprint = kind.fingerprint;
  stamp.total_size = total_size;
  stamp.creator_pid = getpid();
  stamp.made_at = std::chrono::duration_cast<std::chrono::seconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
  stamp.checksum = checksum_of(stamp);
  return stamp;
}

Stamp make_stamp(const SegmentKind& kind, Lifetime lifetime, std::size_t total_size,
                 std::uint32_t mode) {
  Stamp stamp = make_stamp_of_no_registry(kind, total_size);
  stamp.flags = static_cast<std::uint32_t>(lifetime) | (mode & 077) << 8;
  stamp.creator_tag = participant::self();
  stamp.incarnation = Domain::current().incarnation();
  stamp.checksum = checksum_of(stamp);
  return stamp;
}

std::string stamp_fault(const Stamp& stamp, std::uint64_t file_size) {
  if (is_reversed(stamp)) return "byte order " + hex(stamp.byte_order) + " all through";
  if (stamp.magic != kMagic) return "magic number " + hex(stamp.magic) + ": not a sluice segment";
  if (stamp.byte_order != kByteOrder) return "byte order " + hex(stamp.byte_order);
  if (stamp.stamp_version != kStampVersion) {
    return "stamp version " + std::to_string(stamp.stamp_version) + " instead of " +
           std::to_string(kStampVersion);
  }
  if (stamp.checksum != checksum_of(stamp)) return "a checksum that does not fit";
  if (stamp.total_size != file_size || file_size < kObjectOffset) {
    return "a size of " + std::to_string(stamp.total_size) + " bytes in a file of " +
           std::to_string(file_size);
  }
  return "";
}

Stamp read_stamp(int fd, const std::string& object) {
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + object});
  const auto size = static_cast<std::uint64_t>(s.st_size);
  Stamp stamp = {};
  if (size < kObjectOffset || !internal::read_at(fd, &stamp, sizeof stamp, 0)) {
    throw Error(Status::corrupt,
                {.tried = "attach to " + object,
                 .expected = "at least " + std::to_string(kObjectOffset) + " bytes",
                 .found = std::to_string(size) + " bytes",
                 .hint = "it is no sluice segment, or was truncated; remove it"});
  }
  if (std::string fault = stamp_fault(stamp, size); !fault.empty()) {
    if (is_foreign_format(stamp)) {
      throw Error(Status::mismatch,
                  {.tried = "attach to " + object,
                   .expected = "byte order " + hex(kByteOrder) + ", stamp version " +
                               std::to_string(kStampVersion),
                   .found = std::move(fault),
                   .hint = "use it on a machine and with a version of sluice like those that made "
                           "it, or remove it"});
    }
    throw Error(Status::corrupt, {.tried = "attach to " + object,
                                  .expected = "a whole sluice segment",
                                  .found = std::move(fault),
                                  .hint = "remove it if nobody uses it"});
  }
  return stamp;
}

void write_type_name(std::span<std::byte> segment, std::string_view type) {
  TypeName name = {};
  type.copy(name.data(), name.size() - 1);
  std::memcpy(segment.subspan(kTypeNameOffset).data(), name.data(), name.size());
}

std::string read_type_name(int fd) {
  TypeName name = {};
  if (!internal::read_at(fd, name.data(), name.size(), kTypeNameOffset)) return "";
  return printable({name.data(), strnlen(name.data(), name.size())});
}

void check_kind(const Stamp& stamp, const SegmentKind& wanted, const std::string& object,
                std::string_view found_type) {
  if (stamp.kind_name() != wanted.name || stamp.kind_version != wanted.version ||
      stamp.fingerprint != wanted.fingerprint) {
    throw Error(
        Status::mismatch,
        {.tried = "attach to " + object,
         .expected = versioned(wanted.name, wanted.version, wanted.type, wanted.fingerprint),
         .found = versioned(stamp.kind_name(), stamp.kind_version, found_type, stamp.fingerprint),
         .hint = "use the type and the version of sluice that it was made with"});
  }
}

void check_stamp(const Stamp& stamp, const SegmentKind& wanted, const std::string& object,
                 std::string_view found_type) {
  check_kind(stamp, wanted, object, found_type);
  Domain& domain = Domain::current();
  if (stamp.incarnation != domain.incarnation()) {
    throw Error(Status::foreign_registry,
                {.tried = "attach to " + object,
                 .expected = "registry " + hex(domain.incarnation()) + " of " + domain.path(),
                 .found = "registry " + hex(stamp.incarnation),
                 .hint = "both processes must use one domain (SLUICE_DOMAIN)"});
  }
}

std::ostream& operator<<(std::ostream& out, const Stamp& stamp) {
  return out << stamp.kind_name() << " version " << stamp.kind_version << ", " << stamp.total_size
             << " bytes, made by tag " << stamp.creator_tag << " (pid " << stamp.creator_pid << ")"
             << (stamp.lifetime() == Lifetime::until_removed ? ", until removed" : ", while used");
}

}  // namespace sluice
