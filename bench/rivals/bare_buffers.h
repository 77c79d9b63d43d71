// SPDX-License-Identifier: Apache-2.0
//
// What in_place.h does, without a pipe: a few buffers in shared memory, and beside each the number
// of the message that lies in it; they are used in turn. No sizes, no ends, nobody may die: what
// the memory system itself takes.

#ifndef SLUICE_BENCH_RIVALS_BARE_BUFFERS_H_
#define SLUICE_BENCH_RIVALS_BARE_BUFFERS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "sluice/bench/harness/shared_memory.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/bench/rivals/in_place.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {

template <std::size_t kSize, Touch kTouch, std::size_t kBuffers>
class BareBuffers {
  struct Buffer {
    /// 2n + 1 once message n has been written, 2n + 2 once it has been read, 0 before.
    alignas(kNoSharing) std::atomic<std::uint64_t> state;
    alignas(kNoSharing) std::array<std::byte, kSize> bytes;
  };
  struct All {
    alignas(kNoSharing) std::atomic<std::uint64_t> warm;  ///< the warm-up's last message
    alignas(kNoSharing) std::atomic<std::uint64_t> last;
    std::array<Buffer, kBuffers> buffers;
  };

 public:
  static Roles roles() {
    auto all = std::make_shared<InShared<All>>();
    return {[all](Slice& slice) { write(slice, **all); },
            [all](Slice& slice) { read(slice, **all); }};
  }

 private:
  static void write(Slice& slice, All& all) {
    std::uint64_t number = 0;
    const auto send = [&] {
      Buffer& buffer = all.buffers[number % kBuffers];
      const std::uint64_t free = number < kBuffers ? 0 : 2 * (number - kBuffers) + 2;
      // Acquire: the reader has done with it.
      spin_until<Spin::pause>([&] { return buffer.state.load(std::memory_order_acquire) == free; });
      if constexpr (kTouch == Touch::everything) fill(buffer.bytes, number);
      // Release: the reader sees the bytes, and the two numbers below.
      buffer.state.store(2 * number + 1, std::memory_order_release);
      ++number;
    };
    Slice::run_for(slice.times().warm_up, send);
    all.warm.store(number, std::memory_order_relaxed);  // relaxed: as said above
    send();
    Slice::run_for(slice.times().measured, send);
    all.last.store(number, std::memory_order_relaxed);  // relaxed: as said above
    send();
  }

  static void read(Slice& slice, All& all) {
    TotalRate rate;
    for (std::uint64_t number = 0;; ++number) {
      Buffer& buffer = all.buffers[number % kBuffers];
      // Acquire: pairs with the writer's release.
      spin_until<Spin::pause>(
          [&] { return buffer.state.load(std::memory_order_acquire) == 2 * number + 1; });
      if constexpr (kTouch == Touch::everything) check_lines(buffer.bytes, number);
      // Release: pairs with the writer's acquire.
      buffer.state.store(2 * number + 2, std::memory_order_release);
      if (number == 0) continue;
      // Relaxed, twice: as said above.
      if (number == all.warm.load(std::memory_order_relaxed)) rate.begin(number);
      if (number == all.last.load(std::memory_order_relaxed)) {
        return slice.report(0, rate.end(number) * 1e-6);
      }
    }
  }
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_BARE_BUFFERS_H_
