// SPDX-License-Identifier: Apache-2.0
//
// ObjectInfo: what the inspector (ipc/inspect.h) has found out about an object. Plain values: a
// private copy that nothing else refers to.
//
// Units: as said beside each. Errors: none. Threads: as of any value. If a process dies here:
// nothing is shared. Cost: memory only.

#ifndef SLUICE_IPC_OBJECT_INFO_H_
#define SLUICE_IPC_OBJECT_INFO_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sluice/ipc/stamp.h"
#include "sluice/sync/participant.h"

namespace sluice {

/// Whether any process has the object attached.
enum class Usage : std::uint8_t {
  in_use,   ///< by one living process, or more
  unused,   ///< stale, if its lifetime is while_used
  unknown,  ///< not a named object, or the kernel does not say
};

/// One part of an object that belongs to one participant.
struct OwnerInfo {
  std::string role;  ///< "receiver", "sender", "lock", "lock at byte 64", ...
  /// Of an end "vacant", "offered", "open", "closed"; of a lock "free", "held", "held, marked",
  /// "marked" (an owner died), "destroyed"; of any "corrupt".
  std::string state;
  Tag tag = participant::kNobody;         ///< the participant; kNobody if it is nobody's
  Liveness liveness = Liveness::unknown;  ///< unknown too if the object is of another registry
  /// What the registry noted when the participant came; 0 if that is forgotten by now.
  pid_t pid = 0;
  std::string process = {};  ///< the process's short name, noted likewise; empty if forgotten
  bool left = false;         ///< it ended in good order
};

/// One number that the object's bytes tell.
struct CounterInfo {
  std::string name;     ///< "capacity", "messages in", ...
  std::uint64_t value;  ///< when it was looked at
  std::string unit;     ///< "bytes", "messages"
};

/// One object, in as much detail as was asked for. Texts are printable whatever the bytes were.
struct ObjectInfo {
  std::string name;                      ///< as in the domain, or a path; printable whatever it was
  std::uint64_t file_size = 0;           ///< in bytes, the stamp's page among them
  Usage usage = Usage::unknown;          ///< what the kernel says of it
  std::optional<Stamp> stamp = {};       ///< if there is a valid one
  std::string type = {};                 ///< of the user's type, if it has a name
  std::uint64_t registry = 0;            ///< whose tags its owners are
  std::vector<std::string> faults = {};  ///< what is wrong; empty for a healthy object

  // Of describe_object() alone, and for kinds that this version knows.
  std::vector<OwnerInfo> owners = {};      ///< of its ends and its locks: alive, dead, or nobody
  std::vector<CounterInfo> counters = {};  ///< sizes, fill, what has come and gone
  std::vector<std::string> waiting = {};   ///< who may be asleep, and for what

  /// The stamp's, or "?" if there is none.
  [[nodiscard]] std::string kind() const;
  /// Nobody uses it, and its name was to last no longer than that.
  [[nodiscard]] bool is_stale() const;
};

}  // namespace sluice

#endif  // SLUICE_IPC_OBJECT_INFO_H_
