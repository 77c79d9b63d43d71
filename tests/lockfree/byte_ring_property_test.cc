// SPDX-License-Identifier: Apache-2.0
//
// Any sequence of calls on a byte ring, with take-over anywhere, behaves as a std::deque of
// records; when it says full, there really is too little room.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "sluice/lockfree/byte_ring.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using Bytes = std::vector<std::byte>;

enum class Step {
  write,
  claim_only,
  commit_less,
  take,
  peek_only,
  new_producer,
  producer_dies_before_its_note,
  new_consumer,
};
constexpr int kSteps = static_cast<int>(Step::new_consumer) + 1;

struct Record {
  std::uint32_t type;
  Bytes payload;
};

struct Model {
  explicit Model(std::size_t capacity) : memory(ByteRing::bytes_for(capacity)) {
    ByteRing::format(memory, capacity);
    producer.emplace(memory.span());
    consumer.emplace(memory.span());
  }

  /// Bytes that look like headers at every offset, and differ from record to record.
  static Bytes payload_of(std::uint32_t number, std::size_t size) {
    Bytes bytes(size, std::byte{0x80});
    for (std::size_t i = 0; i < size; i += 3) bytes[i] = static_cast<std::byte>(number + i);
    return bytes;
  }

  /// Whether a record certainly fits: with the longest pad that it could need.
  [[nodiscard]] bool surely_fits(std::size_t size) const {
    std::size_t used = 0;
    for (const Record& r : items) used += 8 + (r.payload.size() + 7) / 8 * 8;
    // At most one pad lies in the ring, shorter than the record behind it.
    return used + pads + 2 * (8 + (size + 7) / 8 * 8) <= producer->capacity();
  }

  void write(std::uint32_t number, std::size_t size, std::size_t used, bool commit) {
    const auto room = producer->try_claim(size);
    if (!room) {
      const bool too_large = size > producer->max_record();
      RC_ASSERT(producer->status() == (too_large ? Status::too_large : Status::full));
      RC_ASSERT(too_large || !items.empty());
      RC_ASSERT(too_large || !surely_fits(size));
      return;
    }
    RC_ASSERT(room->size() == size);
    const Bytes payload = payload_of(number, size);
    std::ranges::copy(payload, room->begin());
    if (!commit) return;
    producer->commit(number, used);
    items.push_back({number, Bytes(payload.begin(), payload.begin() + static_cast<long>(used))});
    pads = std::max(pads, 8 + (size + 7) / 8 * 8);
  }
  void look(bool release) {
    const auto record = consumer->try_peek();
    RC_ASSERT(record.has_value() == !items.empty());
    if (!record) {
      RC_ASSERT(consumer->status() == Status::empty);
      return;
    }
    RC_ASSERT(record->type == items.front().type);
    RC_ASSERT(std::ranges::equal(record->payload, items.front().payload));
    if (!release) return;
    consumer->release();
    items.pop_front();
  }
  /// The commit was the last store that a producer made: its note of it is missing.
  void lose_the_hint(std::uint32_t number, std::size_t size) {
    constexpr std::size_t kTailAt = 128;
    const auto hint = memory.peek<std::uint64_t>(kTailAt);
    write(number, size, size, true);
    memory.poke(kTailAt, hint);
    producer.emplace(memory.span());
  }

  void run(Step step, std::uint32_t number, std::size_t size) {
    switch (step) {
      case Step::write:
        return write(number, size, size, true);
      case Step::claim_only:
        return write(number, size, size, false);
      case Step::commit_less:
        return write(number, size, size / 2, true);
      case Step::take:
        return look(true);
      case Step::peek_only:
        return look(false);
      case Step::new_producer:
        producer.emplace(memory.span());
        return;
      case Step::producer_dies_before_its_note:
        return lose_the_hint(number, size);
      case Step::new_consumer:
        consumer.emplace(memory.span());
        return;
    }
  }

  Memory memory;
  std::optional<ByteRing::Producer> producer;
  std::optional<ByteRing::Consumer> consumer;
  std::deque<Record> items;
  std::size_t pads = 0;
};

RC_GTEST_PROP(ByteRingProperty, BehavesAsADequeOfRecords, ()) {
  Model model(*rc::gen::element<std::size_t>(128, 256, 1024));
  const auto longest = model.producer->max_record();
  const auto steps = *rc::gen::container<std::vector<std::pair<int, std::size_t>>>(
      rc::gen::pair(rc::gen::inRange(0, kSteps), rc::gen::inRange<std::size_t>(0, longest + 2)));
  std::uint32_t number = 0;
  for (const auto& [step, size] : steps) model.run(static_cast<Step>(step), ++number, size);
  while (!model.items.empty()) model.look(true);
  model.look(true);
}

}  // namespace
}  // namespace sluice::tests
