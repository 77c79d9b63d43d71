// SPDX-License-Identifier: Apache-2.0
//
// What every other header assumes about the machine: 64-bit little-endian Linux, lock-free 64-bit
// atomics, cache lines of 64 bytes.
//
// The two line sizes are fixed numbers, not std::hardware_*_interference_size: they are part of the
// layout that a gcc-built and a clang-built process share, so no compiler flag may change them.
//
// If a process dies here: nothing in this header is shared.

#ifndef SLUICE_SYNC_PLATFORM_H_
#define SLUICE_SYNC_PLATFORM_H_

#if __cplusplus < 202002L
#error "sluice needs C++20: compile with -std=c++20 or later (Bazel: --cxxopt=-std=c++20)"
#endif

#if !defined(__linux__)
#error "sluice is for Linux: it stands on futexes, memfd, pidfd and open-file-description locks"
#endif

#include <sched.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice {

/// Size in bytes of the unit in which caches exchange memory.
inline constexpr std::size_t kCacheLine = 64;

/// Distance in bytes that keeps two words from disturbing each other: two lines, since x86-64
/// prefetches lines in adjacent pairs.
inline constexpr std::size_t kNoSharing = 128;

static_assert(sizeof(void*) == 8, "sluice is for 64-bit machines");
static_assert(std::endian::native == std::endian::little,
              "words in shared memory are read by their low half: little-endian machines only");
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free,
              "a lock inside an atomic would lie in one process only");
static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free);

/// Tells the CPU that this is a spin loop; costs a few nanoseconds to some tens of them.
inline void cpu_pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// Tells the CPU that the line of `address` will soon be written, so that it is fetched, and taken
/// away from other CPUs, before a store has to wait for it. Any address; never faults.
inline void prefetch_to_write([[maybe_unused]] const void* address) noexcept {
#if defined(__x86_64__)
  // Not the builtin, which for the baseline of x86-64 says "will be read". Where the CPU does not
  // know this instruction it does nothing.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

/// The same for a line that will soon be read.
inline void prefetch_to_read(const void* address) noexcept { __builtin_prefetch(address, 0); }

/// How far ahead a ring's producer fetches its own lines, in bytes: without it, each line that the
/// consumer has read last holds up all stores behind the first one to it.
inline constexpr std::size_t kFetchToWrite = 512;
/// How far ahead the consumer fetches, in bytes, once it has found kFetchAfter items in a row.
inline constexpr std::size_t kFetchToRead = 256;
/// After so many items in a row the consumer is behind the producer, and the lines ahead are
/// complete; before, it would take them from under the producer's hands.
inline constexpr std::uint32_t kFetchAfter = 16;

/// The most pauses that rest_after() makes: a microsecond or a few.
inline constexpr std::uint64_t kLongestRest = 64;
/// For a side of a ring that has found nothing to do after `run` items in a row: it is at the heels
/// of the other side, where each look takes a line from under the other's hands, and each item
/// costs a line's way there and back. So it lets the other get ahead, for about as long as its
/// items have taken it, and no longer than kLongestRest. After a single item, as when there is an
/// answer to each message, it does not rest at all.
inline void rest_after(std::uint64_t run) noexcept {
  for (std::uint64_t pauses = run < kLongestRest ? run : kLongestRest; pauses > 1; --pauses) {
    cpu_pause();
  }
}

/// How many CPUs the calling thread may run on (its affinity mask), at least 1. One system call.
/// With one CPU spinning only keeps the awaited party from running.
inline int usable_cpus() noexcept {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int n = CPU_COUNT(&set);
  return n > 0 ? n : 1;
}

}  // namespace sluice

#endif  // SLUICE_SYNC_PLATFORM_H_
