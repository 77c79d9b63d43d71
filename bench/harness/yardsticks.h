// SPDX-License-Identifier: Apache-2.0
//
// Yardsticks: what this machine can do at this moment, without any queue, lock or library.
//
//   L  pingpong         ns        round trip of a number between two processes: a cache line each
//                                 way, spinning without pause
//   R  reference_ring   Mitem/s   8-byte items through a ring of 1024 slots with cached indices,
//                                 spinning without pause
//   M  memcpy4k         GB/s      memcpy of 4 KiB that stays in the first-level cache, one CPU
//   F  futex_pingpong   ns        round trip in which each side sleeps in FUTEX_WAIT
//
// Every repetition measures the yardsticks that concern its subject, before and after it, in the
// same processes on the same CPUs. They are the figures of the group "limit".

#ifndef SLUICE_BENCH_HARNESS_YARDSTICKS_H_
#define SLUICE_BENCH_HARNESS_YARDSTICKS_H_

#include <array>
#include <cstddef>
#include <string_view>

#include "sluice/bench/harness/slice.h"

namespace sluice::bench {

enum class Yardstick { pingpong, reference_ring, memcpy4k, futex_pingpong };
inline constexpr std::size_t kYardsticks = 4;

struct YardstickText {
  std::string_view name;
  std::string_view unit;
  bool higher_is_better;
};

YardstickText text_of(Yardstick yardstick);

/// All four, in shared memory of their own; made once, before the first fork.
class Yardsticks {
 public:
  Yardsticks();

  [[nodiscard]] const Roles& roles(Yardstick yardstick) const {
    return roles_[static_cast<std::size_t>(yardstick)];
  }

 private:
  std::array<Roles, kYardsticks> roles_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_YARDSTICKS_H_
