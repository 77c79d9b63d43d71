// SPDX-License-Identifier: Apache-2.0
//
// JoinableQueue<T>: tasks between any number of threads and processes, first in first out, that are
// leased: a task counts until somebody says that it is done, comes back if its consumer dies or
// fails, and is put aside if that happens too often. T is any type that travels (ipc/codec.h). For
// items that are gone once popped, ipc/queue.h is quicker.
//
//   JoinableQueue<Page> pages(100);                   // threads and forked children share it
//   if (pages.push(page) == Status::ok) ++pushed;     // waits for room
//   pages.join();                                     // until all are done
//
//   while (auto task = pages.pop()) {                 // in another process
//     fetch(**task);                                  // throws: the task has failed
//     task->done();
//   }
//
// A Task that is destroyed before done() has failed, and so has one whose process dies. It comes
// back in its old place, to whoever pops next, or is a dead letter: after max_attempts attempts, or
// (Failed::put_aside) at its first failure, other than a death. pop(T&) leases without a Task:
// done() then ends the oldest such lease of this process, of whatever thread and handle.
//
// In memory: a segment of kind `joinable_queue` (ipc/item_parts.h). An item of up to 24 encoded
// bytes takes 64, and for each further 48 another 64, until it is done. The limit in items is on
// those that nobody has leased; leased ones and dead letters take memory beside them, which is
// there for 1,024 if items have a fixed size, and counts as bytes otherwise.
//
// Units and errors: as ipc/queue.h. done() for a task that is none any more throws
// std::logic_error, and changes nothing. closed: the queue was closed, and nothing is queued; what
// others have leased may yet come back, and can be popped then.
//
// Threads and processes: as ipc/queue.h. A Task is of one thread at a time, and of the process that
// popped it: in a forked child it is nobody's.
//
// If a process dies here: a push, a lease, done() and a failure are committed by one store each. An
// item whose push had returned is delivered until it is done or a dead letter: more than once where
// its consumer died before done(). The leases of the dead come back at the latest when somebody
// finds nothing else to pop, or at the end of the slice (10 to 80 ms) of who sleeps in pop() or
// join(). Whoever takes the lock next makes the order anew from the items.
//
// Cost: a task is three times the lock: push, pop, done(). Decoding is outside it. No system call,
// unless somebody sleeps, finds nothing though tasks are leased, or the queue grows.

#ifndef SLUICE_IPC_JOINABLE_QUEUE_H_
#define SLUICE_IPC_JOINABLE_QUEUE_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/ipc/codec.h"
#include "sluice/ipc/codec_traits.h"
#include "sluice/ipc/item_index.h"
#include "sluice/ipc/item_parts.h"
#include "sluice/ipc/item_queue.h"
#include "sluice/ipc/joinable_options.h"
#include "sluice/ipc/leased_items.h"
#include "sluice/ipc/queue.h"
#include "sluice/ipc/queue_core.h"
#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/error.h"
#include "sluice/sync/status.h"

namespace sluice {

/// Tasks between threads and processes, leased until they are done: a handle.
template <class T>
class JoinableQueue : public internal::ItemQueue<JoinableQueue<T>, T> {
  using Base = internal::ItemQueue<JoinableQueue<T>, T>;
  using Waits = internal::Waits;
  static constexpr auto kBack = internal::ItemEnd::back;

 public:
  /// What the stamps of its segments call it; another kind is refused with Status::mismatch.
  static constexpr std::string_view kKindName = "joinable_queue";
  /// What it calls itself for people.
  static constexpr std::string_view kName = "JoinableQueue";
  /// What it is made with, besides the capacity.
  using Options = JoinableOptions;

  /// An item on lease.
  class Task {
   public:
    Task(Task&& other) noexcept = default;
    Task& operator=(Task&& other) noexcept {
      if (this != &other) {
        give_back();
        parts_ = std::move(other.parts_);
        lease_ = other.lease_;
        item_ = std::move(other.item_);
      }
      return *this;
    }
    /// A task that was not ended has failed; in a forked child it is the parent's, and goes on.
    ~Task() { give_back(); }

    /// The item, a copy in this process, which stays readable after done().
    T& operator*() { return item_; }
    /// The same, for reading.
    const T& operator*() const { return item_; }
    /// A member of that copy.
    T* operator->() { return &item_; }
    /// The same, for reading.
    const T* operator->() const { return &item_; }

