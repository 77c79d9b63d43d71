// SPDX-License-Identifier: Apache-2.0

#include "sluice/ipc/inspect_queue.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "sluice/ipc/queue_parts.h"
#include "sluice/ipc/record_layout.h"
#include "sluice/ipc/record_queue.h"
#include "sluice/ipc/stamp.h"
#include "sluice/sync/env.h"
#include "sluice/sync/lock_env.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/registry_format.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

using Control = RecordControl<RealLockEnv>;

/// How often the words of a busy queue are read until they fit each other.
constexpr int kMostReads = 3;
constexpr std::size_t kHead = kQueueRecordsOffset + kRecordStorageOffset;

/// A private copy of a queue's words.
struct alignas(kNoSharing) QueueWords {
  std::array<std::byte, kHead> bytes;

  [[nodiscard]] const QueueHeader& header() {
    return *attach_object<QueueHeader>(std::span<std::byte>(bytes));
  }
  [[nodiscard]] const Control& control() {
    return *attach_object<Control>(std::span<std::byte>(bytes).subspan(kQueueRecordsOffset));
  }
};

template <class T>
T get(const Word<T>& word) {
  return RealEnv::load(word, std::memory_order_relaxed);  // relaxed: of a private copy
}

/// What no correct process could have written; empty if there is nothing.
std::string fault_of(QueueWords& words, std::uint64_t room) {
  const Control& control = words.control();
  const std::uint64_t storage = get(control.storage);
  if (!std::has_single_bit(storage) || storage > room || get(control.max_bytes) > storage ||
      get(control.max_items) == 0 || get(control.max_items) > RecordQueue::kMostItems) {
    return "a storage of " + std::to_string(storage) + " bytes for " +
           std::to_string(get(control.max_bytes)) + " in " + std::to_string(room);
  }
  if (get(control.state) > 2 || get(words.header().overflow) > 3) {
    return "state " + std::to_string(get(control.state)) + ", overflow policy " +
           std::to_string(get(words.header().overflow));
  }
  const RecordMark head = RecordMark::unpack(get(control.pop.head));
  const RecordMark tail = RecordMark::unpack(get(control.push.tail));
  const auto used = bytes_between(head, tail, storage);
  if (!used || *used > get(control.max_bytes) ||
      records_between(head, tail) > get(control.max_items) ||
      *used < 8 * std::uint64_t{records_between(head, tail)}) {
    return "impossible positions: " + std::to_string(records_between(head, tail)) + " items from " +
           std::to_string(head.offset) + " to " + std::to_string(tail.offset) + " in a window of " +
           std::to_string(tail.window);
  }
  return "";
}

void describe_counters(QueueWords& words, ObjectInfo& object) {
  const Control& control = words.control();
  const RecordMark head = RecordMark::unpack(get(control.pop.head));
  const RecordMark tail = RecordMark::unpack(get(control.push.tail));
  const bool dropped = get(control.state) == static_cast<std::uint32_t>(QueueState::dropped);
  const std::uint64_t bytes = bytes_between(head, tail, get(control.storage)).value_or(0);
  object.counters = {{"items", dropped ? 0 : records_between(head, tail), "items"},
                     {"bytes", dropped ? 0 : bytes, "bytes"},
                     {"most items", get(control.max_items), "items"},
                     {"most bytes", get(control.max_bytes), "bytes"},
                     {"window", tail.window, "bytes"},
                     {"dropped", get(control.dropped), "items"},
                     {"closed", get(control.state) == 0 ? 0U : 1U, "yes or no"}};
  if (control.pushed.maybe_waiting()) object.waiting.emplace_back("consumers, for an item");
  if (control.popped.maybe_waiting()) object.waiting.emplace_back("producers, for room");
}

OwnerInfo owner_of(Domain& domain, const ObjectInfo& object, std::string role, std::string state,
                   Tag tag) {
  OwnerInfo owner = {.role = std::move(role), .state = std::move(state), .tag = tag};
  // Tags of another registry mean other processes.
  if (object.stamp->incarnation != domain.incarnation() || tag == participant::kNobody)
    return owner;
  owner.liveness = participant::probe(domain, tag);
  if (const auto record = participant::describe(domain, tag)) {
    owner.pid = record->pid;
    owner.process = record->name;
    std::replace_if(
        owner.process.begin(), owner.process.end(),
        [](unsigned char c) { return std::isprint(c) == 0; }, '?');
    owner.left = record->left;
  }
  return owner;
}

/// The first word of a lock: its owner's tag in the upper half.
void describe_lock(Domain& domain, const char* role, const void* lock, ObjectInfo& object) {
  std::uint64_t word = 0;
  std::memcpy(&word, lock, sizeof word);
  const auto tag = static_cast<Tag>(word >> 32);
  object.owners.push_back(
      owner_of(domain, object, role, tag == participant::kNobody ? "free" : "held", tag));
}

void describe_producers(Domain& domain, const ProducerSeats& seats, ObjectInfo& object) {
  std::array<std::uint64_t, 2> counts = {};
  for (std::size_t i = 0; i < ProducerSeats::kSeats; ++i) {
    const Tag tag = seats.holder(i);
    if (tag == participant::kNobody) continue;
    object.owners.push_back(owner_of(domain, object, "producer", "seated", tag));
    ++counts.at(object.owners.back().liveness == Liveness::dead ? 1 : 0);
  }
  object.counters.push_back({"producers", counts[0], "handles"});
  object.counters.push_back({"dead producers", counts[1], "handles"});
}

}  // namespace

void describe_queue(Domain& domain, int fd, ObjectInfo& object) {
  const std::uint64_t room = object.file_size - kObjectOffset;
  QueueWords words = {};
  std::string fault;
  // Words that are written while they are read may not fit each other: what is wrong with a busy
  // queue is gone at the next look.
  for (int attempt = 0; attempt < kMostReads; ++attempt) {
    if (room < kHead || !read_at(fd, words.bytes.data(), kHead, kObjectOffset)) {
      object.faults.push_back(std::to_string(room) + " bytes, too few for a queue");
      return;
    }
    fault = fault_of(words, room - kHead);
    if (fault.empty()) break;
  }
  describe_counters(words, object);
  describe_lock(domain, "push lock", &words.control().push.lock, object);
  describe_lock(domain, "pop lock", &words.control().pop.lock, object);
  if (get(words.header().ends_with_producers) != 0) {
    describe_producers(domain, words.header().seats, object);
  }
  if (!fault.empty()) object.faults.push_back(std::move(fault));
}

}  // namespace sluice::internal
