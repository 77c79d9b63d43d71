// SPDX-License-Identifier: Apache-2.0

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/ipc/inspection.h"
#include "sluice/ipc/producer_seats.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/record_queue.h"
#include "sluice/sync/env.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

using Control = RecordControl<RealLockEnv>;

/// How often the words of a busy queue are read until they fit each other.
constexpr int kMostReads = 3;
constexpr std::size_t kHead = kQueueHeaderBytes + kRecordStorageOffset;

/// A private copy of a queue's words.
struct QueueWords {
  const QueueHeader* header;
  const Control* control;
};

template <class T>
T get(const Word<T>& word) {
  return RealEnv::load(word, std::memory_order_relaxed);  // relaxed: of a private copy
}

/// What no correct process could have written; empty if there is nothing.
std::string fault_of(const QueueWords& words, std::uint64_t room) {
  const Control& control = *words.control;
  const std::uint64_t storage = get(control.storage);
  if (!std::has_single_bit(storage) || storage > room || get(control.max_bytes) > storage ||
      get(control.max_items) == 0 || get(control.max_items) > RecordQueue::kMostItems) {
    return "a storage of " + std::to_string(storage) + " bytes for " +
           std::to_string(get(control.max_bytes)) + " in " + std::to_string(room);
  }
  if (get(control.state) > static_cast<std::uint32_t>(QueueState::dropped) ||
      get(words.header->overflow) > static_cast<std::uint32_t>(Overflow::drop_newest)) {
    return "state " + std::to_string(get(control.state)) + ", overflow policy " +
           std::to_string(get(words.header->overflow));
  }
  const RecordMark head = RecordMark::unpack(get(control.pop.head));
  const RecordMark tail = RecordMark::unpack(get(control.push.tail));
  const auto used = bytes_between(head, tail, storage);
  if (!used || *used > get(control.max_bytes) ||
      records_between(head, tail) > get(control.max_items)) {
    return "impossible positions: " + std::to_string(records_between(head, tail)) + " items from " +
           std::to_string(head.offset) + " to " + std::to_string(tail.offset) + " in a window of " +
           std::to_string(tail.window);
  }
  return "";
}

void describe_counters(Inspection& inspection, const QueueWords& words) {
  const Control& control = *words.control;
  const RecordMark head = RecordMark::unpack(get(control.pop.head));
  const RecordMark tail = RecordMark::unpack(get(control.push.tail));
  const bool dropped = get(control.state) == static_cast<std::uint32_t>(QueueState::dropped);
  const std::uint64_t bytes = bytes_between(head, tail, get(control.storage)).value_or(0);
  inspection.counter("items", dropped ? 0 : records_between(head, tail), "items");
  inspection.counter("bytes", dropped ? 0 : bytes, "bytes");
  inspection.counter("most items", get(control.max_items), "items");
  inspection.counter("most bytes", get(control.max_bytes), "bytes");
  inspection.counter("window", tail.window, "bytes");
  inspection.counter("dropped", get(control.dropped), "items");
  inspection.counter("closed", get(control.state) == 0 ? 0U : 1U, "yes or no");
  if (control.pushed.maybe_waiting()) inspection.waiting("consumers, for an item");
  if (control.popped.maybe_waiting()) inspection.waiting("producers, for room");
}

}  // namespace

void describe_producers(Inspection& inspection, const ProducerSeats& seats) {
  std::array<std::uint64_t, 2> counts = {};
  for (std::size_t i = 0; i < ProducerSeats::kSeats; ++i) {
    const Tag tag = seats.holder(i);
    if (tag == participant::kNobody) continue;
    inspection.owner("producer", "seated", tag);
    ++counts.at(inspection.is_dead(tag) ? 1 : 0);
  }
  inspection.counter("producers", counts[0], "handles");
  inspection.counter("dead producers", counts[1], "handles");
}

void inspect_queue(Inspection& inspection) {
  if (auto head = inspection.copy(kQueueHeaderBytes); head) {
    const std::uint32_t engine = get(attach_object<QueueHeader>(head->bytes())->engine);
    if (engine == static_cast<std::uint32_t>(QueueEngine::ring)) {
      inspect_ring(inspection);
      return;
    }
    if (engine != static_cast<std::uint32_t>(QueueEngine::locked)) {
      inspection.fault("engine " + std::to_string(engine));
      return;
    }
  }
  std::optional<ObjectCopy> copy;
  QueueWords words = {};
  std::string fault;
  // Words that are written while they are read may not fit each other: what is wrong with a busy
  // queue is gone at the next look.
  for (int attempt = 0; attempt < kMostReads; ++attempt) {
    copy = inspection.copy(kHead);
    if (!copy) {
      inspection.fault(std::to_string(inspection.room()) + " bytes, too few for a queue");
      return;
    }
    words = {attach_object<QueueHeader>(copy->bytes()),
             attach_object<Control>(copy->bytes().subspan(kQueueHeaderBytes))};
    fault = fault_of(words, inspection.room() - kHead);
    if (fault.empty()) break;
  }
  describe_counters(inspection, words);
  inspection.lock("push lock", words.control->push.lock.report(), 0);
  inspection.lock("pop lock", words.control->pop.lock.report(), 0);
  if (get(words.header->ends_with_producers) != 0) {
    describe_producers(inspection, words.header->seats);
  }
  if (!fault.empty()) inspection.fault(std::move(fault));
}

}  // namespace sluice::internal
