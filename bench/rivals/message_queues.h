// SPDX-License-Identifier: Apache-2.0
//
// Message queues of the system and of Boost as bench/many_sides.h wants them: pipe(2), whose
// messages of at most 4096 bytes stay in one piece however many write and read it, and
// boost::interprocess::message_queue. Neither can be closed: the end is an item for each consumer.

#ifndef SLUICE_BENCH_RIVALS_MESSAGE_QUEUES_H_
#define SLUICE_BENCH_RIVALS_MESSAGE_QUEUES_H_

#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>
#include <cstddef>
#include <string>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/rivals/descriptors.h"

namespace sluice::bench {

/// Where an item's number is (many_sides.h), no item has this one.
template <std::size_t kSize>
Message<kSize> last_item() {
  Message<kSize> item{};
  item.stamp(kLast);
  return item;
}

template <std::size_t kSize>
class PipeQueue {
 public:
  struct Producer {
    bool push(const Message<kSize>& item) {
      std::size_t done = 0;
      do {
        const ssize_t n = ::write(fd, item.bytes() + done, kSize - done);
        if (n < 0 && errno == EAGAIN && done == 0) return false;
        require(n > 0 || errno == EAGAIN, "write failed");
        if (n > 0) done += static_cast<std::size_t>(n);
        // Others' items do not come between the parts of short ones, and long ones have one writer.
      } while (done < kSize);
      return true;
    }
    void end(std::size_t consumers) {
      for (std::size_t i = 0; i < consumers;) i += push(last_item<kSize>()) ? 1 : 0;
    }
    int fd;
  };
  struct Consumer {
    bool pop(Message<kSize>& item) {
      std::size_t done = 0;
      while (!ended && done < kSize) {
        const ssize_t n = ::read(fd, item.bytes() + done, kSize - done);
        if (n < 0 && errno == EAGAIN && done == 0) return false;
        require(n > 0 || errno == EAGAIN, "read failed");
        if (n > 0) done += static_cast<std::size_t>(n);
      }
      ended = ended || item.words[0] == kLast;
      return !ended;
    }
    int fd;
    bool ended = false;
  };

  explicit PipeQueue(Wait wait) : ends_(make_pipe(wait)) {}
  [[nodiscard]] Producer producer() { return {ends_.out.get()}; }
  [[nodiscard]] Consumer consumer() { return {ends_.in.get()}; }

 private:
  Descriptors ends_;
};

template <std::size_t kSize>
class BoostMessageQueue {
  using Queue = boost::interprocess::message_queue;

 public:
  struct Producer {
    bool push(const Message<kSize>& item) {
      if (wait == Wait::spin) return queue->try_send(item.bytes(), kSize, 0);
      queue->send(item.bytes(), kSize, 0);
      return true;
    }
    void end(std::size_t consumers) {
      for (std::size_t i = 0; i < consumers;) i += push(last_item<kSize>()) ? 1 : 0;
    }
    Queue* queue;
    Wait wait;
  };
  struct Consumer {
    bool pop(Message<kSize>& item) {
      std::size_t size = 0;
      unsigned priority = 0;
      if (ended) return false;
      if (wait == Wait::block) {
        queue->receive(item.bytes(), kSize, size, priority);
      } else if (!queue->try_receive(item.bytes(), kSize, size, priority)) {
        return false;
      }
      ended = item.words[0] == kLast;
      return !ended;
    }
    Queue* queue;
    Wait wait;
    bool ended = false;
  };

  explicit BoostMessageQueue(Wait wait)
      : queue_(boost::interprocess::create_only, name_.text.c_str(), slots_for(kSize), kSize),
        wait_(wait) {
    name_.remove();
  }
  [[nodiscard]] Producer producer() { return {&queue_, wait_}; }
  [[nodiscard]] Consumer consumer() { return {&queue_, wait_}; }

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

#endif  // SLUICE_BENCH_RIVALS_MESSAGE_QUEUES_H_
