// SPDX-License-Identifier: Apache-2.0
//
// Inspection: one object while ipc/inspect.h looks at it, and the looks at each kind. Internal.
//
// Everything is read into private copies, which are checked there: whatever the bytes, the looks
// end with faults in the ObjectInfo. Errors: Error where the file can't be read. Threads and
// processes: as ipc/inspect.h. If a process dies here: nobody notices. Cost: as ipc/inspect.h.

#ifndef SLUICE_IPC_INSPECTION_H_
#define SLUICE_IPC_INSPECTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/ipc/object_info.h"
#include "sluice/ipc/producer_seats.h"
#include "sluice/sync/domain.h"
#include "sluice/sync/lock_report.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"

namespace sluice::internal {

/// What can't be printed becomes '?'.
std::string printable(std::string text);
std::string hex(std::uint64_t number);

/// A private copy of the first bytes of an object, aligned as the original.
class ObjectCopy {
 public:
  explicit ObjectCopy(std::size_t size)
      : lines_((size + sizeof(Line) - 1) / sizeof(Line)), size_(size) {}

  [[nodiscard]] std::span<std::byte> bytes() {
    return std::as_writable_bytes(std::span(lines_)).first(size_);
  }

 private:
  struct alignas(kNoSharing) Line {
    std::array<std::byte, kNoSharing> bytes;
  };

  std::vector<Line> lines_;
  std::size_t size_;
};

class Inspection {
 public:
  /// Larger objects are not copied: what lies behind their first bytes is not looked at.
  static constexpr std::uint64_t kCopyUpTo = std::uint64_t{16} << 20;

  Inspection(Domain& domain, int fd, ObjectInfo& object)
      : domain_(domain), fd_(fd), object_(object) {}

  [[nodiscard]] ObjectInfo& object() { return object_; }
  /// Bytes that the object has.
  [[nodiscard]] std::uint64_t room() const;
  /// The object's first bytes, now; nothing if it does not have so many.
  [[nodiscard]] std::optional<ObjectCopy> copy(std::size_t size) const;

  void fault(std::string what) { object_.faults.push_back(std::move(what)); }
  void counter(std::string name, std::uint64_t value, std::string unit) {
    object_.counters.push_back({std::move(name), value, std::move(unit)});
  }
  void waiting(std::string who) { object_.waiting.push_back(std::move(who)); }
  /// Finds out about the participant `tag`, of the object's registry.
  void owner(std::string role, std::string state, Tag tag);
  /// False also where that can't be known: tags of another registry mean other processes.
  [[nodiscard]] bool is_dead(Tag tag) const;
  /// Of a lock whose tags are those of the registry `incarnation`, or of any if that is zero.
  void lock(const std::string& role, const LockReport& report, std::uint32_t incarnation);

  /// The half of the registry's number that lies beside a lock.
  [[nodiscard]] std::uint32_t incarnation() const {
    return static_cast<std::uint32_t>(object_.registry);
  }

 private:
  Domain& domain_;
  int fd_;
  ObjectInfo& object_;
};

void inspect_pipe(Inspection& inspection);
void inspect_connection(Inspection& inspection);
void inspect_value(Inspection& inspection);
void inspect_array(Inspection& inspection);
void inspect_list(Inspection& inspection);
void inspect_shared(Inspection& inspection);
void inspect_arena(Inspection& inspection);
void inspect_boost(Inspection& inspection);
void inspect_queue(Inspection& inspection);
void inspect_ring(Inspection& inspection);
void inspect_items(Inspection& inspection);
void inspect_pool(Inspection& inspection);

/// Of a private copy: who has come to a queue to push.
void describe_producers(Inspection& inspection, const ProducerSeats& seats);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_INSPECTION_H_
