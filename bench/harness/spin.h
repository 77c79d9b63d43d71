// SPDX-License-Identifier: Apache-2.0
//
// How a benchmark's process waits in user space for the other one.
//
//   spin_until<Spin::pause>([&] { return queue.push(message); });
//
// Which of the two kinds is faster depends on the CPU and on the subject; a subject that spins is
// registered with both, and the faster is used (see Variant in subject.h).
//
// With two free CPUs the loop never yields. Where the other process can't run at the same time (one
// CPU, or a machine that is busy with other things) it yields after a while, so that a benchmark
// ends there too.
//
// If a process dies here: the other one spins until the supervisor kills it (team.h).

#ifndef SLUICE_BENCH_HARNESS_SPIN_H_
#define SLUICE_BENCH_HARNESS_SPIN_H_

#include <sched.h>

#include <cstdint>

#include "sluice/sync/platform.h"

namespace sluice::bench {

enum class Spin {
  bare,   ///< look again at once
  pause,  ///< cpu_pause() between two looks
};

/// How a subject waits that can also sleep.
enum class Wait {
  block,  ///< in its blocking calls
  spin,   ///< by repeating calls that do not wait
};

/// Looks in vain, some ten to some hundred microseconds, after which a process lets others run.
inline constexpr std::uint32_t kPatience = 1u << 14;

template <Spin kSpin, class Ready>
void spin_until(Ready&& ready) {
  for (std::uint32_t looks = 0; !ready(); ++looks) {
    if constexpr (kSpin == Spin::pause) cpu_pause();
    if (looks >= kPatience) [[unlikely]]
      sched_yield();
  }
}

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_HARNESS_SPIN_H_
