// SPDX-License-Identifier: Apache-2.0
//
// sluice's typed ring (lockfree/spsc_ring.h) as a channel (harness/traffic.h).

#ifndef SLUICE_BENCH_RIVALS_SLUICE_RING_H_
#define SLUICE_BENCH_RIVALS_SLUICE_RING_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/lockfree/spsc_ring.h"

namespace sluice::bench {

template <std::size_t kSize, Spin kSpin>
class SluiceRing {
  using Ring = SpscRing<Message<kSize>>;

 public:
  class Sender {
   public:
    explicit Sender(std::span<std::byte> memory) : producer_(memory) {}
    void send(const Message<kSize>& message) {
      spin_until<kSpin>([&] { return producer_.try_push(message) == Status::ok; });
    }

   private:
    typename Ring::Producer producer_;
  };
  class Receiver {
   public:
    explicit Receiver(std::span<std::byte> memory) : consumer_(memory) {}
    void receive(Message<kSize>& message) {
      spin_until<kSpin>([&] { return consumer_.try_pop(message) == Status::ok; });
    }

   private:
    typename Ring::Consumer consumer_;
  };

  SluiceRing() : memory_(Ring::bytes_for(slots_for(kSize))) {
    Ring::format(memory_.bytes(), slots_for(kSize));
  }

  [[nodiscard]] Sender sender() { return Sender(memory_.bytes()); }
  [[nodiscard]] Receiver receiver() { return Receiver(memory_.bytes()); }

 private:
  SharedMemory memory_;
};

/// The words of a message as items of their own, as many at a time as the ring takes.
template <std::size_t kSize, Spin kSpin>
class SluiceRingInBatches {
  using Ring = SpscRing<std::uint64_t>;

 public:
  class Sender {
   public:
    explicit Sender(std::span<std::byte> memory) : producer_(memory) {}
    void send(const Message<kSize>& message) {
      std::span<const std::uint64_t> left = message.words;
      spin_until<kSpin>([&] {
        left = left.subspan(producer_.try_push_n(left));
        return left.empty();
      });
    }

   private:
    Ring::Producer producer_;
  };
  class Receiver {
   public:
    explicit Receiver(std::span<std::byte> memory) : consumer_(memory) {}
    void receive(Message<kSize>& message) {
      std::span<std::uint64_t> left = message.words;
      spin_until<kSpin>([&] {
        left = left.subspan(consumer_.try_pop_n(left));
        return left.empty();
      });
    }

   private:
    Ring::Consumer consumer_;
  };

  SluiceRingInBatches() : memory_(Ring::bytes_for(kItems)) {
    Ring::format(memory_.bytes(), kItems);
  }

  [[nodiscard]] Sender sender() { return Sender(memory_.bytes()); }
  [[nodiscard]] Receiver receiver() { return Receiver(memory_.bytes()); }

 private:
  static constexpr std::size_t kItems = 1024;
  SharedMemory memory_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_SLUICE_RING_H_
