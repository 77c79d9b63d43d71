// SPDX-License-Identifier: Apache-2.0
//
// JoinableAdapter and JoinableModel: what a queue of tasks must look like to be tested with this
// kit, and what it may do, one call after another. A task that is popped is leased: it counts until
// done(), and comes back after fail(), or is a dead letter if that was once too often. As
// testkit/queue_adapter.h and testkit/models.h.
//
//   struct MyTasksAdapter {
//     using value_type = std::uint64_t;
//     using ticket_type = MyTasks::Ticket;              // moves, and can be made without anything
//     static constexpr JoinableTraits kTraits{.bounded = true, .max_attempts = 3};
//     explicit MyTasksAdapter(std::size_t capacity);
//     bool try_push(std::uint64_t item);                // false: full, closed
//     bool try_pop(ticket_type& ticket);                // false: nothing to lease
//     std::uint64_t item_of(const ticket_type&) const;
//     void done(ticket_type), fail(ticket_type);
//   };
//
//   may have     close(); size(), of those nobody has leased; unfinished(), of those and the
//   leased;
//                attempt_of(ticket), 1 for the first; try_pop_dead(item&) -> bool, in any order;
//                capacity(), in tasks that nobody has leased: those that come back find room
//
// Units: tasks, attempts. Errors: none. Threads: one. If a process dies here: private memory; that
// a dead consumer's tasks come back is tested by crash.h. Cost: a step is a look at each task at
// most.

#ifndef SLUICE_TESTKIT_JOINABLE_MODEL_H_
#define SLUICE_TESTKIT_JOINABLE_MODEL_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <ostream>
#include <utility>
#include <vector>

#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// What an adapter says of its queue of tasks.
struct JoinableTraits {
  bool bounded = true;  ///< no push while capacity() tasks are in it that nobody has leased
  /// So many failures make a dead letter; 0: it comes back for ever.
  std::uint32_t max_attempts = 0;
  /// What failed comes back in its old place; else behind all others.
  bool returns_to_its_place = true;
};

/// Whatever can be tested as a queue of tasks.
template <class A>
concept JoinableAdapter =
    std::constructible_from<A, std::size_t> && std::movable<typename A::ticket_type> &&
    std::default_initializable<typename A::ticket_type> &&
    requires(A& queue, typename A::value_type item, typename A::ticket_type& ticket) {
      { A::kTraits } -> std::convertible_to<JoinableTraits>;
      { queue.try_push(std::move(item)) } -> std::same_as<bool>;
      { queue.try_pop(ticket) } -> std::same_as<bool>;
      { queue.item_of(ticket) } -> std::convertible_to<typename A::value_type>;
      queue.done(std::move(ticket));
      queue.fail(std::move(ticket));
    };

/// A call, and what it gave.
struct JoinableCall {
  /// Which one it was, in whatever form: one that waits is the same.
  enum class Kind : std::uint8_t {
    push,        ///< of a task
    pop,         ///< the lease of one
    done,        ///< the end of a lease, and of the task
    fail,        ///< the end of a lease: the task comes back, or is a dead letter
    pop_dead,    ///< of a dead letter, which is gone then
    size,        ///< of the tasks that nobody has leased
    unfinished,  ///< of those and the leased
    close,       ///< the end of all pushes
  };

  Kind kind = Kind::push;  ///< says what the others mean
  /// The task, which is or was given; of size and unfinished, how many.
  std::uint64_t value = 0;
  /// It gave true: there was room, or a task.
  bool ok = true;
  /// Of pop: which attempt, if the queue says it, else 0.
  std::uint32_t attempt = 0;

  bool operator==(const JoinableCall&) const = default;
};

/// "push(1:7)", "pop() -> 1:7, attempt 2", "fail(1:7)", "unfinished() -> 3".
inline std::ostream& operator<<(std::ostream& out, const JoinableCall& call) {
  constexpr const char* kNames[] = {"push",     "pop",  "done",       "fail",
                                    "pop_dead", "size", "unfinished", "close"};
  using Kind = JoinableCall::Kind;
  const auto task = [&]() -> std::ostream& {
    return out << producer_of(call.value) << ':' << number_of(call.value);
  };
  out << kNames[static_cast<std::size_t>(call.kind)] << '(';
  if (call.kind == Kind::push || call.kind == Kind::done || call.kind == Kind::fail) task();
  out << ')';
  if (call.kind == Kind::size || call.kind == Kind::unfinished) return out << " -> " << call.value;
  if (call.kind == Kind::push) return call.ok ? out : out << " -> full";
  if (call.kind != Kind::pop && call.kind != Kind::pop_dead) return out;
  out << " -> ";
  if (!call.ok) return out << "empty";
  task();
  return call.attempt == 0 ? out : out << ", attempt " << call.attempt;
}

