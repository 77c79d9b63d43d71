// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/queue_face.h"

#include <ostream>

#include "sluice/ipc/growing_memory.h"
#include "sluice/ipc/record_queue.h"

namespace sluice::internal {

std::string explain_refusal(const QueueFace& queue, std::uint64_t size) {
  std::string text = "an item of " + std::to_string(size) + " bytes takes " +
                     std::to_string(queue.taken_by(size)) + "; the queue has " +
                     std::to_string(queue.bytes()) + " of " + std::to_string(queue.max_bytes()) +
                     " bytes in use, by " + std::to_string(queue.size()) + " of " +
                     std::to_string(queue.max_items()) + " items";
  if (!GrowingMemory::trouble().empty()) text += "; " + GrowingMemory::trouble();
  return text;
}

std::ostream& describe(std::ostream& out, const QueueFace& queue) {
  out << "Queue";
  if (!queue.segment().name().empty()) out << " \"" << queue.segment().name() << '"';
  out << ": " << queue.size();
  if (queue.max_items() != RecordQueue::kMostItems) out << " of " << queue.max_items();
  out << " items, " << queue.bytes() << " of " << queue.max_bytes() << " bytes, "
      << (queue.state() == QueueState::open ? "open" : "closed");
  if (queue.dropped() != 0) out << ", " << queue.dropped() << " dropped";
  if (queue.consumers_wait()) out << ", consumers wait";
  if (queue.producers_wait()) out << ", producers wait";
  return out;
}

}  // namespace sluice::internal
