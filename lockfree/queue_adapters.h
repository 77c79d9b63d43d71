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

  explicit BoostAdapter(std::size_t capacity) : inner_(capacity) {}

  Status try_push(const value_type& item) {
    // Bounded: what was asked for is all there is; push() would allocate, and is not lock-free
    // then.
    if constexpr (requires { inner_.bounded_push(item); }) {
      return inner_.bounded_push(item) ? Status::ok : Status::full;
    } else {
      return inner_.push(item) ? Status::ok : Status::full;
    }
  }
  Status try_pop(value_type& item) { return inner_.pop(item) ? Status::ok : Status::empty; }
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

template <class T>
using BoostQueue = BoostAdapter<boost::lockfree::queue<T>>;
template <class T>
using BoostStack = BoostAdapter<boost::lockfree::stack<T>>;
template <class T>
using BoostSpscQueue = BoostAdapter<boost::lockfree::spsc_queue<T>>;

/// moodycamel::ConcurrentQueue, without tokens.
template <class T>
class MoodycamelQueue {
 public:
  using value_type = T;

  Status try_push(const T& item) { return inner_.enqueue(item) ? Status::ok : Status::full; }
  Status try_pop(T& item) { return inner_.try_dequeue(item) ? Status::ok : Status::empty; }
  [[nodiscard]] std::size_t size() const { return inner_.size_approx(); }
  [[nodiscard]] bool empty() const { return size() == 0; }

 private:
  moodycamel::ConcurrentQueue<T> inner_;
};

/// A ring of ours with its memory and both of its sides.
template <class Ring>
class RingQueue {
 public:
  using value_type = typename Ring::value_type;

  explicit RingQueue(std::size_t capacity)
      : memory_(make(capacity)), producer_(memory_.bytes), consumer_(memory_.bytes) {}
  RingQueue(const RingQueue&) = delete;
  RingQueue& operator=(const RingQueue&) = delete;
  ~RingQueue() = default;

  Status try_push(const value_type& item) { return producer_.try_push(item); }
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
