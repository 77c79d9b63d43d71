// SPDX-License-Identifier: Apache-2.0
//
// The structures of Boost.Lockfree as subjects of the kit. Those with a name that says Shared are
// of a size fixed while compiling, and so hold no pointer: Boost documents them for shared memory,
// and promises nothing about processes that die.
//
//   BoostQueueSubject          boost::lockfree::queue, bounded by its pool: bounded_push()
//   BoostStackSubject          boost::lockfree::stack, the same
//   BoostSpscSubject           boost::lockfree::spsc_queue
//   BoostSharedQueueSubject    boost::lockfree::queue<T, capacity<64>>
//   BoostSharedSpscSubject     boost::lockfree::spsc_queue<T, capacity<64>>
//
// Units: items. Errors: as testkit/queue_adapter.h. Threads and processes: spsc_queue one thread
// that pushes and one that pops; the others any number. Cost: Boost's own.

#ifndef SLUICE_TESTKIT_SUBJECTS_BOOST_SUBJECTS_H_
#define SLUICE_TESTKIT_SUBJECTS_BOOST_SUBJECTS_H_

#include <boost/lockfree/policies.hpp>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <boost/lockfree/stack.hpp>
#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

/// What Boost's queue of several producers asks of its items; its stack could do with less, but
/// copies items that others may be destroying. Their nodes are aligned to a cache line, and an item
/// must not want more.
template <class T>
concept BoostItem = std::copyable<T> && std::is_trivially_copy_assignable_v<T> &&
                    std::is_trivially_destructible_v<T> && alignof(T) <= 64;

/// boost::lockfree::queue or stack.
template <class T, template <class...> class Inner, QueueOrder kOrder>
class BoostPoolSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{.order = kOrder, .bounded = true};

  explicit BoostPoolSubject(std::size_t capacity) : inner_(capacity) {}

  bool try_push(const T& item) { return inner_.bounded_push(item); }
  bool try_pop(T& item) { return inner_.pop(item); }

 private:
  Inner<T> inner_;
};

template <BoostItem T>
using BoostQueueSubject = BoostPoolSubject<T, boost::lockfree::queue, QueueOrder::fifo>;
template <BoostItem T>
using BoostStackSubject = BoostPoolSubject<T, boost::lockfree::stack, QueueOrder::lifo>;

template <std::copyable T>
class BoostSpscSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::fifo, .bounded = true, .producers = 1, .consumers = 1};

  explicit BoostSpscSubject(std::size_t capacity) : inner_(capacity) {}

  bool try_push(const T& item) { return inner_.push(item); }
  bool try_pop(T& item) { return inner_.pop(item); }
  std::size_t try_push_n(std::span<const T> items) {
    return inner_.push(items.data(), items.size());
  }
  std::size_t try_pop_n(std::span<T> items) { return inner_.pop(items.data(), items.size()); }

 private:
  boost::lockfree::spsc_queue<T> inner_;
};

/// Either of them, in memory that processes share, whatever capacity is asked for.
template <class T, class Inner, std::size_t kParties>
class BoostSharedSubject {
 public:
  using value_type = T;
  static constexpr std::size_t kCapacity = 64;
  static constexpr QueueTraits kTraits{
      .order = QueueOrder::fifo, .bounded = true, .producers = kParties, .consumers = kParties};

  static std::size_t bytes(std::size_t /*capacity*/) { return sizeof(Inner); }
  static void make(void* memory, std::size_t /*capacity*/) { ::new (memory) Inner(); }
  BoostSharedSubject(void* memory, std::size_t /*capacity*/)
      : inner_(std::launder(static_cast<Inner*>(memory))) {}

  [[nodiscard]] std::size_t capacity() const { return kCapacity; }

  bool try_push(const T& item) {
    if constexpr (requires { inner_->bounded_push(item); }) {
      return inner_->bounded_push(item);
    } else {
      return inner_->push(item);
    }
  }
  bool try_pop(T& item) { return inner_->pop(item); }

 private:
  Inner* inner_;
};

template <BoostItem T>
using BoostSharedQueueSubject =
    BoostSharedSubject<T, boost::lockfree::queue<T, boost::lockfree::capacity<64>>,
                       QueueTraits::kAny>;
template <class T>
  requires std::is_trivially_copyable_v<T>
using BoostSharedSpscSubject =
    BoostSharedSubject<T, boost::lockfree::spsc_queue<T, boost::lockfree::capacity<64>>, 1>;

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_BOOST_SUBJECTS_H_