    /// The task is done with. Throws std::logic_error if that was said before, or in a forked
    /// child; Error if the queue is corrupt.
    void done() {
      const auto parts = std::exchange(parts_, nullptr);
      internal::throw_unless_done(parts == nullptr ? Status::stale : parts->items().finish(lease_));
    }
    /// The task has failed. Throws as done().
    void fail() {
      const auto parts = std::exchange(parts_, nullptr);
      internal::throw_unless_done(parts == nullptr ? Status::stale : parts->items().fail(lease_));
    }
    /// 1 at its first consumer.
    [[nodiscard]] std::uint32_t attempt() const { return lease_.attempt; }

   private:
    friend JoinableQueue;
    Task(std::shared_ptr<internal::ItemParts> parts, const internal::Lease& lease, T item)
        : parts_(std::move(parts)), lease_(lease), item_(std::move(item)) {}

    /// Quietly, as in a forked child, where it is another's.
    void give_back() noexcept {
      if (const auto parts = std::exchange(parts_, nullptr)) parts->give_back(lease_, true);
    }

    std::shared_ptr<internal::ItemParts> parts_;  ///< null: it has ended
    internal::Lease lease_;
    T item_;
  };

  /// A task that failed too often.
  struct DeadLetter {
    T item{};                    ///< as it was pushed
    std::uint32_t attempts = 0;  ///< that failed, or ended with their consumer's death
  };

  /// Without a name: for threads, children that are forked later, and whoever is sent fd(). It
  /// grows as needed: see Capacity.
  JoinableQueue() : JoinableQueue(Capacity::unlimited()) {}
  /// Without a name, too. Throws Error, also for limits that no queue can have.
  explicit JoinableQueue(Capacity capacity, const JoinableOptions& options = {})
      : Base(plan(capacity, options)) {}

  /// Under a name that must be free.
  static JoinableQueue create(std::string_view name, Capacity capacity,
                              const JoinableOptions& options = {}) {
    return JoinableQueue(Base::make(name, plan(capacity, options)));
  }
  /// What is there, or a new one; race-free. What is there keeps its capacity.
  static JoinableQueue open_or_create(std::string_view name, Capacity capacity,
                                      const JoinableOptions& options = {}) {
    return JoinableQueue(Base::make_or_open(name, plan(capacity, options)));
  }

  /// Appends an item; waits for room until the deadline, unless the queue's Overflow says
  /// otherwise.
  Status push(const T& item, Deadline deadline = Deadline::never()) {
    return push_each(std::span(&item, 1), deadline).status;
  }
  /// As push(), but full instead of waiting.
  Status try_push(const T& item) { return try_push_each(std::span(&item, 1)).status; }
  /// As push(), of an item made of these arguments.
  template <class... Args>
    requires std::constructible_from<T, Args...>
  Status emplace(Args&&... args) {
    return push(T(std::forward<Args>(args)...));
  }
  /// Appends each, in one piece as far as there is room at once. What was pushed stays pushed.
  QueueBatch push_each(std::span<const T> items, Deadline deadline = Deadline::never()) {
    return Base::push_some(kBack, items, Waits::yes, deadline);
  }
  /// As push_each(), but full instead of waiting for room.
  QueueBatch try_push_each(std::span<const T> items) {
    return Base::push_some(kBack, items, Waits::no, Deadline::now());
  }

  /// Leases the next item; waits for one. Empty when the stream has ended: status() tells how.
  /// Throws Error where anything else is wrong.
  std::optional<Task> pop() {
    std::optional<Task> task;
    const Status status = pop(task);
    if (status != Status::ok) internal::throw_unless_queue_ended(status);
    return task;
  }
  /// As above, but gives up at the deadline, and says with a Status how it ended. A task that
  /// `task` held before has failed, unless it was ended.
  Status pop(std::optional<Task>& task, Deadline deadline = Deadline::never()) {
    return lease(task, Waits::yes, deadline);
  }
  /// As pop(), but empty instead of waiting.
  Status try_pop(std::optional<Task>& task) { return lease(task, Waits::no, Deadline::now()); }

