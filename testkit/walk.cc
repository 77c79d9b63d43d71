// SPDX-License-Identifier: Apache-2.0

#include "sluice/testkit/walk.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::internal {

using Stop = Stepper::Stop;

Walk::Walk(const Stepped& what, Progress& progress, const Regions& regions, std::uint64_t max_steps,
           PartnerProcess* partner)
    : stepper_(what, progress), regions_(regions), max_steps_(max_steps), partner_(partner) {
  std::size_t size = 0;
  for (const auto& region : regions) size += region.size();
  last_bytes_.resize(size);
}

bool Walk::begin() {
  begun_ = true;
  if (!stepper_.run_to_body()) return false;
  static_cast<void>(has_changed());  // from here on
  return true;
}

Place Walk::next() {
  if (!begun_ && !begin()) return here(Stop::gone);
  for (;;) {
    const bool call = blocked_ || stepper_.at_system_call();
    const Stop stop = blocked_ ? go_on() : stepper_.step();
    blocked_ = stop == Stop::blocked;
    if (stop == Stop::gone) return here(stop);
    ++steps_;
    if (blocked_ || is_kill_point(call) || is_too_long()) {
      ++points_;
      return here(stop);
    }
  }
}

Place Walk::to(std::uint64_t n) {
  Place place{};
  while (points_ < n) {
    place = next();
    if (is_over(place)) break;
  }
  return place;
}

// After a call that blocks. The partner is done before anything is compared: what it changes
// belongs to the call.
Stop Walk::go_on() {
  if (partner_ != nullptr) partner_->victim_blocks();
  const Stop stop = stepper_.finish_call();
  if (partner_ != nullptr) partner_->settle();
  return stop;
}

bool Walk::is_kill_point(bool after_call) {
  if (regions_.empty()) return true;
  if (after_call) stepper_.find_robust_list();
  const bool changed = has_changed();  // always: it is compared with the last stop
  return changed || after_call || stepper_.at_system_call() || stepper_.done() || steps_ == 1;
}

// What the process has written is seen here, since the regions are shared with it, and it is
// stopped. A copy and no hash: it is as quick, and two states are never taken for one.
bool Walk::has_changed() {
  bool changed = false;
  std::byte* last = last_bytes_.data();
  for (const auto& region : regions_) {
    if (std::memcmp(last, region.data(), region.size()) != 0) {
      std::memcpy(last, region.data(), region.size());
      changed = true;
    }
    last += region.size();
  }
  const Stepper::RobustList list = stepper_.robust_list();
  changed |= list != last_list_;
  last_list_ = list;
  return changed;
}

Place Walk::here(Stop stop) const {
  return {stop, stop == Stop::stopped && stepper_.done(), stepper_.instruction()};
}

}  // namespace sluice::internal
