// SPDX-License-Identifier: Apache-2.0
//
// UnboundedQueue<T>: items between the threads of one process, from any number of producers to any
// number of consumers, as many as memory holds. Not for processes (ipc/queue.h), and not where a
// producer must not run ahead of its consumers without end: it has no limit.
//
//   UnboundedQueue<std::unique_ptr<Job>> jobs;
//   jobs.push(std::make_unique<Job>());                   // in any thread; closed: it has ended
//   jobs.close();
//   while (auto job = jobs.pop()) (*job)->run();          // in others; ends when it is drained
//
// Inside is moodycamel::ConcurrentQueue; what is added here is waiting, and an end.
//
// Order: items that one thread pushes come out in their order; between threads there is none.
//
// Units: items; Deadline. Errors: push: closed. pop: timeout, or closed, once the queue is drained.
// try_pop: empty, if none was found: an item may be missed while another thread is in the midst of
// a pop, and is found by a later call. A pop that waits looks again at least every slice. What a
// T's constructors throw, and std::bad_alloc, pass through; an item whose push threw is not in the
// queue, an item whose pop threw is lost.
//
// Threads: all calls may overlap, but for destroying. Processes and death: it is private to its
// process, and ends with it. A child that is forked while another thread is in a call must not use
// it.
//
// close() waits for pushes that are under way in other threads: from then on nobody pushes, so who
// finds the queue empty knows that it stays so. It must not be called from a T's constructor.
//
// Cost: a push is the other queue's, two additions on a line that its thread shares with few, and a
// load; a pop is the other queue's. No system call, unless somebody sleeps.

#ifndef SLUICE_LOCKFREE_UNBOUNDED_QUEUE_H_
#define SLUICE_LOCKFREE_UNBOUNDED_QUEUE_H_

#include <concurrentqueue/concurrentqueue.h>

#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <new>
#include <optional>
#include <ostream>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/sync/deadline.h"
#include "sluice/sync/event_count.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"

namespace sluice {

/// A queue between the threads of one process, as long as memory allows, with a pop that waits and
/// an end.
template <std::movable T>
class UnboundedQueue {
 public:
  using value_type = T;

  /// Empty and open.
  UnboundedQueue() = default;
  UnboundedQueue(const UnboundedQueue&) = delete;
  UnboundedQueue& operator=(const UnboundedQueue&) = delete;
  ~UnboundedQueue() = default;

  /// ok, or closed. The deadline is for generic code: there is always room.
  Status push(const T& item, Deadline deadline = Deadline::never())
    requires std::copy_constructible<T>
  {
    static_cast<void>(deadline);
    return add_one([&] { return queue_.enqueue(item); });
  }
  /// ok, or closed: then `item` is as it was.
  Status push(T&& item) {
    return add_one([&] { return queue_.enqueue(std::move(item)); });
  }
  /// As push(), which never waits for room either: for generic code.
  Status try_push(const T& item)
    requires std::copy_constructible<T>
  {
    return push(item);
  }
  /// The same, of an item that is moved in.
  Status try_push(T&& item) { return push(std::move(item)); }
  /// Makes the item of `args`, also if the queue turns out to be closed, and moves it in. ok,
  /// closed.
  template <class... Args>
    requires std::constructible_from<T, Args...>
  Status emplace(Args&&... args) {
    return push(T(std::forward<Args>(args)...));
  }
  /// All of them, or closed and none.
  Status push_each(std::span<const T> items)
    requires std::copy_constructible<T>
  {
    const Status status =
        add([&] { return items.empty() || queue_.enqueue_bulk(items.data(), items.size()); });
    if (status == Status::ok) pushed_.notify_all();
    return status;
  }

