// SPDX-License-Identifier: Apache-2.0
//
// Capacity, Overflow, QueueOptions: what a queue (ipc/queue.h) is made with. Its maker chooses; who
// opens it gets what is there.
//
//   Queue<Order> a(1024);                                             // 1024 items
//   Queue<std::string> b({1024, 1 << 20});                            // and 1 MiB, at most
//   Queue<std::string> c;                                             // grows, up to 1 GiB
//   Queue<std::string> d(Capacity::unlimited(64 << 20));              // grows, up to 64 MiB
//   Queue<Tick> e(4096, {.overflow = Overflow::drop_oldest});
//
// Units: items; bytes. An item takes its encoded size, padded to 8 bytes, and 8 more; in a queue
// that is a ring (ipc/queue.h), from 128 bytes on, whole cache lines. Errors, threads, processes,
// death: plain values. Cost: none.

#ifndef SLUICE_IPC_QUEUE_OPTIONS_H_
#define SLUICE_IPC_QUEUE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "sluice/ipc/segment_options.h"
#include "sluice/ipc/stamp.h"

namespace sluice {

/// How much a queue holds. With both limits all its memory is there from the beginning. With the
/// first one alone that is so if its items have a fixed size; otherwise, and without any, it gets
/// memory as it grows, and gives it back when a pop finds it empty.
struct Capacity {
  /// In the place of a limit of that sort.
  static constexpr std::size_t kNoLimit = 0;
  /// In bytes, where nothing else was said.
  static constexpr std::size_t kDefaultLimit = std::size_t{1} << 30;

  std::size_t items;  ///< the most items; kNoLimit: as many as the bytes hold
  std::size_t bytes;  ///< the most bytes, with what items cost; kNoLimit: as said above

  /// At most so many items, and if that is said so many bytes.
  // NOLINTNEXTLINE(google-explicit-constructor): a number of items is a capacity.
  constexpr Capacity(std::size_t most_items, std::size_t most_bytes = kNoLimit)
      : items(most_items), bytes(most_bytes) {}

  /// As many items as `bytes` hold.
  static constexpr Capacity unlimited(std::size_t bytes = kDefaultLimit) {
    return {kNoLimit, bytes};
  }
};

/// What a push does that finds no room.
enum class Overflow : std::uint8_t {
  block,        ///< waits for it
  fail,         ///< says full
  drop_oldest,  ///< drops the oldest items until there is room
  drop_newest,  ///< drops the item that was to be pushed, and says ok
};

/// What a queue's maker chooses besides its capacity.
struct QueueOptions {
  /// block if the number of items has a limit, else fail.
  std::optional<Overflow> overflow = {};
  /// The stream ends once every process that had pushed, or said that it would, has left or died.
  bool ends_with_producers = false;
  SegmentOptions segment = {};  ///< lifetime and mode, and wishes for the memory
};

}  // namespace sluice

#endif  // SLUICE_IPC_QUEUE_OPTIONS_H_
