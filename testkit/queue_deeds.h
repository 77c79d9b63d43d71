// SPDX-License-Identifier: Apache-2.0
//
// What processes have done to a queue, some of which are dead, and whether what is left of it can
// be explained by that: the oracle of testkit/queue_crash.h. Internal.
//
// A process notes each call before it begins and after it has returned. So at its death it is known
// what it was told (that a push, or a pop, had returned), and what may have happened or not: the
// call that was under way. A pop under way may have taken an item, which nobody will see again.
//
// Errors: none. Threads and processes: deeds are written by one process, and read once that is dead
// or done. If a process dies here: that is what they are for. Cost: a few stores a call.

#ifndef SLUICE_TESTKIT_QUEUE_DEEDS_H_
#define SLUICE_TESTKIT_QUEUE_DEEDS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sluice/testkit/models.h"
#include "sluice/testkit/queue_adapter.h"

namespace sluice::internal {

using QueueNumbers = std::vector<std::uint64_t>;

/// Of one process; its items are item(producer, 1), item(producer, 2), ... In shared memory.
struct QueueDeeds {
  static constexpr std::size_t kMost = 16;

  std::atomic<std::uint32_t> tried = 0;    ///< pushes begun, but for those that were refused
  std::atomic<std::uint32_t> pushed = 0;   ///< of them, those that have returned
  std::atomic<std::uint32_t> popping = 0;  ///< as many items may be taken by a pop under way
  std::atomic<std::uint32_t> popped = 0;   ///< items that a pop has returned
  std::atomic<std::uint32_t> torn = 0;     ///< of them, those that were
  std::array<std::atomic<std::uint64_t>, kMost> items = {};  ///< which

  void begin_push(std::size_t count) { tried = pushed + static_cast<std::uint32_t>(count); }
  void end_push(std::size_t count) {
    pushed += static_cast<std::uint32_t>(count);
    tried.store(pushed);
  }
  void begin_pop(std::size_t count) { popping = static_cast<std::uint32_t>(count); }
  void took(std::uint64_t number, bool is_whole) {
    if (!is_whole) ++torn;
    if (popped < kMost) items[popped] = number;
    ++popped;
  }
  void end_pop() { popping = 0; }
};

/// The producers' numbers. The dead one and the other have deeds.
enum class QueueParty : std::uint32_t { start = 1, victim, other, survivor, refill };

/// All that is known at the end.
struct QueueEvidence {
  testkit::QueueTraits traits;
  QueueNumbers start;  ///< what was in it at first, in the order in which it was pushed
  const QueueDeeds& victim;
  const QueueDeeds& other;
  std::uint32_t own = 0;  ///< how many items the survivor has pushed
  QueueNumbers found;     ///< what came out in the end, all of it
};

/// What is wrong: an item lost, doubled, unknown, out of order; empty if nothing is.
[[nodiscard]] std::string judge(const QueueEvidence& evidence);

/// Whether so many places may be taken, before anything more is popped, that there is no room.
[[nodiscard]] bool may_be_full(const QueueEvidence& evidence, std::size_t capacity);

/// "[1:1 1:2]", the first of them if there are many.
[[nodiscard]] std::string text_of(std::span<const std::uint64_t> numbers);

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_QUEUE_DEEDS_H_
