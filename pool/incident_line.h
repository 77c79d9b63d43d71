// SPDX-License-Identifier: Apache-2.0
//
// IncidentLine: a line of the log, made without memory of the heap and without a lock, for what is
// told in the midst of a call and perhaps in a signal handler (sync/observer.h). Internal.
//
//   IncidentLine line;
//   line.add("owner died: pid ");
//   line.add_number(pid, 10);
//   line.add_mapping_of(address);                        // " in /dev/shm/sluice-0/obj-orders"
//   write(descriptor, line.text().data(), line.text().size());
//
// Units: bytes; nanoseconds of the system clock. Errors: none; what there is no room for is cut.
// Threads: an object is one thread's. If a process dies here: nothing is shared. Cost: a copy;
// add_mapping_of() reads /proc/self/maps.

#ifndef SLUICE_POOL_INCIDENT_LINE_H_
#define SLUICE_POOL_INCIDENT_LINE_H_

#include <limits.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::internal {

class IncidentLine {
 public:
  void add(std::string_view text) noexcept;
  void add_number(std::uint64_t number, int base, std::size_t digits = 1) noexcept;
  /// As to_line() in pool/log_record.h begins a line.
  void add_time(std::int64_t wall_ns) noexcept;
  /// Which file or memfd lies there; nothing if none does.
  void add_mapping_of(const void* address) noexcept;

  /// With its end.
  [[nodiscard]] std::string_view text() noexcept;

 private:
  std::array<char, PIPE_BUF> bytes_ = {};
  std::size_t size_ = 0;
};

}  // namespace sluice::internal

#endif  // SLUICE_POOL_INCIDENT_LINE_H_
