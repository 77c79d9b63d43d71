// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/ipc/inspection.h"
#include "sluice/ipc/pipe_layout.h"
#include "sluice/lockfree/byte_ring.h"
#include "sluice/sync/env.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/participant.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/sync/word.h"

namespace sluice::internal {
namespace {

/// How often the counters of a busy object are read until they fit each other.
constexpr int kMostReads = 3;
constexpr std::size_t kRingControl = 3 * kNoSharing;

/// What a pipe and a connection are called in their parts.
struct Shape {
  std::string_view kind;
  std::size_t rings_offset;
  std::array<std::string_view, 2> ends;
  /// Of each ring, before the names of its counters.
  std::vector<std::string_view> directions;
  std::string_view records;  ///< what lies in a ring: a long message is several
};

const Shape& shape(bool is_connection) {
  static const Shape kPipe = {"pipe", kPipeRingOffset, {"receiver", "sender"}, {""}, "messages"};
  static const Shape kConnection = {"connection",
                                    kConnectionRingOffset,
                                    {"first end", "second end"},
                                    {"second to first: ", "first to second: "},
                                    "records"};
  return is_connection ? kConnection : kPipe;
}

bool may_sleep(const EventCount& count) { return count.maybe_waiting(); }

/// The words before the rings.
struct Front {
  std::array<EndWord, 2> ends;
  std::array<std::array<bool, 2>, 2> may_sleep;  ///< by direction: for data, for space
  std::uint64_t max_message = 0;
};

std::optional<Front> read_front(const Inspection& inspection, bool is_connection) {
  std::optional<ObjectCopy> copy = inspection.copy(shape(is_connection).rings_offset);
  if (!copy) return std::nullopt;
  const auto end = [](const Word<std::uint64_t>& word) {
    // Relaxed: a word of a private copy.
    return EndWord::unpack(RealEnv::load(word, std::memory_order_relaxed));
  };
  if (!is_connection) {
    const auto& c = *attach_object<PipeControl>(copy->bytes());
    return Front{{end(c.ends[0]), end(c.ends[1])}, {{{may_sleep(c.data), may_sleep(c.space)}}}};
  }
  const auto& c = *attach_object<ConnectionControl>(copy->bytes());
  Front front{{end(c.ends[0]), end(c.ends[1])}, {}};
  for (const std::size_t i : {0, 1}) {
    front.may_sleep[i] = {may_sleep(c.lanes[i].data), may_sleep(c.lanes[i].space)};
  }
  // Relaxed: as above.
  front.max_message = RealEnv::load(c.max_message, std::memory_order_relaxed);
  return front;
}

std::optional<ByteRing::Counters> read_counters(const Inspection& inspection, std::size_t at) {
  std::optional<ObjectCopy> copy = inspection.copy(at + kRingControl);
  if (!copy) return std::nullopt;
  return ByteRing::counters(copy->bytes().subspan(at));
}

/// What no correct process could have written; empty if there is nothing.
std::string ring_fault(const ByteRing::Counters& ring, std::uint64_t room) {
  if (!std::has_single_bit(ring.capacity) || ring.capacity < ByteRing::kMinCapacity ||
      ring.capacity > ByteRing::kMaxCapacity || ByteRing::bytes_for(ring.capacity) > room) {
    return "a capacity of " + std::to_string(ring.capacity) + " bytes in an object of " +
           std::to_string(room);
  }
  // The tail is a hint that a crash leaves behind by a record, so it may also be below the head.
  const std::uint64_t apart = std::min(ring.tail - ring.head, ring.head - ring.tail);
  if (apart > ring.capacity || ring.head % 8 != 0 || ring.tail % 8 != 0) {
    return "impossible positions: " + std::to_string(ring.tail) + " bytes in, " +
           std::to_string(ring.head) + " bytes out, " + std::to_string(ring.capacity) + " of room";
  }
  return "";
}

struct Messages {
  std::uint64_t waiting = 0;
  std::uint64_t next_size = 0;
  bool corrupt = false;
};

/// Reads through the messages as a receiver would, in a private copy of the ring.
Messages read_messages(std::span<std::byte> ring) {
  Messages found;
  ByteRing::Consumer consumer(ring);
  for (std::uint64_t bytes = 0; bytes <= consumer.capacity();) {
    const auto record = consumer.try_peek();
    if (!record) {
      found.corrupt = consumer.status() == Status::corrupt;
      return found;
    }
    if (found.waiting++ == 0) found.next_size = record->payload.size();
    bytes += 8 + record->payload.size();
    consumer.release();
  }
  found.corrupt = true;  // more than fits: it goes round in circles
  return found;
}

bool same_positions(const ByteRing::Counters& a, const ByteRing::Counters& b) {
  return a.tail == b.tail && a.head == b.head;
}

/// The messages, if the ring rested while it was copied.
std::optional<Messages> messages_of(const Inspection& inspection, std::size_t at,
                                    const ByteRing::Counters& before) {
  const std::size_t size = at + ByteRing::bytes_for(before.capacity);
  if (size > Inspection::kCopyUpTo) return std::nullopt;
  std::optional<ObjectCopy> copy = inspection.copy(size);
  const auto after = read_counters(inspection, at);
  if (!copy || !after || !same_positions(before, *after)) return std::nullopt;
  const std::span<std::byte> ring = copy->bytes().subspan(at);
  const auto copied = ByteRing::counters(ring);
  if (!copied || !same_positions(before, *copied) || copied->capacity != before.capacity) {
    return std::nullopt;
  }
  return read_messages(ring);
}

void describe_ends(Inspection& inspection, const Front& front, const Shape& shape) {
  constexpr std::array<std::string_view, 4> kStates = {"vacant", "offered", "open", "closed"};
  for (const std::size_t i : {0, 1}) {
    const EndWord word = front.ends[i];
    const std::string role(shape.ends[i]);
    inspection.owner(
        role,
        std::string(word.is_valid() ? kStates[static_cast<std::size_t>(word.state)] : "corrupt"),
        word.tag);
    if (!word.is_valid()) {
      inspection.fault("the word of the " + role +
                       (shape.directions.size() == 1 ? "'s end: " : ": ") + hex(word.packed()));
    }
  }
  for (std::size_t i = 0; i < shape.directions.size(); ++i) {
    // Who receives in a direction gave it its number.
    if (front.may_sleep[i][0]) inspection.waiting(std::string(shape.ends[i]) + ", for a message");
    if (front.may_sleep[i][1]) inspection.waiting(std::string(shape.ends[1 - i]) + ", for room");
  }
}

void describe_counters(Inspection& inspection, const ByteRing::Counters& ring,
                       const std::string& before, const Shape& shape) {
  const std::uint64_t fill =
      static_cast<std::int64_t>(ring.tail - ring.head) < 0 ? 0 : ring.tail - ring.head;
  const std::string records(shape.records);
  inspection.counter(before + "capacity", ring.capacity, "bytes");
  inspection.counter(before + "bytes in", ring.tail, "bytes");
  inspection.counter(before + "bytes out", ring.head, "bytes");
  inspection.counter(before + "fill", fill, "bytes");
  inspection.counter(before + records + " in", ring.records_in, records);
  inspection.counter(before + records + " out", ring.records_out, records);
}

void describe_messages(Inspection& inspection, const Messages& messages, const std::string& before,
                       const Shape& shape) {
  const std::string records(shape.records);
  inspection.counter(before + records + " to be received", messages.waiting, records);
  if (messages.waiting > 0) {
    inspection.counter(before + "next " + records.substr(0, records.size() - 1), messages.next_size,
                       "bytes");
  }
  if (messages.corrupt) {
    inspection.fault(before + "after " + std::to_string(messages.waiting) + " " + records +
                     ", bytes that are no message");
  }
}

/// The ring at `at` of the object. Returns its capacity, or nothing if it is none.
std::optional<std::uint64_t> describe_ring(Inspection& inspection, std::size_t at,
                                           const std::string& before, const Shape& shape) {
  std::optional<ByteRing::Counters> ring;
  std::optional<Messages> messages;
  std::string fault;
  // Words that are written while they are read may not fit each other: what is wrong with a busy
  // ring is gone at the next look.
  for (int attempt = 0; attempt < kMostReads; ++attempt) {
    ring = read_counters(inspection, at);
    if (!ring) {
      inspection.fault(before + std::to_string(inspection.room()) + " bytes, too few for a " +
                       std::string(shape.kind));
      return std::nullopt;
    }
    fault = ring_fault(*ring, inspection.room() - at);
    if (!fault.empty()) continue;
    messages = messages_of(inspection, at, *ring);
    if (!messages || !messages->corrupt) break;
  }
  describe_counters(inspection, *ring, before, shape);
  if (!fault.empty()) {
    inspection.fault(before + fault);
    return std::nullopt;
  }
  if (messages) describe_messages(inspection, *messages, before, shape);
  return ring->capacity;
}

void inspect(Inspection& inspection, bool is_connection) {
  const Shape& parts = shape(is_connection);
  const auto front = read_front(inspection, is_connection);
  if (!front) {
    inspection.fault(std::to_string(inspection.room()) + " bytes, too few for a " +
                     std::string(parts.kind));
    return;
  }
  describe_ends(inspection, *front, parts);
  std::size_t at = parts.rings_offset;
  std::optional<std::uint64_t> first;
  for (const std::string_view direction : parts.directions) {
    const auto capacity = describe_ring(inspection, at, std::string(direction), parts);
    if (!capacity) return;
    if (first && first != capacity) inspection.fault("two rings of different capacities");
    first = capacity;
    at += ByteRing::bytes_for(*capacity);
  }
  if (!is_connection) return;
  inspection.counter("longest message", front->max_message, "bytes");
  if (front->max_message == 0 || front->max_message > kLargestMessage) {
    inspection.fault("a longest message of " + std::to_string(front->max_message) + " bytes");
  }
}

}  // namespace

void inspect_pipe(Inspection& inspection) { inspect(inspection, false); }
void inspect_connection(Inspection& inspection) { inspect(inspection, true); }

}  // namespace sluice::internal
