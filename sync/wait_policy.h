// SPDX-License-Identifier: Apache-2.0
//
// WaitPolicy: how a thread waits, in whatever blocking call of sluice: by looking again and again,
// asleep, or first the one and then the other. A choice of the thread that waits, not of the shared
// object: one side of a pipe may spin while the other sleeps. Not a deadline: that goes with the
// call.
//
//   set_wait_policy({.mode = WaitMode::spin});              // this thread, from now on
//   ScopedWaitPolicy asleep({.mode = WaitMode::block});     // until the end of the scope
//
// A sleeper gets up after each slice to ask whether the process it waits for still lives. The first
// slice is short, each further one twice as long, up to the longest: that bounds how long a death
// can go unnoticed where the kernel does not report it, and costs 1 s / longest_slice wake-ups per
// second while nothing happens (12.5 as it comes).
//
// With one CPU to run on (the affinity mask of the thread, read again after each slice) an adaptive
// thread sleeps at once, and one that spins lets others run after every 64 looks: the awaited party
// may need that very CPU. With more, it lets them run after its first millisecond, between looks.
// It looks at its deadline and at the awaited party's life as a sleeper does.
//
// Units: std::chrono::milliseconds. Errors: a slice below 1 ms or above an hour, or a first slice
// above the longest, throws std::invalid_argument. Threads: each has its own policy; new threads
// begin with the default, a forked child with its parent's. If a process dies here: nothing is
// shared. Cost: none; the policy is read when a call has to wait.

#ifndef SLUICE_SYNC_WAIT_POLICY_H_
#define SLUICE_SYNC_WAIT_POLICY_H_

#include <chrono>
#include <cstdint>
#include <ostream>

namespace sluice {

/// What a thread does while it waits.
enum class WaitMode : std::uint8_t {
  adaptive,  ///< looks for about as long as falling asleep would take, then sleeps
  spin,      ///< never sleeps: the shortest delay, for a thread with a CPU of its own
  block,     ///< sleeps at once: no CPU time is spent on waiting
};

/// The enumerator's own name.
std::ostream& operator<<(std::ostream& out, WaitMode mode);

/// How the thread that has it waits. As it comes: looks first and then sleeps.
struct WaitPolicy {
  WaitMode mode = WaitMode::adaptive;           ///< whether it looks, sleeps, or both
  std::chrono::milliseconds first_slice{10};    ///< the first sleep; each further one twice as long
  std::chrono::milliseconds longest_slice{80};  ///< so long a death may go unnoticed

  friend bool operator==(const WaitPolicy&, const WaitPolicy&) = default;
};

/// The calling thread's policy.
[[nodiscard]] WaitPolicy wait_policy() noexcept;

/// Sets the calling thread's policy. Throws std::invalid_argument.
void set_wait_policy(WaitPolicy policy);

/// Sets the calling thread's policy and, at the end of the scope, the one from before.
class ScopedWaitPolicy {
 public:
  /// Throws std::invalid_argument as set_wait_policy(), and then changes nothing.
  explicit ScopedWaitPolicy(WaitPolicy policy) : before_(wait_policy()) { set_wait_policy(policy); }
  /// Sets the policy from before; by the thread that made this.
  ~ScopedWaitPolicy() { set_wait_policy(before_); }
  ScopedWaitPolicy(const ScopedWaitPolicy&) = delete;
  ScopedWaitPolicy& operator=(const ScopedWaitPolicy&) = delete;

 private:
  WaitPolicy before_;
};

}  // namespace sluice

#endif  // SLUICE_SYNC_WAIT_POLICY_H_
