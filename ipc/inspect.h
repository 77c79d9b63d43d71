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
//   describe_file(domain, "/var/lib/acme/levels");      // an array in a file
//
// In memory: nothing is mapped and nothing is written. Bytes are copied to private memory with
// pread(2), so that a peer that truncates the file or goes on writing can't hurt; what they mean is
// in ipc/stamp.h and in the headers of the kinds.
//
// Kinds: pipe, connection, value, array, raw_array, shareable_list, queue, lifo_queue,
// priority_queue, deque, joinable_queue, pool, arena, boost, shared. Of a Shared<T> the stamp tells
// the name of T, not what is in it: where T is a lock or a signal of sync/, that is described; of
// any other T the locks in it that are held, or whose owner died, are found by the registry's
// number that lies beside each. Others are described by their stamps.
//
// Units: bytes, messages; counters say which.
//
// Errors: Error if there is no such object or domain, or it can't be read. Whatever is wrong with
// an object itself is told in ObjectInfo::faults, and the rest of it is described as far as it
// goes: not a file, not a segment, truncated, damaged, of another registry or version, impossible
// counters, messages that no sender wrote.
//
// Threads and processes: all calls may overlap with anything. The caller does not become a
// participant and takes no lock: whether an object is used, and who lives, is asked of the kernel.
//
// If a process dies here: nobody notices. Dead owners are told apart from those who left.
//
// Cost: some ten system calls per object; describing one of up to 16 MiB copies it.

#ifndef SLUICE_IPC_INSPECT_H_
#define SLUICE_IPC_INSPECT_H_

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/ipc/object_info.h"
#include "sluice/sync/domain.h"

namespace sluice {

/// All objects of the domain by name, as their stamps describe them.
[[nodiscard]] std::vector<ObjectInfo> list_objects(Domain& domain);

/// All that can be found out about one object. Throws Error if there is none of that name.
[[nodiscard]] ObjectInfo describe_object(Domain& domain, std::string_view name);

/// The same for the object behind a descriptor, which may be anonymous.
[[nodiscard]] ObjectInfo describe_object(Domain& domain, int fd, std::string name);

/// The same for an object in a file of the user's own (ipc/mapped_file.h). Throws Error if it can't
/// be opened.
[[nodiscard]] ObjectInfo describe_file(Domain& domain, const std::string& path);

/// Paths of this user's domains.
[[nodiscard]] std::vector<std::string> list_domains();

/// One line: name, kind, size, lifetime and state, faults.
std::ostream& operator<<(std::ostream& out, const ObjectInfo& object);
/// One line: role, state, and of whom that is known.
std::ostream& operator<<(std::ostream& out, const OwnerInfo& owner);

/// Several lines: everything.
void print_details(std::ostream& out, const ObjectInfo& object);

}  // namespace sluice

#endif  // SLUICE_IPC_INSPECT_H_
