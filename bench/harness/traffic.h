// SPDX-License-Identifier: Apache-2.0
//
// Messages of a fixed size, and the two ways of sending them that every channel is measured by:
// one way (a stream, messages per second) and round trip (there and back, nanoseconds).
//
//   template <size_t kSize> struct MyChannel {
//     auto sender();    // used by one process: void send(const Message<kSize>&), waits for room
//     auto receiver();  // used by another one: void receive(Message<kSize>&), waits for a message
//   };
//   Roles stream = one_way<64>(std::make_shared<MyChannel<64>>());
//   Roles trips = round_trip<64>(std::make_shared<MyChannel<64>>(),
//                                std::make_shared<MyChannel<64>>());
//
// The channel is made before the fork; sender() and receiver() are called after it, each in the
// process that uses it.
//
// Nothing can be optimised away or skipped: a message is a buffer of the sender's, copied into the
// channel whole, and copied out whole into a buffer of the receiver's. Its first and last cache
// line carry a number in each word (up to 128 bytes that is all of it), and the receiver compares
// every one with what it expects: a lost, repeated, reordered or torn message ends the run.
//
// If a process dies here: the supervisor ends the repetition (team.h).

#ifndef SLUICE_BENCH_HARNESS_TRAFFIC_H_
#define SLUICE_BENCH_HARNESS_TRAFFIC_H_

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "sluice/bench/harness/histogram.h"
#include "sluice/bench/harness/slice.h"
#include "sluice/sync/platform.h"

namespace sluice::bench {

/// Flags beside the sequence number.
inline constexpr std::uint64_t kWarm = 1ull << 63;  ///< the warm-up ends with this message
inline constexpr std::uint64_t kLast = 1ull << 62;  ///< no message follows in this slice

template <std::size_t kSize>
struct Message {
  static_assert(kSize % sizeof(std::uint64_t) == 0);
  static constexpr std::size_t kWords = kSize / sizeof(std::uint64_t);
  static constexpr std::size_t kLine = std::min(kWords, kCacheLine / sizeof(std::uint64_t));

  std::array<std::uint64_t, kWords> words;

  [[nodiscard]] const std::byte* bytes() const { return std::as_bytes(std::span(words)).data(); }
  [[nodiscard]] std::byte* bytes() { return std::as_writable_bytes(std::span(words)).data(); }

  void stamp(std::uint64_t number) {
    for (std::size_t i = 0; i < kLine; ++i) words[i] = number;
    if constexpr (kWords > kLine) {
      for (std::size_t i = kWords - kLine; i < kWords; ++i) words[i] = number;
    }
  }

  [[nodiscard]] bool carries(std::uint64_t number) const {
    // The compiler must take every byte for read, or it could leave out part of the copy.
    if constexpr (kSize > 8) asm volatile("" : : "m"(words));
    std::uint64_t difference = 0;
    for (std::size_t i = 0; i < kLine; ++i) difference |= words[i] ^ number;
    if constexpr (kWords > kLine) {
      for (std::size_t i = kWords - kLine; i < kWords; ++i) difference |= words[i] ^ number;
    }
    return difference == 0;
  }

  /// By number, for queues that order by priority.
  friend auto operator<=>(const Message&, const Message&) = default;
};

/// What to allow a channel for messages of this size: 1024 messages, at most 1 MiB.
constexpr std::size_t slots_for(std::size_t size) {
  return std::min<std::size_t>(1024, (std::size_t{1} << 20) / size);
}

/// The same in bytes, for channels of records that begin with eight bytes of their own.
constexpr std::size_t room_for(std::size_t size) { return slots_for(size) * (size + 8); }

[[noreturn]] inline void wrong_message(std::uint64_t expected, std::uint64_t found) {
  throw std::runtime_error("expected message " + std::to_string(expected) + ", found " +
                           std::to_string(found));
}

/// Throws if a channel answers with an error; `what` names the call.
inline void require(bool ok, const char* what) {
  if (!ok) [[unlikely]]
    throw std::runtime_error(what);
}

template <std::size_t kSize, class Sender>
void stream_out(Slice& slice, Sender&& sender) {
  Message<kSize> message{};
  std::uint64_t next = 0;
  const auto send = [&](std::uint64_t flags) {
    message.stamp(next++ | flags);
    sender.send(message);
  };
  // A loop over the two phases, not two calls: the subject's code is inlined once for both.
  for (const auto& [time, flag] :
       {std::pair(slice.times().warm_up, kWarm), std::pair(slice.times().measured, kLast)}) {
    Slice::run_for(time, [&] { send(0); });
    send(flag);
  }
}

/// Messages per second over the whole of a stream, stalls included: what a subject is judged by.
class TotalRate {
 public:
  void begin(std::uint64_t number) {
    first_ = number;
    begin_ = Clock::now();
  }
  void count(std::uint64_t) {}
  [[nodiscard]] double end(std::uint64_t number) const {
    const std::chrono::duration<double> time = Clock::now() - begin_;
    return static_cast<double>(number - first_) / time.count();
  }

