// SPDX-License-Identifier: Apache-2.0
//
// JoinableOptions: what a ipc/joinable_queue.h is made with. Its maker chooses; who opens it gets
// what is there.
//
//   JoinableQueue<Page> pages(100, {.max_attempts = 3, .failed = Failed::put_aside});
//
// Units: attempts. Errors, threads, processes, death: plain values. Cost: none.

#ifndef SLUICE_IPC_JOINABLE_OPTIONS_H_
#define SLUICE_IPC_JOINABLE_OPTIONS_H_

#include <cstdint>
#include <optional>

#include "sluice/ipc/queue_options.h"
#include "sluice/ipc/segment_options.h"

namespace sluice {

/// What becomes of a task that its living consumer did not finish.
enum class Failed : std::uint8_t {
  again,      ///< it is delivered again, until max_attempts
  put_aside,  ///< it is a dead letter at once
};

/// What a queue's maker chooses besides its capacity.
struct JoinableOptions {
  /// As QueueOptions.
  std::optional<Overflow> overflow = {};
  bool ends_with_producers = false;  ///< as QueueOptions
  SegmentOptions segment = {};       ///< as QueueOptions
  /// A task that has failed, or whose consumers have died, so often becomes a dead letter. 0:
  /// never.
  std::uint32_t max_attempts = 5;
  Failed failed = Failed::again;  ///< what a failure leads to; not a consumer's death
};

}  // namespace sluice

#endif  // SLUICE_IPC_JOINABLE_OPTIONS_H_
