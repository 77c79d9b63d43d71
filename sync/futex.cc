// SPDX-License-Identifier: Apache-2.0

#include "sluice/sync/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>

namespace sluice::internal {
namespace {

timespec to_timespec(Deadline::TimePoint at) {
  // The kernel refuses a negative time, and seconds before the clock's start have passed anyway.
  const auto since_boot = std::max(at.time_since_epoch(), Deadline::Clock::duration::zero());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
  return {.tv_sec = static_cast<time_t>(seconds.count()),
          .tv_nsec = static_cast<long>(std::chrono::nanoseconds(since_boot - seconds).count())};
}

FutexWait wait_at(void* address, std::uint32_t expected, Deadline::TimePoint until) noexcept {
  const timespec at = to_timespec(until);
  // The bitset form is the one that takes an absolute time.
  if (syscall(SYS_futex, address, FUTEX_WAIT_BITSET, expected, &at, nullptr,
              FUTEX_BITSET_MATCH_ANY) == 0) {
    return FutexWait::woken;
  }
  switch (errno) {
    case ETIMEDOUT:
      return FutexWait::timeout;
    case EINTR:
      return FutexWait::interrupted;
    default:
      return FutexWait::changed;  // EAGAIN; anything else is answered by looking again
  }
}

int wake_at(void* address, int count) noexcept {
  const long woken = syscall(SYS_futex, address, FUTEX_WAKE, count, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<int>(woken) : 0;
}

/// struct futex_waitv of linux/futex.h, which distributions older than the call do not have.
struct WaitvEntry {
  std::uint64_t expected;
  std::uint64_t address;
  std::uint32_t flags;
  std::uint32_t reserved;
};
static_assert(sizeof(WaitvEntry) == 24);
constexpr long kFutexWaitv = 449;
constexpr std::uint32_t k32BitsShared = 2;

}  // namespace

FutexWait futex_wait(Word<std::uint32_t>& word, std::uint32_t expected,
                     Deadline::TimePoint until) noexcept {
  return wait_at(&word.raw, expected, until);
}

int futex_wake(Word<std::uint32_t>& word, int count) noexcept { return wake_at(&word.raw, count); }

std::optional<FutexWaitMany> futex_wait_many(std::span<const WatchedWord> words,
                                             Deadline::TimePoint until) noexcept {
  std::array<WaitvEntry, kMostWatchedWords> entries;
  const std::size_t count = std::min(words.size(), entries.size());
  for (std::size_t i = 0; i < count; ++i) {
    entries[i] = {words[i].expected, reinterpret_cast<std::uintptr_t>(&words[i].word->raw),
                  k32BitsShared, 0};
  }
  const timespec at = to_timespec(until);
  const long woken =
      syscall(kFutexWaitv, entries.data(), static_cast<unsigned>(count), 0, &at, CLOCK_MONOTONIC);
  if (woken >= 0) return FutexWaitMany{FutexWait::woken, static_cast<std::size_t>(woken)};
  switch (errno) {
    case ENOSYS:
    case EPERM:  // a sandbox's way to say the same
      return std::nullopt;
    case ETIMEDOUT:
      return FutexWaitMany{FutexWait::timeout};
    case EINTR:
      return FutexWaitMany{FutexWait::interrupted};
    default:
      return FutexWaitMany{FutexWait::changed};  // as above
  }
}

// The low half of a 64-bit word lies at its address: sync/platform.h asserts little-endian.

FutexWait futex_wait(Word<std::uint64_t>& word, std::uint32_t expected,
                     Deadline::TimePoint until) noexcept {
  return wait_at(&word.raw, expected, until);
}

int futex_wake(Word<std::uint64_t>& word, int count) noexcept { return wake_at(&word.raw, count); }

}  // namespace sluice::internal
