// SPDX-License-Identifier: Apache-2.0
//
// Any sequence of calls on a ring, with take-over anywhere, behaves as a bounded std::deque.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "sluice/lockfree/spsc_ring.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using Ring = SpscRing<std::uint64_t>;

enum class Step {
  push,
  push_many,
  claim_only,
  claim_and_commit,
  pop,
  pop_many,
  peek_only,
  peek_and_release,
  new_producer,
  producer_dies_before_its_note,
  new_consumer,
};
constexpr int kSteps = static_cast<int>(Step::new_consumer) + 1;

struct Model {
  explicit Model(std::size_t capacity_asked)
      : capacity(capacity_asked), memory(Ring::bytes_for(capacity)) {
    Ring::format(memory, capacity);
    producer.emplace(memory.span());
    consumer.emplace(memory.span());
  }

  void push(std::uint64_t value) {
    const Status status = producer->try_push(value);
    RC_ASSERT(status == (items.size() < capacity ? Status::ok : Status::full));
    if (status == Status::ok) items.push_back(value);
  }
  void push_many(std::uint64_t first, std::size_t count) {
    std::vector<std::uint64_t> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = first + i;
    const std::size_t pushed = producer->try_push_n(values);
    RC_ASSERT(pushed == std::min(count, capacity - items.size()));
    items.insert(items.end(), values.begin(), values.begin() + static_cast<long>(pushed));
  }
  void claim(std::uint64_t value, bool commit) {
    std::uint64_t* const slot = producer->try_claim();
    RC_ASSERT((slot != nullptr) == (items.size() < capacity));
    if (slot == nullptr) return;
    *slot = value;
    if (!commit) return;
    producer->commit();
    items.push_back(value);
  }
  void pop() {
    std::uint64_t value = 0;
    const Status status = consumer->try_pop(value);
    RC_ASSERT(status == (items.empty() ? Status::empty : Status::ok));
    if (status != Status::ok) return;
    RC_ASSERT(value == items.front());
    items.pop_front();
  }
  void pop_many(std::size_t count) {
    std::vector<std::uint64_t> values(count);
    const std::size_t popped = consumer->try_pop_n(values);
    RC_ASSERT(popped == std::min(count, items.size()));
    for (std::size_t i = 0; i < popped; ++i, items.pop_front()) {
      RC_ASSERT(values[i] == items.front());
    }
  }
  void peek(bool release) {
    const std::uint64_t* const value = consumer->try_peek();
    RC_ASSERT((value == nullptr) == items.empty());
    if (value == nullptr) return;
    RC_ASSERT(*value == items.front());
    if (!release) return;
    consumer->release();
    items.pop_front();
  }
  /// The commit was the last store that a producer made: its note of it is missing.
  void lose_the_hint(std::uint64_t value) {
    constexpr std::size_t kTailAt = 128;
    const auto hint = memory.peek<std::uint64_t>(kTailAt);
    push(value);
    memory.poke(kTailAt, hint);
    producer.emplace(memory.span());
  }

  void run(Step step, std::uint64_t value) {
    switch (step) {
      case Step::push:
        return push(value);
      case Step::push_many:
        return push_many(value, value % 19);
      case Step::claim_only:
        return claim(value, false);
      case Step::claim_and_commit:
        return claim(value, true);
      case Step::pop:
        return pop();
      case Step::pop_many:
        return pop_many(value % 19);
      case Step::peek_only:
        return peek(false);
      case Step::peek_and_release:
        return peek(true);
      case Step::new_producer:
        producer.emplace(memory.span());
        return;
      case Step::producer_dies_before_its_note:
        return lose_the_hint(value);
      case Step::new_consumer:
        consumer.emplace(memory.span());
        return;
    }
  }

  std::size_t capacity;
  Memory memory;
  std::optional<Ring::Producer> producer;
  std::optional<Ring::Consumer> consumer;
  std::deque<std::uint64_t> items;
};

RC_GTEST_PROP(SpscRingProperty, BehavesAsABoundedDeque, ()) {
  Model model(*rc::gen::inRange<std::size_t>(1, 30));
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, kSteps));
  std::uint64_t value = 0;
  for (const int step : steps) {
    model.run(static_cast<Step>(step), ++value);
    RC_ASSERT(Ring::size(model.memory) == model.items.size());
  }
  while (!model.items.empty()) model.pop();
  model.pop();
}

}  // namespace
}  // namespace sluice::tests
