// SPDX-License-Identifier: Apache-2.0
//
// BasicPatience: what a waiting thread does next, from its WaitPolicy and its deadline: look again,
// ask after the awaited party, sleep, or give up. Internal: the loop that every blocking call of
// sluice is built around.
//
//   BasicPatience<Env> patience(deadline, kSpinLooks);
//   while (!ready()) {
//     switch (patience.next()) {
//       case Patience::look: break;
//       case Patience::ask: if (party_is_dead()) return Status::peer_died; break;
//       case Patience::sleep: Env::futex_wait(word, seen, patience.slice_end()); break;
//       case Patience::give_up: return Status::timeout;
//     }
//   }
//
// Every `sleep` and every `give_up` is preceded by an `ask` of its own slice, so that a death is
// noticed before the first sleep, once per slice, and before the call says timeout.
//
// If a process dies here: nothing is shared. Cost: next() a pause instruction while it spins, a
// look at the clock every 64 looks; one sched_getaffinity(2) per slice but the first.

#ifndef SLUICE_SYNC_PATIENCE_H_
#define SLUICE_SYNC_PATIENCE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "sluice/sync/deadline.h"
#include "sluice/sync/platform.h"
#include "sluice/sync/wait_policy.h"

namespace sluice::internal {

enum class Patience : std::uint8_t {
  look,     ///< look again
  ask,      ///< find out whether waiting still makes sense, then look again
  sleep,    ///< sleep until slice_end() unless something has changed
  give_up,  ///< the deadline has passed
};

template <class Env>
class BasicPatience {
 public:
  using TimePoint = Deadline::TimePoint;

  /// `looks`: how often an adaptive waiter looks before it sleeps, at least 1.
  BasicPatience(Deadline deadline, int looks) noexcept
      : deadline_(deadline), policy_(wait_policy()), slice_(policy_.first_slice) {
    if (deadline_.is_now() || policy_.mode == WaitMode::block) return;
    if (t_usable_cpus == 0) t_usable_cpus = usable_cpus();
    spinning_ = t_usable_cpus > 1 || policy_.mode == WaitMode::spin;
    looks_left_ = policy_.mode == WaitMode::spin ? kLooksPerGlance : looks;
  }

  Patience next() noexcept {
    if (spinning_) return spin();
    if (!std::exchange(asked_, !asked_)) return Patience::ask;
    const TimePoint now = Env::now();
    if (deadline_.passed(now)) return Patience::give_up;
    begin_slice(now);
    return Patience::sleep;
  }

  /// Until when to sleep.
  [[nodiscard]] TimePoint slice_end() const noexcept { return slice_end_; }

 private:
  static constexpr int kLooksPerGlance = 64;
  static constexpr std::chrono::milliseconds kUntilYielding{1};

  Patience spin() noexcept {
    Env::pause();
    if (--looks_left_ > 0) return Patience::look;
    if (policy_.mode == WaitMode::spin) return glance_at_the_clock();
    spinning_ = false;
    return next();
  }

  Patience glance_at_the_clock() noexcept {
    const TimePoint now = Env::now();
    if (begun_ == TimePoint()) {
      begun_ = now;
      begin_slice(now);
    }
    looks_left_ = 1;  // after `ask` it goes on here
    if (deadline_.passed(now) || now >= slice_end_) {
      if (!std::exchange(asked_, !asked_)) return Patience::ask;
      if (deadline_.passed(now)) return Patience::give_up;
      begin_slice(now);
    }
    const bool crowded = t_usable_cpus == 1;
    const bool lets_others_run = crowded || now - begun_ >= kUntilYielding;
    if (lets_others_run) Env::yield();
    if (crowded || !lets_others_run) looks_left_ = kLooksPerGlance;
    return Patience::look;
  }

  void begin_slice(TimePoint now) noexcept {
    if (slice_end_ != TimePoint()) count_cpus();  // not before the first
    // On whole milliseconds: sleepers of the machine that wake in the same one share a timer
    // interrupt, which for thousands of them is a third of the cost.
    const TimePoint end = std::chrono::ceil<std::chrono::milliseconds>(now + slice_);
    slice_end_ = std::min(end, deadline_.time());
    slice_ = std::min(2 * slice_, policy_.longest_slice);
  }

  void count_cpus() noexcept {
    t_usable_cpus = usable_cpus();
    spinning_ = spinning_ && (t_usable_cpus > 1 || policy_.mode == WaitMode::spin);
  }

  /// As of the thread's last slice: a mask that changes in between costs speed, not correctness.
  static inline constinit thread_local int t_usable_cpus = 0;

  Deadline deadline_;
  WaitPolicy policy_;
  std::chrono::milliseconds slice_;  ///< the next one
  TimePoint begun_ = {};
  TimePoint slice_end_ = {};
  int looks_left_ = 0;
  bool spinning_ = false;
  bool asked_ = false;  ///< since the last slice
};

}  // namespace sluice::internal

#endif  // SLUICE_SYNC_PATIENCE_H_
