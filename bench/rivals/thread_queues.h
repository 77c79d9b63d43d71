// SPDX-License-Identifier: Apache-2.0
//
// Queues that know one process only, as channels (harness/traffic.h) and as queues of many sides
// (mpmc_queues.h), for harness/in_threads.h: moodycamel's ConcurrentQueue, with a token for each
// thread and by hundreds, as its documentation recommends, and his ReaderWriterQueue.

#ifndef SLUICE_BENCH_RIVALS_THREAD_QUEUES_H_
#define SLUICE_BENCH_RIVALS_THREAD_QUEUES_H_

#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <span>

#ifdef SLUICE_BENCH_HAS_READERWRITERQUEUE
#include <readerwriterqueue/readerwriterqueue.h>
#endif

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/rivals/mpmc_queues.h"

namespace sluice::bench {

template <class Item>
class Moodycamel {
  using Queue = moodycamel::ConcurrentQueue<Item>;

 public:
  struct Producer {
    bool push(const Item& item) { return queue->try_enqueue(*token, item); }
    std::size_t push_n(std::span<const Item> items) {
      return queue->try_enqueue_bulk(*token, items.begin(), items.size()) ? items.size() : 0;
    }
    Queue* queue;
    std::shared_ptr<moodycamel::ProducerToken> token;
  };
  struct Consumer {
    bool pop(Item& item) { return queue->try_dequeue(*token, item); }
    std::size_t pop_n(std::span<Item> items) {
      return queue->try_dequeue_bulk(*token, items.begin(), items.size());
    }
    Queue* queue;
    std::shared_ptr<moodycamel::ConsumerToken> token;
  };

  explicit Moodycamel(std::size_t capacity = kMpmcCapacity, std::size_t producers = 16)
      : queue_(std::make_shared<Queue>(capacity, producers, 0)) {}

  /// They must not outlive this one.
  [[nodiscard]] Producer producer() {
    return {queue_.get(), std::make_shared<moodycamel::ProducerToken>(*queue_)};
  }
  [[nodiscard]] Consumer consumer() {
    return {queue_.get(), std::make_shared<moodycamel::ConsumerToken>(*queue_)};
  }

 private:
  std::shared_ptr<Queue> queue_;
};

template <std::size_t kSize, Spin kSpin>
class MoodycamelChannel {
  using Queue = Moodycamel<Message<kSize>>;

 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      spin_until<kSpin>([&] { return side.push(message); });
    }
    typename Queue::Producer side;
  };
  struct Receiver {
    void receive(Message<kSize>& message) {
      spin_until<kSpin>([&] { return side.pop(message); });
    }
    typename Queue::Consumer side;
  };

  [[nodiscard]] Sender sender() { return {queue_.producer()}; }
  [[nodiscard]] Receiver receiver() { return {queue_.consumer()}; }

 private:
  Queue queue_ = Queue(slots_for(kSize), 1);
};

#ifdef SLUICE_BENCH_HAS_READERWRITERQUEUE
template <std::size_t kSize, Spin kSpin>
class ReaderWriterChannel {
  using Queue = moodycamel::ReaderWriterQueue<Message<kSize>>;

 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      spin_until<kSpin>([&] { return queue->try_enqueue(message); });
    }
    Queue* queue;
  };
  struct Receiver {
    void receive(Message<kSize>& message) {
      spin_until<kSpin>([&] { return queue->try_dequeue(message); });
    }
    Queue* queue;
  };

  [[nodiscard]] Sender sender() { return {&queue_}; }
  [[nodiscard]] Receiver receiver() { return {&queue_}; }

 private:
  Queue queue_ = Queue(slots_for(kSize));
};
#endif

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_THREAD_QUEUES_H_
