// SPDX-License-Identifier: Apache-2.0

#include "sluice/bench/harness/yardsticks.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"

namespace sluice::bench {
namespace {

/// Two words on lines of their own: `there` is written by the leader, `back` by its echo. Both are
/// 0 between two slices.
struct TwoWords {
  alignas(kNoSharing) std::atomic<std::uint32_t> there;
  alignas(kNoSharing) std::atomic<std::uint32_t> back;
};
constexpr std::uint32_t kEnd = UINT32_MAX;

/// By the leader, when the echo has ended.
void clear(TwoWords& words) {
  // Relaxed: the barrier before the next stage orders it, or the fork of the next repetition.
  words.there.store(0, std::memory_order_relaxed);
  words.back.store(0, std::memory_order_relaxed);
}

Roles pingpong() {
  auto words = std::make_shared<InShared<TwoWords>>();
  const auto lead = [words](Slice& slice) {
    auto& [there, back] = **words;
    std::uint32_t number = 0;
    slice.report(0, 1e9 * slice.seconds_per_call([&] {
      ++number;
      // Release and acquire, as a hand-over of data would need; on x86 plain moves.
      there.store(number, std::memory_order_release);
      // Acquire: partner of the echo's release.
      spin_until<Spin::bare>([&] { return back.load(std::memory_order_acquire) == number; });
    }));
    // Relaxed: a number like the others, but nothing was written that it hands over.
    there.store(kEnd, std::memory_order_relaxed);
    // Acquire: the echo has read kEnd before the words are cleared.
    spin_until<Spin::bare>([&] { return back.load(std::memory_order_acquire) == kEnd; });
    clear(**words);
  };
  const auto echo = [words](Slice&) {
    auto& [there, back] = **words;
    std::uint32_t number = 0;
    while (number != kEnd) {
      const std::uint32_t seen = number;
      spin_until<Spin::bare>([&] {
        // Acquire: partner of the leader's release.
        number = there.load(std::memory_order_acquire);
        return number != seen;
      });
      // Release: partner of the leader's acquire.
      back.store(number, std::memory_order_release);
    }
  };
  return {lead, echo};
}

/// A textbook ring: each side writes one index and keeps a private copy of the other's, which it
/// looks at again only when the copy says full or empty.
struct ReferenceRing {
  static constexpr std::uint64_t kSlots = 1024;

  alignas(kNoSharing) std::atomic<std::uint64_t> written;  // by the producer
  alignas(kNoSharing) std::atomic<std::uint64_t> read;     // by the consumer
  alignas(kNoSharing) std::uint64_t slots[kSlots];
};

class ReferenceChannel {
 public:
  class Producer {
   public:
    explicit Producer(ReferenceRing& ring)
        : ring_(ring),
          // Relaxed: only this process writes it.
          next_(ring.written.load(std::memory_order_relaxed)),
          limit_(next_) {}

    void send(const Message<8>& message) {
      if (next_ == limit_) {
        spin_until<Spin::bare>([&] {
          // Acquire: partner of the consumer's release; the slots up to there were read.
          limit_ = ring_.read.load(std::memory_order_acquire) + ReferenceRing::kSlots;
          return next_ != limit_;
        });
      }
      ring_.slots[next_ % ReferenceRing::kSlots] = message.words[0];
      // Release: partner of the consumer's acquire; publishes the slot.
      ring_.written.store(++next_, std::memory_order_release);
    }

   private:
    ReferenceRing& ring_;
    std::uint64_t next_;
    std::uint64_t limit_;
  };

  class Consumer {
   public:
    explicit Consumer(ReferenceRing& ring)
        : ring_(ring),
          // Relaxed: only this process writes it.
          next_(ring.read.load(std::memory_order_relaxed)),
          limit_(next_) {}

    void receive(Message<8>& message) {
      if (next_ == limit_) {
        spin_until<Spin::bare>([&] {
          // Acquire: partner of the producer's release; the slots up to there are written.
          limit_ = ring_.written.load(std::memory_order_acquire);
          return next_ != limit_;
        });
      }
      message.words[0] = ring_.slots[next_ % ReferenceRing::kSlots];
      // Release: partner of the producer's acquire; gives the slot back.
      ring_.read.store(++next_, std::memory_order_release);
    }

   private:
    ReferenceRing& ring_;
    std::uint64_t next_;
    std::uint64_t limit_;
  };

