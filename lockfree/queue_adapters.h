// SPDX-License-Identifier: Apache-2.0
//
// Adapters: the queues of Boost.Lockfree and moodycamel, and our rings for one producer and one
// consumer, with the names of lockfree/queue_concept.h. For comparing them and for generic code;
// who uses one queue alone needs none of this.
//
//   BoostQueue<long> a(128);                     // boost::lockfree::queue
//   MoodycamelQueue<std::string> b;              // moodycamel::ConcurrentQueue
//   RingQueue<SpscRing<long>> c(128);            // on memory of its own
//   static_assert(TryQueue<decltype(a)> && TryQueue<decltype(b)> && TryQueue<decltype(c)>);
//
// Units: items. Errors: try_push() says full where the other queue is full or has no memory.
// Threads: as the other queue: BoostSpscQueue and RingQueue one thread that pushes and one that
// pops. Processes and death: private to the process. Cost: none but the other queue's.

#ifndef SLUICE_LOCKFREE_QUEUE_ADAPTERS_H_
#define SLUICE_LOCKFREE_QUEUE_ADAPTERS_H_

#include <concurrentqueue/concurrentqueue.h>

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/lockfree/stack.hpp>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "sluice/sync/platform.h"
#include "sluice/sync/status.h"

namespace sluice {

/// boost::lockfree::queue, stack or spsc_queue.
template <class Inner>
class BoostAdapter {
 public:
  using value_type = typename Inner::value_type;

  /// With room for `capacity` items, allocated here and now.
  explicit BoostAdapter(std::size_t capacity) : inner_(capacity) {}

  /// ok, or full: allocates nothing.
  Status try_push(const value_type& item) {
    // Bounded: what was asked for is all there is; push() would allocate, and is not lock-free
    // then.
    if constexpr (requires { inner_.bounded_push(item); }) {
      return inner_.bounded_push(item) ? Status::ok : Status::full;
    } else {
      return inner_.push(item) ? Status::ok : Status::full;
    }
  }
  /// ok or empty. By the one consumer, of a BoostSpscQueue.
  Status try_pop(value_type& item) { return inner_.pop(item) ? Status::ok : Status::empty; }
  /// Whether a pop would find nothing now; a snapshot while others are at work.
  [[nodiscard]] bool empty() const {
    if constexpr (requires { inner_.empty(); }) {
      return inner_.empty();
    } else {
      return inner_.read_available() == 0;
    }
  }

 private:
  Inner inner_;
};

/// First in, first out, for any number of threads.
template <class T>
using BoostQueue = BoostAdapter<boost::lockfree::queue<T>>;
/// Last in, first out, for any number of threads.
template <class T>
using BoostStack = BoostAdapter<boost::lockfree::stack<T>>;
/// First in, first out, for one thread that pushes and one that pops.
template <class T>
using BoostSpscQueue = BoostAdapter<boost::lockfree::spsc_queue<T>>;

/// moodycamel::ConcurrentQueue, without tokens.
template <class T>
class MoodycamelQueue {
 public:
  using value_type = T;

  /// ok, or full if there is no memory for it: it has no limit of its own.
  Status try_push(const T& item) { return inner_.enqueue(item) ? Status::ok : Status::full; }
  /// ok, or empty, which it may say of an item that another thread pushes at the time.
  Status try_pop(T& item) { return inner_.try_dequeue(item) ? Status::ok : Status::empty; }
  /// Exact while nobody else is at work, else a guess.
  [[nodiscard]] std::size_t size() const { return inner_.size_approx(); }
  /// Whether size() says 0, with what that is worth.
  [[nodiscard]] bool empty() const { return size() == 0; }

 private:
  moodycamel::ConcurrentQueue<T> inner_;
};

/// A ring of ours with its memory and both of its sides.
template <class Ring>
class RingQueue {
 public:
  using value_type = typename Ring::value_type;

  /// Allocates a ring of `capacity` items. Throws Error if the ring takes no such capacity.
  explicit RingQueue(std::size_t capacity)
      : memory_(make(capacity)), producer_(memory_.bytes), consumer_(memory_.bytes) {}
  RingQueue(const RingQueue&) = delete;
  RingQueue& operator=(const RingQueue&) = delete;
  ~RingQueue() = default;

  /// ok or full. By one thread at a time.
  Status try_push(const value_type& item) { return producer_.try_push(item); }
  /// ok or empty. By one thread at a time, which need not be the one that pushes.
  Status try_pop(value_type& item) { return consumer_.try_pop(item); }

 private:
  struct Free {
    void operator()(std::byte* memory) const {
      operator delete(memory, std::align_val_t{kNoSharing});
    }
  };
  struct Memory {
    std::unique_ptr<std::byte, Free> owner;
    std::span<std::byte> bytes;
  };

  static Memory make(std::size_t capacity) {
    const std::size_t size = Ring::bytes_for(capacity);
    auto* const memory = static_cast<std::byte*>(operator new(size, std::align_val_t{kNoSharing}));
    Memory made{std::unique_ptr<std::byte, Free>(memory), std::span(memory, size)};
    Ring::format(made.bytes, capacity);
    return made;
  }

  Memory memory_;
  typename Ring::Producer producer_;
  typename Ring::Consumer consumer_;
};

}  // namespace sluice

#endif  // SLUICE_LOCKFREE_QUEUE_ADAPTERS_H_