/// The state of a queue of tasks: which wait, which are leased, which are dead. A plain value.
class JoinableModel {
 public:
  /// Empty and open. `capacity` is in tasks, and counts only if the traits are bounded.
  JoinableModel(const JoinableTraits& traits, std::size_t capacity)
      : traits_(traits), capacity_(traits.bounded ? capacity : QueueTraits::kAny) {}

  /// Whether `call` may come next. If so it has come; else nothing has changed.
  bool step(const JoinableCall& call) {
    switch (call.kind) {
      case JoinableCall::Kind::push:
        return push(call);
      case JoinableCall::Kind::pop:
        return pop(call);
      case JoinableCall::Kind::done:
        return leased_.erase(call.value) != 0;
      case JoinableCall::Kind::fail:
        return fail(call.value);
      case JoinableCall::Kind::pop_dead:
        return pop_dead(call);
      case JoinableCall::Kind::size:
        return call.value == queued_.size();
      case JoinableCall::Kind::unfinished:
        return call.value == unfinished();
      case JoinableCall::Kind::close:
        break;
    }
    is_closed_ = true;
    return true;
  }

  /// Those that nobody has leased.
  [[nodiscard]] std::size_t size() const { return queued_.size(); }
  /// Tasks that were popped, and are neither done nor failed.
  [[nodiscard]] std::size_t leased() const { return leased_.size(); }
  /// Tasks that wait, and those that are leased; dead letters are no more.
  [[nodiscard]] std::size_t unfinished() const { return queued_.size() + leased_.size(); }
  /// The dead letters that nobody has popped, in the order of their last failures.
  [[nodiscard]] const std::vector<std::uint64_t>& dead() const { return dead_; }
  /// How many unleased tasks make it full; QueueTraits::kAny if it has no bound.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  /// Whether a push that gives true may not come next. What comes back finds room all the same.
  [[nodiscard]] bool is_full() const { return queued_.size() >= capacity_; }
  /// Whether a close() has come: no push may give true any more, but failed tasks come back.
  [[nodiscard]] bool is_closed() const { return is_closed_; }
  /// The task that a pop gives; there must be one.
  [[nodiscard]] std::uint64_t next() const { return queued_.begin()->second.item; }
  /// Which attempt of that task it would be, 1 being the first; there must be one.
  [[nodiscard]] std::uint32_t next_attempt() const { return queued_.begin()->second.failures + 1; }

 private:
  struct Task {
    std::uint64_t item = 0;
    std::uint64_t place = 0;
    std::uint32_t failures = 0;
  };

  bool push(const JoinableCall& call) {
    if (call.ok == (is_full() || is_closed_)) return false;
    if (call.ok) queue({call.value, next_place_++, 0});
    return true;
  }

  bool pop(const JoinableCall& call) {
    if (!call.ok) return queued_.empty();
    if (queued_.empty() || next() != call.value) return false;
    if (call.attempt != 0 && call.attempt != next_attempt()) return false;
    leased_.emplace(call.value, queued_.begin()->second);
    queued_.erase(queued_.begin());
    return true;
  }

  bool fail(std::uint64_t item) {
    const auto found = leased_.find(item);
    if (found == leased_.end()) return false;
    Task task = found->second;
    leased_.erase(found);
    ++task.failures;
    if (traits_.max_attempts != 0 && task.failures >= traits_.max_attempts) {
      dead_.push_back(item);
    } else {
      if (!traits_.returns_to_its_place) task.place = next_place_++;
      queue(task);
    }
    return true;
  }

  bool pop_dead(const JoinableCall& call) {
    if (!call.ok) return dead_.empty();
    return std::erase(dead_, call.value) == 1;
  }

  void queue(const Task& task) { queued_.emplace(task.place, task); }

  JoinableTraits traits_;
  std::size_t capacity_;
  bool is_closed_ = false;
  std::uint64_t next_place_ = 0;
  std::map<std::uint64_t, Task> queued_;  ///< by their places
  std::map<std::uint64_t, Task> leased_;  ///< by their items
  std::vector<std::uint64_t> dead_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_JOINABLE_MODEL_H_
