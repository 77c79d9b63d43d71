// SPDX-License-Identifier: Apache-2.0
//
// The queues of ipc/ as subjects of the kit, each made without a name and inherited by fork.
//
//   QueueSubject           Queue of items that lie in its ring
//   RecordQueueSubject     Queue with a limit in bytes as well: the one with records and locks
//   LifoQueueSubject       LifoQueue
//   PriorityQueueSubject   PriorityQueue
//   DequeSubject           Deque, pushed at its back and popped at its front
//   JoinableQueueSubject   JoinableQueue; pop() is done() with what it gives, by its Task
//   JoinableQueueDoneSubject   the same by pop(T&), and done() of the oldest
//
// Their size() is exact while nobody is at work, and a snapshot else: it is not linearizable.
//
// Units: items. Errors: false is full, empty or closed; corrupt and the like are thrown as Error,
// and so is busy, after two seconds of it. Threads and processes: all calls may overlap. If a
// process dies here: as those headers say. Cost: theirs, and a second mapping of the memory, for
// who compares its bytes or overwrites them.

#ifndef SLUICE_TESTKIT_SUBJECTS_IPC_SUBJECTS_H_
#define SLUICE_TESTKIT_SUBJECTS_IPC_SUBJECTS_H_

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/deque.h"
#include "sluice/ipc/joinable_queue.h"
#include "sluice/ipc/lifo_queue.h"
#include "sluice/ipc/priority_queue.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"
#include "sluice/testkit/queue_adapter.h"
#include "sluice/testkit/subjects/object_bytes.h"
#include "sluice/testkit/subjects/outcome.h"

namespace sluice::testkit {

/// What travels, and can be made first and filled in then.
template <class T>
concept QueueItem = Travels<T> && std::default_initializable<T> && std::copyable<T>;

}  // namespace sluice::testkit

namespace sluice::internal {

/// A try_ form says busy where another is in the midst of a call for long.
template <class Try>
bool outcome_of_try(Try attempt) {
  const Deadline::TimePoint end = Deadline::Clock::now() + std::chrono::seconds(2);
  Status status = attempt();
  while (status == Status::busy && Deadline::Clock::now() < end) status = attempt();
  return outcome_for_kit(status);
}

/// What all of them have in common.
template <class Inner, testkit::QueueOrder kOrder>
class IpcSubject {
 public:
  using value_type = typename Inner::value_type;
  static constexpr testkit::QueueTraits kTraits{.order = kOrder, .bounded = true};

  explicit IpcSubject(std::size_t capacity) : IpcSubject(Capacity(capacity)) {}

  [[nodiscard]] std::span<const std::byte> shared() const { return bytes_.object(); }

  bool try_push(const value_type& item) {
    return outcome_of_try([&] { return inner_.try_push(item); });
  }
  bool try_pop(value_type& item) {
    return outcome_of_try([&] { return inner_.try_pop(item); });
  }
  bool push(const value_type& item) { return outcome_for_kit(inner_.push(item)); }
  bool pop(value_type& item) { return outcome_for_kit(inner_.pop(item)); }
  void close() { inner_.close(); }
  [[nodiscard]] std::size_t size() const { return inner_.size(); }

  std::size_t try_push_n(std::span<const value_type> items)
    requires requires(Inner& inner) { inner.try_push_each(items); }
  {
    return inner_.try_push_each(items).count;
  }
  std::size_t try_pop_n(std::span<value_type> items)
    requires requires(Inner& inner, std::vector<value_type>& out) { inner.try_pop_each(out, 1); }
  {
    std::vector<value_type> popped;
    const std::size_t count = inner_.try_pop_each(popped, items.size()).count;
    std::move(popped.begin(), popped.end(), items.begin());
    return count;
  }

 protected:
  explicit IpcSubject(Capacity capacity) : inner_(capacity), bytes_(inner_.fd()) {}
  [[nodiscard]] Inner& inner() { return inner_; }

 private:
  Inner inner_;
  ObjectBytes bytes_;
};

}  // namespace sluice::internal

