// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/inspect.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "sluice/ipc/arena.h"
#include "sluice/ipc/boost_layout.h"
#include "sluice/ipc/inspection.h"
#include "sluice/ipc/mapped_file.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/ipc/pool_memory.h"
#include "sluice/ipc/queue_parts.h"
#include "sluice/ipc/segment.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/error.h"
#include "sluice/sync/file_hold.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/unique_fd.h"

namespace sluice {
namespace {

using internal::hex;
using internal::Inspection;
using internal::printable;

constexpr std::string_view kObjectPrefix = "obj-";

/// What this version can describe.
struct KnownKind {
  std::string_view name;
  std::uint32_t version;
  void (*describe)(Inspection& inspection);
};

constexpr std::array kKinds = {
    KnownKind{internal::kPipeKind.name, internal::kPipeKind.version, internal::inspect_pipe},
    KnownKind{internal::kConnectionKind.name, internal::kConnectionKind.version,
              internal::inspect_connection},
    KnownKind{"value", 1, internal::inspect_value},
    KnownKind{"array", 1, internal::inspect_array},
    KnownKind{"raw_array", 1, internal::inspect_array},
    KnownKind{"shareable_list", 1, internal::inspect_list},
    KnownKind{"shared", 1, internal::inspect_shared},
    KnownKind{Arena::kKindName, Arena::kVersion, internal::inspect_arena},
    KnownKind{internal::kBoostKind, internal::kBoostVersion, internal::inspect_boost},
    KnownKind{internal::kQueueKindName, internal::kQueueVersion, internal::inspect_queue},
    KnownKind{internal::PoolMemory::kKindName, internal::PoolMemory::kVersion,
              internal::inspect_pool},
    KnownKind{"lifo_queue", 1, internal::inspect_items},
    KnownKind{"priority_queue", 1, internal::inspect_items},
    KnownKind{"deque", 1, internal::inspect_items},
    KnownKind{"joinable_queue", 1, internal::inspect_items},
};

void describe_kind(Domain& domain, int fd, ObjectInfo& object) {
  if (!object.stamp) return;
  const auto* const known = std::find_if(kKinds.begin(), kKinds.end(), [&](const KnownKind& kind) {
    return kind.name == object.kind();
  });
  if (known == kKinds.end()) return;
  if (object.stamp->kind_version != known->version) {
    object.faults.push_back("layout version " + std::to_string(object.stamp->kind_version) +
                            ", this program reads " + std::to_string(known->version));
    return;
  }
  Inspection inspection(domain, fd, object);
  known->describe(inspection);
}

Usage usage_of(int fd, const struct stat& s) {
  if (s.st_nlink == 0) return Usage::unknown;
  try {
    return internal::FileHold::is_held(fd, Segment::kInUseByte) ? Usage::in_use : Usage::unused;
  } catch (const Error&) {
    return Usage::unknown;
  }
}

/// Whether an object lies in a domain, or in a file of the user's.
enum class Path : std::uint8_t { domains, users };

void describe_stamp(Domain& domain, int fd, Path path, ObjectInfo& object) {
  Stamp stamp = {};
  if (object.file_size < kObjectOffset || !internal::read_at(fd, &stamp, sizeof stamp, 0)) {
    object.faults.push_back(std::to_string(object.file_size) + " bytes, too few for a segment");
    return;
  }
  if (std::string fault = stamp_fault(stamp, object.file_size); !fault.empty()) {
    object.faults.push_back(std::move(fault));
    return;
  }
  object.registry = stamp.incarnation;
  if (path == Path::users) {
    // Made before a reboot, perhaps, and taken over since.
    internal::read_at(fd, &object.registry, sizeof object.registry, MappedFile::kRegistryOffset);
  } else if (stamp.incarnation != domain.incarnation()) {
    object.faults.push_back("made under registry " + hex(stamp.incarnation) + ", this is " +
                            hex(domain.incarnation()));
  }
  object.stamp = stamp;
  object.type = read_type_name(fd);
}

std::string file_type(mode_t mode) {
  return S_ISDIR(mode) ? "a directory" : S_ISLNK(mode) ? "a symbolic link" : "a special file";
}

/// What can be said without knowing the kind.
ObjectInfo look_at(Domain& domain, int fd, Path path, std::string name) {
  ObjectInfo object = {.name = printable(std::move(name))};
  struct stat s = {};
  if (fstat(fd, &s) != 0) throw Error::from_errno(errno, {.tried = "examine " + object.name});
  if (!S_ISREG(s.st_mode)) {
    object.faults.push_back(file_type(s.st_mode) + ", not a file");
    return object;
  }
  object.file_size = static_cast<std::uint64_t>(s.st_size);
  object.usage = usage_of(fd, s);
  describe_stamp(domain, fd, path, object);
  const mode_t allowed = object.stamp ? object.stamp->others_mode() : 0;
  if (s.st_nlink != 0 && (s.st_uid != geteuid() || (s.st_mode & 077 & ~allowed) != 0)) {
    std::ostringstream found;
    found << "owner " << s.st_uid << ", mode 0" << std::oct << (s.st_mode & 07777);
    object.faults.insert(object.faults.begin(), found.str() + ": open to other users");
  }
  return object;
}

/// Neither follows a link nor waits for the other side of a FIFO.
UniqueFd open_object(Domain& domain, const std::string& file) {
  return UniqueFd(openat(domain.directory(), file.c_str(),
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

/// A name behind which there is nothing to open.
ObjectInfo unopened(std::string_view name, int error) {
  ObjectInfo object = {.name = printable(std::string(name))};
  object.faults.push_back(error == ELOOP
                              ? "a symbolic link, not a file"
                              : "can't be opened: " + std::generic_category().message(error));
  return object;
}

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) throw Error(error, {.tried = "list " + path});
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::vector<ObjectInfo> list_objects(Domain& domain) {
  std::vector<ObjectInfo> objects;
  for (const std::string& file : names_in(domain.path())) {
    if (!file.starts_with(kObjectPrefix)) continue;
    const std::string name = file.substr(kObjectPrefix.size());
    const UniqueFd fd = open_object(domain, file);
    const int error = errno;
    if (!fd && error == ENOENT) continue;  // removed since the directory was read
    objects.push_back(fd ? look_at(domain, fd.get(), Path::domains, name) : unopened(name, error));
  }
  return objects;
}

ObjectInfo describe_object(Domain& domain, std::string_view name) {
  if (!is_valid_name(name)) {
    throw Error::from_errno(EINVAL, {.tried = "describe \"" + printable(std::string(name)) + "\"",
                                     .expected = "1 to 200 of A-Z a-z 0-9 _ . -, no dot in front"});
  }
  const UniqueFd fd = open_object(domain, std::string(kObjectPrefix) + std::string(name));
  const int error = errno;
  if (fd) return describe_object(domain, fd.get(), std::string(name));
  if (error != ENOENT) return unopened(name, error);
  throw Error::from_errno(ENOENT, {.tried = "describe \"" + std::string(name) + "\"",
                                   .expected = "an object of that name in " + domain.path()});
}

ObjectInfo describe_object(Domain& domain, int fd, std::string name) {
  ObjectInfo object = look_at(domain, fd, Path::domains, std::move(name));
  describe_kind(domain, fd, object);
  return object;
}

ObjectInfo describe_file(Domain& domain, const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) throw Error::from_errno(errno, {.tried = "describe the file " + printable(path)});
  ObjectInfo object = look_at(domain, fd.get(), Path::users, path);
  describe_kind(domain, fd.get(), object);
  return object;
}

std::vector<std::string> list_domains() {
  const std::filesystem::path own = Domain::path_of("");
  std::vector<std::string> paths;
  for (const std::string& name : names_in(own.parent_path().string())) {
    const std::string first = own.filename().string();
    if (name == first || name.starts_with(first + "-")) {
      paths.push_back((own.parent_path() / name).string());
    }
  }
  return paths;
}

namespace {

std::string state_of(const ObjectInfo& object) {
  if (object.is_stale()) return "stale";
  switch (object.usage) {
    case Usage::in_use:
      return "in use";
    case Usage::unused:
      return "unused";
    case Usage::unknown:
      break;
  }
  return "use unknown";
}

std::string lifetime_of(const ObjectInfo& object) {
  if (!object.stamp) return "?";
  return object.stamp->lifetime() == Lifetime::until_removed ? "until removed" : "while used";
}

std::string made_at(const Stamp& stamp) {
  const std::time_t seconds = stamp.made_at;
  std::tm utc = {};
  if (gmtime_r(&seconds, &utc) == nullptr) return "at no time of this calendar";
  std::ostringstream out;
  out << std::put_time(&utc, "%Y-%m-%d %H:%M:%S UTC");
  return out.str();
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const ObjectInfo& object) {
  std::ostringstream line;  // so that widths and flags of `out` neither matter nor change
  line << std::left << std::setw(24) << object.name << ' ' << std::setw(10) << object.kind() << ' '
       << std::right << std::setw(12) << object.file_size << " bytes  " << std::left
       << std::setw(13) << lifetime_of(object) << "  " << state_of(object);
  for (const std::string& fault : object.faults) line << "  FAULT: " << fault;
  return out << line.str();
}

std::ostream& operator<<(std::ostream& out, const OwnerInfo& owner) {
  std::ostringstream line;
  line << owner.role << ": " << owner.state;
  if (owner.tag != participant::kNobody) {
    line << ", tag " << owner.tag;
    if (owner.pid != 0) line << " (pid " << owner.pid << ", " << owner.process << ")";
    line << ", " << owner.liveness;
    if (owner.liveness == Liveness::dead && owner.left) line << ", ended in good order";
  }
  return out << line.str();
}

void print_details(std::ostream& out, const ObjectInfo& object) {
  std::ostringstream text;
  text << object.kind() << " \"" << object.name << "\": " << state_of(object) << ", lifetime "
       << lifetime_of(object) << ", " << object.file_size << " bytes\n";
  for (const std::string& fault : object.faults) text << "  FAULT: " << fault << '\n';
  if (object.stamp) {
    text << "  stamp: " << *object.stamp << "\n  made: " << made_at(*object.stamp) << ", registry "
         << hex(object.stamp->incarnation) << ", type " << object.type
         << (object.type.empty() ? "" : " ") << hex(object.stamp->fingerprint) << '\n';
  }
  for (const OwnerInfo& owner : object.owners) text << "  " << owner << '\n';
  for (const CounterInfo& c : object.counters) {
    text << "  " << c.name << ": " << c.value << ' ' << c.unit << '\n';
  }
  if (!object.owners.empty() && object.waiting.empty()) text << "  waiting: nobody\n";
  for (const std::string& who : object.waiting) text << "  may be waiting: " << who << '\n';
  out << text.str();
}

}  // namespace sluice
