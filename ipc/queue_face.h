// SPDX-License-Identifier: Apache-2.0
//
// QueueFace: what a queue (ipc/queue.h) asks of what keeps its items, other than items: how many
// there are, how many there may be, and the end. Internal; QueueParts and RingParts are two.
//
// Errors, threads, processes, death: as ipc/queue.h says. Cost: a virtual call; some loads.

#ifndef SLUICE_IPC_QUEUE_FACE_H_
#define SLUICE_IPC_QUEUE_FACE_H_

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/sync/status.h"

namespace sluice::internal {

class QueueFace : public QueueCore {
 public:
  using QueueCore::QueueCore;
  QueueFace(const QueueFace&) = delete;
  QueueFace& operator=(const QueueFace&) = delete;

  /// Ends it for everybody; `drop`: with what is in it.
  virtual Status close(bool drop) = 0;
  [[nodiscard]] virtual QueueState state() const noexcept = 0;

  /// In items, and in bytes: 0 to the limits.
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
  [[nodiscard]] virtual std::size_t bytes() const noexcept = 0;
  [[nodiscard]] virtual std::size_t max_items() const noexcept = 0;
  [[nodiscard]] virtual std::size_t max_bytes() const noexcept = 0;
  [[nodiscard]] virtual bool has_room_for(std::size_t size) const noexcept = 0;
  /// What an item of `size` encoded bytes takes.
  [[nodiscard]] virtual std::size_t taken_by(std::size_t size) const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t dropped() const noexcept = 0;

  // Snapshots, for people.

  [[nodiscard]] virtual bool consumers_wait() const noexcept = 0;
  [[nodiscard]] virtual bool producers_wait() const noexcept = 0;

 protected:
  ~QueueFace() = default;
};

/// For people: why an item of `size` bytes finds no room.
std::string explain_refusal(const QueueFace& queue, std::uint64_t size);

/// One line.
std::ostream& describe(std::ostream& out, const QueueFace& queue);

}  // namespace sluice::internal

#endif  // SLUICE_IPC_QUEUE_FACE_H_
