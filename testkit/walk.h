// SPDX-License-Identifier: Apache-2.0
//
// Internal: takes a stepped process from one kill point to the next. Every stop is one, or only
// those at which something has changed that outlives the process.
//
// If a process dies here: as in testkit/stepper.h.

#ifndef SLUICE_TESTKIT_WALK_H_
#define SLUICE_TESTKIT_WALK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sluice/testkit/partner_process.h"
#include "sluice/testkit/stepper.h"

namespace sluice::internal {

/// Where a process was stopped or blocked.
struct Place {
  Stepper::Stop stop = Stepper::Stop::gone;
  bool done = false;              ///< the body had returned
  std::uint64_t instruction = 0;  ///< the address of the next one

  bool operator==(const Place&) const = default;
};

using Regions = std::vector<std::span<const std::byte>>;

class Walk {
 public:
  /// With no regions, every stop is a kill point. Without a partner, a call that blocks is the end.
  Walk(const Stepped& what, Progress& progress, const Regions& regions, std::uint64_t max_steps,
       PartnerProcess* partner);

  /// To the next kill point: after a change of the regions or of the robust list's head, on either
  /// side of a system call, in one that blocks, at the body's end; the first stop is one, too.
  /// After a call that blocks it waits, as long as the process may live, until the call has
  /// returned. After max_steps it ends anywhere.
  Place next();
  /// To the n-th kill point, or to the end if that comes first.
  Place to(std::uint64_t n);

  /// Steps so far: the first ends after the body's first instruction.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  /// Kill points so far.
  [[nodiscard]] std::uint64_t points() const noexcept { return points_; }
  /// There is no point after this one.
  [[nodiscard]] bool is_over(const Place& place) const noexcept {
    return place.done || place.stop == Stepper::Stop::gone || is_too_long() || is_stuck(place);
  }
  /// It blocks, and nobody wakes it.
  [[nodiscard]] bool is_stuck(const Place& place) const noexcept {
    return place.stop == Stepper::Stop::blocked && partner_ == nullptr;
  }
  [[nodiscard]] bool is_too_long() const noexcept { return steps_ >= max_steps_; }
  void kill() { stepper_.kill(); }
  [[nodiscard]] std::string problem() const { return stepper_.problem(); }

 private:
  bool begin();
  bool has_changed();
  Stepper::Stop go_on();
  bool is_kill_point(bool after_call);
  Place here(Stepper::Stop stop) const;

  Stepper stepper_;
  const Regions& regions_;
  const std::uint64_t max_steps_;
  PartnerProcess* const partner_;
  std::vector<std::byte> last_bytes_;
  Stepper::RobustList last_list_{};
  bool begun_ = false;
  bool blocked_ = false;
  std::uint64_t steps_ = 0;
  std::uint64_t points_ = 0;
};

}  // namespace sluice::internal

#endif  // SLUICE_TESTKIT_WALK_H_
