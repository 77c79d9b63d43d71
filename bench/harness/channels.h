// SPDX-License-Identifier: Apache-2.0
//
// The cases in which every message channel is measured: `<group>/oneway/<bytes>` and
// `<group>/rtt/<bytes>`, and how a channel (traffic.h) becomes a subject's variant.
//
//   using Traffic = OneWay<64>;   // or RoundTrip<64>
//   suite.add(Traffic::in_group("pipe"), {{"mine", {Traffic::variant("", [] {
//               return std::make_shared<MyChannel<64>>();
//             })}}});
//
// Threads, processes, death: as traffic.h.

#ifndef SLUICE_BENCH_HARNESS_CHANNELS_H_
#define SLUICE_BENCH_HARNESS_CHANNELS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "sluice/bench/harness/subject.h"
#include "sluice/bench/harness/traffic.h"

namespace sluice::bench {

template <std::size_t kBytes>
struct OneWay {
  static constexpr std::size_t kSize = kBytes;

  static Case in_group(const std::string& group) {
    // Small messages cost by the piece, large ones by the byte: GB/s become Mmsg/s.
    constexpr bool kSmall = kSize < 1024;
    return {.group = group,
            .name = group + "/oneway/" + std::to_string(kSize),
            .unit = "Mmsg/s",
            .better = Better::higher,
            .limit = kSmall ? Yardstick::reference_ring : Yardstick::memcpy4k,
            .per_limit = kSmall ? 1 : 1e3 / static_cast<double>(kSize),
            .figures = {""}};
  }

  /// `make` returns a std::shared_ptr to a new channel for messages of kSize bytes.
  template <class Make>
  static Variant variant(std::string name, Make make) {
    return {std::move(name), [make] { return one_way<kSize>(make()); }};
  }
};

/// A stream whose receiver takes some 30 ns more over each message, so that the channel is full.
template <std::size_t kBytes>
struct SlowReader : OneWay<kBytes> {
  static Case in_group(const std::string& group) {
    Case what = OneWay<kBytes>::in_group(group);
    what.name = group + "/slow_reader/" + std::to_string(kBytes);
    return what;
  }

  template <class Make>
  static Variant variant(std::string name, Make make) {
    using Channel = std::remove_reference_t<decltype(*make())>;
    return OneWay<kBytes>::variant(
        std::move(name), [make] { return std::make_shared<Slow<Channel>>(Slow<Channel>{make()}); });
  }

 private:
  template <class Receiver>
  struct Thoughtful {
    void receive(Message<kBytes>& message) {
      receiver.receive(message);
      std::uint64_t thought = message.words[0];
      for (int i = 0; i < 100; ++i) asm volatile("" : "+r"(thought));  // a loop that is there
    }
    Receiver receiver;
  };

  template <class Channel>
  struct Slow {
    auto sender() { return channel->sender(); }
    auto receiver() { return Thoughtful<decltype(channel->receiver())>{channel->receiver()}; }
    std::shared_ptr<Channel> channel;
  };
};

template <std::size_t kBytes>
struct RoundTrip {
  static constexpr std::size_t kSize = kBytes;

  static Case in_group(const std::string& group) {
    return {.group = group,
            .name = group + "/rtt/" + std::to_string(kSize),
            .unit = "ns",
            .better = Better::lower,
            .limit = Yardstick::pingpong,
            .figures = {"", "/p99", "/p99.9", "/p50", "/p90", "/p99.99"}};
  }

  /// As OneWay::variant; there is a channel each way.
  template <class Make>
  static Variant variant(std::string name, Make make) {
    return {std::move(name), [make] { return round_trip<kSize>(make(), make()); }};
  }
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_CHANNELS_H_
