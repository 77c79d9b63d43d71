// SPDX-License-Identifier: Apache-2.0
//
// Messages written and read where they lie in sluice's pipe (ipc/pipe.h): reserve, commit, peek,
// release. The last message of each phase tells so by its size. As roles (harness/slice.h), since
// there is no buffer to copy from or to.

#ifndef SLUICE_BENCH_RIVALS_IN_PLACE_H_
#define SLUICE_BENCH_RIVALS_IN_PLACE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "sluice/bench/harness/slice.h"
#include "sluice/bench/harness/spin.h"
#include "sluice/bench/harness/traffic.h"
#include "sluice/ipc/pipe.h"
#include "sluice/sync/deadline.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {

/// Whether the bytes of a message are touched at all.
enum class Touch : std::uint8_t { nothing, everything };

inline constexpr std::size_t kEndOfWarmUp = 16;
inline constexpr std::size_t kEndOfStream = 8;

/// All bytes alike: memset is the fastest that a writer can be.
inline void fill(std::span<std::byte> bytes, std::uint64_t number) {
  std::memset(bytes.data(), static_cast<int>(number & 0xFF), bytes.size());
}

/// Adds up one word of each line, which must be what fill() wrote.
inline void check_lines(std::span<const std::byte> bytes, std::uint64_t number) {
  std::uint64_t sum = 0;
  std::uint64_t lines = 0;
  for (std::size_t at = 0; at + sizeof sum <= bytes.size(); at += kCacheLine, ++lines) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    sum += word;
  }
  const std::uint64_t expected = (number & 0xFF) * 0x0101010101010101 * lines;
  if (sum != expected) [[unlikely]]
    wrong_message(expected, sum);
}

template <std::size_t kSize, Touch kTouch>
class InPlace {
 public:
  /// The writer fills every byte, the reader adds up one word of each line.
  static Roles roles() {
    auto pipe = std::make_shared<decltype(Pipe::create(1))>(Pipe::create(room_for(kSize)));
    return {[pipe](Slice& slice) { write(slice, pipe->sender); },
            [pipe](Slice& slice) { read(slice, pipe->receiver); }};
  }

 private:
  static void write(Slice& slice, sluice::Sender& end) {
    std::uint64_t number = 0;
    const auto send = [&](std::size_t size) {
      spin_until<Spin::pause>([&] {
        auto room = end.reserve(size, Deadline::now());
        if (!room) return false;
        if constexpr (kTouch == Touch::everything) fill(room.bytes(), number);
        room.commit();
        return true;
      });
      ++number;
    };
    Slice::run_for(slice.times().warm_up, [&] { send(kSize); });
    send(kEndOfWarmUp);
    Slice::run_for(slice.times().measured, [&] { send(kSize); });
    send(kEndOfStream);
  }

  static void read(Slice& slice, sluice::Receiver& end) {
    TotalRate rate;
    std::size_t size = 0;
    for (std::uint64_t number = 0; size != kEndOfStream; ++number) {
      spin_until<Spin::pause>([&] {
        auto message = end.peek(Deadline::now());
        if (!message) return false;
        size = message.bytes().size();
        if constexpr (kTouch == Touch::everything) check_lines(message.bytes(), number);
        message.release();
        return true;
      });
      if (size == kEndOfWarmUp) rate.begin(number);
      if (size == kEndOfStream) slice.report(0, rate.end(number) * 1e-6);
    }
  }
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RIVALS_IN_PLACE_H_
