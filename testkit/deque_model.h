// SPDX-License-Identifier: Apache-2.0
//
// DequeAdapter and DequeModel: what a queue with four ends must look like to be tested with this
// kit, and what it may do, one call after another. As testkit/queue_adapter.h and testkit/models.h,
// for a row that grows and shrinks at both ends.
//
//   struct MyDequeAdapter {
//     using value_type = std::uint64_t;
//     static constexpr DequeTraits kTraits{.bounded = true};
//     explicit MyDequeAdapter(std::size_t capacity);
//     bool try_push_front(std::uint64_t), try_push_back(std::uint64_t);   // false: full, closed
//     bool try_pop_front(std::uint64_t&), try_pop_back(std::uint64_t&);   // false: empty
//   };
//
//   may have     close(), size(), capacity()
//
// Units: items. Errors: none. Threads: one. If a process dies here: private memory. Cost: a step is
// a few instructions.

#ifndef SLUICE_TESTKIT_DEQUE_MODEL_H_
#define SLUICE_TESTKIT_DEQUE_MODEL_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <ostream>
#include <utility>

#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// What an adapter says of its deque.
struct DequeTraits {
  bool bounded = true;  ///< no push at either end while capacity() items are in it
};

/// Whatever can be tested as a deque.
template <class A>
concept DequeAdapter =
    std::constructible_from<A, std::size_t> &&
    requires(A& deque, typename A::value_type item, typename A::value_type& out) {
      { A::kTraits } -> std::convertible_to<DequeTraits>;
      { deque.try_push_front(std::move(item)) } -> std::same_as<bool>;
      { deque.try_push_back(std::move(item)) } -> std::same_as<bool>;
      { deque.try_pop_front(out) } -> std::same_as<bool>;
      { deque.try_pop_back(out) } -> std::same_as<bool>;
    };

/// A call, and what it gave.
struct DequeCall {
  /// Which one it was, and at which end; in whatever form: one that waits is the same.
  enum class Kind : std::uint8_t { push_front, push_back, pop_front, pop_back, size, close };

  Kind kind = Kind::push_back;  ///< says what value and ok mean
  /// Of a push, what it was given; of a pop, what it gave; of size, how many.
  std::uint64_t value = 0;
  /// It gave true: there was room, or an item.
  bool ok = true;

  bool operator==(const DequeCall&) const = default;
};

/// "push_front(1:7)", "pop_back() -> empty", "size() -> 3".
inline std::ostream& operator<<(std::ostream& out, const DequeCall& call) {
  constexpr const char* kNames[] = {"push_front", "push_back", "pop_front",
                                    "pop_back",   "size",      "close"};
  using Kind = DequeCall::Kind;
  out << kNames[static_cast<std::size_t>(call.kind)] << '(';
  const bool pushes = call.kind == Kind::push_front || call.kind == Kind::push_back;
  const bool pops = call.kind == Kind::pop_front || call.kind == Kind::pop_back;
  if (pushes) out << producer_of(call.value) << ':' << number_of(call.value);
  out << ')';
  if (call.kind == Kind::size) return out << " -> " << call.value;
  if (pushes && !call.ok) return out << " -> full";
  if (pops && !call.ok) return out << " -> empty";
  return pops ? out << " -> " << producer_of(call.value) << ':' << number_of(call.value) : out;
}

/// The state of a deque: what is in it, and whether it is closed. A plain value.
class DequeModel {
 public:
  /// Empty and open. `capacity` is in items, and counts only if the traits are bounded.
  DequeModel(const DequeTraits& traits, std::size_t capacity)
      : capacity_(traits.bounded ? capacity : QueueTraits::kAny) {}

  /// Whether `call` may come next. If so it has come; else nothing has changed.
  bool step(const DequeCall& call) {
    switch (call.kind) {
      case DequeCall::Kind::push_front:
      case DequeCall::Kind::push_back:
        return push(call);
      case DequeCall::Kind::pop_front:
      case DequeCall::Kind::pop_back:
        return pop(call);
      case DequeCall::Kind::size:
        return call.value == items_.size();
      case DequeCall::Kind::close:
        break;
    }
    is_closed_ = true;
    return true;
  }

  /// How many items have gone in and not come out, at either end.
  [[nodiscard]] std::size_t size() const { return items_.size(); }
  /// How many it can hold; QueueTraits::kAny if it has no bound.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  /// Whether it has no room: a push that gives true may not come next.
  [[nodiscard]] bool is_full() const { return items_.size() >= capacity_; }
  /// Whether a close() has come: no push may give true from then on.
  [[nodiscard]] bool is_closed() const { return is_closed_; }
  /// From the front to the back.
  [[nodiscard]] const std::deque<std::uint64_t>& items() const { return items_; }

  bool operator==(const DequeModel&) const = default;

 private:
  bool push(const DequeCall& call) {
    if (call.ok == (is_full() || is_closed_)) return false;
    if (!call.ok) return true;
    if (call.kind == DequeCall::Kind::push_front) {
      items_.push_front(call.value);
    } else {
      items_.push_back(call.value);
    }
    return true;
  }

  bool pop(const DequeCall& call) {
    if (!call.ok) return items_.empty();
    const bool front = call.kind == DequeCall::Kind::pop_front;
    if (items_.empty() || (front ? items_.front() : items_.back()) != call.value) return false;
    if (front) {
      items_.pop_front();
    } else {
      items_.pop_back();
    }
    return true;
  }

  std::size_t capacity_;
  bool is_closed_ = false;
  std::deque<std::uint64_t> items_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_DEQUE_MODEL_H_