  /// Leases the next item without a Task: done() ends it.
  Status pop(T& item, Deadline deadline = Deadline::never()) {
    return lease(item, Waits::yes, deadline);
  }
  /// The same, but empty instead of waiting.
  Status try_pop(T& item) { return lease(item, Waits::no, Deadline::now()); }
  /// This process is done with what it got by pop(T&): with the oldest such item. Throws
  /// std::logic_error if there is none, and Error if the queue is corrupt.
  void done() { internal::throw_unless_done(Base::parts().items().finish_oldest()); }

  /// Drops the next item unread, as where it is corrupt: ok, or what try_pop() says of none.
  Status skip() {
    return Base::skip_one([this] { return Base::parts().items().end(internal::ItemEnd::front); });
  }

  /// Waits until there is no item that is not done, nor a dead letter; whatever is pushed next is
  /// not waited for. ok, timeout, corrupt, foreign_registry.
  Status join(Deadline deadline) { return Base::parts().join(deadline); }
  /// However long it takes. Throws Error where anything is wrong.
  void join() { internal::throw_unless_joined(join(Deadline::never())); }
  /// Items that are not done: queued or leased.
  [[nodiscard]] std::size_t unfinished() const { return Base::parts().items().unfinished(); }
  /// Items that some consumer has; those of the dead until they come back.
  [[nodiscard]] std::size_t leased() const { return Base::parts().items().leases(); }

  /// What failed too often, in the order of its pushes; it stays. Throws Error.
  [[nodiscard]] std::vector<DeadLetter> dead_letters() const {
    std::vector<DeadLetter> letters;
    const Status status = Base::parts().items().read_dead_letters(
        [&](std::span<const std::byte> bytes, std::uint32_t attempts) {
          return decode(bytes, letters.emplace_back(DeadLetter{.attempts = attempts}).item);
        },
        Deadline::never());
    if (status != Status::ok) throw Error(status, {.tried = "read dead letters"});
    return letters;
  }
  /// Takes the first of them: ok, empty, corrupt.
  Status try_pop_dead_letter(DeadLetter& letter) {
    return Base::parts().items().pop_dead_letter(
        [&](std::span<const std::byte> bytes, std::uint32_t attempts) {
          letter.attempts = attempts;
          return decode(bytes, letter.item);
        },
        Deadline::never());
  }

 private:
  friend Base;

  /// Of items of a fixed size: room for so many that are leased, or dead letters.
  static constexpr std::size_t kLeaseRoom = 1024;

  explicit JoinableQueue(Segment segment) : Base(std::move(segment)) {}
  static std::uint64_t fingerprint() { return codec_fingerprint<T>(); }

  static internal::ItemQueuePlan plan(const Capacity& capacity, const JoinableOptions& options) {
    const QueueOptions queue = {.overflow = options.overflow,
                                .ends_with_producers = options.ends_with_producers,
                                .segment = options.segment};
    auto plan = Base::plan(capacity, queue, kLeaseRoom);
    plan.items.max_attempts = options.max_attempts;
    plan.items.dead_at_once = options.failed == Failed::put_aside;
    return plan;
  }

  Status lease(internal::Lease& lease, Waits waits, Deadline deadline) {
    return Base::parts().take(
        [&](Deadline lock) { return Base::parts().items().lease(lease, lock); }, waits, deadline);
  }
  Status read(const internal::Lease& lease, T& item) {
    return Base::parts().items().read(
        lease, [&](std::span<const std::byte> bytes) { return decode(bytes, item); });
  }

  Status lease(std::optional<Task>& task, Waits waits, Deadline deadline) {
    task.reset();
    internal::Lease taken;
    if (const Status s = lease(taken, waits, deadline); s != Status::ok) return s;
    internal::Unread unread(Base::parts(), taken);
    T item{};
    if (const Status s = read(taken, item); s != Status::ok) return s;
    task.emplace(Task(Base::shared_parts(), taken, std::move(item)));
    unread.keep();
    return Status::ok;
  }

  Status lease(T& item, Waits waits, Deadline deadline) {
    internal::Lease taken;
    if (const Status s = lease(taken, waits, deadline); s != Status::ok) return s;
    internal::Unread unread(Base::parts(), taken);
    const Status status = read(taken, item);
    if (status == Status::ok) {
      unread.keep();
      Base::parts().items().let_go(taken);
    }
    return status;
  }
};

}  // namespace sluice

#endif  // SLUICE_IPC_JOINABLE_QUEUE_H_
