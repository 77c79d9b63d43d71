// SPDX-License-Identifier: Apache-2.0
//
// moodycamel's queues as subjects of the kit: unbounded, and in the order of each producer alone.
//
//   MoodycamelSubject           ConcurrentQueue as it comes; batches by its bulk calls
//   MoodycamelTokenSubject      the same, each party with a token to push and one to pop
//   MoodycamelBlockingSubject   BlockingConcurrentQueue, whose pop() waits; there is no close()
//
// Its size_approx() is no size(): by its own words it is right only while nobody is at work.
//
// Units: items. Errors: push is false only where there is no memory. Threads: all calls may
// overlap; a party is of one thread. Processes and death: private to its process. Cost:
// moodycamel's own.

#ifndef SLUICE_TESTKIT_SUBJECTS_MOODYCAMEL_SUBJECTS_H_
#define SLUICE_TESTKIT_SUBJECTS_MOODYCAMEL_SUBJECTS_H_

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <concurrentqueue/concurrentqueue.h>

#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

#include "sluice/testkit/queue_adapter.h"

namespace sluice::testkit {

inline constexpr QueueTraits kMoodycamelTraits{.order = QueueOrder::per_producer_fifo,
                                               .bounded = false};

template <std::movable T>
class MoodycamelSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits = kMoodycamelTraits;

  explicit MoodycamelSubject(std::size_t capacity) : inner_(capacity) {}

  bool try_push(T item) { return inner_.enqueue(std::move(item)); }
  bool try_pop(T& item) { return inner_.try_dequeue(item); }
  std::size_t try_push_n(std::span<const T> items)
    requires std::copyable<T>
  {
    return items.empty() || !inner_.enqueue_bulk(items.data(), items.size()) ? 0 : items.size();
  }
  std::size_t try_pop_n(std::span<T> items) {
    return inner_.try_dequeue_bulk(items.begin(), items.size());
  }

 private:
  moodycamel::ConcurrentQueue<T> inner_;
};

template <std::movable T>
class MoodycamelTokenSubject {
  using Inner = moodycamel::ConcurrentQueue<T>;

 public:
  using value_type = T;
  static constexpr QueueTraits kTraits = kMoodycamelTraits;

  class Party {
   public:
    using value_type = T;
    static constexpr QueueTraits kTraits = kMoodycamelTraits;

    explicit Party(Inner& inner) : inner_(&inner), pushes_(inner), pops_(inner) {}

    bool try_push(T item) { return inner_->enqueue(pushes_, std::move(item)); }
    bool try_pop(T& item) { return inner_->try_dequeue(pops_, item); }
    std::size_t try_push_n(std::span<const T> items)
      requires std::copyable<T>
    {
      if (items.empty()) return 0;
      return inner_->enqueue_bulk(pushes_, items.data(), items.size()) ? items.size() : 0;
    }
    std::size_t try_pop_n(std::span<T> items) {
      return inner_->try_dequeue_bulk(pops_, items.begin(), items.size());
    }

   private:
    Inner* inner_;
    moodycamel::ProducerToken pushes_;
    moodycamel::ConsumerToken pops_;
  };

  explicit MoodycamelTokenSubject(std::size_t capacity) : inner_(capacity) {}

  [[nodiscard]] Party party() { return Party(inner_); }

  /// Without tokens.
  bool try_push(T item) { return inner_.enqueue(std::move(item)); }
  bool try_pop(T& item) { return inner_.try_dequeue(item); }
  std::size_t try_push_n(std::span<const T> items)
    requires std::copyable<T>
  {
    return items.empty() || !inner_.enqueue_bulk(items.data(), items.size()) ? 0 : items.size();
  }
  std::size_t try_pop_n(std::span<T> items) {
    return inner_.try_dequeue_bulk(items.begin(), items.size());
  }

 private:
  Inner inner_;
};

template <std::movable T>
class MoodycamelBlockingSubject {
 public:
  using value_type = T;
  static constexpr QueueTraits kTraits = kMoodycamelTraits;

  explicit MoodycamelBlockingSubject(std::size_t capacity) : inner_(capacity) {}

  bool try_push(T item) { return inner_.enqueue(std::move(item)); }
  bool try_pop(T& item) { return inner_.try_dequeue(item); }
  /// There is always room.
  bool push(T item) { return inner_.enqueue(std::move(item)); }
  bool pop(T& item) {
    inner_.wait_dequeue(item);
    return true;
  }

 private:
  moodycamel::BlockingConcurrentQueue<T> inner_;
};

}  // namespace sluice::testkit

#endif  // SLUICE_TESTKIT_SUBJECTS_MOODYCAMEL_SUBJECTS_H_