  [[nodiscard]] Producer sender() { return Producer(*ring_); }
  [[nodiscard]] Consumer receiver() { return Consumer(*ring_); }

 private:
  InShared<ReferenceRing> ring_;
};

/// Messages per second in the median block. The distance of the two processes in the ring, and with
/// it the rate, changes by chance from one millisecond to the next; a yardstick wants the usual
/// one.
class MedianRate {
 public:
  void begin(std::uint64_t number) {
    seconds_.clear();
    seconds_.reserve(1 << 16);
    first_ = number;
    begin_ = Clock::now();
  }
  void count(std::uint64_t number) {
    if ((number - first_) % kBlock != 0) return;
    const Clock::time_point now = Clock::now();
    seconds_.push_back(std::chrono::duration<double>(now - begin_).count());
    begin_ = now;
  }
  // Without a single block the rate is infinite, which is not a steady reading: the repetition is
  // dropped.
  [[nodiscard]] double end(std::uint64_t) {
    return static_cast<double>(kBlock) / summarize(std::move(seconds_)).median;
  }

 private:
  static constexpr std::uint64_t kBlock = 1024;

  std::vector<double> seconds_;
  std::uint64_t first_ = 0;
  Clock::time_point begin_;
};

Roles reference_ring() {
  auto channel = std::make_shared<ReferenceChannel>();
  return {
      [channel](Slice& slice) { stream_out<8>(slice, channel->sender()); },
      [channel](Slice& slice) { stream_in<8, MedianRate>(slice, channel->receiver()); },
  };
}

Roles memcpy4k() {
  constexpr std::size_t kBytes = 4096;
  return {[](Slice& slice) {
    // Half a page further than a page, so that no load looks like one from a line just stored.
    alignas(kCacheLine) std::array<char, 3 * kBytes> memory{};
    char* const to = memory.data() + kBytes + kBytes / 2;
    const double seconds = slice.seconds_per_call([&] {
      std::memcpy(to, memory.data(), kBytes);
      // Whoever reads the copy is not shown to the compiler.
      asm volatile("" : : "r"(to) : "memory");
    });
    slice.report(0, kBytes / seconds * 1e-9);
  }};
}

using FutexWord = std::atomic<std::uint32_t>;
static_assert(sizeof(FutexWord) == sizeof(std::uint32_t));

void sleep_while(FutexWord& word, std::uint32_t value) {
  // Acquire: partner of set_and_wake's release.
  while (word.load(std::memory_order_acquire) == value) {
    ::syscall(SYS_futex, &word, FUTEX_WAIT, value, nullptr, nullptr, 0);
  }
}

void set_and_wake(FutexWord& word, std::uint32_t value) {
  // Release: partner of sleep_while's acquire. The kernel orders it before the look for sleepers.
  word.store(value, std::memory_order_release);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

Roles futex_pingpong() {
  auto words = std::make_shared<InShared<TwoWords>>();
  const auto lead = [words](Slice& slice) {
    auto& [there, back] = **words;
    std::uint32_t number = 0;
    slice.report(0, 1e9 * slice.seconds_per_call([&] {
      set_and_wake(there, number + 1);
      sleep_while(back, number++);
    }));
    set_and_wake(there, kEnd);
    sleep_while(back, number);
    clear(**words);
  };
  const auto echo = [words](Slice&) {
    auto& [there, back] = **words;
    for (std::uint32_t number = 0; number != kEnd;) {
      sleep_while(there, number);
      // Relaxed: sleep_while has just acquired this value, and only the leader changes it.
      number = there.load(std::memory_order_relaxed);
      set_and_wake(back, number);
    }
  };
  return {lead, echo};
}

}  // namespace

YardstickText text_of(Yardstick yardstick) {
  switch (yardstick) {
    case Yardstick::pingpong:
      return {"pingpong", "ns", false};
    case Yardstick::reference_ring:
      return {"reference_ring", "Mitem/s", true};
    case Yardstick::memcpy4k:
      return {"memcpy4k", "GB/s", true};
    case Yardstick::futex_pingpong:
      return {"futex_pingpong", "ns", false};
  }
  return {};
}

Yardsticks::Yardsticks() : roles_{pingpong(), reference_ring(), memcpy4k(), futex_pingpong()} {}

}  // namespace sluice::bench
