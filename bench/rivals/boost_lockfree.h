// SPDX-License-Identifier: Apache-2.0
//
// boost::lockfree::spsc_queue in shared memory, as a channel (harness/traffic.h). With a capacity
// fixed at compile time it holds no pointer, so two processes can use it.

#ifndef SLUICE_BENCH_RIVALS_BOOST_LOCKFREE_H_
#define SLUICE_BENCH_RIVALS_BOOST_LOCKFREE_H_

#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"

namespace sluice::bench {

template <std::size_t kSize, Spin kSpin>
class BoostLockfree {
  using Queue =
      boost::lockfree::spsc_queue<Message<kSize>, boost::lockfree::capacity<slots_for(kSize)>>;

 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      spin_until<kSpin>([&] { return queue->push(message); });
    }
    Queue* queue;
  };
  struct Receiver {
    void receive(Message<kSize>& message) {
      spin_until<kSpin>([&] { return queue->pop(message); });
    }
    Queue* queue;
  };

  [[nodiscard]] Sender sender() { return {&*queue_}; }
  [[nodiscard]] Receiver receiver() { return {&*queue_}; }

 private:
  InShared<Queue> queue_;
};

/// The words of a message as items of their own, as many at a time as the queue takes.
template <std::size_t kSize, Spin kSpin>
class BoostLockfreeInBatches {
  using Queue = boost::lockfree::spsc_queue<std::uint64_t, boost::lockfree::capacity<1024>>;

 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      const std::uint64_t* const words = message.words.data();
      std::size_t done = 0;
      spin_until<kSpin>([&] {
        done += queue->push(words + done, Message<kSize>::kWords - done);
        return done == Message<kSize>::kWords;
      });
    }
    Queue* queue;
  };
  struct Receiver {
    void receive(Message<kSize>& message) {
      std::uint64_t* const words = message.words.data();
      std::size_t done = 0;
      spin_until<kSpin>([&] {
        done += queue->pop(words + done, Message<kSize>::kWords - done);
        return done == Message<kSize>::kWords;
      });
    }
    Queue* queue;
  };

  [[nodiscard]] Sender sender() { return {&*queue_}; }
  [[nodiscard]] Receiver receiver() { return {&*queue_}; }

 private:
  InShared<Queue> queue_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_BOOST_LOCKFREE_H_