  /// The next item; waits for it. Empty when the queue was closed and is drained.
  std::optional<T> pop()
    requires std::default_initializable<T>
  {
    std::optional<T> item(std::in_place);
    if (pop(*item) != Status::ok) item.reset();
    return item;
  }
  /// Waits for an item until the deadline: ok, timeout, or closed once the queue is drained.
  Status pop(T& item, Deadline deadline = Deadline::never()) {
    Status last = Status::empty;
    const auto taken = [&] { return (last = try_pop(item)) != Status::empty; };
    const Status waited = pushed_.await(deadline, taken, [] { return Status::ok; });
    return last == Status::empty ? waited : last;
  }
  /// ok, empty, or closed.
  Status try_pop(T& item) {
    // Acquire: pairs with the release in close(): what was pushed before it is found below.
    const bool closed = state_.load(std::memory_order_acquire) == State::closed;
    if (queue_.try_dequeue(item)) return Status::ok;
    if (!closed) return Status::empty;
    // The other queue may miss an item while others pop; nobody adds any more.
    while (queue_.size_approx() != 0) {
      if (queue_.try_dequeue(item)) return Status::ok;
      std::this_thread::yield();
    }
    return Status::closed;
  }
  /// Appends at most `most` items to `items`, without waiting, and says how many.
  std::size_t try_pop_each(std::vector<T>& items, std::size_t most) {
    return queue_.try_dequeue_bulk(std::back_inserter(items), most);
  }

  /// No push succeeds any more; what is there can be popped. Wakes who waits. Twice is once.
  void close() {
    State open = State::open;
    // Sequentially consistent: with the additions in Pushing. Either this sees the push under way,
    // or the push sees this.
    if (state_.compare_exchange_strong(open, State::closing)) {
      for (auto& stripe : pushing_) {
        // Sequentially consistent: as above; and what was pushed is seen.
        while (stripe.count.load() != 0) std::this_thread::yield();
      }
      // Release: pairs with the acquire in try_pop().
      state_.store(State::closed, std::memory_order_release);
    }
    pushed_.notify_all();
  }
  /// Whether close() has been called; there may be items to pop still.
  [[nodiscard]] bool is_closed() const noexcept {
    // Relaxed: a snapshot.
    return state_.load(std::memory_order_relaxed) != State::open;
  }

  /// Exact while nobody else is at work, else a snapshot.
  [[nodiscard]] std::size_t size() const { return queue_.size_approx(); }
  /// As size().
  [[nodiscard]] bool empty() const { return size() == 0; }

  friend std::ostream& operator<<(std::ostream& out, const UnboundedQueue& queue) {
    return out << "UnboundedQueue: " << queue.size() << " items, "
               << (queue.is_closed() ? "closed" : "open")
               << (queue.pushed_.maybe_waiting() ? ", consumers wait" : "");
  }

 private:
  enum class State : std::uint8_t { open, closing, closed };

  /// Pushes under way, of some of the threads.
  struct alignas(kNoSharing) Stripe {
    std::atomic<std::uint32_t> count{0};
  };
  static constexpr std::size_t kStripes = 8;

  /// A push, from before its look at the state to behind its end.
  class Pushing {
   public:
    explicit Pushing(UnboundedQueue& queue) : queue_(queue), count_(queue.stripe()) {
      // Sequentially consistent, with the load behind it: see close().
      count_.fetch_add(1);
    }
    Pushing(const Pushing&) = delete;
    Pushing& operator=(const Pushing&) = delete;
    ~Pushing() {
      // Release: pairs with the load in close().
      count_.fetch_sub(1, std::memory_order_release);
    }
    // Sequentially consistent: see close().
    [[nodiscard]] bool is_allowed() const { return queue_.state_.load() == State::open; }

   private:
    UnboundedQueue& queue_;
    std::atomic<std::uint32_t>& count_;
  };

  std::atomic<std::uint32_t>& stripe() {
    // Relaxed: any number will do.
    thread_local const std::size_t mine = next_stripe.fetch_add(1, std::memory_order_relaxed);
    return pushing_[mine % kStripes].count;
  }

  template <class Enqueue>
  Status add(Enqueue enqueue) {
    const Pushing pushing(*this);
    if (!pushing.is_allowed()) return Status::closed;
    if (!enqueue()) throw std::bad_alloc();
    return Status::ok;
  }

  template <class Enqueue>
  Status add_one(Enqueue enqueue) {
    const Status status = add(std::move(enqueue));
    if (status == Status::ok) pushed_.notify_one();
    return status;
  }

  static inline std::atomic<std::size_t> next_stripe{0};

  moodycamel::ConcurrentQueue<T> queue_;
  std::array<Stripe, kStripes> pushing_;
  alignas(kNoSharing) std::atomic<State> state_{State::open};
  EventCount pushed_;
};

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_UNBOUNDED_QUEUE_H_
