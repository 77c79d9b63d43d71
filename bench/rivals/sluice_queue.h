// SPDX-License-Identifier: Apache-2.0
//
// sluice's queue (ipc/queue.h) as bench/many_sides.h wants it, and as a channel
// (harness/traffic.h): in the blocking form, which spins a little before it sleeps, and in the try_
// form.

#ifndef SLUICE_BENCH_RIVALS_SLUICE_QUEUE_H_
#define SLUICE_BENCH_RIVALS_SLUICE_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/ipc/queue.h"
#include "sluice/sync/status.h"

namespace sluice::bench {

/// A string of 100 bytes that carries a number at its beginning and at its end.
struct Text {
  static constexpr std::size_t kBytes = 100;

  void stamp(std::uint64_t number) {
    text.resize(kBytes);
    std::memcpy(text.data(), &number, sizeof number);
    std::memcpy(text.data() + kBytes - sizeof number, &number, sizeof number);
  }
  [[nodiscard]] std::uint64_t word(std::size_t at) const {
    std::uint64_t number = 0;
    std::memcpy(&number, text.data() + at, sizeof number);
    return number;
  }
  [[nodiscard]] bool carries(std::uint64_t number) const {
    return text.size() == kBytes && word(0) == number && word(kBytes - sizeof number) == number;
  }

  std::string text;
};
inline std::uint64_t number_of(const Text& item) { return item.word(0); }

template <class Item>
class SluiceQueue {
 public:
  struct Producer {
    bool push(const Item& item) {
      return (wait == Wait::block ? queue.push(item) : queue.try_push(item)) == Status::ok;
    }
    std::size_t push_n(std::span<const Item> items) {
      return (wait == Wait::block ? queue.push_each(items) : queue.try_push_each(items)).count;
    }
    void end(std::size_t /*consumers*/) { queue.close(); }
    Queue<Item>& queue;
    Wait wait;
  };
  struct Consumer {
    bool pop(Item& item) {
      return (wait == Wait::block ? queue.pop(item) : queue.try_pop(item)) == Status::ok;
    }
    std::size_t pop_n(std::span<Item> items) {
      taken.clear();
      const QueueBatch batch = wait == Wait::block ? queue.pop_each(taken, items.size())
                                                   : queue.try_pop_each(taken, items.size());
      std::copy_n(taken.begin(), batch.count, items.begin());
      return batch.count;
    }
    Queue<Item>& queue;
    Wait wait;
    std::vector<Item> taken = {};
  };

  explicit SluiceQueue(Wait wait) : queue_(slots_for(sizeof(Item))), wait_(wait) {}
  [[nodiscard]] Producer producer() { return {queue_, wait_}; }
  [[nodiscard]] Consumer consumer() { return {queue_, wait_}; }

 private:
  Queue<Item> queue_;
  Wait wait_;
};

/// Of strings; the room is there from the beginning, as in the others.
class SluiceTexts {
 public:
  struct Producer {
    bool push(const Text& item) {
      return (wait == Wait::block ? queue.push(item.text) : queue.try_push(item.text)) ==
             Status::ok;
    }
    void end(std::size_t /*consumers*/) { queue.close(); }
    Queue<std::string>& queue;
    Wait wait;
  };
  struct Consumer {
    bool pop(Text& item) {
      return (wait == Wait::block ? queue.pop(item.text) : queue.try_pop(item.text)) == Status::ok;
    }
    Queue<std::string>& queue;
    Wait wait;
  };

  explicit SluiceTexts(Wait wait) : queue_({1024, std::size_t{1024} * 128}), wait_(wait) {}
  [[nodiscard]] Producer producer() { return {queue_, wait_}; }
  [[nodiscard]] Consumer consumer() { return {queue_, wait_}; }

 private:
  Queue<std::string> queue_;
  Wait wait_;
};

template <std::size_t kSize>
class SluiceQueueChannel {
  using Item = Message<kSize>;

 public:
  struct Sender {
    void send(const Item& message) {
      if (wait == Wait::block) return require(queue.push(message) == Status::ok, "push failed");
      spin_until<Spin::pause>([&] { return queue.try_push(message) == Status::ok; });
    }
    Queue<Item>& queue;
    Wait wait;
  };
  struct Receiver {
    void receive(Item& message) {
      if (wait == Wait::block) return require(queue.pop(message) == Status::ok, "pop failed");
      spin_until<Spin::pause>([&] { return queue.try_pop(message) == Status::ok; });
    }
    Queue<Item>& queue;
    Wait wait;
  };

  explicit SluiceQueueChannel(Wait wait) : queue_(slots_for(kSize)), wait_(wait) {}
  [[nodiscard]] Sender sender() { return {queue_, wait_}; }
  [[nodiscard]] Receiver receiver() { return {queue_, wait_}; }

 private:
  Queue<Item> queue_;
  Wait wait_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_SLUICE_QUEUE_H_
