// SPDX-License-Identifier: Apache-2.0
//
// Maxim Egorushkin's atomic_queue in shared memory: AtomicQueue, whose cells are the items, for
// numbers, and AtomicQueue2, whose cells have a state beside them, for any item. Nobody outlives a
// process that is killed between the claim of an index and the cell.

#ifndef SLUICE_BENCH_RIVALS_ATOMIC_QUEUES_H_
#define SLUICE_BENCH_RIVALS_ATOMIC_QUEUES_H_

#ifdef SLUICE_BENCH_HAS_ATOMIC_QUEUE

#include <atomic_queue/atomic_queue.h>

#include <cstddef>
#include <cstdint>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/rivals/mpmc_queues.h"

namespace sluice::bench {

enum class Sides { one, many };

/// Items of eight bytes as they are; no message is all ones.
template <Sides kSides>
class AtomicNumbers {
 public:
  bool try_push(const Message<8>& message) { return queue_.try_push(message.words[0]); }
  bool try_pop(Message<8>& message) { return queue_.try_pop(message.words[0]); }

 private:
  atomic_queue::AtomicQueue<std::uint64_t, kMpmcCapacity, ~std::uint64_t{0}, true, true, false,
                            kSides == Sides::one>
      queue_;
};

template <class Item, std::size_t kCapacity, Sides kSides>
using AtomicItems =
    atomic_queue::AtomicQueue2<Item, kCapacity, true, true, false, kSides == Sides::one>;

/// Either in shared memory, as mpmc_queues.h wants queues and traffic.h channels.
template <class Queue, class Item, Spin kSpin = Spin::pause>
class AtomicQueueOf {
 public:
  /// A cell does not know in which lap it is: of two consumers that are a lap apart, one of which
  /// was preempted, either may get either item.
  static constexpr bool kInOrder = false;

  struct Producer {
    bool push(const Item& item) { return queue->try_push(item); }
    void send(const Item& item) {
      spin_until<kSpin>([&] { return queue->try_push(item); });
    }
    Queue* queue;
  };
  struct Consumer {
    bool pop(Item& item) { return queue->try_pop(item); }
    void receive(Item& item) {
      spin_until<kSpin>([&] { return queue->try_pop(item); });
    }
    Queue* queue;
  };

  [[nodiscard]] Producer producer() { return {&*queue_}; }
  [[nodiscard]] Consumer consumer() { return {&*queue_}; }
  [[nodiscard]] Producer sender() { return producer(); }
  [[nodiscard]] Consumer receiver() { return consumer(); }

 private:
  InShared<Queue> queue_;
};

template <std::size_t kSize, Spin kSpin>
using AtomicQueue2Channel =
    AtomicQueueOf<AtomicItems<Message<kSize>, slots_for(kSize), Sides::one>, Message<kSize>, kSpin>;
template <std::size_t kSize, Spin kSpin>
using AtomicQueueChannel = AtomicQueueOf<AtomicNumbers<Sides::one>, Message<8>, kSpin>;

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HAS_ATOMIC_QUEUE

#endif  // SLUICE_BENCH_RIVALS_ATOMIC_QUEUES_H_