namespace sluice::testkit {

template <QueueItem T>
  requires std::is_trivially_copyable_v<T> && std::is_trivially_default_constructible_v<T> &&
           (alignof(T) <= kCacheLine)
class QueueSubject : public internal::IpcSubject<Queue<T>, QueueOrder::fifo> {
  using internal::IpcSubject<Queue<T>, QueueOrder::fifo>::IpcSubject;
};

template <QueueItem T>
class RecordQueueSubject : public internal::IpcSubject<Queue<T>, QueueOrder::fifo> {
 public:
  explicit RecordQueueSubject(std::size_t capacity)
      : internal::IpcSubject<Queue<T>, QueueOrder::fifo>(
            // Room that the number of items never lacks, with what is left free at the end.
            Capacity(capacity, 2 * (capacity + 2) * (sizeof(T) + kBeside))) {}

 private:
  static constexpr std::size_t kBeside = 256;
};

template <QueueItem T>
class LifoQueueSubject : public internal::IpcSubject<LifoQueue<T>, QueueOrder::lifo> {
  using internal::IpcSubject<LifoQueue<T>, QueueOrder::lifo>::IpcSubject;
};

template <QueueItem T>
  requires std::totally_ordered<T>
class PriorityQueueSubject : public internal::IpcSubject<PriorityQueue<T>, QueueOrder::priority> {
  using internal::IpcSubject<PriorityQueue<T>, QueueOrder::priority>::IpcSubject;
};

template <QueueItem T>
class DequeSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};

  explicit DequeSubject(std::size_t capacity) : inner_(capacity), bytes_(inner_.fd()) {}

  [[nodiscard]] std::span<const std::byte> shared() const { return bytes_.object(); }

  bool try_push(const T& item) {
    return internal::outcome_of_try([&] { return inner_.try_push_back(item); });
  }
  bool try_pop(T& item) {
    return internal::outcome_of_try([&] { return inner_.try_pop_front(item); });
  }
  bool push(const T& item) { return internal::outcome_for_kit(inner_.push_back(item)); }
  bool pop(T& item) { return internal::outcome_for_kit(inner_.pop_front(item)); }
  void close() { inner_.close(); }
  [[nodiscard]] std::size_t size() const { return inner_.size(); }

 private:
  Deque<T> inner_;
  internal::ObjectBytes bytes_;
};

/// How what is popped from a JoinableQueue is said to be done.
enum class JoinableUse : std::uint8_t { task, oldest };

template <QueueItem T, JoinableUse kUse = JoinableUse::task>
class BasicJoinableQueueSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = QueueOrder::fifo, .bounded = true};

  explicit BasicJoinableQueueSubject(std::size_t capacity)
      : inner_(capacity), bytes_(inner_.fd()) {}

  [[nodiscard]] std::span<const std::byte> shared() const { return bytes_.object(); }

  bool try_push(const T& item) {
    return internal::outcome_of_try([&] { return inner_.try_push(item); });
  }
  bool try_pop(T& item) {
    return take(item, [&](auto& into) {
      return internal::outcome_of_try([&] { return inner_.try_pop(into); });
    });
  }
  bool push(const T& item) { return internal::outcome_for_kit(inner_.push(item)); }
  bool pop(T& item) {
    return take(item, [&](auto& into) { return internal::outcome_for_kit(inner_.pop(into)); });
  }
  void close() { inner_.close(); }
  [[nodiscard]] std::size_t size() const { return inner_.size(); }

 private:
  template <class Pop>
  bool take(T& item, Pop pop) {
    if constexpr (kUse == JoinableUse::oldest) {
      if (!pop(item)) return false;
      inner_.done();
    } else {
      std::optional<typename JoinableQueue<T>::Task> task;
      if (!pop(task)) return false;
      item = **task;
      task->done();
    }
    return true;
  }

  JoinableQueue<T> inner_;
  internal::ObjectBytes bytes_;
};

template <QueueItem T>
using JoinableQueueSubject = BasicJoinableQueueSubject<T>;
template <QueueItem T>
using JoinableQueueDoneSubject = BasicJoinableQueueSubject<T, JoinableUse::oldest>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_IPC_SUBJECTS_H_