 private:
  std::uint64_t first_ = 0;
  Clock::time_point begin_;
};

/// Receives a stream and reports millions of messages per second, from the end of the warm-up to
/// the last message, both as the receiver saw them.
template <std::size_t kSize, class Rate = TotalRate, class Receiver>
void stream_in(Slice& slice, Receiver&& receiver) {
  Message<kSize> message{};
  Rate rate;
  for (std::uint64_t next = 0;; ++next) {
    receiver.receive(message);
    if (message.carries(next)) [[likely]] {
      rate.count(next);
    } else if (message.carries(next | kWarm)) {
      rate.begin(next);
    } else if (message.carries(next | kLast)) {
      return slice.report(0, rate.end(next) * 1e-6);
    } else {
      wrong_message(next, message.words[0]);
    }
  }
}

/// Figures of a round trip, nanoseconds. The first is the mean trip of the median block of trips,
/// since one short trip is near what a clock can tell apart; the percentiles are those of single
/// trips, each with the cost of reading the clock in it.
inline constexpr std::size_t kMedianTrip = 0;
inline constexpr std::size_t kP99Trip = 1;
inline constexpr std::size_t kP999Trip = 2;
inline constexpr std::size_t kP50Trip = 3;
inline constexpr std::size_t kP90Trip = 4;
inline constexpr std::size_t kP9999Trip = 5;

template <std::size_t kSize, class Sender, class Receiver>
void lead_trips(Slice& slice, Sender&& there, Receiver&& back) {
  Message<kSize> message{};
  Message<kSize> echo{};
  std::uint64_t next = 0;
  const auto trip = [&] {
    message.stamp(next);
    there.send(message);
    back.receive(echo);
    if (!echo.carries(next)) [[unlikely]]
      wrong_message(next, echo.words[0]);
    ++next;
  };
  const SliceTimes half{slice.times().warm_up, slice.times().measured / 2};
  slice.report(kMedianTrip, 1e9 * Slice::seconds_per_call(half, trip));

  Histogram trips;
  Clock::time_point begin = Clock::now();
  const Clock::time_point end = begin + half.measured;
  while (begin < end) {
    trip();
    const Clock::time_point now = Clock::now();
    trips.add(static_cast<std::uint64_t>((now - begin).count()));
    begin = now;
  }
  for (const auto& [figure, quantile] :
       {std::pair(kP50Trip, 0.5), std::pair(kP90Trip, 0.9), std::pair(kP99Trip, 0.99),
        std::pair(kP999Trip, 0.999), std::pair(kP9999Trip, 0.9999)}) {
    if (trips.knows(quantile)) slice.report(figure, trips.quantile(quantile));
  }
  message.stamp(next | kLast);
  there.send(message);
}

template <std::size_t kSize, class Receiver, class Sender>
void echo_trips(Receiver&& there, Sender&& back) {
  Message<kSize> message{};
  for (std::uint64_t next = 0;; ++next) {
    there.receive(message);
    if (message.carries(next)) [[likely]] {
      back.send(message);
    } else if (message.carries(next | kLast)) {
      return;
    } else {
      wrong_message(next, message.words[0]);
    }
  }
}

template <std::size_t kSize, class Channel>
Roles one_way(const std::shared_ptr<Channel>& channel) {
  return {
      [channel](Slice& slice) { stream_out<kSize>(slice, channel->sender()); },
      [channel](Slice& slice) { stream_in<kSize>(slice, channel->receiver()); },
  };
}

template <std::size_t kSize, class Channel>
Roles round_trip(const std::shared_ptr<Channel>& there, const std::shared_ptr<Channel>& back) {
  return {
      [there, back](Slice& slice) { lead_trips<kSize>(slice, there->sender(), back->receiver()); },
      [there, back](Slice&) { echo_trips<kSize>(there->receiver(), back->sender()); },
  };
}

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_TRAFFIC_H_
