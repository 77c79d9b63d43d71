// SPDX-License-Identifier: Apache-2.0
//
// boost::interprocess::message_queue as a channel (harness/traffic.h). It lies in /dev/shm under a
// name of its own, which is removed as soon as the queue is mapped: the forked processes inherit
// the mapping, and nothing can be left behind.

#ifndef SLUICE_BENCH_RIVALS_BOOST_INTERPROCESS_H_
#define SLUICE_BENCH_RIVALS_BOOST_INTERPROCESS_H_

#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstddef>
#include <string>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"

namespace sluice::bench {

template <std::size_t kSize>
class BoostInterprocess {
  using Queue = boost::interprocess::message_queue;

 public:
  struct Sender {
    void send(const Message<kSize>& message) {
      if (wait == Wait::block) return queue->send(message.bytes(), kSize, 0);
      spin_until<Spin::pause>([&] { return queue->try_send(message.bytes(), kSize, 0); });
    }
    Queue* queue;
    Wait wait;
  };

  struct Receiver {
    void receive(Message<kSize>& message) {
      std::size_t size = 0;
      unsigned priority = 0;
      if (wait == Wait::block) {
        queue->receive(message.bytes(), kSize, size, priority);
      } else {
        spin_until<Spin::pause>(
            [&] { return queue->try_receive(message.bytes(), kSize, size, priority); });
      }
      require(size == kSize, "a message of another size");
    }
    Queue* queue;
    Wait wait;
  };

  explicit BoostInterprocess(Wait wait)
      : queue_(boost::interprocess::create_only, name_.text.c_str(), slots_for(kSize), kSize),
        wait_(wait) {
    name_.remove();
  }

  [[nodiscard]] Sender sender() { return {&queue_, wait_}; }
  [[nodiscard]] Receiver receiver() { return {&queue_, wait_}; }

 private:
  /// Removed also if the queue's constructor throws.
  struct Name {
    Name() : text("sluice-bench-" + std::to_string(::getpid())) {}
    ~Name() { remove(); }
    void remove() const { Queue::remove(text.c_str()); }
    std::string text;
  };

  Name name_;
  Queue queue_;
  Wait wait_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_BOOST_INTERPROCESS_H_
