// SPDX-License-Identifier: Apache-2.0
//
// Futex wait and wake on a word of shared memory. Internal: the rest of sluice reaches it through
// the environment (sync/env.h), users through the types that block.
//
// Shared futexes, not private ones: the kernel's key is the page and the offset, so that processes
// that map the memory at different addresses meet. Times are absolute, on CLOCK_MONOTONIC, which is
// what std::chrono::steady_clock reads. Source: futex(2).
//
// Processes: any that map the word may wait and wake.
// If a process dies here: a killed waiter leaves the kernel's queue without a trace in memory; a
// waker killed before the call has woken nobody, which is why every wait in sluice is sliced.
// Cost: one system call each.

#ifndef SLUICE_SYNC_FUTEX_H_
#define SLUICE_SYNC_FUTEX_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sluice/sync/deadline.h"
#include "sluice/sync/word.h"

namespace sluice::internal {

enum class FutexWait : std::uint8_t {
  woken,        ///< by futex_wake, or spuriously: look at the word again
  changed,      ///< the word did not hold `expected`
  timeout,      ///< `until` has passed
  interrupted,  ///< a signal handler ran
};

/// Sleeps while `word` holds `expected`, at most until `until`.
FutexWait futex_wait(Word<std::uint32_t>& word, std::uint32_t expected,
                     Deadline::TimePoint until) noexcept;

/// Wakes at most `count` sleepers and returns how many were woken.
int futex_wake(Word<std::uint32_t>& word, int count) noexcept;

/// One of many words to sleep on.
struct WatchedWord {
  Word<std::uint32_t>* word;
  std::uint32_t expected;
};

/// The most words that one thread can sleep on: FUTEX_WAITV_MAX of futex_waitv(2).
inline constexpr std::size_t kMostWatchedWords = 128;

/// How a sleep on many words ended.
struct FutexWaitMany {
  FutexWait how;
  std::size_t index = 0;  ///< if it was woken: by which word
};

/// Sleeps while all of `words`, at most kMostWatchedWords, hold what is expected. Empty, at once,
/// where the kernel has no futex_waitv(2), which came with Linux 5.16.
std::optional<FutexWaitMany> futex_wait_many(std::span<const WatchedWord> words,
                                             Deadline::TimePoint until) noexcept;

/// The same on the low half of a 64-bit word: the half that the kernel's robust futexes know.
FutexWait futex_wait(Word<std::uint64_t>& word, std::uint32_t expected,
                     Deadline::TimePoint until) noexcept;
int futex_wake(Word<std::uint64_t>& word, int count) noexcept;

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_FUTEX_H_
