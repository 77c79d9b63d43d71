// SPDX-License-Identifier: Apache-2.0
//
// QueueModel: what a queue may do, one call after another: the sequential specification that
// properties (testkit/queue_properties.h), histories (testkit/linearizability.h), crash tests and
// fuzzing hold a queue to. It is asked whether a call may have given what it gave, and goes on from
// there; so it serves orders that leave a choice. Not for queues that drop items by policy.
//
//   QueueModel model({.order = QueueOrder::fifo}, 2);
//   model.step({QueueCall::Kind::push, 7, true});     // true: that may be
//   model.step({QueueCall::Kind::pop, 8, true});      // false: 8 is not in it; the state stays
//
// Items are 64-bit numbers, made by item(): the producer, and a number of its own. Where the order
// is `priority`, the number as a whole is the priority.
//
// Units: items. Errors: none. Threads: one. If a process dies here: private memory. Cost: a step is
// a few instructions; but for `priority`, where it is as long as the queue.

#ifndef SLUICE_TESTKIT_MODELS_H_
#define SLUICE_TESTKIT_MODELS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <ostream>
#include <vector>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// The n-th item of a producer.
constexpr std::uint64_t item(std::uint32_t producer, std::uint32_t n) {
  return std::uint64_t{producer} << 32 | n;
}
/// The producer that item() was told.
constexpr std::uint32_t producer_of(std::uint64_t item) {
  return static_cast<std::uint32_t>(item >> 32);
}
/// The n that item() was told: which of its producer's items it is.
constexpr std::uint32_t number_of(std::uint64_t item) { return static_cast<std::uint32_t>(item); }

/// A call, and what it gave.
struct QueueCall {
  /// Which one it was, in whatever form: one that waits is the same, a batch is one for each item.
  enum class Kind : std::uint8_t { push, pop, size, close };

  Kind kind = Kind::push;  ///< says what value and ok mean
  /// Of push, what it was given; of pop, what it gave; of size, how many.
  std::uint64_t value = 0;
  /// It gave true: there was room, or an item.
  bool ok = true;

  bool operator==(const QueueCall&) const = default;
};

/// As a person says it: "push(1:7)", "pop() -> empty", "size() -> 3".
inline std::ostream& operator<<(std::ostream& out, const QueueCall& call) {
  const auto name = [&]() -> std::ostream& {
    return out << producer_of(call.value) << ':' << number_of(call.value);
  };
  switch (call.kind) {
    case QueueCall::Kind::push:
      out << "push(";
      name() << ')';
      return call.ok ? out : out << " -> full";
    case QueueCall::Kind::pop:
      out << "pop() -> ";
      return call.ok ? name() : out << "empty";
    case QueueCall::Kind::size:
      return out << "size() -> " << call.value;
    case QueueCall::Kind::close:
      break;
  }
  return out << "close()";
}

/// The state of a queue: what is in it, and whether it is closed. A plain value.
class QueueModel {
 public:
  /// For linear_search(): it is a SequentialModel.
  using call_type = QueueCall;

  /// Empty and open. `capacity` is in items, and counts only if the traits are bounded.
  QueueModel(const QueueTraits& traits, std::size_t capacity)
      : order_(traits.order), capacity_(traits.bounded ? capacity : QueueTraits::kAny) {}

  /// Whether `call` may come next. If so it has come; else nothing has changed.
  bool step(const QueueCall& call) {
    switch (call.kind) {
      case QueueCall::Kind::push:
        return push(call);
      case QueueCall::Kind::pop:
        return pop(call);
      case QueueCall::Kind::size:
        return call.value == items_.size();
      case QueueCall::Kind::close:
        break;
    }
    is_closed_ = true;
    return true;
  }

  /// How many items have gone in and not come out.
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  /// How many it can hold; QueueTraits::kAny if it has no bound.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  /// Whether it has no room: a push that gives true may not come next.
  [[nodiscard]] bool is_full() const { return items_.size() >= capacity_; }
  /// Whether a close() has come: no push may give true from then on.
  [[nodiscard]] bool is_closed() const { return is_closed_; }
  /// As they lie in it: the oldest first.
  [[nodiscard]] const std::deque<std::uint64_t>& items() const { return items_; }

  bool operator==(const QueueModel&) const = default;

  /// The same for equal ones.
  [[nodiscard]] std::size_t hash() const {
    std::uint64_t hash = items_.size() * 2 + (is_closed_ ? 1 : 0);
    for (const std::uint64_t item : items_) {
      hash = (hash ^ item) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    return hash;
  }

  /// How a call whose answer nobody knows may have ended here, if it has changed anything.
  [[nodiscard]] std::vector<QueueCall> outcomes(const QueueCall& begun) const {
    if (begun.kind != QueueCall::Kind::pop) return {begun};
    std::vector<QueueCall> pops;
    for (const std::uint64_t item : items_) {
      QueueModel after = *this;
      if (after.step({QueueCall::Kind::pop, item, true})) {
        pops.push_back({QueueCall::Kind::pop, item, true});
      }
    }
    return pops;
  }

 private:
  using Place = std::deque<std::uint64_t>::iterator;

  bool push(const QueueCall& call) {
    if (call.ok == (is_full() || is_closed_)) return false;
    if (call.ok) items_.push_back(call.value);
    return true;
  }

  bool pop(const QueueCall& call) {
    if (!call.ok) return items_.empty();
    const auto place = next(call.value);
    if (place == items_.end() || *place != call.value) return false;
    items_.erase(place);
    return true;
  }

  /// The only item that can come out if `wanted` can.
  Place next(std::uint64_t wanted) {
    if (items_.empty()) return items_.end();
    switch (order_) {
      case QueueOrder::fifo:
        return items_.begin();
      case QueueOrder::lifo:
        return items_.end() - 1;
      case QueueOrder::priority:
        return std::ranges::min_element(items_);
      case QueueOrder::per_producer_fifo:
        break;
    }
    return std::ranges::find(items_, producer_of(wanted), producer_of);
  }

  QueueOrder order_;
  std::size_t capacity_;
  bool is_closed_ = false;
  std::deque<std::uint64_t> items_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_MODELS_H_
