// SPDX-License-Identifier: Apache-2.0
//
// Any sequence of calls on a ring by several handles behaves as a bounded std::deque, in which some
// places are held by who has begun a push or a pop and not ended it.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "sluice/lockfree/mpmc_ring.h"
#include "sluice/tests/lockfree/memory.h"

namespace sluice::tests {
namespace {

using Ring = MpmcRing<std::uint64_t>;
constexpr std::size_t kHandles = 3;

enum class Step {
  push,
  push_many,
  claim,
  commit,
  abort,
  pop,
  pop_many,
  peek,
  release,
  put_back,
  new_producer,
  new_consumer,
};
constexpr int kSteps = static_cast<int>(Step::new_consumer) + 1;

/// A place in the ring. One that is `done` is empty, and counts until all before it are.
struct Place {
  enum class State { writing, full, reading, done } state;
  std::uint64_t value;
  std::size_t handle;  ///< of whoever is at work on it
};

struct Model {
  explicit Model(std::size_t capacity_asked)
      : capacity(capacity_asked), memory(Ring::bytes_for(capacity)) {
    Ring::format(memory, capacity);
    for (std::size_t i = 0; i < kHandles; ++i) {
      producers[i].emplace(memory.span());
      consumers[i].emplace(memory.span());
    }
  }

  [[nodiscard]] bool is_full() const { return places.size() == capacity; }

  Place* held_by(std::size_t handle, Place::State state) {
    for (Place& place : places) {
      if (place.state == state && place.handle == handle) return &place;
    }
    return nullptr;
  }
  /// What a pop finds: the oldest full place, unless a push is under way before it.
  Place* oldest() {
    for (Place& place : places) {
      if (place.state == Place::State::full) return &place;
      if (place.state == Place::State::writing) return nullptr;
    }
    return nullptr;
  }
  void tidy() {
    while (!places.empty() && places.front().state == Place::State::done) places.pop_front();
  }

  bool push(std::size_t handle, std::uint64_t value) {
    const Status status = producers[handle]->try_push(value);
    RC_ASSERT(status == (is_full() ? Status::full : Status::ok));
    if (status == Status::ok) places.push_back({Place::State::full, value, handle});
    return status == Status::ok;
  }
  void push_many(std::size_t handle, std::uint64_t first, std::size_t count) {
    std::vector<std::uint64_t> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = first + i;
    const std::size_t pushed = producers[handle]->try_push_n(values);
    RC_ASSERT(pushed == std::min(count, capacity - places.size()));
    for (std::size_t i = 0; i < pushed; ++i) {
      places.push_back({Place::State::full, values[i], handle});
    }
  }
  void claim(std::size_t handle, std::uint64_t value) {
    std::uint64_t* const slot = producers[handle]->try_claim();
    RC_ASSERT((slot == nullptr) == is_full());
    if (slot == nullptr) return;
    *slot = value;
    places.push_back({Place::State::writing, value, handle});
  }
  bool pop(std::size_t handle) {
    Place* const place = oldest();
    std::uint64_t value = 0;
    const Status status = consumers[handle]->try_pop(value);
    RC_ASSERT(status == (place != nullptr ? Status::ok : Status::empty));
    if (place == nullptr) return false;
    RC_ASSERT(value == place->value);
    place->state = Place::State::done;
    tidy();
    return true;
  }
  void pop_many(std::size_t handle, std::size_t count) {
    std::vector<std::uint64_t> values(count);
    const std::size_t popped = consumers[handle]->try_pop_n(values);
    for (std::size_t i = 0; i < popped; ++i) {
      Place* const place = oldest();
      RC_ASSERT(place != nullptr);
      RC_ASSERT(values[i] == place->value);
      place->state = Place::State::done;
    }
    RC_ASSERT(popped == count || oldest() == nullptr);
    tidy();
  }
  void peek(std::size_t handle) {
    Place* const place = oldest();
    const std::uint64_t* const slot = consumers[handle]->try_peek();
    RC_ASSERT((slot != nullptr) == (place != nullptr));
    if (place == nullptr) return;
    RC_ASSERT(*slot == place->value);
    place->state = Place::State::reading;
    place->handle = handle;
  }

  /// What may be done to a handle that has begun something is to end it, or to end with it.
  void run_on_producer(Step step, std::size_t handle, std::uint64_t value) {
    Place* const writing = held_by(handle, Place::State::writing);
    if (writing == nullptr) {
      if (step == Step::push) push(handle, value);
      if (step == Step::push_many) push_many(handle, value, value % 7);
      if (step == Step::claim) claim(handle, value);
      if (step == Step::new_producer) producers[handle].emplace(memory.span());
      return;
    }
    if (step == Step::commit) {
      producers[handle]->commit();
      writing->state = Place::State::full;
    } else if (step == Step::abort || step == Step::new_producer) {
      if (step == Step::abort) producers[handle]->abort();
      if (step == Step::new_producer) producers[handle].emplace(memory.span());
      writing->state = Place::State::done;
      tidy();
    }
  }
  void run_on_consumer(Step step, std::size_t handle, std::uint64_t value) {
    Place* const reading = held_by(handle, Place::State::reading);
    if (reading == nullptr) {
      // What was put back behind its back it finds later: a successor looks from the oldest on.
      if (has_passed_some[handle]) consumers[handle].emplace(memory.span());
      has_passed_some[handle] = false;
      if (step == Step::pop) pop(handle);
      if (step == Step::pop_many) pop_many(handle, value % 7);
      if (step == Step::peek) peek(handle);
      if (step == Step::new_consumer) consumers[handle].emplace(memory.span());
      return;
    }
    if (step == Step::release) {
      consumers[handle]->release();
      reading->state = Place::State::done;
      tidy();
    } else if (step == Step::put_back || step == Step::new_consumer) {
      if (step == Step::put_back) consumers[handle]->put_back();
      if (step == Step::new_consumer) consumers[handle].emplace(memory.span());
      reading->state = Place::State::full;
      has_passed_some.fill(true);
    }
  }

  std::size_t capacity;
  Memory memory;
  std::array<std::optional<Ring::Producer>, kHandles> producers;
  std::array<std::optional<Ring::Consumer>, kHandles> consumers;
  std::array<bool, kHandles> has_passed_some = {};
  std::deque<Place> places;
};

RC_GTEST_PROP(MpmcRingProperty, BehavesAsABoundedDeque, ()) {
  Model model(*rc::gen::inRange<std::size_t>(1, 9));
  const auto steps = *rc::gen::container<std::vector<std::pair<int, std::size_t>>>(
      rc::gen::pair(rc::gen::inRange(0, kSteps), rc::gen::inRange<std::size_t>(0, kHandles)));
  std::uint64_t value = 0;
  for (const auto& [number, handle] : steps) {
    const auto step = static_cast<Step>(number);
    value += 10;
    model.run_on_producer(step, handle, value);
    model.run_on_consumer(step, handle, value);
    RC_ASSERT(Ring::size(model.memory) == model.places.size());
    RC_ASSERT(Ring::empty(model.memory) == model.places.empty());
    RC_ASSERT(Ring::full(model.memory) == model.is_full());
  }
}

}  // namespace
}  // namespace sluice::tests
