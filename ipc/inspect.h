// SPDX-License-Identifier: Apache-2.0
//
// Inspect: a read-only look at the objects of a domain, healthy or not, for people and for tools.
// Not for a program's own decisions: what it says of a living object is past when it is printed.
//
//   Domain domain(Domain::current_path(), Domain::Access::look);
//   for (const ObjectInfo& object : list_objects(domain)) std::cout << object << '\n';
//   const ObjectInfo orders = describe_object(domain, "orders");
//   print_details(std::cout, orders);
//   if (!orders.faults.empty()) ...
//
// In memory: nothing is mapped and nothing is written. Bytes are copied to private memory with
// pread(2), so that a peer that truncates the file or goes on writing can't hurt; what they mean is
// in ipc/stamp.h, ipc/pipe_layout.h and lockfree/byte_ring.h, lockfree/arena_layout.h, and
// ipc/boost_layout.h.
//
// Units: bytes, messages; counters say which.
//
// Errors: Error if there is no such object or domain, or it can't be read. Whatever is wrong with
// an object itself is told in ObjectInfo::faults, and the rest of it is described as far as it
// goes: not a file, not a segment, truncated, damaged, of another registry or version, impossible
// counters, messages that no sender wrote, chunks that no process can own, containers whose writer
// died.
//
// Threads and processes: all calls may overlap with anything. The caller does not become a
// participant and takes no lock: whether an object is used, and who lives, is asked of the kernel.
//
// If a process dies here: nobody notices. Dead owners are told apart from those who left.
//
// Cost: some ten system calls per object; describing one of up to 16 MiB copies it.

#ifndef SLUICE_IPC_INSPECT_H_
#define SLUICE_IPC_INSPECT_H_

#include <sys/types.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/participant.h"

namespace sluice {

/// Whether any process has the object attached.
enum class Usage : std::uint8_t {
  in_use,
  unused,   ///< stale, if its lifetime is while_used
  unknown,  ///< not a named object, or the kernel does not say
};

/// One part of an object that belongs to one participant.
struct OwnerInfo {
  std::string role;   ///< "receiver", "sender", "chunks", "lock"
  std::string state;  ///< "vacant", "offered", "open", "closed", "corrupt"; "3, 1 sent"; "held"
  Tag tag = participant::kNobody;
  Liveness liveness = Liveness::unknown;  ///< unknown too if the object is of another registry
  /// What the registry noted when the participant came; 0 and empty if it is forgotten by now.
  pid_t pid = 0;
  std::string process = {};
  bool left = false;  ///< it ended in good order
};

struct CounterInfo {
  std::string name;  ///< "capacity", "messages in", ...
  std::uint64_t value;
  std::string unit;  ///< "bytes", "messages", "chunks"
};

/// One object, in as much detail as was asked for. Texts are printable whatever the bytes were.
struct ObjectInfo {
  std::string name;
  std::uint64_t file_size = 0;
  Usage usage = Usage::unknown;
  std::optional<Stamp> stamp = {};       ///< if there is a valid one
  std::string type = {};                 ///< of the user's type, if it has a name
  std::vector<std::string> faults = {};  ///< what is wrong; empty for a healthy object

  // Of describe_object() alone, and for kinds that this version knows.
  std::vector<OwnerInfo> owners = {};
  std::vector<CounterInfo> counters = {};
  std::vector<std::string> waiting = {};  ///< who may be asleep, and for what

  /// The stamp's, or "?" if there is none.
  [[nodiscard]] std::string kind() const;
  /// Nobody uses it, and its name was to last no longer than that.
  [[nodiscard]] bool is_stale() const;
};

/// All objects of the domain by name, as their stamps describe them.
[[nodiscard]] std::vector<ObjectInfo> list_objects(Domain& domain);

/// All that can be found out about one object. Throws Error if there is none of that name.
[[nodiscard]] ObjectInfo describe_object(Domain& domain, std::string_view name);

/// The same for the object behind a descriptor, which may be anonymous.
[[nodiscard]] ObjectInfo describe_object(Domain& domain, int fd, std::string name);

/// Paths of this user's domains.
[[nodiscard]] std::vector<std::string> list_domains();

/// One line: name, kind, size, lifetime and state, faults.
std::ostream& operator<<(std::ostream& out, const ObjectInfo& object);
std::ostream& operator<<(std::ostream& out, const OwnerInfo& owner);

/// Several lines: everything.
void print_details(std::ostream& out, const ObjectInfo& object);

}  // namespace sluice

#endif  // SLUICE_IPC_INSPECT_H_
